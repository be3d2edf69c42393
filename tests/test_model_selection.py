"""`TrustedFold`: which rows are tested on, who gets which mask, and what is refused."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from _generators import global_states
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_blobs
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.neighbors import NearestNeighbors
from torch.utils.data import TensorDataset

from noisyfit import MILDSelector
from noisyfit.model_selection import TrustedFold

rng = np.random.default_rng(0)
N = 60
Y = np.tile(["cat", "dog", "ox"], N // 3)
X = np.arange(N, dtype=float)[:, None]  # every row tells its number
TRUSTED = np.zeros(N, dtype=bool)
TRUSTED[rng.permutation(N)[:24]] = True


class Recorder(ClassifierMixin, BaseEstimator):
    """Predicts the label of the nearest row, and remembers what it was given."""

    __metadata_request__fit = {"trusted": True}  # noqa: RUF012

    def __init__(self, offset=0.0):
        self.offset = offset

    def fit(self, X, y, trusted=None):
        self.classes_, self.rows_, self.labels_, self.trusted_ = np.unique(y), X, y, trusted
        self.neighbours_ = NearestNeighbors(n_neighbors=1).fit(X + self.offset)
        return self

    def predict(self, X):
        return np.asarray(self.labels_)[self.neighbours_.kneighbors(X)[1][:, 0]]


@pytest.fixture
def _routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def splits(cv, y=Y, trusted=None):
    return list(cv.split(np.zeros((len(y), 1)), y, trusted=trusted))


def assert_equal_splits(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def assert_given_the_mask(estimators, trains, trusted=TRUSTED):
    for est, train in zip(estimators, trains, strict=True):
        np.testing.assert_array_equal(est.rows_[:, 0], train)
        np.testing.assert_array_equal(est.trusted_, trusted[train])
        assert est.trusted_.any()


# -- the folds -----------------------------------------------------------------------------------


@settings(max_examples=100)
@given(
    counts=st.lists(st.tuples(st.integers(2, 9), st.integers(0, 5)), min_size=1, max_size=6),
    n_splits=st.integers(2, 7),
    shuffle=st.booleans(),
    seed=st.integers(0, 99),
)
def test_trusted_rows_are_dealt_and_all_others_are_always_trained_on(
    counts, n_splits, shuffle, seed
):
    y = np.concatenate([np.full(sum(pair), c) for c, pair in enumerate(counts)])
    trusted = np.concatenate([np.arange(sum(pair)) < pair[0] for pair in counts])
    order = np.random.default_rng(seed).permutation(len(y))
    y, trusted = y[order], trusted[order]
    cv = TrustedFold(n_splits, shuffle=shuffle, random_state=seed if shuffle else None)
    if trusted.sum() < n_splits:
        with pytest.raises(ValueError, match="cannot deal"):
            splits(cv, y, trusted)
        return
    found = splits(cv, y, trusted)
    assert len(found) == cv.get_n_splits() == n_splits
    tested = np.concatenate([test for _, test in found])
    np.testing.assert_array_equal(np.sort(tested), np.flatnonzero(trusted))
    sizes = [len(test) for _, test in found]
    assert 1 <= min(sizes) <= max(sizes) <= min(sizes) + 1
    for train, test in found:
        mask = np.ones(len(y), dtype=bool)
        mask[test] = False
        np.testing.assert_array_equal(train, np.flatnonzero(mask))
        assert (np.diff(test) > 0).all()
        assert set(y[train[trusted[train]]]) == set(y)
    for c in np.unique(y):
        share = [(y[test] == c).sum() for _, test in found]
        assert max(share) - min(share) <= 1


@pytest.mark.parametrize("shuffle", [False, True])
def test_trusted_rows_are_dealt_as_by_stratified_k_fold(shuffle):
    options = {"shuffle": shuffle, "random_state": 3 if shuffle else None}
    rows = np.flatnonzero(TRUSTED)
    expected = [rows[test] for _, test in StratifiedKFold(4, **options).split(X[rows], Y[rows])]
    for (_, test), other in zip(
        splits(TrustedFold(4, **options), trusted=TRUSTED), expected, strict=True
    ):
        np.testing.assert_array_equal(test, other)


def test_shuffle_deals_at_random_and_random_state_repeats_it():
    def tests(**options):
        return [test.tolist() for _, test in splits(TrustedFold(3, **options), trusted=TRUSTED)]

    assert tests() == tests()
    assert tests(shuffle=True, random_state=0) == tests(shuffle=True, random_state=0)
    assert tests(shuffle=True, random_state=0) != tests(shuffle=True, random_state=1)
    assert tests(shuffle=True, random_state=0) != tests()
    before = global_states()
    tests(shuffle=True, random_state=0)
    assert global_states() == before


def test_the_mask_comes_from_either_place_or_twice_the_same():
    expected = splits(TrustedFold(3), trusted=TRUSTED)
    assert_equal_splits(splits(TrustedFold(3, trusted=TRUSTED)), expected)
    assert_equal_splits(splits(TrustedFold(3, trusted=list(TRUSTED)), trusted=TRUSTED), expected)


@pytest.mark.parametrize(
    "rows",
    [X, sparse.csr_array(X), pd.DataFrame(X), TensorDataset(torch.zeros(N, 1)), None],
    ids=["array", "csr", "frame", "dataset", "none"],
)
def test_any_container(rows):
    expected = splits(TrustedFold(3), trusted=TRUSTED)
    index = np.arange(N)[::-1]  # labels of a Series are not its positions
    for y, trusted in [
        (list(Y), list(TRUSTED)),
        (pd.Series(Y, index=index), pd.Series(TRUSTED, index=index)),
    ]:
        assert_equal_splits(list(TrustedFold(3).split(rows, y, trusted=trusted)), expected)


# -- in scikit-learn -----------------------------------------------------------------------------


def test_cross_validate_with_the_mask_in_the_constructor():
    cv = TrustedFold(3, trusted=TRUSTED)
    result = cross_validate(
        Recorder(), X, Y, cv=cv, params={"trusted": TRUSTED}, return_estimator=True
    )
    expected = splits(cv)
    assert_given_the_mask(result["estimator"], [train for train, _ in expected])
    by_hand = [
        np.mean(est.predict(X[test]) == Y[test])
        for est, (_, test) in zip(result["estimator"], expected, strict=True)
    ]
    np.testing.assert_array_equal(result["test_score"], by_hand)
    np.testing.assert_array_equal(
        cross_val_score(Recorder(), X, Y, cv=cv, params={"trusted": TRUSTED}), by_hand
    )


@pytest.mark.usefixtures("_routing")
def test_routing_brings_one_mask_to_both():
    result = cross_validate(
        Recorder(),
        X,
        Y,
        cv=TrustedFold(3),
        params={"trusted": TRUSTED},
        return_estimator=True,
        return_indices=True,
    )
    expected = splits(TrustedFold(3), trusted=TRUSTED)
    found = zip(result["indices"]["train"], result["indices"]["test"], strict=True)
    assert_equal_splits(list(found), expected)
    assert_given_the_mask(result["estimator"], [train for train, _ in expected])
    scores = cross_val_score(Recorder(), X, Y, cv=TrustedFold(3), params={"trusted": TRUSTED})
    np.testing.assert_array_equal(scores, result["test_score"])


@pytest.mark.parametrize("routing", [False, True])
def test_grid_search(routing):
    # An offset of three rows gives each row the label of its true neighbour of the same class.
    cv = TrustedFold(4) if routing else TrustedFold(4, trusted=TRUSTED)
    with sklearn.config_context(enable_metadata_routing=routing):
        search = GridSearchCV(Recorder(), {"offset": [0.0, 3.0]}, cv=cv)
        search = clone(search).fit(X, Y, trusted=TRUSTED)
    assert search.n_splits_ == 4
    assert search.best_params_ == {"offset": 3.0}
    for k, (train, test) in enumerate(splits(TrustedFold(4), trusted=TRUSTED)):
        score = Recorder(3.0).fit(X[train], Y[train]).score(X[test], Y[test])
        assert search.cv_results_[f"split{k}_test_score"][1] == score
    assert_given_the_mask([search.best_estimator_], [np.arange(N)])


@pytest.mark.usefixtures("_routing")
def test_nested_cross_validation_needs_routing_only():
    search = GridSearchCV(Recorder(), {"offset": [0.0, 3.0]}, cv=TrustedFold(2))
    result = cross_validate(
        search, X, Y, cv=TrustedFold(3), params={"trusted": TRUSTED}, return_estimator=True
    )
    trains = [train for train, _ in splits(TrustedFold(3), trusted=TRUSTED)]
    assert_given_the_mask([inner.best_estimator_ for inner in result["estimator"]], trains)


def test_nested_cross_validation_with_a_mask_in_the_constructor_is_refused():
    cv = TrustedFold(2, trusted=TRUSTED)
    search = GridSearchCV(Recorder(), {"offset": [0.0, 3.0]}, cv=cv)
    with pytest.raises(ValueError, match=r"mask of shape \(48,\).* of shape \(60,\)"):
        cross_validate(search, X, Y, cv=cv, error_score="raise")


@pytest.mark.usefixtures("_routing")
def test_the_mask_can_be_routed_under_another_name():
    cv = TrustedFold(3).set_split_request(trusted="verified")
    est = Recorder().set_fit_request(trusted="verified")
    result = cross_validate(est, X, Y, cv=cv, params={"verified": TRUSTED}, return_estimator=True)
    trains = [train for train, _ in splits(TrustedFold(3), trusted=TRUSTED)]
    assert_given_the_mask(result["estimator"], trains)


def test_cross_val_predict_refuses_rows_that_are_never_tested_on():
    with pytest.raises(ValueError, match="only works for partitions"):
        cross_val_predict(Recorder(), X, Y, cv=TrustedFold(3, trusted=TRUSTED))


def test_scores_of_verified_labels_show_what_noisy_scores_hide():
    # The boundary of the given labels lies at 1 instead of 0: only verified labels tell.
    x = np.random.default_rng(0).uniform(-2, 2, size=(300, 1)).astype(np.float32)
    true, trusted = (x[:, 0] > 0).astype(int), np.arange(300) < 60
    noisy = np.where(trusted, true, x[:, 0] > 1).astype(int)
    est = MILDSelector(rounds=1, max_epochs=3, random_state=0)
    naive = cross_val_score(est, x, noisy, cv=3).mean()
    cv = TrustedFold(3, trusted=trusted)
    honest = cross_val_score(est, x, noisy, cv=cv, error_score="raise")
    for score, (train, test) in zip(honest, splits(cv, noisy), strict=True):
        assert score == est.fit(x[train], noisy[train]).score(x[test], true[test])
    assert honest.mean() < naive - 0.05


@pytest.mark.parametrize("routing", [False, True])
def test_with_an_estimator_of_noisyfit(routing):
    x, y = make_blobs(90, centers=[[-2, 0], [2, 0]], random_state=0)
    trusted = np.arange(90) % 4 == 0
    est = MILDSelector(rounds=1, max_epochs=3, random_state=0)
    cv = TrustedFold(2) if routing else TrustedFold(2, trusted=trusted)
    with sklearn.config_context(enable_metadata_routing=routing):
        result = cross_validate(
            est,
            x,
            y,
            cv=cv,
            params={"trusted": trusted},
            return_estimator=True,
            error_score="raise",
        )
    for fitted, (train, _) in zip(
        result["estimator"], splits(TrustedFold(2), y, trusted), strict=True
    ):
        np.testing.assert_array_equal(fitted.noise_scores_ == 0, trusted[train])


def test_repr_clone_and_pickle_are_those_of_scikit_learns_splitters():
    cv = TrustedFold(3, shuffle=True, random_state=1)
    assert repr(cv) == "TrustedFold(n_splits=3, random_state=1, shuffle=True, trusted=None)"
    for other in (clone(cv, safe=False), pickle.loads(pickle.dumps(cv))):
        assert repr(other) == repr(cv)
        assert_equal_splits(splits(other, trusted=TRUSTED), splits(cv, trusted=TRUSTED))
    assert len(repr(TrustedFold(trusted=np.zeros(100_000, dtype=bool)))) < 200


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_splits": 1}, ValueError, "n_splits=2 or more"),
        ({"n_splits": 2.5}, ValueError, "must be of Integral type"),
        ({"shuffle": "yes"}, TypeError, "shuffle must be True or False"),
        ({"random_state": 0}, ValueError, "random_state has no effect"),
    ],
)
def test_bad_parameters_are_refused_at_once(options, error, message):
    with pytest.raises(error, match=message):
        TrustedFold(**options)


def test_a_mask_is_needed():
    with pytest.raises(ValueError, match=r"Write TrustedFold\(trusted=mask\), or split"):
        splits(TrustedFold())
    with pytest.raises(ValueError, match="needs to know the rows to test on"):
        cross_val_score(Recorder(), X, Y, cv=TrustedFold(), params={"trusted": TRUSTED})


def test_two_masks_that_differ_are_refused():
    other = TRUSTED.copy()
    other[np.flatnonzero(TRUSTED)[0]] = False
    with pytest.raises(ValueError, match=r"has a mask of 24 trusted rows, .* another, of 23"):
        splits(TrustedFold(trusted=TRUSTED), trusted=other)


def test_indices_and_masks_of_another_length_are_refused():
    for bad in (np.flatnonzero(TRUSTED), TRUSTED[:-1], TRUSTED.astype(int)):
        with pytest.raises(ValueError, match=r"boolean mask of shape \(60,\)"):
            splits(TrustedFold(), trusted=bad)
        with pytest.raises(ValueError, match=r"boolean mask of shape \(60,\)"):
            splits(TrustedFold(trusted=bad))


def test_a_class_that_cannot_be_both_trained_and_tested_on_is_named():
    trusted = TRUSTED.copy()
    trusted[Y == "dog"] = False
    trusted[np.flatnonzero(Y == "ox")] = np.arange(20) == 7
    with pytest.raises(ValueError, match=r"two trusted rows .* Got \{'dog': 0, 'ox': 1\} \(class"):
        splits(TrustedFold(2), trusted=trusted)
    y = np.where(np.arange(N) == np.flatnonzero(TRUSTED)[0], 7, 5)
    with pytest.raises(ValueError, match=r"Got \{7: 1\}"):
        splits(TrustedFold(2), y, TRUSTED)


def test_more_folds_than_trusted_rows_are_refused():
    trusted = np.arange(N) < 6
    with pytest.raises(ValueError, match=r"deal 6 trusted rows to n_splits=7 .* at most 6"):
        splits(TrustedFold(7), trusted=trusted)
    assert [len(test) for _, test in splits(TrustedFold(6), trusted=trusted)] == [1] * 6


FILMS = np.array([f"film {i // 6}" for i in range(N)])


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_group_is_on_one_side(shuffle):
    folds = TrustedFold(3, trusted=TRUSTED, shuffle=shuffle, random_state=0 if shuffle else None)
    tested = []
    for train, test in folds.split(X, Y, groups=FILMS):
        assert TRUSTED[test].all()
        assert not set(FILMS[train]) & set(FILMS[test])
        assert set(Y[train][TRUSTED[train]]) == set(Y)
        # All other rows are trained on, trusted or not.
        assert len(train) == (~np.isin(FILMS, FILMS[test])).sum()
        tested += test.tolist()
    assert sorted(tested) == np.flatnonzero(TRUSTED).tolist()


def test_groups_of_one_row_test_all_trusted_rows_once():
    pairs = list(TrustedFold(3, trusted=TRUSTED).split(X, Y, groups=np.arange(N)))
    assert sorted(np.concatenate([test for _, test in pairs])) == np.flatnonzero(TRUSTED).tolist()
    assert all(len(train) + len(test) == N for train, test in pairs)


@pytest.mark.parametrize(
    ("groups", "n_splits", "message"),
    [
        (np.where(Y == "ox", "one film", FILMS), 2, r"in two groups.*\{'ox': 1\}"),
        (np.arange(N) // 20, 4, r"deal 3 groups with trusted rows to n_splits=4 folds"),
        (np.arange(N - 1), 2, r"groups"),
    ],
)
def test_groups_that_cannot_be_dealt_are_refused(groups, n_splits, message):
    with pytest.raises(ValueError, match=message):
        list(TrustedFold(n_splits, trusted=TRUSTED).split(X, Y, groups=groups))


def test_groups_that_leave_a_class_no_row_to_train_on_are_refused():
    y, groups = np.array([1, 0, 1, 0, 0, 0, 0, 1, 1, 1]), np.array([3, 0, 3, 2, 2, 0, 0, 3, 0, 0])
    folds = TrustedFold(2, trusted=np.ones(10, dtype=bool))
    with pytest.raises(ValueError, match=r"test all trusted rows of \[0\], and leave none"):
        list(folds.split(y, y, groups=groups))


def test_classes_smaller_than_the_folds_are_dealt_in_groups_as_without():
    y, trusted = np.repeat([0, 1, 2], 20), np.arange(60) % 20 < 4
    pairs = list(TrustedFold(5, trusted=trusted).split(y, y, groups=np.arange(60)))
    assert sorted(np.concatenate([t for _, t in pairs])) == np.flatnonzero(trusted).tolist()
    assert all(len(t) for _, t in pairs)


def test_a_fold_that_would_test_nothing_is_refused():
    y = np.array([0, 1, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 1, 0, 1])
    groups = np.array([1, 3, 4, 2, 0, 4, 2, 1, 1, 2, 4, 0, 3, 1, 0, 2])
    trusted = np.isin(np.arange(16), [0, 2, 8, 9, 10, 11, 13, 14, 15])
    with pytest.raises(ValueError, match="one of them would test no row"):
        list(TrustedFold(4, trusted=trusted).split(y, y, groups=groups))


def test_groups_reach_estimator_and_folds_by_routing():
    sklearn.set_config(enable_metadata_routing=True)
    try:
        scores = cross_val_score(
            MILDSelector(rounds=1, max_epochs=2, judge_epochs=0, random_state=0),
            X,
            Y,
            cv=TrustedFold(2),
            params={"trusted": TRUSTED, "groups": FILMS},
        )
    finally:
        sklearn.set_config(enable_metadata_routing=False)
    assert len(scores) == 2


def test_labels_are_checked():
    cv = TrustedFold(2, trusted=TRUSTED)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        list(cv.split(X[:-1], Y))
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        list(cv.split(X, np.linspace(0, 1, N)))
    with pytest.raises(ValueError, match="1d array"):
        list(cv.split(X, None))
