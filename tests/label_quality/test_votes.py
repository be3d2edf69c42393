"""Labels from votes: by hand, in any container, whatever is missing, and what is refused."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from noisyfit.label_quality import VotedLabels, aggregate_votes
from noisyfit.label_quality._votes import _step

METHODS = ["majority", "dawid_skene"]
NONE, NAN, NA = None, np.nan, pd.NA


def naive_step(codes, posterior):
    """Dawid and Skene's equations with tables drawn towards that of all, one number at a time."""
    n, n_annotators = codes.shape
    k = posterior.shape[1]
    counts = np.zeros((n_annotators, k, k))
    for i in range(n):
        for a in range(n_annotators):
            if codes[i, a] >= 0:
                counts[a, :, codes[i, a]] += posterior[i]
    typical = counts.sum(axis=0) + 1
    typical /= typical.sum(axis=1)[:, None]
    new = np.zeros_like(posterior)
    for i in range(n):
        for j in range(k):
            new[i, j] = posterior[:, j].mean()
            for a in range(n_annotators):
                if codes[i, a] >= 0:
                    of_class = counts[a, j]
                    likely = (of_class + 10 * typical[j]) / (of_class.sum() + 10)
                    new[i, j] *= likely[codes[i, a]]
    return new / new.sum(axis=1)[:, None]


def test_a_step_by_hand():
    """Two rows: annotator 0 votes 0 and 1, annotator 1 votes 0 and 0; the second row is open."""
    cast = sparse.csr_array([[1.0, 0, 1, 0], [0, 1, 1, 0]])  # columns: annotator 0, annotator 1
    posterior = np.array([[1.0, 0.0], [0.5, 0.5]])
    # Of class 0: annotator 0 has 1 vote for 0 and .5 for 1, annotator 1 has 1.5 for 0; all of them
    # together, with one more in each cell, 3.5 and 1.5, or .7 and .3. Of class 1: 0 and .5, .5 and
    # 0; together 1.5 and 1.5, or .5 and .5.
    a0 = np.array([[8.0, 3.5], [5.0, 5.5]]) / [[11.5], [10.5]]
    a1 = np.array([[8.5, 3.0], [5.5, 5.0]]) / [[11.5], [10.5]]
    expected = np.array(
        [
            [0.75 * a0[0, 0] * a1[0, 0], 0.25 * a0[1, 0] * a1[1, 0]],
            [0.75 * a0[0, 1] * a1[0, 0], 0.25 * a0[1, 1] * a1[1, 0]],
        ]
    )
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(_step(cast, posterior), expected, rtol=1e-12)


def crowd(n=300, n_classes=3, errors=(0.05, 0.1, 0.5, 0.6), seed=0):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, n_classes, n)
    other = (true[:, None] + rng.integers(1, n_classes, (n, len(errors)))) % n_classes
    votes = np.where(rng.random(other.shape) < errors, other, true[:, None])
    return true, votes


def test_dawid_and_skene_end_at_a_fixed_point():
    _, votes = crowd()
    votes = np.where(np.random.default_rng(1).random(votes.shape) < 0.3, -1, votes)
    votes = votes[(votes >= 0).any(axis=1)]
    proba = aggregate_votes(votes, "dawid_skene", missing=-1).proba
    np.testing.assert_allclose(naive_step(votes, proba), proba, atol=3e-6)
    assert np.abs(naive_step(votes, np.full_like(proba, 1 / 3)) - proba).max() > 0.1


def test_dawid_and_skene_learn_who_is_right():
    true, votes = crowd()
    majority, model = (aggregate_votes(votes, method) for method in METHODS)
    assert (model.labels == true).mean() > (majority.labels == true).mean() + 0.05
    right = model.labels == true
    assert model.confidence.mean() == pytest.approx(right.mean(), abs=0.03)
    renamed = aggregate_votes(2 - votes, "dawid_skene")
    np.testing.assert_allclose(renamed.proba[:, ::-1], model.proba, atol=1e-9)
    moved = aggregate_votes(votes[::-1, ::-1], "dawid_skene")
    np.testing.assert_allclose(moved.proba[::-1], model.proba, atol=1e-9)


