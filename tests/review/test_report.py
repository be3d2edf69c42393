"""The table of labels, and decisions of a review taken into the labels."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from torch.utils.data import TensorDataset

from noisyfit import DLTClassifier, MILDSelector
from noisyfit.review import Review, apply_review, label_report

NAMES = np.array(["ant", "bee", "cat"])
X, TRUE = make_blobs(150, 5, centers=3, cluster_std=1.0, random_state=1)
WRONG = np.zeros(150, dtype=bool)
WRONG[np.random.default_rng(0).permutation(150)[:20]] = True
GIVEN = NAMES[np.where(WRONG, (TRUE + 1) % 3, TRUE)]
TRUSTED = np.arange(150) % 10 == 0
TRUSTED &= ~WRONG


@pytest.fixture(scope="module")
def est():
    return MILDSelector(max_epochs=20, random_state=0).fit(X, GIVEN, trusted=TRUSTED)


@pytest.fixture(scope="module")
def report(est):
    return label_report(est, X, GIVEN)


def test_each_label_has_a_line_and_the_most_suspicious_come_first(est, report):
    assert sorted(report.row) == list(range(150))
    assert report["rank"].tolist() == list(range(1, 151))
    assert (np.diff(report.noise_score) <= 0).all()
    back = report.sort_values("row")
    np.testing.assert_array_equal(back.noise_score, est.noise_scores_)
    np.testing.assert_array_equal(back.given, GIVEN)
    np.testing.assert_array_equal(back.suggested, est.predict(X))
    np.testing.assert_array_equal(back.kept, est.clean_mask_)
    np.testing.assert_array_equal(back.trusted, TRUSTED)
    proba = est.predict_proba(X)
    np.testing.assert_array_equal(back.suggested_proba, proba.max(axis=1))
    column = np.searchsorted(NAMES, GIVEN)
    np.testing.assert_array_equal(back.given_proba, proba[np.arange(150), column])


def test_suggestions_are_right_where_labels_are_wrong(report):
    top = report.head(20)
    assert WRONG[top.row].mean() > 0.8
    assert (top.suggested == NAMES[TRUE[top.row]]).mean() > 0.8


def test_reasons_say_what_the_numbers_say(report):
    for line in report.itertuples():
        if line.trusted:
            assert line.reason == "verified: taken as right"
        elif line.suggested != line.given:
            said = f"the network says {line.suggested} ({line.suggested_proba:.0%})"
            assert said.replace("%", " %") in line.reason
            assert ("not enough to reject" in line.reason) == line.kept
        else:
            assert "agrees" in line.reason


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (GIVEN[:-1], "fitted on 150 rows, but y has 149 labels"),
        (np.roll(GIVEN, 1), "y is not what est was fitted on: row .* in their order of then"),
    ],
)
def test_other_labels_are_refused(est, y, message):
    with pytest.raises(ValueError, match=message):
        label_report(est, X, y)


def test_what_is_no_fitted_estimator_is_refused():
    with pytest.raises(NotFittedError):
        label_report(MILDSelector(), X, GIVEN)
    with pytest.raises(TypeError, match=r"noisyfit estimator\. Got int"):
        label_report(3, X, GIVEN)


DECIDED = [
    {"row": 0, "decision": "relabel", "label": "bee"},
    {"row": 1, "decision": "drop", "label": ""},
    {"row": 2, "decision": "keep", "label": ""},
    {"row": 3, "decision": "skip", "label": ""},
]
LABELS = np.array(["cat", "ant", "ant", "bee", "cat"])


def written(kind, folder):
    path = folder / f"decisions.{kind}"
    if kind == "json":
        path.write_text(json.dumps(DECIDED))
    else:
        pd.DataFrame(DECIDED).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("form", ["list", "frame", "csv", "json", "path as text"])
def test_decisions_are_taken_into_the_labels(form, tmp_path):
    made = {
        "list": lambda: DECIDED,
        "frame": lambda: pd.DataFrame(DECIDED),
        "csv": lambda: written("csv", tmp_path),
        "json": lambda: written("json", tmp_path),
        "path as text": lambda: str(written("csv", tmp_path)),
    }
    review = apply_review(LABELS, made[form]())
    assert isinstance(review, Review)
    assert review.labels.tolist() == ["bee", "ant", "ant", "bee", "cat"]
    assert review.kept.tolist() == [True, False, True, True, True]
    assert review.trusted.tolist() == [True, False, True, False, False]
    assert LABELS[0] == "cat"


@pytest.mark.parametrize("y", [np.array([3, 7, 7]), np.array([False, True, True])])
def test_labels_that_are_no_text_keep_their_type(y):
    review = apply_review(y, [{"row": "0", "decision": "relabel", "label": str(y[1])}])
    assert review.labels.dtype == y.dtype
    np.testing.assert_array_equal(review.labels, np.repeat(y[1], 3))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"decision": "keep"}, r"lacks \['row'\]"),
        ({"row": 1}, r"lacks \['decision'\]"),
        ({"row": "one", "decision": "keep"}, "whole number. Got 'one'"),
        ({"row": 1.5, "decision": "keep"}, "whole number from 0 to 4. Got 1.5"),
        ({"row": 5, "decision": "keep"}, "from 0 to 4. Got 5"),
        ({"row": -1, "decision": "keep"}, "from 0 to 4. Got -1"),
        ({"row": None, "decision": "keep"}, "Got None"),
        ({"row": np.inf, "decision": "keep"}, "whole number. Got inf"),
        (3, "A decision must map names to values. Got 3"),
        ({"row": 4, "decision": "kept"}, "row 4 must be one of .*Got 'kept'"),
        ({"row": 4, "decision": "relabel", "label": "dog"}, "'dog', which no row has"),
        ({"row": 4, "decision": "relabel"}, "Row 4 is to be relabelled, but .* has no label"),
        ({"row": 4, "decision": "relabel", "label": np.nan}, "but its decision has no label"),
        ({"row": 0, "decision": "keep"}, "Row 0 was decided on twice"),
    ],
)
def test_a_decision_that_cannot_be_carried_out_is_named(entry, message):
    with pytest.raises(ValueError, match=message):
        apply_review(LABELS, [*DECIDED, entry])


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.json"
    path.write_text('{"row": 1}')
    with pytest.raises(ValueError, match=r"other\.json must hold a list"):
        apply_review(LABELS, path)
    path.write_text("row,decision")
    with pytest.raises(ValueError, match=r"other\.json is no JSON in UTF-8"):
        apply_review(LABELS, path)


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 6),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.sampled_from(["keep", "relabel", "drop", "skip", "ant", "1", "1e999", 10**400, [[]], {}]),
)
ENTRY = st.dictionaries(st.sampled_from(["row", "decision", "label", ""]), ODD)
BYTES = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(str.encode),
    st.lists(st.one_of(ENTRY, ODD), max_size=3).map(lambda read: json.dumps(read).encode()),
    st.lists(
        st.sampled_from(["row,decision,label", "0,keep,", '1,"re', ",", "2,relabel,cat", "\n", "é"])
    ).map(lambda lines: "\n".join(lines).encode()),
)


def assert_refused_or_applied(decisions):
    """Whatever is given: a ValueError, or labels that were there before."""
    before = LABELS.copy()
    try:
        review = apply_review(LABELS, decisions)
    except ValueError:
        pass
    else:
        assert set(review.labels) <= set(before)
        assert not (review.trusted & ~review.kept).any()
        assert (review.labels == before)[~review.trusted].all()
    np.testing.assert_array_equal(LABELS, before)


@given(st.lists(st.one_of(ENTRY, ODD), max_size=3))
@example([{"row": np.inf, "decision": "keep"}])
@example([{"row": 10**400, "decision": "keep"}])
@example([{"row": "1e999", "decision": "keep"}])
@example([3])
def test_decisions_of_any_kind(decisions):
    assert_refused_or_applied(decisions)


@given(st.sampled_from(["json", "JSON", "csv", "txt"]), BYTES)
@example("csv", b"row,decision\n\0,keep")
@example("csv", b"row,decision\n0,keep,and,more\n1")
@example("csv", b'row\n"' + b"x" * 200_000)
@example("json", b"[" * 100_000)
@example("json", b'[{"row": 1e999, "decision": "keep"}]')
@example("json", b"9" * 5_000)
@example("json", "\ufeff[]".encode())
def test_files_of_any_kind(tmp_path_factory, suffix, content):
    path = tmp_path_factory.getbasetemp() / f"decisions.{suffix}"
    path.write_bytes(content)
    assert_refused_or_applied(path)


def test_a_review_makes_the_next_fit_better(est, report):
    """Twenty decisions by somebody who knows the truth, taken back as trusted rows."""
    decisions = [
        {"row": row, "decision": "relabel", "label": NAMES[TRUE[row]]} for row in report.row[:20]
    ]
    labels, kept, trusted = apply_review(GIVEN, decisions)
    assert (labels != NAMES[TRUE]).sum() < 0.3 * WRONG.sum()
    again = DLTClassifier(max_epochs=10, random_state=0).fit(
        X[kept], labels[kept], trusted=trusted[kept]
    )
    assert (again.noise_scores_[report.row[:20]] == 0).all()
    assert again.noise_rate_ < est.noise_rate_


def test_a_pipeline_and_missing_labels_are_told_apart(est):
    with pytest.raises(TypeError, match=r"pass its last step .* pipeline\[-1\]"):
        label_report(make_pipeline(est), X, GIVEN)
    with pytest.raises(ValueError, match="y must be the labels that est was fitted on"):
        label_report(est, X)
    images = TensorDataset(torch.tensor(X, dtype=torch.float32), torch.tensor(TRUE))
    named = MILDSelector(rounds=1, max_epochs=2).fit(images, GIVEN)
    with pytest.raises(ValueError, match=r"as y: the data set has others\.$"):
        label_report(named, images)
    assert len(label_report(named, images, GIVEN)) == 150
