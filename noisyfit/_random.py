"""Independent random streams for one fit; the global generators stay untouched.

With one seed for everything, the rows that are drawn as noisy would be the first rows of the first
shuffled order, which can reverse a detector's ranking. Every purpose therefore has its own stream.
"""

from __future__ import annotations

import os
import random
import secrets
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

# torch has one CPU generator a process: fits in threads take turns, or they would share it.
_GENERATOR_LOCK = RLock()


def _renew_lock() -> None:
    """Give a forked process a new lock: the thread that held the old one does not exist there."""
    global _GENERATOR_LOCK
    _GENERATOR_LOCK = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class RandomStreams(NamedTuple):
    """Seeds and generators of one fit, one for each purpose."""

    init: int
    """Seed for the weights of a network."""
    training: int
    """Seed for the random draws of training: dropout, augmentation."""
    shuffle: torch.Generator
    """Generator of the order of rows, on the CPU whatever the device."""
    split: np.random.Generator
    """Generator for choices of rows: samples, folds, bootstraps."""
    validation: np.random.Generator
    """Generator for the choice of validation rows, which many fits have none of."""
    judging: np.random.Generator
    """Generator for what networks in cross-validation draw."""


def spawn_streams(random_state: int | np.random.RandomState | None) -> RandomStreams:
    """Derive the streams of one fit from a ``random_state``.

    Parameters
    ----------
    random_state : int, RandomState instance or None
        An int gives the same streams every time, a RandomState is advanced. ``None`` takes fresh
        entropy from the operating system, so that numpy's global generator is not advanced either.

    Returns
    -------
    RandomStreams
    """
    if isinstance(random_state, np.random.RandomState):
        entropy = [int(word) for word in random_state.randint(0, 2**31 - 1, size=4)]
        root = np.random.SeedSequence(entropy)
    else:
        root = np.random.SeedSequence(
            _fresh_entropy() if random_state is None else int(random_state)
        )
    init, training, shuffle, split, validation, judging = root.spawn(6)
    order = torch.Generator()
    order.manual_seed(_seed(shuffle))
    return RandomStreams(
        _seed(init),
        _seed(training),
        order,
        np.random.default_rng(split),
        np.random.default_rng(validation),
        np.random.default_rng(judging),
    )


def fresh_seed(random_state: np.random.RandomState | None) -> int:
    """Draw a seed for a whole fit from a generator, or from the operating system.

    Parameters
    ----------
    random_state : RandomState instance or None
        Generator to draw from, which is advanced; None: the operating system.

    Returns
    -------
    int
    """
    if random_state is None:
        return _fresh_entropy()
    return int(random_state.randint(0, 2**31 - 1))


@contextmanager
def seeded(seed: int, device: str | torch.device) -> Iterator[None]:
    """Run a block with the global generators seeded, and restore them afterwards.

    These are torch's, and those of numpy and Python, from which transforms of the user may draw.

    Parameters
    ----------
    seed : int
        Seed of all generators.
    device : str or torch.device
        Device of the block. A CUDA device has its own generator, which is seeded and restored, too.
    """
    device = torch.device(device)
    cuda = [device] if device.type == "cuda" else []
    with _GENERATOR_LOCK, torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        for one in cuda:
            with torch.cuda.device(one):
                torch.cuda.manual_seed(seed)
        before = states_beside_torch()
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            set_states_beside_torch(before)


def derived_seed(number: int) -> int:
    """Derive a seed from the state of torch's global generator, which stays where it is.

    Parameters
    ----------
    number : int
        Of several seeds by the same state; from 0 on.

    Returns
    -------
    int
        For `seeded`.
    """
    copy = torch.Generator()
    copy.set_state(torch.default_generator.get_state())
    drawn = int(torch.randint(2**62, (), generator=copy))
    return _seed(np.random.SeedSequence([drawn, number]))


def states_beside_torch() -> tuple[Any, Any]:
    """Return the states of numpy's and of Python's global generators."""
    return np.random.get_state(), random.getstate()  # noqa: NPY002


def set_states_beside_torch(states: tuple[Any, Any]) -> None:
    """Restore earlier states of numpy's and of Python's global generators.

    Parameters
    ----------
    states : tuple
        Result of `states_beside_torch`.
    """
    np.random.set_state(states[0])  # noqa: NPY002
    random.setstate(states[1])


def global_generator(device: str | torch.device) -> torch.Generator:
    """Return torch's global generator of a device, whose state can be saved and restored.

    Parameters
    ----------
    device : str or torch.device
        CUDA devices have a generator each; all others share that of the CPU.

    Returns
    -------
    torch.Generator
    """
    device = torch.device(device)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        return torch.cuda.default_generators[index]
    return torch.default_generator


def _fresh_entropy() -> int:
    return secrets.randbits(128)


def _seed(sequence: np.random.SeedSequence) -> int:
    return int(sequence.generate_state(1, np.uint64)[0]) >> 1  # torch seeds are signed
