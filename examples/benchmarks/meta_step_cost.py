"""What a step of MetaRelabelClassifier costs, in plain steps of the same network, and its memory.

Measures epochs of the same network on the same rows, in turn and in an order that is drawn anew
each time: plain training, and the full method with its meta-gradient by one forward-mode product
("jvp") and by differentiating the gradient ("double_backward"). The cost is the median over the
repetitions of (epoch of the method / plain epoch). Two floors stand beside it:

- counted, in forwards F over one batch, with a backward pass taken for two forwards, so that a
  plain step is 3 F. Forwards: weak view 1, strong view 1, probe 1, pool 3. Backwards: look-ahead
  gradient 2, probe 2, weak view 2, strong view 2, pool 6. The forward-mode product is a forward
  with a tangent that costs two more, 3: in all 23 F, 7.7 plain steps. Differentiating the gradient
  passes once more through each of the two products of each layer's backward pass, 2 instead of 3:
  22 F, 7.3 plain steps, if no more is computed than is needed;
- measured: these passes alone, with the optimizer's step, on batches that lie ready, against the
  same for a plain step.

On a CPU seconds are those of the processor, since the machine may be shared; run with
OMP_NUM_THREADS=1. On a GPU they are those of the clock.

Memory is the peak of a step above what network, optimizer, library and rows hold: in a process of
its own for each figure, after a step on a few rows, the largest resident size during two full
steps (VmHWM of Linux, which is reset before) less the resident size before them. On a GPU, that of
torch's own count of allocated memory.

    python examples/benchmarks/meta_step_cost.py
"""

from __future__ import annotations

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import timing
import torch
from report import markdown, save
from step_cost import BATCH, memory_format, train_epoch
from timing import clock
from torch.nn.functional import cross_entropy

from noisyfit.augment import strong_view, weak_view
from noisyfit.data import Rows, make_rows
from noisyfit.methods.meta_relabel._batch_norm_jvp import quick_batch_norm_jvp
from noisyfit.methods.meta_relabel._gradient import META_GRADIENTS, directional_derivatives
from noisyfit.methods.meta_relabel._net import MetaNet
from noisyfit.methods.meta_relabel._settings import MetaSettings
from noisyfit.modules import MLP, ConvNet, ResNet29v2
from noisyfit.training import NoisyNet, frozen_batch_statistics, resolve_device, resolve_precision

LR, FEW = 0.01, 4
COUNTED = {"jvp": 23 / 3, "double_backward": 22 / 3}
IMAGE = (3, 32, 32)
# Network, shape of a row, steps of an epoch.
CASES = {
    "MLP 128-128, 64 features": (lambda: MLP(64, 10), (64,), 25),
    "ConvNet, width 32, 3 x 32 x 32": (lambda: ConvNet(3, 10), IMAGE, 2),
    "ResNet29v2, 3 x 32 x 32": (lambda: ResNet29v2(10), IMAGE, 1),
}


def make_data(shape: tuple[int, ...], n_rows: int, device: torch.device) -> Rows:
    """Draw rows of noise with labels."""
    rng = np.random.default_rng(2)
    if len(shape) == 1:
        X = rng.normal(size=(n_rows, *shape)).astype(np.float32)
    else:
        X = rng.integers(256, size=(n_rows, *shape), dtype=np.uint8)
    return make_rows(X, rng.integers(10, size=n_rows), device, None)


def make_net(case: str, variant: str, rows: Rows) -> NoisyNet:
    """Return a net that is ready for its first epoch: a plain one, or one with a meta step."""
    module, shape, _ = CASES[case]
    device = rows.source.device
    std = torch.ones(shape[0], device=device) if len(shape) == 1 else None
    weak = None if len(shape) == 1 else weak_view(shape)
    shared = {
        "optimizer": torch.optim.SGD,
        "optimizer__momentum": 0.9,
        "lr": LR,
        "batch_size": BATCH,
        "iterator_train__shuffle": True,
        "device": device,
        "precision": resolve_precision("auto", device, len(shape) == 3),
    }
    torch.manual_seed(0)
    if variant == "plain":
        net = NoisyNet(module(), iterator_train__views=(weak,), **shared)
    else:
        net = MetaNet(
            module(),
            settings=MetaSettings(meta_gradient=variant, meta_lr=LR),
            probe=rows.subset(np.arange(len(rows)) < BATCH),
            iterator_train__views=(weak, strong_view(shape, std)),
            **shared,
        )
    net.initialize()
    net.notify("on_train_begin", X=rows, y=None)
    return net


def bare_plain_step(net: NoisyNet, x: torch.Tensor, y: torch.Tensor) -> None:
    """Make the passes of a plain step alone."""
    net.optimizer_.zero_grad()
    cross_entropy(net.infer(x), y).backward()
    net.optimizer_.step()