def test_the_majority_are_shares_of_the_votes():
    voted = aggregate_votes([[0, 0, 2], [2, None, None], [0, 2, 2]])
    np.testing.assert_allclose(voted.proba, [[2 / 3, 1 / 3], [0, 1], [1 / 3, 2 / 3]])
    assert voted.labels.tolist() == [0, 2, 2]
    assert voted.classes.tolist() == [0, 2]
    assert voted.n_votes.tolist() == [3, 1, 3]
    np.testing.assert_allclose(voted.confidence, [2 / 3, 1, 2 / 3])


def test_ties_prefer_no_class_and_no_annotator():
    votes = np.array([[0, 1], [0, 1], [1, 0], [1, 0]] * 50)
    labels = aggregate_votes(votes).labels
    assert labels[:4].tolist() == [0, 1, 1, 0]
    assert labels.mean() == 0.5
    assert (labels == votes[:, 0]).mean() == 0.5
    assert aggregate_votes([[2, 2, 1, 1, 0]] * 4).labels.tolist() == [2, 2, 1, 1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "votes",
    [
        [[0, 0, 1], [1, NONE, NONE], [1, 1, NONE]],
        [[0, 0, 1], [1, NAN, NONE], [1, 1, NA]],
        np.array([[0, 0, 1], [1, NAN, NAN], [1, 1, NAN]]),
        np.array([[0, 0, 1], [1, NAN, NAN], [1, 1, NAN]], dtype=np.float32),
        torch.tensor([[0, 0, 1], [1, torch.nan, torch.nan], [1, 1, torch.nan]]),
        pd.DataFrame({"Ann": [0, 1, 1], "Bob": [0, NAN, 1], "Cy": [1, NAN, NAN]}),
        pd.DataFrame({"Ann": [0, 1, 1], "Bob": [0, NA, 1], "Cy": [1, NA, NA]}, dtype="Int64"),
        pl.DataFrame({"Ann": [0, 1, 1], "Bob": [0, None, 1], "Cy": [1, None, None]}),
        pa.table({"Ann": [0, 1, 1], "Bob": [0, None, 1], "Cy": [1, None, None]}),
    ],
)
def test_missing_votes_in_each_form(votes, method):
    voted = aggregate_votes(votes, method)
    expected = aggregate_votes([[0, 0, 1], [1, -1, -1], [1, 1, -1]], method, missing=-1)
    assert voted.labels.dtype.kind == "i"
    for name in ("labels", "proba", "classes", "n_votes"):
        np.testing.assert_array_equal(getattr(voted, name), getattr(expected, name))


@pytest.mark.parametrize("missing", ["", "?", -1, 0, False])
def test_a_value_that_stands_for_no_vote(missing):
    kind = {str: ["cat", "dog"], int: [1, 2], bool: [True, False]}[type(missing)]
    a, b = kind
    if missing is False:
        voted = aggregate_votes([[a, missing], [a, a]], missing=missing)
        assert voted.n_votes.tolist() == [1, 2]
        return
    voted = aggregate_votes([[a, a, b], [b, missing, None]], missing=missing)
    assert voted.labels.tolist() == [a, b]
    assert voted.n_votes.tolist() == [3, 1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "names",
    [["cat", "dog", "eel"], [5, -3, 70], [2**60, 2**60 + 1, 2**60 + 3], [True, False]],
)
def test_labels_of_every_kind(names, method):
    codes = np.array([[0, 0, 1], [1, 1, 1], [len(names) - 1] * 3] + [[0] * 3, [1] * 3] * 10)
    votes = [[names[code] for code in row] for row in codes]
    of_list, of_frame = aggregate_votes(votes, method), aggregate_votes(pd.DataFrame(votes), method)
    assert of_list.labels[:3].tolist() == [names[0], names[1], names[-1]]
    assert of_frame.labels.tolist() == of_list.labels.tolist()
    assert of_list.classes.tolist() == sorted(set(names))
    category = aggregate_votes(pd.DataFrame(votes).astype("category"), method)
    assert category.labels.tolist() == of_list.labels.tolist()


