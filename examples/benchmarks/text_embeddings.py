"""Texts as TF-IDF with latent dimensions beside embeddings of a language model.

Sentences of TREC (questions, 6 classes), Subj (2) and banking77 (77), up to 4,000 to train on and
up to 2,000 to test on with right labels; 30 % of the labels are wrong, drawn evenly from the other
classes. The texts reach the same networks as 150 latent dimensions of TF-IDF, fitted on the
training texts, as the 256 numbers of wordllama, the mean of the embeddings of a text's tokens,
whose weights are part of that package, or as both side by side. Default settings but
``judge_epochs=0``.

    python -m pip install -e ".[texts]"
    python examples/benchmarks/text_embeddings.py --data DIR

DIR holds text_sentences.npz and text_intents.npz. Writes results/text_embeddings.md and .json; a
quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
import wordllama
from report import markdown, save
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from noisyfit import DynamicsLSTMDetector, MILDSelector
from noisyfit.metrics import auroc
from noisyfit.modules import MLP
from noisyfit.noise import corrupt_labels, transition_matrix

sys.path.insert(0, str(Path(__file__).parents[1]))
from detector.corpus import read_texts

SEEDS = (0, 1)
DATA_SETS = ["trec", "subj", "banking77"]
METHODS = {"MILDSelector": MILDSelector, "DynamicsLSTMDetector": DynamicsLSTMDetector}
TFIDF, EMBEDDING = "TF-IDF + SVD, 150", "wordllama, 256"


def represent(texts: list[str], test: list[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Turn training and test texts into numbers, in each of the ways."""
    latent = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2)),
        TruncatedSVD(150, random_state=0),
    )
    counts = latent.fit_transform(texts), latent.transform(test)
    folder = Path(wordllama.__file__).parent  # weights and tokenizer lie in the package
    model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
    embedded = model.embed(texts), model.embed(test)
    both = tuple(np.hstack(pair) for pair in zip(counts, embedded, strict=True))
    return {TFIDF: counts, EMBEDDING: embedded, "both": both}


def measure(source: str, data: Path, seed: int) -> list[dict]:
    """Fit every method on every representation of one draw of rows and errors."""
    texts, y = read_texts(source, data)
    n_train = min(4_000, 3 * len(y) // 4)
    texts, test, y, y_test = train_test_split(
        texts, y, train_size=n_train, test_size=min(2_000, len(y) - n_train), stratify=y,
        random_state=seed,
    )  # fmt: skip
    matrix = transition_matrix("symmetric", int(y.max()) + 1, 0.3)
    given, wrong = corrupt_labels(y, matrix, random_state=seed)
    found = []
    for representation, (X, X_test) in represent(texts, test).items():
        for name, method in METHODS.items():
            start = time.process_time()
            est = method(MLP, judge_epochs=0, random_state=seed).fit(X, given)
            seconds = time.process_time() - start
            found.append(
                {
                    "data": source,
                    "representation": representation,
                    "method": name,
                    "seed": seed,
                    "n_rows": len(y),
                    "wrong": float(wrong.mean()),
                    "auroc": auroc(wrong, est.noise_scores_),
                    "accuracy": est.score(X_test, y_test),
                    "seconds": seconds,
                }
            )
            print(found[-1], flush=True)
    return found


def main() -> None:
    """Measure all, and save the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    torch.set_num_threads(1)
    found = [line for source in DATA_SETS for seed in SEEDS for line in measure(source, data, seed)]
    lines = []
    for source in DATA_SETS:
        for method in METHODS:
            for figure in ("auroc", "accuracy"):
                runs = [f for f in found if (f["data"], f["method"]) == (source, method)]
                cells = [
                    ", ".join(f"{f[figure]:.3f}" for f in runs if f["representation"] == way)
                    for way in dict.fromkeys(f["representation"] for f in found)
                ]
                rate = ", ".join(dict.fromkeys(f"{f['wrong']:.1%}" for f in runs))
                lines.append([source, runs[0]["n_rows"], rate, method, figure, *cells])
    ways = list(dict.fromkeys(f["representation"] for f in found))
    text = (
        f"30 % symmetric errors, a value for each of the seeds {list(SEEDS)}, last epoch: AUROC of "
        "the noise scores, accuracy on test rows with right labels."
    )
    table = markdown(["data", "rows", "wrong", "method", "figure", *ways], lines)
    save("text_embeddings", f"{text}\n\n{table}", {"fits": found})


if __name__ == "__main__":
    main()
