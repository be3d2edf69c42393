"""
One fit on two processes
========================

A fit that takes too long for one process is shared by several, on the cores or GPUs of a machine or
on several machines: torch's launcher starts them, each calls the same `fit`, and all end with the
same scores. Here two processes on a CPU share the training of a network for small images, and their
scores are compared with those of one.
"""

# %%
# Both run this script. It is a file of its own, as the launcher wants it: the only lines that one
# process does not need are the first and the last of ``torch.distributed``. The network is passed
# as a class, so that ``random_state`` sets its first weights, in all processes alike.
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from noisyfit.metrics import auroc

script = """
import sys

import numpy as np
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn

from noisyfit import MILDSelector
from noisyfit.noise import corrupt_labels, transition_matrix


class Network(nn.Sequential):
    # No batch normalization, of which each process would take the mean of its own rows.
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 16, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
        )


dist.init_process_group("gloo")
images = load_digits().images[:, None].astype("float32")
y = load_digits().target
given, _ = corrupt_labels(y, transition_matrix("symmetric", 10, 0.2), random_state=0)
est = MILDSelector(
    Network, max_epochs=10, judge_epochs=5, precision="float32", random_state=0
)
est.fit(images, given)
if dist.get_rank() == 0:
    np.savez(sys.argv[1], given=given, scores=est.noise_scores_, rate=est.noise_rate_)
dist.destroy_process_group()
"""


# %%
# ``torchrun`` is the launcher: one process, then two.
def scores_of(n_processes: int) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        path, found = Path(folder) / "fit.py", Path(folder) / "found.npz"
        path.write_text(script)
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        subprocess.run(
            [*launcher, f"--nproc-per-node={n_processes}", str(path), str(found)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=True,
        )
        with np.load(found) as arrays:
            return dict(arrays)


one, two = scores_of(1), scores_of(2)

# %%
# The scores are equal but for rounding: each process passes its half of a batch through the
# network, and all see the losses of the whole batch. They rank the wrong labels first in the same
# order.
is_wrong = one["given"] != load_digits().target
difference = np.abs(one["scores"] - two["scores"]).max()
print(f"One process:   AUROC {auroc(is_wrong, one['scores']):.4f}, rate {one['rate']:.4f}")
print(f"Two processes: AUROC {auroc(is_wrong, two['scores']):.4f}, rate {two['rate']:.4f}")
print(f"Wrong: {is_wrong.mean():.4f}. Largest difference of two scores: {difference:.0e}")

fig, ax = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
for wrong, name in ((False, "right label"), (True, "wrong label")):
    rows = is_wrong == wrong
    ax.scatter(one["scores"][rows], two["scores"][rows], s=8, label=name)
ax.set(xlabel="noise score, one process", ylabel="noise score, two processes")
ax.legend()
plt.show()

# %%
# Whether two are faster depends on the network: digits as small as these are not worth it, since
# the processes talk at every step. The guide says what is divided and what is not, how several
# machines or GPUs take part, and what happens when one of them fails: `Scale
# <../scale.html>`_.
