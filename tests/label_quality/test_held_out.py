"""The noise rate from out-of-fold probabilities: four estimates by hand, and what must hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisyfit.label_quality import (
    HeldOutNoiseRate,
    NoiseRateEstimate,
    held_out_noise_rate,
    with_loss_gap,
)
from noisyfit.label_quality._rate_estimates import evenly_spread, margins, surest_rows
from noisyfit.noise import corrupt_labels, transition_matrix

A, B, C, D = range(4)


def binary(first):
    """Probabilities of two classes, from those of the first."""
    return np.column_stack([first, 1 - np.asarray(first)])


def noisy(n=2000, n_classes=4, rate=0.1, kind="symmetric", seed=0):
    """Return true and given labels; of pairs each class is taken for the next one."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, n_classes, n)
    of = np.flatnonzero(true == 0) if kind == "one class" else np.arange(n)
    wrong = rng.choice(of, int(rate * n), replace=False)
    shift = rng.integers(1, n_classes, len(wrong)) if kind == "symmetric" else 1
    given_ = true.copy()
    given_[wrong] = (true[wrong] + shift) % n_classes
    return true, given_


def soft(true, n_classes, seed=0):
    """Probabilities that favour the true class, some more than others, some another class."""
    rng = np.random.default_rng(seed)
    z = 2 * np.eye(n_classes)[true] + rng.normal(size=(len(true), n_classes))
    return np.exp(z) / np.exp(z).sum(1, keepdims=True)


def test_confident_contradictions_by_hand():
    # All are predicted to be of class 0, the first with the most confidence. One of the first 60
    # labels contradicts, half of the other 40. The bound is .04 at 50, .033 at 60 and .25 at 100.
    y = np.r_[np.zeros(60, int), np.arange(40) % 2]
    y[10] = 1
    found = held_out_noise_rate(binary(np.linspace(0.95, 0.6, 100)), y)
    assert found.estimates[A] == pytest.approx(1 / 61)  # the next label agrees as well
    assert found.contradicted == pytest.approx(21 / 100)


def test_confidence_counts_within_the_predicted_class():
    # Class 1 is predicted with less confidence than class 0 throughout, and without an error.
    confident = np.r_[np.linspace(0.99, 0.9, 100), np.linspace(0.7, 0.6, 100)]
    P = binary(np.r_[confident[:100], 1 - confident[100:]])
    y = np.r_[np.zeros(100, int), np.ones(100, int)]
    y[50:100] = 1
    # The 50 most confident of each class come first: 100 rows without a contradiction.
    assert held_out_noise_rate(P, y).estimates[A] == 0


def test_selective_classification_by_hand():
    # Of the ten surest of class 0 nine are given 0, and that is where .9 - sqrt(.09 / 10) is
    # largest; the ten surest of class 1 are all given 1. T = [[.9, 0], [.1, 1]], the shares are
    # (.45, .55) = T (.5, .5), and 1 - (.5 * .9 + .5 * 1) = .05.
    y = np.r_[1, np.zeros(9, int), np.ones(10, int)]
    found = held_out_noise_rate(binary(np.linspace(0.95, 0.05, 20)), y)
    assert found.estimates[B] == pytest.approx(0.05, abs=1e-6)


def test_confident_joint_by_hand():
    # tau_0 = mean(.9, .8, .6) = .77 and tau_1 = mean(.15, .3, .7, .8) = .49. The third row is of
    # class 0 beyond tau_0, the fourth only by its most probable class.
    P, y = binary([0.9, 0.8, 0.85, 0.7, 0.6, 0.3, 0.2]), np.array([0, 0, 1, 1, 0, 1, 1])
    found = held_out_noise_rate(P, y)
    assert found.estimates[C] == pytest.approx(1 / 7)
    assert found.contradicted == pytest.approx(2 / 7)


def test_planted_labels_by_hand():
    # Of two classes the planted label is the other one. A tenth of the given labels is at least as
    # suspicious as probability .2, and nine tenths of the planted ones: kappa = 1/9, and
    # kappa / (1 + kappa) = .1. At .002 it is 1 of 1000 against 30, but that may be chance.
    own = np.r_[np.full(870, 0.9), np.full(30, 0.999), np.full(99, 0.2), 0.002]
    found = held_out_noise_rate(binary(own), np.zeros(1000, int))
    assert found.estimates[D] == pytest.approx(0.1)