def bare_meta_step(net: NoisyNet, x: torch.Tensor, y: torch.Tensor, method: str) -> None:
    """Make the passes of a step of the method alone."""
    params = dict(net.module_.named_parameters())
    leaves = list(params.values())

    def losses(values: dict[str, torch.Tensor] | None) -> tuple[torch.Tensor]:
        return (cross_entropy(net.infer(x, params=values), y, reduction="none"),)

    with frozen_batch_statistics(net.module_):
        (weak,) = losses(None)
        strong = cross_entropy(net.infer(x), y)
        omega = torch.full_like(weak, 1 / len(y), requires_grad=True)
        exact = method == "double_backward"
        G = torch.autograd.grad((omega * weak).sum(), leaves, retain_graph=True, create_graph=exact)
        ahead = {n: p - LR * g for (n, p), g in zip(params.items(), G, strict=True)}
        if not exact:
            ahead = {n: p.detach().requires_grad_() for n, p in ahead.items()}
        probe = cross_entropy(net.infer(x, params=ahead), y)
        if exact:
            torch.autograd.grad(probe, omega, retain_graph=True)
        else:
            t = dict(zip(params, torch.autograd.grad(probe, list(ahead.values())), strict=True))
            with quick_batch_norm_jvp(net.module_):
                directional_derivatives(losses, params, t)
        pool = torch.cat([x, x, x]).contiguous(memory_format=memory_format(x))
        total = weak.mean() + strong + cross_entropy(net.infer(pool), y.repeat(3))
        net.optimizer_.zero_grad()
        total.backward()
        net.optimizer_.step()


def side_by_side(case: str, repeats: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of an epoch, (n_repeats,) per variant."""
    _, shape, n_steps = CASES[case]
    rows = make_data(shape, n_steps * BATCH, device)
    nets = {name: make_net(case, name, rows) for name in ("plain", *META_GRADIENTS)}
    x = rows.prepare(rows.source.gather(torch.arange(BATCH, device=device)))
    y = rows.y[:BATCH]

    def bare(name: str) -> None:
        net = nets[name]
        for _ in range(n_steps):
            if name == "plain":
                bare_plain_step(net, x, y)
            else:
                bare_meta_step(net, x, y, name)

    variants = {name: partial(train_epoch, net, rows) for name, net in nets.items()}
    variants |= {f"{name}, bare": partial(bare, name) for name in nets}
    return timing.side_by_side(variants, repeats, partial(clock, device))


def peak_memory(case: str, variant: str, device: torch.device) -> float | None:
    """Bytes that two steps need at their peak, in a process that has done nothing else."""
    torch.set_num_threads(1)
    rows = make_data(CASES[case][1], 2 * BATCH, device)
    net = make_net(case, variant, rows)
    train_epoch(net, rows.subset(np.arange(len(rows)) < FEW))  # loads libraries
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        train_epoch(net, rows)
        return float(torch.cuda.max_memory_allocated(device) - before)
    if not Path("/proc/self/clear_refs").exists():
        return None
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    train_epoch(net, rows)
    return resident("VmHWM") - before


def resident(field: str) -> float:
    """Read a resident size of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(int(s.split()[1]) for s in lines if s.startswith(field))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=21, help="a third of them for the ResNet")
    parser.add_argument("--networks", nargs="+", choices=[c.split()[0].rstrip(",") for c in CASES])
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = resolve_device(args.device)
    context = multiprocessing.get_context("spawn")
    results, table = {}, []
    for case, (_, _, n_steps) in CASES.items():
        if args.networks and case.split()[0].rstrip(",") not in args.networks:
            continue
        repeats = args.repeats if n_steps > 1 else -(-args.repeats // 3)
        with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
            names = ("plain", *META_GRADIENTS)
            peaks = list(pool.map(peak_memory, [case] * 3, names, [device] * 3))
        memory = dict(zip(names, peaks, strict=True))
        seconds = side_by_side(case, repeats, device)
        results[case] = {"seconds": seconds, "memory": memory}
        s = {variant: np.array(values) for variant, values in seconds.items()}
        for name in META_GRADIENTS:
            ratio = s[name] / s["plain"]
            low, high = np.quantile(ratio, [0.25, 0.75])
            table.append(
                [
                    case,
                    name,
                    f"{1000 * np.median(s['plain']) / n_steps:.2f}",
                    f"{np.median(ratio):.1f} ({low:.1f} to {high:.1f})",
                    f"{COUNTED[name]:.1f}",
                    f"{np.median(s[f'{name}, bare'] / s['plain, bare']):.1f}",
                    f"{np.median(s[name] / s[f'{name}, bare']):.2f}",
                    f"{np.median(s['plain'] / s['plain, bare']):.2f}",
                    *peak(memory, name),
                ]
            )
            print(table[-1], flush=True)
    head = ["network", "meta-gradient", "plain step, ms", "meta step: median (quartiles)"]
    head += ["floor, counted", "floor, measured", "meta / its bare passes"]
    head += ["plain / its bare passes", "peak, MB (plain)", "peak, times plain"]
    text = f"Steps of batches of {BATCH} on {device.type}; medians of {args.repeats} repetitions "
    text += "(ResNet: a third), in plain steps. Peak: memory that a step needs.\n\n"
    save("meta_step_cost", text + markdown(head, table), {"device": device.type, "cases": results})


def peak(memory: dict[str, float | None], name: str) -> tuple[str, str]:
    """Memory of the method, of plain training, and their ratio."""
    plain, meta = memory["plain"], memory[name]
    if plain is None or meta is None:
        return "-", "-"
    return f"{meta / 1e6:.0f} ({plain / 1e6:.0f})", f"{meta / plain:.1f}" if plain else "-"


if __name__ == "__main__":
    main()
