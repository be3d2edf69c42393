"""Features of a pretrained network against a network that learns from pixels; and their speed.

CIFAR-10, 1,000 or 5,000 training pictures, symmetric noise of 40 %, 2,000 test pictures. Compared
is MILDSelector with its default network on the features of EfficientNet-Lite0, frozen, and on the
pixels, with default settings for both.

    python examples/benchmarks/image_features.py --data DIR
    python examples/benchmarks/image_features.py --data DIR --rows 5000
    python examples/benchmarks/image_features.py --speed

DIR holds torchvision's ``cifar-10-batches-py`` or ``cifar10_jpeg_full.npz``. Each writes
results/image_features_*.md and .json; times are processor seconds of one thread, so that other work
on the machine does not count.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from report import markdown, save

sys.path.append(str(Path(__file__).parents[1] / "paper_tables"))
from cifar import images, source

from noisyfit import MILDSelector
from noisyfit.features import ImageFeatures
from noisyfit.metrics import auroc
from noisyfit.noise import corrupt_labels, transition_matrix

RATE, N_TEST, N_WARM = 0.4, 2_000, 8
SIZES, N_TIMED = (96, 128, 160, 224), 64


def timed(compute) -> tuple:
    """Return a result and the processor seconds that it took."""
    start = time.process_time()
    return compute(), time.process_time() - start


def quality(folder: str, n_rows: int, size: int, seeds: list[int], only: str) -> None:
    """Compare features with pixels."""
    X, y, X_test, y_test = images(folder)
    rng = np.random.default_rng(0)
    rows, test = rng.permutation(len(y))[:n_rows], rng.permutation(len(y_test))[:N_TEST]
    X, y, X_test, y_test = X[rows], y[rows], X_test[test], y_test[test]
    backbone = ImageFeatures("efficientnet_lite0", size=size)
    features, seconds = timed(lambda: backbone.fit_transform(X))
    inputs = {
        f"features, {size} px": (features, backbone.transform(X_test), seconds),
        "pixels": (X, X_test, 0.0),
    }
    table, found = [], []
    for seed in seeds:
        given = corrupt_labels(y, transition_matrix("symmetric", 10, RATE), seed)
        for name, (train, tests, before) in inputs.items():
            if only and not name.startswith(only):
                continue
            est = MILDSelector(random_state=seed)
            _, seconds = timed(lambda est=est, train=train: est.fit(train, given.labels))  # noqa: B023
            line = {
                "input": name,
                "seed": seed,
                "wrong": float(given.flipped.mean()),
                "auroc": auroc(given.flipped, est.noise_scores_),
                "noise_rate": est.noise_rate_,
                "corrected": float((est.corrected_labels_ == y).mean()),
                "accuracy": float((est.predict(tests) == y_test).mean()),
                "seconds_features": before,
                "seconds_fit": seconds,
            }
            print(line, flush=True)
            found.append(line)
    for name in dict.fromkeys(line["input"] for line in found):
        mine = [line for line in found if line["input"] == name]
        mean = {key: np.mean([line[key] for line in mine]) for key in mine[0] if key != "input"}
        table.append(
            [
                name,
                f"{mean['auroc']:.3f}",
                f"{mean['noise_rate']:.1%}",
                f"{mean['corrected']:.1%}",
                f"{mean['accuracy']:.1%}",
                f"{mean['seconds_features']:.0f} + {mean['seconds_fit']:.0f}",
            ]
        )
    head = ["input", "AUROC", "estimated rate", "right after correction", "test accuracy", "s"]
    wrong = np.mean([line["wrong"] for line in found])
    text = (
        f"{n_rows} training pictures of CIFAR-10 ({source(folder)}), {wrong:.1%} of the labels "
        f"wrong (symmetric), {N_TEST} test pictures, MILDSelector with default settings, last "
        f"epoch, seeds {seeds}.\n\n" + markdown(head, table)
    )
    save(f"image_features_{n_rows}", text, {"results": found})


def speed() -> None:
    """Measure pictures a second."""
    X = np.random.default_rng(0).integers(0, 256, (N_TIMED, 3, 32, 32), dtype=np.uint8)
    table, found = [], []
    for size in SIZES:
        rates = []
        for precision in ("bfloat16", "float32"):
            backbone = ImageFeatures("efficientnet_lite0", size=size, precision=precision)
            backbone.fit_transform(X[:N_WARM])
            best = min(timed(lambda b=backbone: b.transform(X))[1] for _ in range(3))
            rates.append(N_TIMED / best)
            found.append({"size": size, "precision": precision, "per_second": rates[-1]})
        table.append([size, *(f"{rate:.0f}" for rate in rates)])
    text = "EfficientNet-Lite0, pictures a processor second, from arrays of 3 x 32 x 32.\n\n"
    head = ["size in pixels", "bfloat16", "float32"]
    save("image_features_speed", text + markdown(head, table), {"results": found})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR")
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", choices=["features", "pixels"], default="")
    parser.add_argument("--speed", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.speed:
        speed()
    elif args.data:
        quality(args.data, args.rows, args.size, args.seeds, args.only)
    else:
        parser.error("Pass --data DIR or --speed.")