def test_margins_by_hand():
    P = np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.0, 1.0, 0.0]])
    expected = [np.log(0.7001 / 0.2001), np.log(0.1001 / 0.7001), np.log(0.0001 / 1.0001)]
    np.testing.assert_allclose(margins(P, np.array([0, 2, 0])), expected)


def test_the_rate_is_the_second_smallest_and_the_spread_that_of_the_middle_two():
    true, y = noisy()
    found = held_out_noise_rate(soft(true, 4), y)
    assert len(set(found.estimates)) == 4
    assert found.rate == sorted(found.estimates)[1]
    apart = HeldOutNoiseRate(0.1, (0.0, 0.3), (0.3, 0.1, 0.05, 0.15), 0.3, 0.0, told=True)
    assert apart.spread == pytest.approx(0.05)


@pytest.mark.parametrize("order", ["as they are", "errors first", "errors last"])
@pytest.mark.parametrize("kind", ["symmetric", "pair", "one class"])
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_perfect_probabilities_give_the_share_of_flipped_labels(n_classes, kind, order):
    rate = 0.03 if kind == "one class" else 0.1
    true, y = noisy(3000, n_classes, rate, kind)
    if order != "as they are":  # the probabilities are equal: nothing may depend on the order
        rows = np.argsort((true != y) == (order == "errors last"), kind="stable")
        true, y = true[rows], y[rows]
    found = held_out_noise_rate(np.eye(n_classes)[true], y)
    assert found.told
    assert found.rate == pytest.approx(rate, abs=1e-6)
    assert found.contradicted == pytest.approx(rate)
    np.testing.assert_allclose(found.estimates[:3], rate, atol=1e-6)
    assert found.estimates[D] == pytest.approx(rate, abs=2e-3)  # planted labels are drawn


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.96, 0.02, 0.02], [0.1] * 10])
def test_probabilities_that_tell_nothing_give_no_rate(shares):
    rng = np.random.default_rng(0)
    y = rng.choice(len(shares), 1000, p=shares)
    P = rng.dirichlet(np.ones(len(shares)), 1000)
    found = held_out_noise_rate(P, y)
    assert not found.told
    assert found.rate == 0
    assert found.interval == (0, found.contradicted)
    assert found.contradicted == (P.argmax(1) != y).mean() > 0
    same = held_out_noise_rate(np.tile(np.asarray(shares), (1000, 1)), y)
    assert not same.told


def test_told_is_a_permutation_test():
    rng, n, decided = np.random.default_rng(0), 300, []
    for strength in np.linspace(0, 0.6, 25):
        y = rng.choice(3, n, p=[0.9, 0.07, 0.03])
        P = soft(np.where(rng.random(n) < strength, y, rng.permutation(y)), 3, rng)
        drawn = [P[np.arange(n), rng.permutation(y)].mean() for _ in range(2000)]
        z = (P[np.arange(n), y].mean() - np.mean(drawn)) / np.std(drawn)
        if abs(z - 2.33) > 0.2:  # moments of 2000 draws are not exact
            assert held_out_noise_rate(P, y).told == (z > 2.33)
            decided.append(z > 2.33)
    assert 5 < sum(decided) < len(decided) - 5


def test_chance_alone_is_told_once_in_a_hundred():
    rng = np.random.default_rng(0)
    y = rng.choice(3, 200, p=[0.8, 0.15, 0.05])
    P = soft(y, 3)
    assert held_out_noise_rate(P, y).told
    told = [held_out_noise_rate(P, rng.permutation(y)).told for _ in range(400)]
    assert np.mean(told) < 0.03


@pytest.mark.parametrize("make", [soft, lambda true, n_classes: np.eye(n_classes)[true]])
def test_order_of_rows_and_classes_changes_only_what_is_drawn(make):
    rng = np.random.default_rng(1)
    true, y = noisy()
    P = make(true, 4)
    found = held_out_noise_rate(P, y)
    rows, classes = rng.permutation(len(y)), np.array([2, 0, 3, 1])
    for other in (
        held_out_noise_rate(P[rows], y[rows]),
        held_out_noise_rate(P[:, classes], np.argsort(classes)[y]),
    ):
        np.testing.assert_allclose(other.estimates[:3], found.estimates[:3], atol=1e-9)
        assert other.estimates[D] == pytest.approx(found.estimates[D], abs=0.02)
        assert (other.contradicted, other.told) == (found.contradicted, True)
    assert held_out_noise_rate(P, y, random_state=0).estimates == found.estimates
    drawn = {held_out_noise_rate(soft(true, 4), y, random_state=s).estimates[D] for s in range(5)}
    assert len(drawn) > 1


