"""How fast does the shipped detector score? Time and memory, against the arithmetic of the LSTM.

A million sequences of 100 epochs by default. The floor is the time that the matrix products alone
would take at the speed of the largest such product on the same thread, measured in the same run:
sequences of the detector's own length, two layers, four gates. One process, one thread; the blocks
of rows are timed side by side, alternating, and ratios are medians.

    OMP_NUM_THREADS=1 python examples/benchmarks/detector_speed.py
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import torch
from report import markdown, save

from noisyfit import DynamicsLSTM


def products_per_row(detector: DynamicsLSTM) -> int:
    """Multiply-adds of the LSTM's matrix products for one sequence."""
    weights = [p for p in detector.module_.lstm.parameters() if p.ndim == 2]
    return detector.training_length_ * sum(p.numel() for p in weights)


def seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak_memory() -> float:
    """Largest resident memory of the process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    detector = DynamicsLSTM.pretrained(device="cpu")
    rng = np.random.default_rng(0)
    sequences = rng.random((args.rows, args.epochs), dtype=np.float32)

    block = sequences[:20_000]
    flops = 2 * products_per_row(detector) * len(block)
    a, b = torch.rand(2048, 1024), torch.rand(1024, 2048)
    product_flops = 2 * 2048 * 1024 * 2048
    detector.predict_proba(block)
    ratios, rates = [], []
    for _ in range(args.repeats):
        speed = 8 * product_flops / seconds(lambda: [a @ b for _ in range(8)])
        taken = seconds(lambda: detector.predict_proba(block))
        ratios.append(taken * speed / flops)
        rates.append(len(block) / taken)

    before = peak_memory()
    taken = seconds(lambda: detector.predict_proba(sequences))
    added = peak_memory() - before
    order = rng.permutation(5000)
    p = detector.predict_proba(sequences[:5000])
    moved = np.abs(detector.predict_proba(sequences[:5000][order]) - p[order]).max()
    rows = [
        ["sequences x epochs", f"{args.rows:,} x {args.epochs}"],
        ["seconds", f"{taken:.0f}"],
        ["rows a second", f"{args.rows / taken:,.0f}"],
        ["memory of the sequences, MB", f"{sequences.nbytes / 1e6:.0f}"],
        ["memory added by scoring, MB", f"{added:.0f}"],
        ["multiply-adds a row, million", f"{products_per_row(detector) / 1e6:.2f}"],
        ["time / arithmetic floor, median", f"{np.median(ratios):.2f}"],
        ["largest change by another order of rows", f"{moved:.1e}"],
    ]
    text = "Scoring with the shipped detector.\n\n" + markdown(["", ""], rows)
    save("detector_speed", text, {"seconds": taken, "ratios": ratios, "rows_a_second": rates})


if __name__ == "__main__":
    main()
