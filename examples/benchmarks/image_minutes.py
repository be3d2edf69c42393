"""How long a fit of 8,000 small images takes with the settings that users get, and what it finds.

MNIST (28 x 28, one channel) and CIFAR-10 (32 x 32, three) with wrong labels drawn evenly from all
other classes, or from one: `MILDSelector()` and `DynamicsLSTMDetector()`, judges and all, in
float32 as on a processor without units for bfloat16. Seconds of the clock and of the processor of
the whole fit, AUROC of the noise scores, the counted and the true proportion of wrong labels,
accuracy of the last epoch on 5,000 test rows.

    python examples/benchmarks/image_minutes.py --data DIR

DIR holds mnist.npz and CIFAR-10 as `paper_tables/cifar.py` reads it. Finished runs go to
results/image_minutes.jsonl at once, and a run that is called again skips them; `--name` writes
elsewhere, such as beside the same fits on another commit (`PYTHONPATH` takes it).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from comparison import finished, run_all
from default_network import read
from report import markdown, save

from noisyfit import DynamicsLSTMDetector, MILDSelector
from noisyfit.metrics import auroc
from noisyfit.noise import corrupt_labels, transition_matrix

NAME = "image_minutes"
METHODS = {"MILDSelector": MILDSelector, "DynamicsLSTMDetector": DynamicsLSTMDetector}
CASES = [("mnist", "symmetric", 0.2), ("mnist", "pair", 0.3), ("cifar10", "symmetric", 0.4)]


def one_run(
    data: str,
    noise: str,
    rate: float,
    n_rows: int,
    method: str,
    seed: int,
    threads: int,
    folder: str,
) -> list[dict]:
    """Fit once; returns the record in a list."""
    torch.set_num_threads(threads)
    X, y, X_test, y_test = read(data, folder)
    rows = np.random.default_rng(seed).permutation(len(y))[:n_rows]
    X, y = X[rows], y[rows]
    given, wrong = corrupt_labels(y, transition_matrix(noise, 10, rate), random_state=seed)
    est = METHODS[method](precision="float32", random_state=seed)
    clock, processor = time.perf_counter(), time.process_time()
    est.fit(X, given)
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return [
        {
            "data": data,
            "noise": noise,
            "rate": rate,
            "n_rows": n_rows,
            "method": method,
            "seed": seed,
            "threads": threads,
            "wrong": float(wrong.mean()),
            "auroc": auroc(wrong, est.noise_scores_),
            "counted": est.noise_rate_,
            "interval": est.noise_rate_interval_,
            "loss": est.loss_,
            "accuracy": float(est.score(X_test, y_test)),
            "epochs": len(est.history_),
            "clock": clock,
            "processor": processor,
        }
    ]


def table(records: list[dict]) -> str:
    """Lay out the runs, a row for each."""
    rows = [
        [
            f"{r['data']}, {r['noise']}",
            f"{r['n_rows']:,}",
            r["method"],
            f"{r['auroc']:.4f}",
            f"{r['wrong']:.3f}",
            f"{r['counted']:.3f} ({r['interval'][0]:.2f} to {r['interval'][1]:.2f})",
            f"{r['accuracy']:.3f}",
            r["epochs"],
            f"{r['processor'] / 60:.1f}",
            f"{r['clock'] / 60:.1f}",
        ]
        for r in sorted(records, key=lambda r: (r["data"], r["noise"], r["method"], r["seed"]))
    ]
    head = ["data", "rows", "method", "AUROC", "wrong", "counted", "accuracy", "epochs, no judges"]
    return markdown([*head, "processor, min", "clock, min"], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", metavar="DIR", required=True)
    parser.add_argument("--rows", type=int, default=8_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--cases", type=int, nargs="+", default=list(range(len(CASES))))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--name", default=NAME)
    args = parser.parse_args()
    key = ("data", "noise", "rate", "n_rows", "method", "seed", "threads")
    done = {tuple(r[k] for k in key) for r in finished(args.name)}
    cases = [CASES[i] for i in args.cases]
    methods, threads = args.methods, args.threads
    runs = [(*c, args.rows, m, s, threads) for s in args.seeds for c in cases for m in methods]
    runs = [(*run, args.data) for run in runs if run not in done]
    run_all(one_run, runs, args.name, jobs=1)
    save(args.name, table(finished(args.name)), {"runs": finished(args.name)})
