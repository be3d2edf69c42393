"""The suite and the checks in other environments: `nox -s minimum`, `nox -s lint`, `nox --list`.

Each session installs torch anew, several gigabytes. Arguments behind ``--`` go to pytest.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import nox

PYTHONS = ["3.11", "3.12", "3.13"]
PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]


def lowest(requirements: list[str]) -> list[str]:
    """Turn ``name>=1.2`` into ``name==1.2.*``."""
    return [f"{requirement.replace('>=', '==')}.*" for requirement in requirements]


@nox.session(python=PYTHONS)
def newest(session: nox.Session) -> None:
    """Run the suite with the newest versions of everything."""
    session.install("--upgrade", "-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python="3.11")
def minimum(session: nox.Session) -> None:
    """Run the suite with the lowest versions of what the package depends on."""
    # pyparsing's later versions make matplotlib 3.8 warn, and warnings are errors here.
    tests = lowest(PROJECT["optional-dependencies"]["test"])
    session.install(*lowest(PROJECT["dependencies"]), *tests, "pyparsing<3.2")
    session.install("--no-deps", "-e", ".")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python="3.11")
@nox.parametrize("kind", ["whl", "tar.gz"], ids=["wheel", "sdist"])
def package(session: nox.Session, kind: str) -> None:
    """Build the package, install it away from the sources, and find wrong labels."""
    folder = session.create_tmp()
    session.install("build")
    session.run("python", "-m", "build", "--outdir", folder)
    built = max(Path(folder).glob(f"*.{kind}"), key=lambda path: path.stat().st_mtime)
    session.install(str(built))
    session.chdir(folder)  # away from the sources
    code = (
        "import numpy as np, noisyfit; from noisyfit import DynamicsLSTMDetector;"
        "from sklearn.datasets import load_digits; X, y = load_digits(return_X_y=True);"
        "y[:90] = (y[:90] + 1) % 10; est = DynamicsLSTMDetector(random_state=0).fit(X, y);"
        "worst = est.noise_scores_.argsort()[::-1][:90]; print(est.summary());"
        "assert np.mean(worst < 90) > 0.8; assert 'site-packages' in noisyfit.__file__;"
        "from importlib.resources import files; assert (files(noisyfit) / 'py.typed').is_file()"
    )
    session.run("python", "-c", code)


@nox.session(python="3.11")
def clients(session: nox.Session) -> None:
    """Run with other people's software, and write what came of it to docs/ecosystem.md."""
    session.install("-e", ".[test,clients]")
    session.run("python", "tests/clients/table.py", *session.posargs)


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """Look for mistakes, untidy code, wrong types and forbidden imports."""
    session.install("-e", ".[plot,lint]")
    session.run("bash", ".ci/checks", "lint", external=True)


@nox.session(python="3.11")
def docs(session: nox.Session) -> None:
    """Build the documentation, without running its gallery."""
    session.install("-e", ".[docs]")
    session.run("bash", ".ci/checks", "docs", external=True)
