"""Does DLT keep the right rows if it selects by debiased predictions? ``debias`` of 0, .5 and 1.

Under noise that depends on the row a network comes to favour some classes, and the small losses of
wrong labels of these classes pass the threshold; Pan et al. (CVPR 2026) report 9.6 points of
accuracy for CIFAR-10 with 50 % of such noise. Here: eight data sets as `believe_problems.py` draws
them, 1,200 rows (banking77: 2,500) and up to 1,500 to test on with right labels; the default may
be chosen on the half "choose" alone, and has to be better on the half "confirm" as well.

All else is `DLTClassifier` as it comes. "AUROC" and "F1" are of the wrong labels, by
``noise_scores_`` and ``clean_mask_``; "kept right" is the proportion of right labels among the rows
that the last epoch kept; accuracy is that of the last epoch. With two classes pair noise is
symmetric noise, and labels of which half are wrong say nothing: instance noise is .4 instead.

    python examples/benchmarks/debiased_selection.py --data DIR

DIR is read as in `detector/corpus.py`. Finished runs go to results/debiased_selection.jsonl at
once, and a run that is called again skips them.
"""

from __future__ import annotations

import argparse
import itertools
import warnings

import numpy as np
import torch
from believe_problems import Spec, make_problem
from comparison import finished, run_all
from report import markdown, save

from noisyfit import DLTClassifier
from noisyfit.dynamics import SelectionQuality
from noisyfit.metrics import detection_report

NAME = "debiased_selection"
HALVES = {
    "choose": ["vowel", "banking77", "phoneme", "subj"],
    "confirm": ["optdigits", "trec", "spambase", "mr"],
}
TWO_CLASSES = ["phoneme", "subj", "spambase", "mr"]
FIGURES = {"auroc": "AUROC", "mask_f1": "F1", "kept_right": "kept right", "accuracy": "accuracy"}


def noises(source: str) -> list[str]:
    """Name the kinds of errors of a data set."""
    if source in TWO_CLASSES:
        return ["instance .3", "instance .4", "symmetric .4"]
    return ["instance .3", "instance .5", "pair .4", "symmetric .4"]


def one_run(half: str, source: str, noise: str, seed: int, data: str, factors: list[float]) -> list:
    """Fit DLT on one problem; returns a record for each value of ``debias``."""
    warnings.simplefilter("ignore")
    problem = make_problem(Spec(source, noise, half), seed, data)
    wrong = problem.given != problem.true
    common = {"half": half, "source": source, "noise": noise, "seed": seed, "n_rows": len(wrong)}
    common["realised_rate"] = float(wrong.mean())
    records = []
    for factor in factors:
        est = DLTClassifier(
            judge_epochs=0, debias=factor, callbacks=[SelectionQuality(~wrong)], random_state=seed
        ).fit(problem.X, problem.given)
        found = detection_report(
            wrong, est.noise_scores_, clean_mask=est.clean_mask_, noise_rate=est.noise_rate_
        )
        accuracy = float(est.score(problem.X_test, problem.y_test))
        kept = {"kept_right": est.history_[-1]["kept_precision"], "accuracy": accuracy}
        records.append({**common, "debias": factor, **found, **kept})
    return records


def by_problem(records: list[dict], half: str) -> str:
    """Average over the seeds, a row for each problem."""
    rows = []
    for source, noise in _problems(half):
        here = [r for r in records if (r["source"], r["noise"]) == (source, noise)]
        if here:
            rate = np.mean([r["realised_rate"] for r in here])
            cells = [_shown(here, figure) for figure in FIGURES]
            seeds = len({r["seed"] for r in here})
            rows.append([source, f"{noise} ({rate:.1%} wrong)", seeds, *cells])
    return markdown(["data", "labels", "seeds", *FIGURES.values()], rows)


def _factors(records: list[dict]) -> list[float]:
    return sorted({r["debias"] for r in records})


def _shown(records: list[dict], figure: str) -> str:
    factors = _factors(records)
    means = [np.mean([r[figure] for r in records if r["debias"] == d]) for d in factors]
    return " / ".join(f"{mean:.3f}".removeprefix("0") for mean in means)


def gains(records: list[dict], half: str) -> str:
    """Average what ``debias`` changes, in points, with its standard error over the problems."""
    kinds = {"instance": ("instance",), "all": ("instance", "pair", "symmetric")}
    rows = []
    for (kind, begins), factor in itertools.product(kinds.items(), _factors(records)[1:]):
        row = [half, kind, f"{factor:g}"]
        for figure in FIGURES:
            changes = []
            for source, noise in _problems(half):
                here = [r for r in records if (r["source"], r["noise"]) == (source, noise)]
                if here and noise.startswith(begins):
                    means = [
                        np.mean([r[figure] for r in here if r["debias"] == d]) for d in (0, factor)
                    ]
                    changes.append(100 * (means[1] - means[0]))
            error = np.std(changes, ddof=1) / np.sqrt(len(changes))
            better = sum(change > 0 for change in changes)
            row.append(f"{np.mean(changes):+.1f} ± {error:.1f} ({better} of {len(changes)})")
        rows.append(row)
    return markdown(["half", "noise", "debias", *FIGURES.values()], rows)


def _problems(half: str) -> list[tuple[str, str]]:
    return [(source, noise) for source in HALVES[half] for noise in noises(source)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--halves", nargs="+", choices=[*HALVES], default=[*HALVES])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--debias", nargs="+", type=float, default=[0.0, 0.5, 1.0])
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    done = {(r["source"], r["noise"], r["seed"], r["debias"]) for r in finished(NAME)}
    todo = []
    for seed, half in itertools.product(args.seeds, args.halves):
        for source, noise in _problems(half):
            missing = [d for d in args.debias if (source, noise, seed, d) not in done]
            if missing:
                todo.append((half, source, noise, seed, args.data, missing))
    run_all(one_run, todo, NAME, args.jobs)
    records = [r for r in finished(NAME) if r["debias"] in args.debias]
    told = (
        "Change against `debias=0` in points: mean over the problems, its standard error, and on "
        "how many problems it is better."
    )
    parts = [told, *(gains(records, half) for half in args.halves)]
    values = " / ".join(f"{d:g}" for d in _factors(records))
    for half in args.halves:
        parts += [f'Half "{half}", `debias` of {values}.', by_problem(records, half)]
    save(NAME, "\n\n".join(parts), {"seeds": args.seeds})


if __name__ == "__main__":
    main()
