"""Parts "steps" and "streaming" of `speed.py`."""

from __future__ import annotations

import time
from functools import partial

import meta_step_cost
import numpy as np
import step_cost
import torch
from report import markdown
from speed_engine import draw_rows, engine_net
from timing import ratio, side_by_side
from torch.utils.data import Dataset

from noisyfit.data import make_rows
from noisyfit.methods.meta_relabel._gradient import META_GRADIENTS
from noisyfit.modules import MLP, ConvNet

IMAGE = (3, 32, 32)
# Network and shape of a row; the scripts step_cost.py and meta_step_cost.py have larger ones too.
CASES = {
    "MLP 128-128, 64 features": (partial(MLP, 64, 10), (64,)),
    "ConvNet, width 32, 3 x 32 x 32": (partial(ConvNet, 3, 10), IMAGE),
}


def steps(device_name: str, scale: float) -> tuple[str, dict]:
    """Measure the methods' steps in plain steps, beside the floors counted and measured."""
    device = torch.device(device_name)
    repeats = max(3, round(scale * 9))
    table, figures = [], {}
    for case, (make, shape) in CASES.items():
        X, _ = draw_rows(shape, 25 * step_cost.BATCH if len(shape) == 1 else 2 * step_cost.BATCH)
        s = figures[f"{case}, DLT"] = step_cost.side_by_side(make, X, repeats, device)
        table.append(
            line(case, "DLTClassifier, K = 2", s, "DLT", step_cost.COUNTED, "plain", "DLT, bare")
        )
        s = figures[f"{case}, meta"] = meta_step_cost.side_by_side(case, repeats, device)
        for name in META_GRADIENTS:
            method = f"MetaRelabelClassifier, {name}"
            counted = meta_step_cost.COUNTED[name]
            table.append(line(case, method, s, name, counted, "plain", f"{name}, bare"))
    head = ["network", "method", "step, in plain steps", "floor, counted", "floor, measured"]
    head += ["step / its passes alone"]
    text = f"Batches of {step_cost.BATCH} on {device.type}. Counted: a backward pass for two "
    text += "forwards. Measured: the passes alone, as a bare loop.\n\n"
    return text + markdown(head, table), figures


def line(
    case: str, method: str, s: dict, name: str, counted: float, plain: str, bare: str
) -> list[str]:
    """Lay out what a step costs."""
    floor = np.median(np.array(s[bare]) / np.array(s[f"{plain}, bare"]))
    return [
        case,
        method,
        ratio(s, name, plain),
        f"{counted:.1f}",
        f"{floor:.1f}",
        ratio(s, name, bare),
    ]


class Items(Dataset):
    """A data set that gives its rows one by one."""

    def __init__(self, X: np.ndarray, y: np.ndarray) -> None:
        self.X, self.targets = X, y

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        return self.X[i], int(self.targets[i])


def streaming(device_name: str, scale: float) -> tuple[str, dict]:
    """Epochs over streamed rows against resident ones; seconds are those of the clock."""
    device = torch.device(device_name)
    n_rows = 20_000 if device.type == "cuda" else 1_280
    table, figures = [], {}
    for case, (make, shape) in CASES.items():
        X, y = draw_rows(shape, n_rows * (10 if len(shape) == 1 else 1))
        variants = {}
        for name, data, workers in (
            ("resident", X, 0),
            ("streamed", Items(X, y), 0),
            ("streamed, 1 worker", Items(X, y), 1),
            ("streamed, 2 workers", Items(X, y), 2),
        ):
            net = engine_net(
                make(), len(y), device, X.ndim == 4, iterator_train__num_workers=workers
            )
            variants[name] = Epochs(net, make_rows(data, y, device, None))
        s = side_by_side(variants, max(3, round(scale * 7)), time.perf_counter)
        figures[case] = s
        table.append([f"{case}, {len(y):,} rows", *(ratio(s, v, "resident") for v in [*s][1:])])
    text = f"Batches of 128 on {device.type}; rows are arrays in memory, so that a row costs what "
    text += "handing it over costs. Seconds of the clock, over those of resident rows.\n\n"
    head = ["network", "streamed in this process", "by 1 worker", "by 2 workers"]
    return text + markdown(head, table), figures


class Epochs:
    """Train epoch after epoch with one loader, whose workers live on between them."""

    def __init__(self, net, rows) -> None:
        self.net, self.rows = net, rows
        self.loader = net.get_iterator(rows, training=True)

    def __call__(self) -> None:
        """Train an epoch."""
        self.net.history.new_epoch()
        self.net.run_single_epoch(
            self.loader, training=True, prefix="train", step_fn=self.net.train_step
        )
