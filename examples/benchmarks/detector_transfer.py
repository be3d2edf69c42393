"""How the LSTM detector ranks the labels of data sets that it was not trained on.

Eight data sets (tables, texts, images), symmetric and pair noise, and CIFAR-10N: average precision
and AUROC of the wrong labels. The corpus of `train_detector.py` contains four of the sets; for each
of these a detector is trained on the rest of the corpus. The other four the shipped detector has
never seen. Beside it, from the same run of the same network (the estimator's defaults):

- the detector on the probability of the given label, as the paper has it, instead of that relative
  to the strongest rival;
- AUM, the mean margin; the mean probability of the given label; MILD's metric, the share of epochs
  in which the label was predicted;
- cleanlab's self-confidence and normalised margin on 5-fold out-of-fold probabilities of the same
  network, trained for as many epochs: five more trainings.

The second table is for dynamics recorded held out, from those five trainings.

    python -m pip install -e ".[bench]"
    python examples/detector/train_detector.py --data DATA --work WORK
    python examples/benchmarks/detector_transfer.py --data DATA --work WORK
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from cleanlab.rank import get_label_quality_scores
from report import markdown, save
from scipy.special import expit

from noisyfit import DynamicsLSTM
from noisyfit.metrics import auroc, average_precision

sys.path.insert(0, str(Path(__file__).parents[1]))
from detector.corpus import IMAGES, SOURCES, UNSEEN, Run, corpus, evaluation_runs, record_all
from detector.train_detector import train

DATA_SETS = [*UNSEEN, "spambase", "banking77", "mnist", "cifar10"]
OURS, ON_GIVEN = "LSTM", "LSTM on p(given)"
HAND_MADE = ["AUM", "mean p(given)", "MILD's metric"]
CLEANLAB = ["cleanlab, self-confidence", "cleanlab, normalised margin"]


def detector_for(source: str, work: Path) -> DynamicsLSTM:
    """Return a detector that has not seen the data set; one that has to be trained is kept."""
    if source not in SOURCES:
        return DynamicsLSTM.pretrained(device="cpu")
    path = work / "siblings" / f"without-{source}.safetensors"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        train([run for run in corpus() if run.source != source], work / "runs").save(path)
    return DynamicsLSTM.load(path, device="cpu")


def suspicion(run: Run, detector: DynamicsLSTM, folder: Path) -> tuple[np.ndarray, dict]:
    """Return which labels are wrong, and how suspicious each method finds each label."""
    file = np.load(folder / f"{run.name}.npz")
    given, margin = file["given"], file["margin"].astype(np.float32)
    p = file["given_prob"].astype(np.float32)
    scores = {
        OURS: detector.predict_proba(expit(margin)),
        ON_GIVEN: detector.predict_proba(p),
        "AUM": -margin.mean(axis=1),
        "mean p(given)": -p.mean(axis=1),
        "MILD's metric": -(margin > 0).mean(axis=1),
    }
    held_out = np.load(folder / f"{run.name.replace(run.recording, 'held_out')}.npz")
    proba = held_out["final_proba"].astype(np.float64)
    proba /= proba.sum(axis=1, keepdims=True)
    for name, method in zip(CLEANLAB, ["self_confidence", "normalized_margin"], strict=True):
        scores[name] = -get_label_quality_scores(given, proba, method=method)
    return given != file["y"], scores


def measure(source: str, recording: str, seeds: range, work: Path) -> list[dict]:
    """Return a record for each run and method."""
    detector, records = detector_for(source, work), []
    for run in evaluation_runs(source, recording, seeds):
        wrong, scores = suspicion(run, detector, work / "evaluation")
        for method, score in scores.items():
            records.append(
                {
                    "data": source,
                    "recording": recording,
                    "labels": f"{run.kind} {run.rate}",
                    "seed": run.seed,
                    "realised_rate": float(wrong.mean()),
                    "method": method,
                    "average_precision": average_precision(wrong, score),
                    "auroc": auroc(wrong, score),
                }
            )
    return records


def table(records: list[dict], figure: str) -> str:
    """Average over the seeds; the last rows sum up over data sets and labels."""
    methods = list(dict.fromkeys(r["method"] for r in records))
    cells = list(dict.fromkeys((r["data"], r["labels"]) for r in records))
    rows, means = [], []
    for data, labels in cells:
        here = [r for r in records if (r["data"], r["labels"]) == (data, labels)]
        mean = {m: float(np.mean([r[figure] for r in here if r["method"] == m])) for m in methods}
        means.append(mean)
        best = max(mean[m] for m in HAND_MADE)
        seeds = len({r["seed"] for r in here})
        rate = np.mean([r["realised_rate"] for r in here])
        rows.append(
            [
                data,
                f"{labels} ({rate:.1%} wrong)",
                seeds,
                *(f"{mean[m]:.3f}" for m in methods),
                f"{mean[OURS] - best:+.3f}",
            ]
        )
    overall = [f"**{np.mean([m[name] for m in means]):.3f}**" for name in methods]
    differences = [m[OURS] - max(m[name] for name in HAND_MADE) for m in means]
    rows.append(["**mean**", "", "", *overall, f"{np.mean(differences):+.3f}"])
    head = ["data", "labels", "seeds", *methods, "LSTM - best hand-made"]
    below = sum(d < -0.01 for d in differences)
    return (
        markdown(head, rows)
        + f"\n\nLSTM against the best of {', '.join(HAND_MADE)} in each row: from "
        + f"{min(differences):+.3f} to {max(differences):+.3f}; below -.01 in {below} of "
        + f"{len(differences)} rows."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--jobs", type=int, default=1, help="processes that record")
    parser.add_argument("--seeds", type=int, default=2, help="of tables and texts")
    parser.add_argument("--image-seeds", type=int, default=1)
    args = parser.parse_args()
    seeds = {s: range(args.image_seeds if s in IMAGES else args.seeds) for s in DATA_SETS}
    for recording in ("training", "held_out"):
        runs = [run for s in DATA_SETS for run in evaluation_runs(s, recording, seeds[s])]
        record_all(runs, args.data, str(args.work / "evaluation"), args.jobs)
    records = []
    for source in DATA_SETS:
        for recording in ("training", "held_out"):
            records += measure(source, recording, seeds[source], args.work)
        print(source, "done", flush=True)
    text = "Wrong labels of data sets that the detector was not trained on.\n"
    for recording, what in (("training", "in training"), ("held_out", "held out")):
        here = [r for r in records if r["recording"] == recording]
        text += f"\nDynamics recorded {what}. Average precision:\n\n"
        text += table(here, "average_precision") + "\n\nAUROC:\n\n" + table(here, "auroc") + "\n"
    save("detector_transfer", text, {"records": records})


if __name__ == "__main__":
    main()
