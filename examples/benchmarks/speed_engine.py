"""Parts "engine" and "utilisation" of `speed.py`."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from report import markdown
from skorch import NeuralNetClassifier
from timing import clock, ratio, side_by_side
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from noisyfit.data import make_rows
from noisyfit.dynamics import DynamicsRecorder
from noisyfit.modules import MLP, CIFARResNet34, ConvNet, PreActResNet18
from noisyfit.training import NoisyNet, resolve_precision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LR, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 5e-4
RECORDED = ("correct", "margin")
IMAGE = (3, 32, 32)
# Network, shape of a row, rows on a CPU and on a GPU, repetitions.
CASES = {
    "MLP 128-128": (partial(MLP, 64, 10), (64,), (50_000, 50_000), 25),
    "ConvNet, width 32": (partial(ConvNet, 3, 10), IMAGE, (1280, 50_000), 15),
    "PreActResNet18": (partial(PreActResNet18, 10), IMAGE, (256, 50_000), 7),
}
COLUMNS = [
    ("engine", "loop"),
    ("engine", "loop with fused SGD"),
    ("recording", "loop"),
    ("recording", "engine"),
    ("torch.compile", "engine"),
    ("stock skorch", "engine"),
]


def draw_rows(shape: tuple[int, ...], n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows of noise, tables as float32 and images as uint8, with labels."""
    rng = np.random.default_rng(2)
    if len(shape) == 1:
        return rng.normal(size=(n_rows, *shape)).astype(np.float32), rng.integers(10, size=n_rows)
    X = rng.integers(256, size=(n_rows, *shape), dtype=np.uint8)
    return X, rng.integers(10, size=n_rows)


class HandWrittenLoop:
    """An epoch as one would write it: rows on the device, an order, six lines a batch."""

    def __init__(self, module, X, y, device, *, batch_size=128, **optimizer) -> None:
        self.module = module.to(device, memory_format=torch.channels_last)
        self.X, self.y = torch.from_numpy(X).to(device), torch.from_numpy(y).to(device)
        self.batch_size, self.device = batch_size, device
        self.precision = resolve_precision("auto", device, X.ndim == 4)
        self.optimizer = torch.optim.SGD(
            module.parameters(), LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, **optimizer
        )

    def __call__(self) -> None:
        """Train an epoch."""
        self.module.train()
        losses = []
        for ids in torch.randperm(len(self.y)).to(self.device).split(self.batch_size):
            x, y = self.X.index_select(0, ids), self.y.index_select(0, ids)
            self.optimizer.zero_grad()
            loss = cross_entropy(self.logits(x), y)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
        torch.stack(losses).mean().item()

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Prepare a batch and pass it through the network."""
        if x.ndim == 4:
            x = x.float().div_(255).contiguous(memory_format=torch.channels_last)
        if self.precision is None:
            return self.module(x)
        with torch.autocast(self.device.type, self.precision):
            logits = self.module(x)
        return logits.float()


def engine_net(
    module, n_rows: int, device, is_image: bool, *, record=False, batch_size=128, **kwargs
):
    """Return an initialised `NoisyNet` with the loop's settings."""
    callbacks = [DynamicsRecorder(n_rows, RECORDED)] if record else []
    return NoisyNet(
        module,
        optimizer=torch.optim.SGD,
        optimizer__momentum=MOMENTUM,
        optimizer__weight_decay=WEIGHT_DECAY,
        lr=LR,
        batch_size=batch_size,
        iterator_train__shuffle=True,
        device=device,
        precision=resolve_precision("auto", device, is_image),
        callbacks=callbacks,
        **kwargs,
    ).initialize()


def stock_skorch(module, X: np.ndarray, y: np.ndarray, device) -> Callable[[], None]:
    """Return an epoch of skorch as it comes: its loader, its loop, float32."""
    X = X.astype(np.float32) / 255 if X.ndim == 4 else X
    net = NeuralNetClassifier(
        module,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        optimizer__momentum=MOMENTUM,
        optimizer__weight_decay=WEIGHT_DECAY,
        lr=LR,
        batch_size=128,
        iterator_train__shuffle=True,
        train_split=None,
        device=device,
        verbose=0,
    ).initialize()
    return lambda: net.partial_fit(X, y, epochs=1)


