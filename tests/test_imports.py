"""What is imported when: nobody waits for a package that is needed only later, or never."""

import subprocess
import sys

import pytest

HEAVY = {"PIL", "matplotlib", "pandas", "torchvision"}

CODE = """
import sys
from importlib.util import spec_from_loader

class Broken:
    def find_spec(self, name, path=None, target=None):
        if name in ("matplotlib", "pandas"):
            return spec_from_loader(name, self)

    def create_module(self, spec):
        raise ModuleNotFoundError(f"No module named {spec.name!r}", name=spec.name)

    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Broken())
import skorch, sklearn, torch
before = set(sys.modules)
import noisyfit
print(*{name.split(".")[0] for name in set(sys.modules) - before})
print("sklearn.linear_model" in sys.modules)

import numpy as np
from sklearn.base import clone
from tests._estimators import QUICKER

torch.set_num_threads(1)
y = np.arange(60) % 3
tables = np.random.default_rng(0).normal(y[:, None], 1, size=(60, 4)).astype(np.float32)
images = (tables.reshape(60, 1, 2, 2) * 20 + 80).astype(np.uint8)
for est in QUICKER:
    for X, width in ((tables, {"module__hidden": (8,)}), (images, {"module__width": 4})):
        fitted = clone(est).set_params(**width).fit(X, y, trusted=np.arange(60) < 12)
        fitted.score_labels(X, y)
        print(type(est).__name__, X.ndim, "torchvision" in sys.modules)
"""


@pytest.fixture(scope="module")
def lines():
    """What is printed by a process that imports noisyfit without optional packages, and fits."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_noisyfit_imports_nothing_that_is_needed_only_later(lines):
    packages, linear_model = lines[:2]
    assert "noisyfit" in packages.split()
    assert not HEAVY & set(packages.split())
    assert linear_model == "False"


def test_fits_without_optional_packages_do_not_import_torchvision(lines):
    found = [line.split() for line in lines[2:]]
    assert len(found) == 12
    assert [line for line in found if line[-1] != "False"] == []