def test_a_class_without_a_label_explains_nothing():
    true, y = noisy(n_classes=3)
    P = soft(true, 3)
    alone = held_out_noise_rate(P, y)
    beside = held_out_noise_rate(np.insert(P, 1, 0.0, axis=1), np.array([0, 2, 3])[y])
    np.testing.assert_allclose(beside.estimates[:3], alone.estimates[:3], atol=1e-9)
    assert 0 < alone.estimates[B] < 0.2


@given(
    n=st.integers(1, 80),
    n_classes=st.integers(1, 6),
    n_repeats=st.integers(1, 3),
    sharpness=st.sampled_from([0.0, 1.0, 1000.0]),
    seed=st.integers(0, 99),
)
def test_the_interval_holds_the_rate(n, n_classes, n_repeats, sharpness, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    z = sharpness * (rng.normal(size=(n_repeats, n, n_classes)) + np.eye(n_classes)[y])
    P = np.exp(z - z.max(2, keepdims=True))
    P /= P.sum(2, keepdims=True)
    found = held_out_noise_rate(P, y)
    low, high = found.interval
    assert 0 <= low <= found.rate <= high <= 1
    assert all(0 <= estimate <= 1 for estimate in found.estimates)
    assert np.isnan(found.instability) == (n_repeats == 1)
    if n_classes == 1:
        assert not found.told


def test_repeats_tell_how_far_mistakes_of_the_models_reach():
    true, y = noisy()
    P = np.eye(4)[true]
    unsure = P.copy()
    unsure[:40] = 0.55 * np.eye(4)[(true[:40] + 1) % 4] + 0.45 * P[:40]  # right in the mean
    one, two = held_out_noise_rate(P, y), held_out_noise_rate(np.stack([P, unsure]), y)
    chance = 1.64 * np.sqrt(0.09 / 2000)
    assert two.instability == 0.02
    assert one.rate == pytest.approx(0.1)
    above = 1.64 * np.sqrt(one.contradicted * (1 - one.contradicted) / 2000)
    expected = (min(one.estimates) / 2 - chance, one.contradicted + above)
    assert one.interval == pytest.approx(expected)
    chance = 1.64 * np.sqrt(two.rate * (1 - two.rate) / 2000)
    assert two.interval[0] == pytest.approx(min(two.estimates) - 0.01 - chance)
    assert two.contradicted == one.contradicted
    three = held_out_noise_rate(np.stack([P, unsure, P]), y)
    assert three.instability == pytest.approx(0.02 * 2 / 3)  # two pairs of three differ


@pytest.mark.parametrize(
    ("proba", "y", "message"),
    [
        ([[0.5, 0.5]], [0, 1], r"shape \(n_samples, n_classes\).*Got \(1, 2\) and \(2,\)"),
        ([0.5, 0.5], [0, 1], r"Got \(2,\)"),
        (np.empty((0, 2)), [], "a row at least"),
        (np.empty((2, 0)), [0, 0], r"Got \(2, 0\)"),
        ([[2.0, -1.0]], [0], "values from -1 to 2.*predict_proba"),
        ([[0.5, 0.4]], [0], "sums from 0.9 to 0.9"),
        ([[0.0, 0.0], [0.5, 0.5]], [0, 1], "only rows that a model has judged"),
        ([[np.nan, 0.5]], [0], "must be probabilities"),
        ([[np.inf, 0.5]], [0], "must be probabilities"),
        ([[0.5, 0.5]], [2], "from 0 to 1, the columns of proba. Got values from 2 to 2"),
        ([[0.5, 0.5]], [-1], "Leave out rows without a label"),
        ([[0.5, 0.5]], [1.0], "of type float64; np.unique"),
        ([[0.5, 0.5]], ["a"], "of type <U1; np.unique"),
        ([[0.5, 0.5]], [None], "of type object"),
    ],
)
def test_bad_input_is_named(proba, y, message, refused):
    with refused(ValueError, message):
        held_out_noise_rate(proba, y)


def test_other_types_give_the_same():
    true, y = noisy()
    P = soft(true, 4)
    found = held_out_noise_rate(P, y)
    assert held_out_noise_rate(P.tolist(), y.tolist()).estimates == found.estimates
    assert held_out_noise_rate(P, y.astype(np.uint8)).rate == found.rate
    single = held_out_noise_rate(P.astype(np.float32), y)
    np.testing.assert_allclose(single.estimates, found.estimates, atol=2e-3)


@pytest.mark.parametrize("separation", [2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 9.0])
@pytest.mark.parametrize("rate", [0.1, 0.16, 0.21, 0.3, 0.44])
def test_losses_in_sample_choose_among_the_estimates_and_count_alone_if_they_are_clear(
    separation, rate
):
    estimates = (0.22, 0.2, 0.31, 0.15)
    found = HeldOutNoiseRate(0.2, (0.1, 0.4), estimates, 0.38, 0.03, told=True)
    combined = with_loss_gap(found, NoiseRateEstimate(rate, (0, 1), 3, separation, rate))
    if rate > 0.4 or separation <= 2.5:
        assert combined == 0.2, "as once wrong labels are learned by heart, or without two groups"
    elif separation >= 6:
        assert combined == pytest.approx(rate)
    elif separation <= 4:
        assert 0.15 <= combined <= 0.22, "the largest estimate has the hard rows, too"
        assert (combined - 0.2) * (rate - 0.2) >= 0
    else:
        assert min(rate, 0.15) < combined < max(rate, 0.22)


SURE = np.array([0.9, 0.04, 0.03, 0.02, 0.01])


def errors_among_sure_rows(n_of_class, proba=SURE, n_others=20):
    """Return a hundred rows that are surely of class 0, of which some have other labels."""
    P, y = np.tile(proba, (100, 1)), np.zeros(100, dtype=np.int64)
    y[: sum(n_of_class)] = np.repeat(np.arange(1, len(proba)), n_of_class)
    others = np.eye(len(proba)).repeat(n_others, axis=0)  # all right
    labels = np.concatenate([y, np.arange(len(proba)).repeat(n_others)])
    return evenly_spread(np.concatenate([P, others]), labels, np.arange(100))


def test_errors_spread_over_all_classes_are_counted_by_the_least_likely_ones():
    # m = 2 of 4 classes, the last two, have 6 of 12.
    assert errors_among_sure_rows([3, 3, 3, 3]) == pytest.approx(
        2 * (0.06 - 1.64 * np.sqrt(0.06 * 0.94 / 100))
    )
    assert errors_among_sure_rows([12, 12, 0, 0]) == 0, "overlap with similar classes"
    assert errors_among_sure_rows([0, 0, 13, 13]) > errors_among_sure_rows([6, 6, 7, 7])
    assert errors_among_sure_rows([15, 15, 15, 15]) == 0, "nobody is sure of anything"
    assert errors_among_sure_rows([12], proba=np.array([0.9, 0.1])) == 0, "no class is far away"
    unlearned = errors_among_sure_rows([3, 3, 3, 3], n_others=0)
    assert unlearned == 0, "right labels of a class that nobody has learned are unlikely, too"
    zeros = np.array([1.0, 0.0, 0.0, 0.0, 0.0])
    assert errors_among_sure_rows([0, 0, 6, 6], proba=zeros) == 0, "equal ones count as likely"


def test_the_interval_begins_near_errors_that_no_overlap_explains():
    rng = np.random.default_rng(0)
    true, spread = rng.integers(6, size=6000), np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    likeness = -1.2 * np.minimum(spread, 6 - spread)[true]
    P = np.exp(likeness + 0.5 * rng.normal(size=(6000, 6)))
    P /= P.sum(axis=1, keepdims=True)
    clean = np.array([rng.choice(6, p=p) for p in P])  # overlap: labels as the probabilities say
    found = {"none": evenly_spread(P, clean, surest_rows(P, clean))}
    for kind in ("symmetric", "pair"):
        noise = transition_matrix(kind, 6, 0.2)
        given, seen = corrupt_labels(clean, noise, random_state=0).labels, P @ noise
        found[kind] = evenly_spread(seen, given, surest_rows(seen, given))
        assert held_out_noise_rate(seen, given).interval[0] >= found[kind]
    assert found["none"] < 0.005
    assert found["pair"] < 0.005
    assert 0.07 < found["symmetric"] < 0.2
