"""What starts the processes of a fit: torchrun, and the launcher of Hugging Face's accelerate."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _launched import found_by_a_fit
from _trial import client

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("_launched.py")
NOT_ASKED = ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
ACCELERATE = ["accelerate.commands.launch", "--num_processes=2", *NOT_ASKED]


def launched(tmp_path, module, *args, way):
    """Run the script by the launcher that ``python -m`` starts; return its end, and what it found.

    One thread, as here, and no setting of a launcher in which the tests may run themselves.
    """
    ours = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= {"OMP_NUM_THREADS": "1", "HF_HOME": str(tmp_path)}  # without its configuration
    command = [sys.executable, "-m", module, *args, SCRIPT, way, tmp_path]
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    files = {path.stem: dict(np.load(path)) for path in tmp_path.glob("*.npz")}
    return ended, files


def assert_shared(ended, files):
    assert ended.returncode == 0, ended.stderr
    assert files.keys() == {"0", "1"}
    alone = found_by_a_fit()
    for of_rank in files.values():
        assert 2 * of_rank["most"] == alone["most"], "each process has half of a batch"
        for name in ("scores", "probabilities"):
            np.testing.assert_allclose(of_rank[name], alone[name], rtol=0, atol=1e-5)


@client("torch")
def test_torchrun(tmp_path):
    """`torchrun --nproc-per-node 2 script.py`: the scores of one process."""
    args = ["--standalone", "--nproc-per-node=2"]
    assert_shared(*launched(tmp_path, "torch.distributed.run", *args, way="torch"))


@client("accelerate")
@pytest.mark.parametrize(
    ("way", "begun"),
    [("torch", 'init_process_group("gloo")'), ("accelerate", "PartialState(cpu=True)")],
)
def test_accelerate_launch(way, begun, tmp_path):
    """`accelerate launch --multi_gpu --num_processes 2`, group by `{begun}`: as one process."""
    pytest.importorskip("accelerate")
    args = [*ACCELERATE[1:], "--multi_gpu", "--main_process_port=0"]
    assert_shared(*launched(tmp_path, ACCELERATE[0], *args, way=way))


@client("accelerate")
def test_accelerate_on_the_cpu(tmp_path):
    """`accelerate launch --cpu --num_processes 2` starts one process; torch says so, by an error.

    The reason why docs/scale.md asks for ``--multi_gpu`` and for torch's own function.
    """
    pytest.importorskip("accelerate")
    args = [*ACCELERATE[1:], "--cpu"]
    ended, files = launched(tmp_path, ACCELERATE[0], *args, way="torch")
    assert ended.returncode != 0
    assert "environment variable RANK expected" in ended.stderr
    assert not files
    ended, files = launched(tmp_path, ACCELERATE[0], *args, way="accelerate")
    assert ended.returncode == 0, ended.stderr
    assert files.keys() == {"alone"}
    assert files["alone"]["most"] == found_by_a_fit()["most"]
