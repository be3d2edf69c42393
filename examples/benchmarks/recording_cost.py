"""What it costs to record training dynamics, and to fit the mixture to the scores.

Measures an epoch of the same network on the same rows without and with `DynamicsRecorder`, in turn
and in an order that is drawn anew each time; the cost is the median over the repetitions of
(epoch with / epoch without) - 1. A second network without a recorder shows what that figure is
worth: its cost is nought but for the noise of the measurement. Then the bytes a row and epoch that
the records take, and the seconds for `WeibullMixture` on ten million integer scores.

On a CPU seconds are those of the processor, since the machine may be shared; run with
OMP_NUM_THREADS=1. On a GPU they are those of the clock.

    python examples/benchmarks/recording_cost.py
"""

from __future__ import annotations

import argparse
import time
from functools import partial

import numpy as np
import torch
from report import markdown, save
from timing import clock, side_by_side

from noisyfit.data import make_rows
from noisyfit.dynamics import DynamicsRecorder
from noisyfit.mixture import WeibullMixture, shift_positive
from noisyfit.modules import MLP, ConvNet
from noisyfit.training import NoisyNet, resolve_device, resolve_precision

VARIANTS = {
    "no recorder": None,
    "no recorder, again": None,
    "correct": ("correct",),
    "correct, margin": ("correct", "margin"),
    "all four quantities": ("correct", "given_prob", "margin", "loss"),
}


def epochs_side_by_side(module, X: np.ndarray, repeats: int, device: torch.device) -> dict:
    """Seconds of an epoch, (n_repeats,) per variant, and bytes a row and epoch."""
    y = np.random.default_rng(1).integers(10, size=len(X))
    rows = make_rows(X, y, device, None)
    nets, recorders = {}, {}
    for name, quantities in VARIANTS.items():
        recorders[name] = DynamicsRecorder(len(X), quantities) if quantities else None
        torch.manual_seed(0)
        nets[name] = NoisyNet(
            module(X.shape[1], 10),
            optimizer=torch.optim.SGD,
            optimizer__momentum=0.9,
            lr=0.01,
            batch_size=128,
            iterator_train__shuffle=True,
            device=device,
            precision=resolve_precision("auto", device, X.ndim == 4),
            callbacks=[recorders[name]] if quantities else [],
        ).initialize()
    epochs = {name: partial(net.partial_fit, rows, None, epochs=1) for name, net in nets.items()}
    seconds = side_by_side(epochs, repeats, partial(clock, device))
    memory = {
        name: recorder.dynamics_.nbytes() / (len(X) * (repeats + 1)) if recorder else 0.0
        for name, recorder in recorders.items()
    }
    return {"seconds": seconds, "bytes": memory}


def mixture_seconds(n: int, repeats: int) -> dict:
    """Seconds to shift `n` scores of 20 epochs and to fit the mixture, processor and wall."""
    rng = np.random.default_rng(0)
    correct_epochs = rng.binomial(20, np.where(rng.random(n) < 0.2, 0.25, 0.85))
    C = 20.0 - 2.0 * correct_epochs
    cpu, wall = [], []
    for _ in range(repeats):
        started = time.process_time(), time.perf_counter()
        mixture = WeibullMixture().fit(shift_positive(C)[0])
        cpu.append(time.process_time() - started[0])
        wall.append(time.perf_counter() - started[1])
    return {
        "n_scores": n,
        "distinct": len(np.unique(C)),
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        "noisy_weight": float(mixture.weights_[1]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=31, help="a third of them for the ConvNet")
    parser.add_argument("--images", type=int, default=2560, help="rows for the ConvNet")
    parser.add_argument("--scores", type=int, default=10_000_000)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = resolve_device(args.device)
    rng = np.random.default_rng(2)
    data = {
        "MLP, 50,000 x 64": (MLP, rng.normal(size=(50_000, 64)).astype(np.float32)),
        f"ConvNet, {args.images:,} x 3 x 32 x 32": (
            ConvNet,
            rng.integers(256, size=(args.images, 3, 32, 32), dtype=np.uint8),
        ),
    }
    results, table = {}, []
    for name, (module, X) in data.items():
        repeats = args.repeats if module is MLP else -(-args.repeats // 3)
        results[name] = epochs_side_by_side(module, X, repeats, device)
        seconds = {v: np.array(s) for v, s in results[name]["seconds"].items()}
        base = seconds["no recorder"]
        for variant in list(VARIANTS)[1:]:
            ratio = seconds[variant] / base - 1
            low, high = np.quantile(ratio, [0.25, 0.75])
            cost = f"{np.median(ratio):+.1%} ({low:+.1%} to {high:+.1%})"
            epoch = [f"{np.median(s):.3f}" for s in (base, seconds[variant])]
            table.append([name, variant, *epoch, cost, f"{results[name]['bytes'][variant]:.3f}"])
    mixture = mixture_seconds(args.scores, 5)
    head = ["network, rows", "recorded", "s without", "s with", "cost: median (quartiles)"]
    text = f"Epochs of batches of 128 on {device.type}, {args.repeats} repetitions "
    text += "(ConvNet: a third).\n\n"
    text += markdown([*head, "bytes a row and epoch"], table)
    text += (
        f"\n\nMixture of {mixture['n_scores']:,} scores, {mixture['distinct']} distinct values, "
        f"shift and fit: {np.median(mixture['cpu_seconds']):.2f} s of the processor, "
        f"{np.median(mixture['wall_seconds']):.2f} s on the clock (medians of 5)."
    )
    save("recording_cost", text, {"device": device.type, "epochs": results, "mixture": mixture})


if __name__ == "__main__":
    main()
