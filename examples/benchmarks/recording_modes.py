"""In training, in evaluation or held out: which dynamics find more wrong labels of small data?

Average precision of the shipped detector, of AUM and of the mean probability on 500 and 2,000 rows
of data sets that the detector has never seen: synthetic noise, and sentences each of which was
labelled by one person of a crowd, whose mistakes are not spread at random.

    python examples/benchmarks/recording_modes.py --data DATA
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from report import markdown, save
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from noisyfit import DynamicsLSTM, DynamicsLSTMDetector
from noisyfit.metrics import auroc, average_precision

sys.path.insert(0, str(Path(__file__).parents[1]))
from detector.corpus import RECORDINGS, UNSEEN, corrupt, subset

MEASURES = {
    "LSTM": lambda detector, dynamics: detector.predict_proba(dynamics.relative_prob),
    "AUM": lambda detector, dynamics: -dynamics.aum(),
    "mean p(given)": lambda detector, dynamics: -dynamics.confidence(),
}


def crowd(data: str, n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sentences with the answer of one of the people who were asked."""
    file = np.load(Path(data) / "crowd_sentiment.npz")
    texts = str(file["text_train"]).split("\n")
    counts = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2)).fit_transform(texts)
    X = TruncatedSVD(150, random_state=0).fit_transform(counts).astype(np.float32)
    rng, answers = np.random.default_rng(seed), file["answers"]
    rows = rng.permutation(np.flatnonzero((answers >= 0).any(axis=1)))[:n_rows]
    given = np.array([rng.choice(answers[i][answers[i] >= 0]) for i in rows])
    return X[rows], file["y_train"][rows], given


def problems(data: str, n_rows: int, seed: int):
    """Yield name, inputs, true and given labels."""
    yield "crowd sentiment", "one person each", *crowd(data, n_rows, seed)
    for source in UNSEEN:
        rows, _ = subset(source, data, n_rows, 3000 + seed)
        kinds = [("symmetric", 0.3), ("instance", 0.3)]
        if rows.y.max() > 1:
            kinds.append(("pair", 0.3))
        for kind, rate in kinds:
            yield source, f"{kind} {rate:.0%}", rows.X, rows.y, corrupt(rows, kind, rate, seed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rows", nargs="+", type=int, default=[500, 2000])
    args = parser.parse_args()
    detector, records = DynamicsLSTM.pretrained(device="cpu"), []
    for n_rows in args.rows:
        for seed in range(args.seeds):
            for name, labels, X, y, given in problems(args.data, n_rows, seed):
                wrong = given != y
                for recording in RECORDINGS:
                    start = time.process_time()
                    est = DynamicsLSTMDetector(
                        judge_epochs=0, recording=recording, random_state=seed
                    )
                    dynamics = est.record_run(X, given).dynamics
                    seconds = time.process_time() - start
                    for measure, score in MEASURES.items():
                        scores = score(detector, dynamics)
                        record = {"data": name, "labels": labels, "n_rows": n_rows, "seed": seed}
                        record |= {"recording": recording, "measure": measure, "seconds": seconds}
                        record |= {"realised_rate": float(wrong.mean())}
                        record |= {"average_precision": average_precision(wrong, scores)}
                        records.append(record | {"auroc": auroc(wrong, scores)})
                print(n_rows, seed, name, labels, flush=True)
    head = ["rows", "data", "labels", "wrong"]
    head += [f"{measure}, {recording}" for measure in MEASURES for recording in RECORDINGS]
    lines = []
    for n_rows in args.rows:
        cells = [r for r in records if r["n_rows"] == n_rows]
        for name, labels in dict.fromkeys((r["data"], r["labels"]) for r in cells):
            here = [r for r in cells if (r["data"], r["labels"]) == (name, labels)]
            rate = f"{np.mean([r['realised_rate'] for r in here]):.1%}"
            lines.append([n_rows, name, labels, rate, *_means(here)])
        lines.append([n_rows, "**mean**", "", "", *_means(cells)])
    text = f"Average precision, mean over {args.seeds} seeds.\n\n{markdown(head, lines)}"
    save("recording_modes", text, {"records": records})


def _means(records: list[dict]) -> list[str]:
    chosen = [
        [r["average_precision"] for r in records if (r["measure"], r["recording"]) == (m, mode)]
        for m in MEASURES
        for mode in RECORDINGS
    ]
    return [f"{np.mean(values):.3f}" for values in chosen]


if __name__ == "__main__":
    main()
