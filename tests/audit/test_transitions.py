"""The transition matrix of an audit: by hand, where all is known, and over many draws."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix
from test_sampling import SCORES

from noisyfit.audit import Audit, sample

RNG = np.random.default_rng(3)
TRUE = RNG.integers(0, 3, len(SCORES))
OTHER = (TRUE + RNG.integers(1, 3, len(SCORES))) % 3
GIVEN = np.where(RNG.random(len(SCORES)) < SCORES, OTHER, TRUE)
COUNTS = confusion_matrix(TRUE, GIVEN)
MATRIX = COUNTS / COUNTS.sum(axis=1, keepdims=True)


def test_all_rows_verified_give_the_truth():
    names = np.array(["ant", "bee", "cat"])
    audit = Audit(SCORES, names[GIVEN], names[TRUE], rows=range(len(SCORES)))
    matrix = audit.transition_matrix()
    assert matrix.classes.tolist() == names.tolist()
    for part in (matrix.value, matrix.low, matrix.high):
        np.testing.assert_allclose(part, MATRIX)


def test_by_hand():
    given, right = np.repeat([0, 1], [60, 40]), np.array([0, 0, 0, 1, 1, 1])
    rows = [0, 1, 2, 3, 60, 61]
    matrix = Audit(np.full(100, 0.5), given, right, rows=rows).transition_matrix()
    # Class 1: a quarter of 60 rows called 0, and all of 40 rows called 1.
    np.testing.assert_allclose(matrix.value, [[1, 0], [15 / 55, 40 / 55]])
    assert matrix.low[1, 0] < 15 / 55 < matrix.high[1, 0]


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = np.zeros((3, 3))
    for seed in range(150):
        drawn = sample(SCORES, 150, y=GIVEN, random_state=seed)
        matrix = Audit(SCORES, GIVEN, TRUE[drawn.rows], drawn).transition_matrix()
        np.testing.assert_allclose(matrix.value.sum(axis=1), 1, atol=0.05)
        held += (matrix.low <= MATRIX) & (matrix.high >= MATRIX)
    assert (held >= 0.9 * 150).all(), "of 95 % intervals"


def test_a_class_that_nobody_found_may_be_given_any_label():
    matrix = Audit([0.5] * 4, ["a", "a", "b", "c"], ["a", "b"], rows=[0, 2]).transition_matrix()
    assert np.isnan(matrix.value[2]).all()
    assert (matrix.low[2] == 0).all()
    assert (matrix.high[2] == 1).all()


def test_truth_values_do_not_say_which_label_is_right():
    with pytest.raises(ValueError, match="verified held truth values"):
        Audit([0.5] * 4, ["a", "b"] * 2, [True, False], rows=[0, 1]).transition_matrix()
    with pytest.raises(ValueError, match="as y"):
        Audit([0.5] * 4, None, [True, False], rows=[0, 1]).transition_matrix()
