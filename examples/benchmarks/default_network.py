"""The default network for images, ``ConvNet(stem_stride=2)``, beside ``ConvNet(stem_stride=1)``.

Quality: one round of MILDSelector with default settings and no judges, on wrong labels drawn evenly
from all other classes: MNIST and CIFAR-10, AUROC of the noise scores and accuracy of the last epoch
on 5,000 test rows. The stem was chosen among a dozen networks on 3,000 of the first 25,000
rows of CIFAR-10; the rows here are others.

Cost: seconds of a training step, batches of 64, in float32 and, where the processor has units for
it, in bfloat16; measured side by side on one thread.

    python examples/benchmarks/default_network.py --data DIR
    python examples/benchmarks/default_network.py --cost

DIR holds mnist.npz and CIFAR-10 as `paper_tables/cifar.py` reads it. Finished runs go to
results/default_network.jsonl at once, and a run that is called again skips them.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from comparison import finished, run_all
from report import markdown, save
from timing import ratio, side_by_side
from torch.nn.functional import cross_entropy

from noisyfit import MILDSelector
from noisyfit.metrics import auroc
from noisyfit.modules import ConvNet
from noisyfit.noise import corrupt_labels, transition_matrix

sys.path.append(str(Path(__file__).parents[1] / "paper_tables"))
from cifar import images

NAME, N_TEST, BATCH = "default_network", 5_000, 64
STRIDES = (2, 1)
# Data, training rows, proportion of wrong labels.
CASES = [("mnist", 5_000, 0.3), ("cifar10", 5_000, 0.2), ("cifar10", 5_000, 0.4)]
CASES += [("cifar10", 20_000, 0.4)]
SHAPES = {"28 x 28, one channel": (1, 28, 28), "32 x 32, three": (3, 32, 32)}
SHAPES |= {"64 x 64, three": (3, 64, 64)}


def read(data: str, folder: str) -> tuple[np.ndarray, ...]:
    """Return rows that the choice has not seen, and test rows."""
    if data == "mnist":
        file = np.load(Path(folder) / "mnist.npz")
        X, X_test = (file[f"x_{part}"].reshape(-1, 1, 28, 28) for part in ("train", "test"))
        y, y_test = file["y_train"].astype(np.int64), file["y_test"]
    else:
        X, y, X_test, y_test = images(folder)
    return X[25_000:], y[25_000:], X_test[:N_TEST], y_test[:N_TEST]


def one_run(data: str, n_rows: int, rate: float, seed: int, stride: int, folder: str):
    """Train once; returns the record in a list."""
    X, y, X_test, y_test = read(data, folder)
    rows = np.random.default_rng(seed).permutation(len(y))[:n_rows]
    X, y = X[rows], y[rows]
    given, wrong = corrupt_labels(y, transition_matrix("symmetric", 10, rate), random_state=seed)
    est = MILDSelector(
        ConvNet, module__stem_stride=stride, rounds=1, judge_epochs=0, random_state=seed
    )
    start = time.process_time()
    est.fit(X, given)
    seconds = time.process_time() - start
    return [
        {
            "data": data,
            "n_rows": n_rows,
            "rate": rate,
            "seed": seed,
            "stem_stride": stride,
            "wrong": float(wrong.mean()),
            "auroc": auroc(wrong, est.noise_scores_),
            "accuracy": float(est.score(X_test, y_test)),
            "seconds": seconds,
            "precision": str(est.net_.precision or torch.float32),
        }
    ]


def quality(records: list[dict]) -> str:
    """Lay out AUROC, accuracy and time, averaged over the seeds."""
    rows = []
    for case in dict.fromkeys((r["data"], r["n_rows"], r["rate"]) for r in records):
        here = [r for r in records if (r["data"], r["n_rows"], r["rate"]) == case]
        both = [[r for r in here if r["stem_stride"] == stride] for stride in STRIDES]
        if not all(both):
            continue
        cells = [
            " / ".join(f"{np.mean([r[figure] for r in some]):.3f}" for some in both)
            for figure in ("auroc", "accuracy")
        ]
        took = [np.sum([r["seconds"] for r in some]) for some in both]
        wrong = f"{np.mean([r['wrong'] for r in here]):.1%}"
        seeds = len({r["seed"] for r in here})
        rows.append([case[0], f"{case[1]:,}", wrong, seeds, *cells, f"{took[1] / took[0]:.1f}"])
    head = ["data", "rows", "wrong", "seeds", "AUROC, stride 2 / 1", "accuracy, stride 2 / 1"]
    return markdown([*head, "time of a fit, 1 over 2"], rows)


def cost() -> None:
    """Measure steps."""
    rows, figures = [], {}
    for name, shape in SHAPES.items():
        cells = []
        for precision in (torch.float32, torch.bfloat16):
            steps = {str(s): partial(step, *ready(shape, s), precision) for s in STRIDES}
            seconds = side_by_side(steps, 9, time.process_time)
            figures[f"{name}, {precision}"] = seconds
            cells.append(ratio(seconds, "1", "2"))
        rows.append([name, *cells])
    text = f"Steps of stem_stride=1 in those of stem_stride=2, batches of {BATCH}, one thread.\n\n"
    save(
        f"{NAME}_cost",
        text + markdown(["images", "float32", "bfloat16"], rows),
        {"seconds": figures},
    )


def ready(shape: tuple[int, ...], stride: int) -> tuple:
    """Return a network, its optimizer and a batch."""
    net = ConvNet(shape[0], 10, stem_stride=stride).to(memory_format=torch.channels_last)
    x = torch.randn(BATCH, *shape).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, fused=True)
    return net, optimizer, x, torch.randint(10, (BATCH,))


def step(net, optimizer, x, y, precision) -> None:
    """Train on one batch."""
    with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
        logits = net(x)
    optimizer.zero_grad()
    cross_entropy(logits.float(), y).backward()
    optimizer.step()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", metavar="DIR")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--max-rows", type=int, default=20_000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--cost", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.cost:
        cost()
    elif args.data:
        key = ("data", "n_rows", "rate", "seed", "stem_stride")
        done = {tuple(r[k] for k in key) for r in finished(NAME)}
        runs = [(*c, s, x) for s in args.seeds for c in CASES for x in STRIDES]
        runs = [run for run in runs if run not in done and run[1] <= args.max_rows]
        run_all(one_run, [(*run, args.data) for run in runs], NAME, args.jobs)
        save(NAME, quality(finished(NAME)), {"runs": finished(NAME)})
    else:
        parser.error("Pass --data DIR or --cost.")
