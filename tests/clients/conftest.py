"""What a run of these tests notes of each trial; `table.py` makes docs/ecosystem.md of it.

A test is one trial: its mark ``client`` names the software, the first line of its docstring says
what was tried, with parameters of the test in braces, and its outcome is the result.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Note the software, what was tried and with which estimator, for the reports."""
    for item in items:
        if HERE not in item.path.parents:
            continue
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
