"""Settings for all tests."""

from itertools import count

import matplotlib as mpl
import numpy as np
import pytest
import torch
from hypothesis import settings

mpl.use("agg")

# Other work on the same machine must not fail a test.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# The networks here are small: one thread is faster than two, and repeatable under load.
torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """Give the long tests all the time they need: the limit in pyproject.toml is for the others."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(0))


@pytest.fixture(autouse=True)
def repeatable(monkeypatch):
    """What a test leaves to chance falls out alike in every run, and differs between two fits."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - the generator that scikit-learn's checks draw from
    entropy = count(1)
    monkeypatch.setattr("noisyfit._random._fresh_entropy", lambda: next(entropy))
