"""What `noisyfit.show_versions` prints for a bug report."""

import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import torch

import noisyfit
from noisyfit import _show_versions

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))[
    "project"
]


def printed(capsys):
    """Return what was printed as a dict: section -> name -> fact."""
    noisyfit.show_versions()
    sections, section = {}, {}
    for line in capsys.readouterr().out.splitlines():
        name, colon, fact = line.partition(": ")
        if colon:
            section[name.strip()] = fact
        else:
            section = sections[line] = {}
    return sections


def test_every_package_that_noisyfit_needs_is_named_with_its_version(capsys):
    packages = printed(capsys)["Packages"]
    needed = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["plot"]
    assert set(packages) == {"noisyfit"} | {line.partition(">=")[0] for line in needed}
    for name, shown in packages.items():
        assert shown == version(name)


def test_python_cuda_and_threads_are_those_of_this_process(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"card {number}")
    shown = printed(capsys)
    assert shown["System"]["Python"] == ".".join(map(str, sys.version_info[:3]))
    assert shown["CUDA"]["available"] == "yes"
    assert [shown["CUDA"][f"device {number}"] for number in range(2)] == ["card 0", "card 1"]
    assert shown["Threads"]["torch"].startswith(f"{torch.get_num_threads()};")
    assert any(name.startswith("blas") for name in shown["Threads"])


@pytest.mark.parametrize("missing", ["pandas", "noisyfit"])
def test_what_is_not_installed_is_said_to_be_so(capsys, monkeypatch, missing):
    def find(function):
        def found(name):
            if name == missing:
                raise PackageNotFoundError(name)
            return function(name)

        return found

    monkeypatch.setattr(_show_versions, "version", find(_show_versions.version))
    monkeypatch.setattr(_show_versions, "requires", find(_show_versions.requires))
    assert printed(capsys)["Packages"][missing] == "not installed"


def test_the_module_itself_imports_nothing_heavy():
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1]);"
        "assert not {'torch', 'numpy', 'threadpoolctl'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, _show_versions.__file__], check=True)
