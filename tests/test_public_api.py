"""The public names, signatures and defaults as they were last agreed on.

A change that is meant is written down by ``python tests/test_public_api.py``, run in the repository
root; the difference then shows in the review.
"""

import difflib
import importlib
import inspect
import re
from pathlib import Path

from _estimators import QUICK

import noisyfit
from noisyfit.base import BaseNoisyClassifier

ROOT = Path(__file__).parents[1]
SNAPSHOT = Path(__file__).parent / "stored" / "public_api.txt"
COMMAND = "python tests/test_public_api.py"


def documented():
    """Yield every object in the reference with the name under which it is documented."""
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name in sorted(re.findall(r"^   ([\w.]+)$", text, flags=re.MULTILINE)):
        module, _, key = f"noisyfit.{name}".rpartition(".")
        yield name, getattr(importlib.import_module(module), key)


class Shown:
    """Shows a default without a memory address."""

    def __init__(self, default):
        self.default = default

    def __repr__(self):
        named = inspect.isclass(self.default) or inspect.isroutine(self.default)
        return (
            f"{self.default.__module__}.{self.default.__qualname__}"
            if named
            else repr(self.default)
        )


def signature(value):
    """Return the parameters with their kinds and defaults; annotations are no promise."""
    empty, full = inspect.Parameter.empty, inspect.signature(value)
    parameters = [
        p.replace(annotation=empty, default=p.default if p.default is empty else Shown(p.default))
        for p in full.parameters.values()
    ]
    return str(full.replace(parameters=parameters, return_annotation=empty))


def members(name, cls):
    """Yield the public methods and properties that noisyfit itself gives a class."""
    for key in sorted(dir(cls)):
        value = inspect.getattr_static(cls, key)
        function = getattr(value, "fget", None) or getattr(value, "__func__", value)
        own = (getattr(function, "__module__", None) or "").startswith("noisyfit")
        if key.startswith("_") or not own or not inspect.isfunction(function):
            continue
        yield f"{name}.{key}" + ("" if isinstance(value, property) else signature(function))


def snapshot():
    """Return the public interface as lines of text."""
    lines = []
    for name, value in documented():
        lines.append(f"{name}{signature(value)}")
        if inspect.isclass(value):
            lines += members(name, value)
    for name, value in documented():
        is_estimator = inspect.isclass(value) and issubclass(value, BaseNoisyClassifier)
        if is_estimator and not inspect.isabstract(value):
            defaults = value().get_params().items()
            lines += [f"{name}: {key} = {Shown(default)!r}" for key, default in defaults]
    return "\n".join(lines) + "\n"


def test_the_public_interface_is_the_agreed_one():
    agreed, now = SNAPSHOT.read_text(encoding="utf-8").splitlines(), snapshot().splitlines()
    changed = "\n".join(difflib.unified_diff(agreed, now, "agreed", "now", lineterm="", n=0))
    assert not changed, f"If this is meant, run `{COMMAND}` and commit its result.\n{changed}"


def test_every_estimator_is_in_the_snapshot():
    estimators = [name for name in noisyfit.__all__ if hasattr(getattr(noisyfit, name), "predict")]
    assert sorted(estimators) == sorted(type(est).__name__ for est in QUICK)
    text = SNAPSHOT.read_text(encoding="utf-8")
    for name in estimators:
        assert f"\n{name}: random_state = None\n" in text
        arguments = "X, y=None, *, trusted=None, sample_weight=None, groups=None, pred_proba=None"
        assert f"\n{name}.fit(self, {arguments})\n" in text


def test_the_snapshot_holds_no_address():
    assert " at 0x" not in SNAPSHOT.read_text(encoding="utf-8")


if __name__ == "__main__":
    SNAPSHOT.parent.mkdir(exist_ok=True)
    SNAPSHOT.write_text(snapshot(), encoding="utf-8")
