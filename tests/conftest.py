"""Settings for all tests."""

from contextlib import contextmanager
from itertools import count

import matplotlib as mpl
import numpy as np
import pytest
import torch
from hypothesis import settings

from noisyfit import ConsensusClassifier

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
        if item.get_closest_marker("client"):
            note_the_trial(item)


def note_the_trial(item):
    """Note software, trial and estimator, of which `clients/table.py` makes docs/ecosystem.md.

    A test there is one trial: its mark ``client`` names the software, the first line of its
    docstring says what was tried, with parameters of the test in braces, and its outcome is the
    result.
    """
    params = item.callspec.params if hasattr(item, "callspec") else {}
    tried = item.function.__doc__.splitlines()[0].rstrip(".").format_map(params)
    item.user_properties += [
        ("software", item.get_closest_marker("client").args),
        ("tried", tried),
        ("estimator", type(params["est"]).__name__ if "est" in params else ""),
    ]


@pytest.fixture
def refused(record_property):
    """Expect an error, and note its words."""

    @contextmanager
    def expect(error, match):
        with pytest.raises(error, match=match) as caught:
            yield
        record_property("refused", str(caught.value))

    return expect


@pytest.fixture(autouse=True, scope="module")
def quick_judges(request):
    """Let a method speak for itself: without networks in cross-validation, unless a module asks.

    They would multiply the time of all tests, and hide what the method itself has found. Modules
    marked ``judged``, and the examples in docstrings, run with the defaults; tests that give
    ``judge_epochs`` get what they ask for.
    """
    if request.node.get_closest_marker("judged"):
        yield
        return

    def judge_epochs(est):
        if est.judge_epochs != "auto":
            return est.judge_epochs
        return min(3, est.max_epochs) if isinstance(est, ConsensusClassifier) else 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("noisyfit.base.BaseNoisyClassifier._judge_epochs", judge_epochs)
        yield


@pytest.fixture(autouse=True, scope="module")
def few_resamples(request):
    """Take DLT's interval from few samples of the rows, unless a module asks for an interval.

    The hundred samples take most of a small fit's time. Modules marked ``judged`` or ``resampled``
    get them, as do the examples in docstrings.
    """
    if any(request.node.get_closest_marker(name) for name in ("judged", "resampled")):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("noisyfit.base._plain_run._N_BOOTSTRAP", 5)
        yield


@pytest.fixture(autouse=True)
def repeatable(monkeypatch):
    """What a test leaves to chance falls out alike in every run, and differs between two fits."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - the generator that scikit-learn's checks draw from
    entropy = count(1)
    monkeypatch.setattr("noisyfit._random._fresh_entropy", lambda: next(entropy))
