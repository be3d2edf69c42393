"""What is imported when: nobody waits for a package that is needed only later, or never."""

import subprocess
import sys

HEAVY = {"PIL", "matplotlib", "pandas", "torchvision"}

IMPORT = """
import sys
import skorch, sklearn, torch  # which import pandas where it is installed
before = set(sys.modules)
import noisyfit
print(*{name.split(".")[0] for name in set(sys.modules) - before})
print("sklearn.linear_model" in sys.modules)
"""

FIT = """
import sys
import numpy as np
from sklearn.base import clone
import torch
from tests._estimators import QUICKER

torch.set_num_threads(1)
y = np.arange(60) % 3
tables = np.random.default_rng(0).normal(y[:, None], 1, size=(60, 4)).astype(np.float32)
images = (tables.reshape(60, 1, 2, 2) * 20 + 80).astype(np.uint8)
for est in QUICKER:
    for X, width in ((tables, {"module__hidden": (8,)}), (images, {"module__width": 4})):
        clone(est).set_params(**width).fit(X, y, trusted=np.arange(60) < 12)
        print(type(est).__name__, X.ndim, "torchvision" in sys.modules)
"""


def lines(code):
    """Run code in a new interpreter and return what it prints."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_noisyfit_imports_nothing_that_is_needed_only_later():
    packages, linear_model = lines(IMPORT)
    assert "noisyfit" in packages.split()
    assert not HEAVY & set(packages.split())
    assert linear_model == "False"


def test_no_fit_imports_torchvision():
    found = [line.split() for line in lines(FIT)]
    assert len(found) == 12
    assert [line for line in found if line[-1] != "False"] == []
