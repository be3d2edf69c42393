"""What benchmarks of speed share: a clock, variants measured in turn, and their ratios."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def clock(device: torch.device) -> float:
    """Time in seconds, once the device has done its work: on a CPU that of the processor."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def side_by_side(
    variants: Mapping[str, Callable[[], object]], repeats: int, now: Callable[[], float]
) -> dict[str, list[float]]:
    """Measure variants in turn, in an order that is drawn anew for each repetition.

    `now` reads the clock. Returns the seconds of each variant, one for each repetition; a first one
    warms up and does not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    order = np.random.default_rng(0)
    for repeat in range(repeats + 1):
        for name in order.permutation(list(variants)):
            start = now()
            variants[name]()
            if repeat:
                seconds[name].append(now() - start)
    return seconds


def ratio(seconds: Mapping[str, list[float]], name: str, other: str) -> str:
    """Median and quartiles of the ratio of two variants."""
    values = np.array(seconds[name]) / np.array(seconds[other])
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{median:.2f} ({low:.2f} to {high:.2f})"
