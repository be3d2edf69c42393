"""Decisions of a review, taken into the labels."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from noisyfit.audit import AuditSample, sample
from noisyfit.review import Review, apply_review

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
        ({"row": 4, "decision": "relabel"}, "Row 4 is to get a label, but .* has no label"),
        ({"row": 4, "decision": "relabel", "label": np.nan}, "but its decision has no label"),
        ({"row": 0, "decision": "keep"}, "Row 0 was decided on twice"),
    ],
)
def test_a_decision_that_cannot_be_carried_out_is_named(entry, message):
    with pytest.raises(ValueError, match=message):
        apply_review(LABELS, [*DECIDED, entry])


def test_a_label_is_confirmed_or_replaced_whatever_the_given_one_was():
    seen = [{"row": row, "decision": "label", "label": "ant"} for row in (0, 1)]
    for decisions in (seen, pd.DataFrame(seen), [*seen, {"row": 2, "decision": "skip"}]):
        review = apply_review(LABELS, decisions)
        assert review.labels.tolist() == ["ant", "ant", "ant", "bee", "cat"]
        assert review.trusted.tolist() == [True, True, False, False, False]
        assert review.kept.all()
        assert review.sample is None
    for label, message in (("dog", "'dog', which no row has"), ("", "has no label")):
        with pytest.raises(ValueError, match=message):
            apply_review(LABELS, [{"row": 3, "decision": "label", "label": label}])
    with pytest.raises(ValueError, match="Row 0 was decided on twice"):
        apply_review(LABELS, [*seen, {"row": 0, "decision": "drop"}])


SCORES = np.linspace(0, 1, 40)
MANY = np.array(["01", "1"])[np.arange(40) % 2]


def on(rows, decision="label", label="01"):
    return [{"row": int(row), "decision": decision, "label": label} for row in rows]


def test_a_review_of_an_audit_carries_how_its_rows_were_drawn():
    drawn = sample(SCORES, 10, random_state=0)
    decisions = [*on(drawn.rows[:4]), *on(drawn.rows[4:6], "skip"), *on(drawn.rows[6:7], "drop")]
    review = apply_review(MANY, decisions, sample=drawn)
    assert review.sample is drawn
    assert np.flatnonzero(review.trusted).tolist() == sorted(drawn.rows[:4])
    other = np.setdiff1d(np.arange(40), drawn.rows)
    assert apply_review(MANY, on(other, "skip"), sample=drawn).sample is drawn
    for decision in ("label", "keep", "drop"):
        message = (
            rf"2 rows were decided on, but are not in the sample.*{other[:2].tolist()}".replace(
                "[", r"\["
            )
        )
        with pytest.raises(ValueError, match=message):
            apply_review(MANY, decisions + on(other[:2], decision), sample=drawn)
    both = sample(SCORES, 25, after=drawn, random_state=1)
    assert apply_review(MANY, on(both.rows), sample=both).trusted.sum() == 35


def test_a_sample_of_other_rows_is_refused():
    drawn = sample(SCORES, 10, random_state=0)
    with pytest.raises(ValueError, match=r"drawn of 40 of 40 rows\. Got 39"):
        apply_review(MANY[:39], on(drawn.rows[drawn.rows < 39]), sample=drawn)
    with pytest.raises(TypeError, match=r"must be an AuditSample.*Got ndarray"):
        apply_review(MANY, on(drawn.rows), sample=drawn.rows)
    with pytest.raises(ValueError, match="probabilities of the sample are missing"):
        apply_review(MANY, [], sample=drawn._replace(rows=drawn.rows[:5]))


def test_a_sample_is_kept_on_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn = sample(SCORES, 10, y=MANY, random_state=0)
    np.savez("drawn.npz", **drawn._asdict())
    again = AuditSample(**np.load("drawn.npz"))
    for one, other in zip(drawn, again, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert apply_review(MANY, on(again.rows), sample=again).trusted.sum() == 10
    more = [sample(SCORES, 9, y=MANY, after=one, random_state=2).rows for one in (drawn, again)]
    np.testing.assert_array_equal(*more)


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
    st.sampled_from(
        ["keep", "relabel", "label", "drop", "skip", "ant", "1", "1e999", 10**400, [[]], {}]
    ),
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
