"""Faults that were found by trying, each by its name: the right value, or a clear error."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer

from noisyfit import MILDSelector, debug_labels
from noisyfit.review import label_report, review_page

# --- C01 output of transformers ---


# --- C02 softmax at the end ---


# --- C03 labels of a data set ---


# --- C04 callbacks ---


# --- C05 imbalanced-learn ---


# --- C06 review, decisions of a frame ---


# --- C07 images ---


# --- C08 sparse and dense ---


# --- C09 frames ---


# --- C10 words ---


# --- C11 notebooks ---


# --- C12 others ---


# --- B01 offsets ---


# --- B02 other rows ---


def test_b02_rows_that_are_not_those_of_the_fit_are_refused(tmp_path):
    X, y = load_digits(n_class=3, return_X_y=True)
    given = np.where(np.arange(len(y)) < 60, (y + 1) % 3, y)
    pipe = make_pipeline(
        PowerTransformer(), MILDSelector(rounds=1, max_epochs=8, random_state=0)
    ).fit(X, given)
    est, Z = pipe[-1], pipe[:-1].transform(X)
    shuffled = Z[np.random.default_rng(0).permutation(len(Z))]
    report = label_report(est, Z, given).set_index("row").sort_index()
    assert (report.suggested == y).mean() > 0.9
    assert (debug_labels(est, Z, given, share=0.12).labels == y).mean() > 0.9
    for rows in (X, shuffled):
        for ask in (label_report, debug_labels):
            with pytest.raises(ValueError, match=r"X is not what est was fitted on: row \d+ diff"):
                ask(est, rows, given)
        with pytest.raises(ValueError, match=r"pipeline\[:-1\]\.transform\(X\)"):
            review_page(est, rows, given, tmp_path / "review.html")


# --- B03 a class lost ---


# --- B04 rare class ---


# --- B05 pair noise ---


# --- B06 row numbers ---


# --- B08 clean digits ---


# --- B09 X says nothing ---


# --- B10 review, labels beside gaps ---


# --- B11 nullable labels ---


# --- B12 EpochScoring ---


# --- B13 Dataset in cross-validation ---


# --- B14 IterableDataset ---


# --- B15 LRScheduler ---


# --- NaN noise rate ---


# --- frozen BatchNorm ---
