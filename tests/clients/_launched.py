"""A script for launchers, which fits a small table: ``_launched.py WAY FOLDER``.

It is a file of its own, since what it is about is how its processes are started.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import make_blobs

from noisyfit import DLTClassifier


class Counting(torch.nn.Module):
    """A network that notes the most rows which it is shown at once."""

    def __init__(self) -> None:
        super().__init__()
        layers = torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
        self.layers, self.most = torch.nn.Sequential(*layers), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        if self.training:
            self.most = max(self.most, len(x))
        return self.layers(x)


def found_by_a_fit() -> dict[str, np.ndarray]:
    """Fit the table, in all processes of the group if there is one."""
    X, y = make_blobs(101, centers=3, random_state=0)
    y[:20] = (y[:20] + 1) % 3
    settings = {"max_epochs": 3, "judge_epochs": 2, "batch_size": 16, "random_state": 0}
    est = DLTClassifier(module=Counting, noise_rate=0.2, **settings)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No trusted rows were given")
        est.fit(X, y)
    probabilities, most = est.predict_proba(X), np.asarray(est.net_.module_.most)
    return {"scores": est.noise_scores_, "probabilities": probabilities, "most": most}


def main(way: str, folder: str) -> None:
    """Begin the group in the one or the other way, fit, and write what was found."""
    torch.set_num_threads(1)
    if way == "torch":
        torch.distributed.init_process_group("gloo")
    else:
        from accelerate import PartialState

        PartialState(cpu=True)
    is_group = torch.distributed.is_initialized()
    rank = torch.distributed.get_rank() if is_group else "alone"
    np.savez(Path(folder) / f"{rank}.npz", **found_by_a_fit())
    if is_group:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
