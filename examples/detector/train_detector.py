"""Train the detector that ships with noisyfit: record a corpus of training runs, learn from them.

    python examples/detector/train_detector.py --data DATA --work WORK

Records the 240 runs of `corpus.py` into WORK/runs, one file each, and trains on them. Can
be stopped at any time: a second call goes on where the first ended. On one machine, with the same
versions and thread count, a second call in an empty folder gives the same weights.

``--leave-out NAME`` leaves a data set out of the training, as
`benchmarks/detector_transfer.py`
does to measure how a detector does on a data set that it has not seen.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.special import expit

from noisyfit import DynamicsLSTM
from noisyfit.methods import dynamics_lstm
from noisyfit.methods.dynamics_lstm._sequences import as_sequences, resample

sys.path.insert(0, str(Path(__file__).parents[1]))
from detector.corpus import SOURCES, Run, corpus, record_all

LENGTH = 50
ROWS_PER_RUN = 250
SHORTEST = 15
SHIPPED = Path(dynamics_lstm.__file__).parent / "pretrained" / "dynamics_lstm.safetensors"


def pool(runs: list[Run], folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Collect sequences of one length, which labels are wrong, and the run of each.

    Two in five runs are cut off after a random number of epochs: as if training had been stopped
    early, or had had a schedule that was still at its beginning.
    """
    sequences, marks, groups = [], [], []
    for number, run in enumerate(runs):
        rng = np.random.default_rng(run.seed)
        file = np.load(folder / f"{run.name}.npz")
        wrong, n_epochs = file["given"] != file["y"], file["margin"].shape[1]
        rows = rng.permutation(len(wrong))[:ROWS_PER_RUN]
        if rng.random() < 0.4 and n_epochs > SHORTEST:
            n_epochs = int(rng.integers(SHORTEST, n_epochs + 1))
        if wrong[rows].any():
            relative = expit(file["margin"][rows, :n_epochs].astype(np.float32))
            sequences.append(resample(as_sequences(relative), LENGTH))
            marks.append(wrong[rows])
            groups.append(np.full(len(rows), number))
    return np.concatenate(sequences), np.concatenate(marks), np.concatenate(groups)


def train(runs: list[Run], folder: Path) -> DynamicsLSTM:
    """Train a detector on recorded runs."""
    sequences, is_noisy, groups = pool(runs, folder)
    data_sets = sorted({run.source for run in runs})
    print(
        f"{len(runs)} runs on {len(data_sets)} data sets, {len(sequences)} sequences, "
        f"{is_noisy.mean():.1%} wrong",
        flush=True,
    )
    detector = DynamicsLSTM(
        max_epochs=10, lr=0.004, batch_size=256, recording="any", device="cpu", random_state=0
    )
    return detector.fit(sequences, is_noisy, groups=groups, data_sets=data_sets)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder of the data sets")
    parser.add_argument("--work", required=True, help="folder for recorded runs")
    parser.add_argument("--jobs", type=int, default=1, help="processes that record")
    parser.add_argument("--leave-out", choices=SOURCES, help="data set to leave out")
    parser.add_argument("--out", type=Path, help="by default, in place of the one that ships")
    args = parser.parse_args()
    if args.out is None:
        if args.leave_out:
            parser.error("--leave-out needs --out: it would replace the detector that ships")
        args.out = SHIPPED
    folder = Path(args.work) / "runs"
    record_all(corpus(), args.data, str(folder), args.jobs)
    detector = train([run for run in corpus() if run.source != args.leave_out], folder)
    print("held-out tenth:", detector.held_out_)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    detector.save(args.out)


if __name__ == "__main__":
    main()