@pytest.mark.parametrize("method", METHODS)
def test_one_class_and_all_agree(method):
    voted = aggregate_votes([["cat", "cat"], ["cat", None]], method)
    assert voted.labels.tolist() == ["cat", "cat"]
    np.testing.assert_array_equal(voted.proba, [[1.0], [1.0]])
    agreed = aggregate_votes(np.repeat(np.arange(40) % 2, 3).reshape(-1, 3), method)
    assert agreed.labels.tolist() == (np.arange(40) % 2).tolist()
    assert agreed.confidence.min() > 0.99


@pytest.mark.parametrize("method", METHODS)
def test_an_annotator_who_never_answered_changes_nothing(method):
    _, votes = crowd(50)
    without = aggregate_votes(votes, method)
    silent = np.column_stack([votes[:, :1], np.full(50, -1), votes[:, 1:]])
    np.testing.assert_allclose(aggregate_votes(silent, method, missing=-1).proba, without.proba)


def test_an_annotator_of_one_vote_does_not_count_as_faultless():
    _, votes = crowd(100, 2, (0.3, 0.3, 0.3))
    votes = np.column_stack([votes, np.full(100, -1)])
    votes[0] = [1, 1, 1, 0]
    voted = aggregate_votes(votes, "dawid_skene", missing=-1)
    assert voted.labels[0] == 1


def test_classes_that_nobody_voted_for():
    for method in METHODS:
        voted = aggregate_votes([[2, 2], [0, 0]], method, classes=[2, 1, 0])
        assert voted.classes.tolist() == [0, 1, 2]
        assert voted.proba[:, 1].tolist() == [0, 0]
        assert voted.labels.tolist() == [2, 0]


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.int64, st.tuples(st.integers(1, 12), st.integers(1, 5)), elements=st.integers(0, 3))
)
def test_what_holds_of_any_votes(votes):
    for method in METHODS:
        voted = aggregate_votes(votes, method)
        np.testing.assert_allclose(voted.proba.sum(axis=1), 1)
        assert np.isfinite(voted.proba).all()
        column = np.searchsorted(voted.classes, voted.labels)
        chosen = voted.proba[np.arange(len(votes)), column]
        np.testing.assert_allclose(chosen, voted.confidence, atol=1e-8)
    assert (aggregate_votes(votes[:, :1]).labels == votes[:, 0]).all()


@pytest.mark.parametrize(
    ("votes", "options", "says"),
    [
        ([0, 1, 1], {}, "Got the shape (3,)"),
        (np.array([0, 1, 1]), {}, "Got the shape (3,)"),
        (np.zeros((2, 2, 2)), {}, "Got the shape (2, 2, 2)"),
        (np.zeros((0, 3)), {}, "Got the shape (0, 3)"),
        (np.zeros((3, 0)), {}, "Got the shape (3, 0)"),
        ([], {}, "Got the shape (0,)"),
        ([[0, 1], [0]], {}, "Got rows of [1, 2] votes"),
        ([[0, 1], [None, None]], {}, "1 rows have no vote, such as [1]"),
        ([[0, 1], [-1, None]], {"missing": -1}, "1 rows have no vote, such as [1]"),
        ([["cat", "dog"], ["eel", "cat"]], {"classes": ["cat", "dog"]}, "votes hold ['eel']"),
        ([[0, 1], [-1, 1]], {"classes": [0, 1]}, "named as missing="),
        ([[0, "cat"]], {}, "Unknown label type"),
        ([[0.5, 1]], {}, "Unknown label type"),
        ([[0, 1]], {"method": "mean"}, "The 'method' parameter of aggregate_votes"),
    ],
)
def test_what_is_refused(votes, options, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        aggregate_votes(votes, **options)


def test_voted_labels_are_their_own_type():
    voted = aggregate_votes([[0, 1, 1]])
    assert isinstance(voted, VotedLabels)
    with pytest.raises(AttributeError):
        voted.labels = np.array([0])
