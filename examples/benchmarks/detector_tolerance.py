"""How many wrong labels may there be in the data that a detector is trained on?

The twice-contaminated test of the paper (Figure 6). A share u of the labels of a data set is wrong
to begin with and counts as right; 30 % are flipped on top, and a detector is trained to tell the
flipped ones, `DynamicsLSTMDetector.fit_detector`. It is then measured on other data sets with 40 %
symmetric noise, recorded for `detector_transfer.py`: average precision of the wrong labels.

    python examples/benchmarks/detector_tolerance.py --data DATA --work WORK
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from report import markdown, save
from scipy.special import expit

from noisyfit import DynamicsLSTMDetector
from noisyfit.metrics import average_precision
from noisyfit.noise import corrupt_labels, transition_matrix

sys.path.insert(0, str(Path(__file__).parents[1]))
from detector.corpus import subset

SHARES = [0.0, 0.1, 0.2, 0.3, 0.4]
TRAINED_ON = ["optdigits", "trec"]
MEASURED_ON = ["optdigits", "trec", "banking77", "mnist", "cifar10"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    runs = {}
    for target in MEASURED_ON:
        path = args.work / "evaluation" / f"{target}-symmetric-0.4-training-seed0.npz"
        file = np.load(path)
        runs[target] = expit(file["margin"].astype(np.float32)), file["given"] != file["y"]
    records = []
    for source in TRAINED_ON:
        for seed in range(args.seeds):
            rows, _ = subset(source, args.data, 4000, 2000 + seed)
            for u in SHARES:
                matrix = transition_matrix("symmetric", int(rows.y.max()) + 1, u)
                nearly = corrupt_labels(rows.y, matrix, seed).labels
                est = DynamicsLSTMDetector(judge_epochs=0, random_state=seed)
                detector = est.fit_detector(rows.X, nearly, rate=0.3)
                for target, (sequences, wrong) in runs.items():
                    if target != source:
                        ap = average_precision(wrong, detector.predict_proba(sequences))
                        records.append(
                            {"source": source, "seed": seed, "underlying": u, "target": target}
                            | {"average_precision": ap}
                        )
                print(source, seed, u, records[-1], flush=True)
    head = ["trained on", "measured on", *(f"u = {u:.0%}" for u in SHARES)]
    lines = []
    for source, target in dict.fromkeys((r["source"], r["target"]) for r in records):
        here = [r for r in records if (r["source"], r["target"]) == (source, target)]
        lines.append([source, target, *_means(here)])
    lines.append(["**mean**", "", *_means(records)])
    text = (
        "Average precision on another data set with 40 % symmetric noise, mean over the seeds.\n\n"
    )
    save("detector_tolerance", text + markdown(head, lines), {"records": records})


def _means(records: list[dict]) -> list[str]:
    return [
        f"{np.mean([r['average_precision'] for r in records if r['underlying'] == u]):.3f}"
        for u in SHARES
    ]


if __name__ == "__main__":
    main()
