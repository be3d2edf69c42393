"""What a step of a method costs, in plain steps of the same network, beside what it must cost.

Measures epochs of the same network on the same rows, in turn and in an order that is drawn anew
each time: plain training, and DLT after its warm-up. The cost is the median over the repetitions of
(epoch of the method / plain epoch). Two floors stand beside it:

- counted: a backward pass taken for two forward passes, a plain step is 3 forwards of a batch. DLT
  with K views makes 1 forward for the split, K for the pseudo-labels and K with a backward:
  (1 + K + 3 K) / 3 plain steps;
- measured: these passes alone, as a bare torch loop with its optimizer on batches that lie ready,
  against the same loop for a plain step. It knows that the backward pass of the first layer is
  cheaper, that a larger batch is faster a row, and what the optimizer takes.

On a CPU seconds are those of the processor, since the machine may be shared; run with
OMP_NUM_THREADS=1. On a GPU they are those of the clock.

    python examples/benchmarks/step_cost.py
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from functools import partial

import numpy as np
import timing
import torch
from report import markdown, save
from timing import clock
from torch.nn.functional import cross_entropy

from noisyfit.augment import weak_view
from noisyfit.data import make_rows
from noisyfit.methods.dlt._net import ThresholdNet, ThresholdSettings
from noisyfit.modules import MLP, ConvNet, PreActResNet18
from noisyfit.training import NoisyNet, resolve_device, resolve_precision

BATCH, VIEWS = 128, 2
SETTINGS = ThresholdSettings(
    noise_rate=0.4,
    warmup_epochs=1,
    ramp_epochs=0,
    window=200,
    split_mode="training",
    temperature=0.5,
    mixup_alpha=4.0,
    lambda_noisy=25.0,
    lambda_ramp_epochs=0,
    lambda_prior=1.0,
    prior=None,
)
COUNTED = (1 + VIEWS + 3 * VIEWS) / 3


def make_nets(module, X: np.ndarray, device: torch.device) -> tuple:
    """Return rows, a plain net and a DLT net past its warm-up."""
    rows = make_rows(X, np.random.default_rng(1).integers(10, size=len(X)), device, None)
    std = torch.from_numpy(X.std(0)) if X.ndim == 2 else None
    standard = None if X.ndim == 2 else weak_view(X.shape[1:])
    view = weak_view(X.shape[1:], std)
    shared = {
        "optimizer": torch.optim.SGD,
        "optimizer__momentum": 0.9,
        "lr": 0.01,
        "batch_size": BATCH,
        "iterator_train__shuffle": True,
        "device": device,
        "precision": resolve_precision("auto", device, X.ndim == 4),
    }
    plain = NoisyNet(module(), iterator_train__views=(standard,), **shared).initialize()
    dlt = ThresholdNet(
        module(),
        settings=SETTINGS,
        trusted=np.zeros(len(X), dtype=bool),
        iterator_train__views=(standard, *(view,) * VIEWS),
        **shared,
    ).initialize()
    return rows, plain, dlt


def train_epoch(net: NoisyNet, rows) -> None:
    """Train one epoch; a DLT net keeps its memory and stays past its warm-up."""
    net.fit_loop(rows, None, epochs=1)


def bare_epoch(net: NoisyNet, n_steps: int, x: torch.Tensor, y: torch.Tensor, dlt: bool) -> None:
    """Run the passes of an epoch alone."""
    autocast = nullcontext()
    if net.precision is not None:
        autocast = torch.autocast(torch.device(net.device).type, net.precision)
    module, optimizer = net.module_, net.optimizer_
    views = torch.cat([x] * VIEWS).contiguous(memory_format=memory_format(x))
    y_views = y.repeat(VIEWS)
    for _ in range(n_steps):
        with autocast:
            if dlt:
                with torch.no_grad():
                    module(x), module(views)
            logits = module(views if dlt else x).float()
        optimizer.zero_grad()
        cross_entropy(logits, y_views if dlt else y).backward()
        optimizer.step()


def memory_format(x: torch.Tensor) -> torch.memory_format:
    """Layout that the engine gives a batch."""
    return torch.channels_last if x.ndim == 4 else torch.contiguous_format


def side_by_side(module, X: np.ndarray, repeats: int, device: torch.device) -> dict[str, list]:
    """Seconds of an epoch, (n_repeats,) per variant."""
    rows, plain, dlt = make_nets(module, X, device)
    for net in (plain, dlt):
        net.partial_fit(rows, None, epochs=1)  # the warm-up
    x = rows.prepare(rows.source.gather(torch.arange(BATCH, device=device)))
    y, n_steps = rows.y[:BATCH], len(X) // BATCH
    variants = {
        "plain": lambda: train_epoch(plain, rows),
        "DLT": lambda: train_epoch(dlt, rows),
        "plain, bare": lambda: bare_epoch(plain, n_steps, x, y, dlt=False),
        "DLT, bare": lambda: bare_epoch(dlt, n_steps, x, y, dlt=True),
    }
    return timing.side_by_side(variants, repeats, partial(clock, device))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=21, help="a third of them for the ResNet")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = resolve_device(args.device)
    rng = np.random.default_rng(2)
    images = rng.integers(256, size=(1280, 3, 32, 32), dtype=np.uint8)
    cases = {
        "MLP 128-128, 64 features": (
            lambda: MLP(64, 10),
            rng.normal(size=(12_800, 64)).astype(np.float32),
            args.repeats,
        ),
        "ConvNet, width 32, 3 x 32 x 32": (lambda: ConvNet(3, 10), images, args.repeats),
        "PreActResNet18, 3 x 32 x 32": (
            lambda: PreActResNet18(10),
            images[: 2 * BATCH],
            -(-args.repeats // 3),
        ),
    }
    results, table = {}, []
    for name, (module, X, repeats) in cases.items():
        torch.manual_seed(0)
        results[name] = side_by_side(module, X, repeats, device)
        s = {variant: np.array(values) for variant, values in results[name].items()}
        ratio = s["DLT"] / s["plain"]
        floor = s["DLT, bare"] / s["plain, bare"]
        low, high = np.quantile(ratio, [0.25, 0.75])
        step = 1000 * np.median(s["plain"]) / (len(X) // BATCH)
        table.append(
            [
                name,
                f"{step:.2f}",
                f"{np.median(ratio):.2f} ({low:.2f} to {high:.2f})",
                f"{COUNTED:.2f}",
                f"{np.median(floor):.2f}",
                f"{np.median(s['DLT'] / s['DLT, bare']):.2f}",
                f"{np.median(s['plain'] / s['plain, bare']):.2f}",
            ]
        )
        print(table[-1], flush=True)
    head = ["network", "plain step, ms", "DLT step: median (quartiles)", "floor, counted"]
    head += ["floor, measured", "DLT / its bare loop", "plain / its bare loop"]
    text = f"Steps of batches of {BATCH}, K = {VIEWS} views, on {device.type}; medians of "
    text += f"{args.repeats} repetitions (ResNet: a third), in plain steps.\n\n"
    save("step_cost", text + markdown(head, table), {"device": device.type, "epochs": results})


if __name__ == "__main__":
    main()
