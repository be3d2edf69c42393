"""Faults that were found by trying, each by its name: the right value, or a clear error."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer

from noisyfit import MILDSelector, debug_labels
from noisyfit.review import apply_review, label_report, review_page

# --- C01 output of transformers ---


# --- C02 softmax at the end ---


# --- C03 labels of a data set ---


# --- C04 callbacks ---


# --- C05 imbalanced-learn ---


# --- C06 review, decisions of a frame ---


def test_c06_a_frame_of_decisions_is_as_good_as_its_file(tmp_path):
    frame = pd.DataFrame(
        [{"row": 0, "decision": "relabel", "label": 1}, {"row": 1, "decision": "drop"}]
    )
    frame.to_csv(tmp_path / "decisions.csv", index=False)
    for decisions in (frame, frame.to_dict("records"), tmp_path / "decisions.csv"):
        review = apply_review([0, 1, 2], decisions)
        assert review.labels.tolist() == [1, 1, 2]
        assert review.kept.tolist() == [True, False, True]


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


def test_b10_labels_beside_gaps_are_those_of_the_classes():
    decisions = pd.DataFrame(
        [{"row": 0, "decision": "relabel", "label": 1}, {"row": 2, "decision": "keep"}]
    )
    assert decisions.label.tolist()[0] == 1.0  # a float, with NaN below it
    labels, _, trusted = apply_review([0, 1, 0], decisions)
    assert labels.tolist() == [1, 1, 0]
    assert trusted.tolist() == [True, False, True]
    assert apply_review(["0", "1", "0"], decisions).labels.tolist() == ["1", "1", "0"]
    with pytest.raises(ValueError, match=r"may be any of \['1', '1\.0'\]"):
        apply_review(["1.0", "1", "0"], decisions)


# --- B11 nullable labels ---


def test_b11_a_review_of_nullable_labels():
    y = pd.Series([0, 1, 2], dtype="Int64")
    review = apply_review(y, [{"row": 0, "decision": "relabel", "label": 2}])
    assert review.labels.tolist() == [2, 1, 2]


# --- B12 EpochScoring ---


# --- B13 Dataset in cross-validation ---


# --- B14 IterableDataset ---


# --- B15 LRScheduler ---


# --- NaN noise rate ---


# --- frozen BatchNorm ---