def engine(device_name: str, scale: float, left_out: Sequence[str] = ()) -> tuple[str, dict]:
    """Epochs of batches of 128, against a hand-written loop and stock skorch."""
    device = torch.device(device_name)
    columns = [c for c in COLUMNS if not set(c) & set(left_out)]
    table, figures = [], {}
    for case, (make, shape, sizes, repeats) in CASES.items():
        n_rows = sizes[device.type == "cuda"]
        X, y = draw_rows(shape, n_rows)
        rows = make_rows(X, y, device, None)
        torch.manual_seed(0)
        plain = engine_net(make(), n_rows, device, X.ndim == 4)
        recording = engine_net(make(), n_rows, device, X.ndim == 4, record=True)
        compiled = engine_net(make(), n_rows, device, X.ndim == 4)
        compiled.module_.compile()
        variants = {
            "engine": lambda net=plain, rows=rows: net.partial_fit(rows, None, epochs=1),
            "recording": lambda net=recording, rows=rows: net.partial_fit(rows, None, epochs=1),
            "torch.compile": lambda net=compiled, rows=rows: net.partial_fit(rows, None, epochs=1),
            "loop": HandWrittenLoop(make(), X, y, device),
            "loop with fused SGD": HandWrittenLoop(make(), X, y, device, fused=True),
            "stock skorch": stock_skorch(make(), X, y, device),
        }
        variants = {name: run for name, run in variants.items() if name not in left_out}
        s = figures[case] = side_by_side(
            variants, max(3, round(scale * repeats)), partial(clock, device)
        )
        table.append([f"{case}, {n_rows:,} rows", *(ratio(s, *pair) for pair in columns)])
        if device.type == "cuda":
            table[-1].append(f"{np.median(s['engine']):.2f}")
    head = ["network", *(" / ".join(pair) for pair in columns)]
    head += ["engine, s an epoch"] if device.type == "cuda" else []
    precision = resolve_precision("auto", device, is_image=True)
    text = f"Batches of 128 on {device.type}, SGD with momentum and weight decay, no augmentation; "
    text += f"images in {precision or torch.float32} but for skorch's, which are in float32. "
    text += f"Recording takes {' and '.join(RECORDED)}. Medians and quartiles.\n\n"
    return text + markdown(head, table), figures


def product_ceiling(device: torch.device, dtype: torch.dtype, seconds: float = 2.0) -> float:
    """Floating-point operations a second of large matrix products: the best of several sizes."""
    best = 0.0
    for n in (4096, 8192) if device.type == "cuda" else (1024, 2048):
        a, b = (torch.rand(n, n, device=device).to(dtype) for _ in range(2))
        until = time.perf_counter() + seconds
        a @ b
        while time.perf_counter() < until:
            start = clock(device)
            for _ in range(3):
                a @ b
            best = max(best, 3 * 2 * n**3 / (clock(device) - start))
    return best


def utilisation(device_name: str, scale: float) -> tuple[str, dict]:
    """Share of the matrix units' speed that training reaches, engine and hand-written loop."""
    device = torch.device(device_name)
    cuda = device.type == "cuda"
    dtype = resolve_precision("auto", device, is_image=True) or torch.float32
    ceiling = product_ceiling(device, dtype)
    networks = {"ConvNet, width 32": partial(ConvNet, 3, 10)} if not cuda else {}
    networks["PreActResNet18"] = partial(PreActResNet18, 10)
    networks |= {"CIFARResNet34": partial(CIFARResNet34, 10)} if cuda else {}
    table, figures = [], {"ceiling": ceiling}
    for name, make in networks.items():
        for batch_size in (128, 512) if cuda else (128,):
            n_rows = 50_000 if cuda else 2 * batch_size
            X, y = draw_rows(IMAGE, n_rows)
            rows = make_rows(X, y, device, None)
            net = engine_net(make(), n_rows, device, True, batch_size=batch_size)
            variants = {
                "engine": lambda net=net, rows=rows: net.partial_fit(rows, None, epochs=1),
                "loop": HandWrittenLoop(make(), X, y, device, batch_size=batch_size, fused=True),
            }
            s = side_by_side(variants, max(3, round(scale * 7)), partial(clock, device))
            work = operations(make(), device) * n_rows
            shares = [work / np.median(s[variant]) / ceiling for variant in variants]
            figures[f"{name}, {batch_size}"] = {"seconds": s, "operations": work}
            table.append(
                [
                    name,
                    batch_size,
                    f"{work / n_rows / 1e9:.2f}",
                    *(f"{share:.0%}" for share in shares),
                    ratio(s, "engine", "loop"),
                ]
            )
            if cuda:
                table[-1].append(f"{1 / np.median(s['engine']):.2f}")
    head = ["network", "batch", "10^9 operations a row", "engine", "loop", "engine / loop"]
    head += ["engine, epochs of 50,000 a second"] if cuda else []
    text = f"Share of the speed of the largest matrix products in {dtype} on the same "
    text += f"{'device' if cuda else 'thread'}, {ceiling / 1e12:.3g} 10^12 operations a second. "
    text += "Counted are the matrix products and convolutions, forward and backward.\n\n"
    return text + markdown(head, table), figures


def operations(module: torch.nn.Module, device: torch.device) -> float:
    """Floating-point operations of a training step, for one row."""
    module = module.to(device)
    x = torch.rand(8, *IMAGE, device=device)
    with FlopCounterMode(display=False) as counter:
        module(x).sum().backward()
    return counter.get_total_flops() / len(x)
