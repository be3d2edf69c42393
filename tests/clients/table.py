"""Run noisyfit with other people's software, and write how it ended: docs/ecosystem.md.

``python tests/clients/table.py`` needs the extra ``clients``. Arguments are passed on to pytest.
"""

from __future__ import annotations

import platform
import re
import sys
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from sklearn.base import ClassifierMixin

import noisyfit

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "ecosystem.md"
BEGIN, END = "<!-- made by tests/clients/table.py -->", "<!-- end of what was made -->"
ESTIMATORS = [
    name
    for name in noisyfit.__all__
    if isinstance(getattr(noisyfit, name), type)
    and issubclass(getattr(noisyfit, name), ClassifierMixin)
]
CORE = ("scikit-learn", "torch", "skorch", "numpy")


class Table:
    """pytest plugin that collects how each trial ended."""

    def __init__(self):
        self.rows = defaultdict(dict)
        self.failed = []

    def pytest_runtest_logreport(self, report):
        """Take the result of one trial."""
        noted = dict(report.user_properties)
        if "tried" not in noted:
            return
        if report.failed:
            self.failed.append(report.nodeid)
        result = _result(report, noted)
        if result is not None:
            trial = (noted["software"], noted["tried"])
            self.rows[trial].setdefault(result, []).append(noted["estimator"])

    def lines(self):
        """Yield the lines of the page, a table for each software."""
        used = {name for names, _ in self.rows for name in names} - {"Python"}
        packages = dict.fromkeys([*CORE, *sorted(used)])
        yield "Made by a run on Python " + platform.python_version() + " with:"
        yield ""
        yield ", ".join(f"{name} {_version(name)}" for name in packages) + "."
        for names in sorted(
            {names for names, _ in self.rows}, key=lambda names: str(names).lower()
        ):
            yield from ("", "## " + " and ".join(names), "", "| tried | result |", "|---|---|")
            for (software, tried), results in self.rows.items():
                if software == names:
                    yield f"| {tried} | {_cell(results)} |"


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def _result(report, noted):
    """Return the words of a result; None while the trial is not over."""
    if report.skipped and hasattr(report, "wasxfail"):
        return f"not possible: {report.wasxfail.removeprefix('reason: ')}"
    if report.skipped:
        return f"not tried: {report.longrepr[2].removeprefix('Skipped: ')}"
    if report.when != "call":
        return None
    if report.failed:
        return "**fails**"
    return f"refused: “{noted['refused']}”" if "refused" in noted else "works"


def _cell(results):
    """Join the results of a trial; which estimator had which is said where they differ."""
    if len(results) == 1:
        (((result, names)),) = results.items()
        return _plain(result) + (", all estimators" if set(names) == {*ESTIMATORS} else "")
    return "; ".join(f"{', '.join(names)}: {_plain(text)}" for text, names in results.items())


def _plain(text):
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").strip()


def main(args):
    """Run the trials, and put the table into the page."""
    table = Table()
    pytest.main(["-m", "slow", "-q", str(HERE), *args], plugins=[table])
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    made = "\n".join(table.lines())
    PAGE.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    return len(table.failed) > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
