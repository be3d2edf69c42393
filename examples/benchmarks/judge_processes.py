"""What `n_jobs` gains: networks of the judges trained by several processes, beside one.

`DynamicsLSTMDetector` on 2,000 handwritten digits (scikit-learn's, enlarged to 28 x 28 and shifted
at random), 20 % symmetric errors, few epochs of its own and ten of the judges. One process has all
threads of torch; several divide them. In turn, in an order drawn anew each time: the clock of a fit
with one process / with several, and the largest difference of a noise score. The processes of
joblib are there from the warm-up on: to start them takes some seconds more, once.

    python examples/benchmarks/judge_processes.py
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from report import markdown, save
from scipy.ndimage import zoom
from sklearn.datasets import load_digits
from timing import ratio, side_by_side

from noisyfit import DynamicsLSTMDetector
from noisyfit.noise import corrupt_labels, transition_matrix

N_ROWS, EPOCHS, JUDGE_EPOCHS = 2_000, 4, 10


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, 1, 28, 28), uint8, and labels of which a fifth is wrong."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    rows = rng.integers(len(y), size=N_ROWS)
    large = np.clip(zoom(X.reshape(-1, 8, 8), (1, 3.5, 3.5), order=1) * 16, 0, 255)
    shift = rng.integers(-3, 4, size=(N_ROWS, 2))
    images = [np.roll(large[row], by, (0, 1)) for row, by in zip(rows, shift, strict=True)]
    given, _ = corrupt_labels(y[rows], transition_matrix("symmetric", 10, 0.2), random_state=0)
    return np.stack(images)[:, None].astype(np.uint8), given


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, nargs="+", default=[2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    X, y = digits()
    scores: dict[str, np.ndarray] = {}

    def fit(n_jobs: int) -> None:
        est = DynamicsLSTMDetector(
            max_epochs=EPOCHS,
            judge_epochs=JUDGE_EPOCHS,
            precision="float32",
            n_jobs=n_jobs,
            random_state=0,
        )
        scores[str(n_jobs)] = est.fit(X, y).noise_scores_

    variants = {str(n): lambda n=n: fit(n) for n in (1, *args.jobs)}
    seconds = side_by_side(variants, args.repeats, time.perf_counter)
    lines = [
        [n, ratio(seconds, "1", str(n)), f"{np.abs(scores[str(n)] - scores['1']).max():.1e}"]
        for n in args.jobs
    ]
    head = ["n_jobs", "time with one / with several", "largest difference of a score"]
    text = f"{N_ROWS:,} rows, {args.repeats} fits each, {args.threads} threads of torch."
    save("judge_processes", f"{text}\n\n{markdown(head, lines)}", seconds)


if __name__ == "__main__":
    main()
