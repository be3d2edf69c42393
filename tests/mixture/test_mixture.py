import pickle
import time

import numpy as np
import pytest
from _generators import global_states
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import gaussian_kde, norm, weibull_min
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.mixture import GaussianMixture

from noisyfit.mixture import GaussianMixture1D, WeibullMixture
from noisyfit.mixture._collapse import collapse, shift_positive
from noisyfit.mixture._location_scale import (
    GUMBEL,
    NORMAL,
    Solution,
    hold,
    kde_chord_split,
    log_joint,
    log_odds,
    maximize_likelihood,
    negative_log_likelihood,
    starting_splits,
)

BOTH = [WeibullMixture, GaussianMixture1D]


def two_weibulls(n=20_000, seed=0):
    rng = np.random.default_rng(seed)
    low = rng.random(n) < 0.8
    return np.where(low, 15 * rng.weibull(1.5, n), 60 * rng.weibull(6, n)), ~low


def mild_scores(n, seed=0, epochs=20, noise=0.2, clean=(7.0, 1.0), noisy=(1.0, 6.0)):
    """E - 2 * (number of epochs in which the label was predicted)."""
    rng = np.random.default_rng(seed)
    is_noisy = rng.random(n) < noise
    p = np.where(is_noisy, rng.beta(*noisy, n), rng.beta(*clean, n))
    return (epochs - 2 * rng.binomial(epochs, p)).astype(float), is_noisy


# shift_positive


def test_shift_positive_by_hand():
    shifted, offset = shift_positive([-3, -1, -3, 4])
    np.testing.assert_array_equal(shifted, [0.1, 2, 0.1, 7])
    assert offset == -3


def test_shift_positive_leaves_positive_scores_and_its_argument_alone():
    scores = np.array([0.5, 2.0])
    shifted, offset = shift_positive(scores)
    np.testing.assert_array_equal(shifted, scores)
    assert offset == 0
    scores = np.array([0.0, 2.0])
    np.testing.assert_array_equal(shift_positive(scores, zero_value=0.5)[0], [0.5, 2])
    np.testing.assert_array_equal(scores, [0, 2])


@given(st.integers(1, 1000))
@settings(max_examples=20)
def test_shift_positive_ignores_a_constant(constant):
    scores = mild_scores(100)[0]
    base, offset = shift_positive(scores)
    moved, moved_offset = shift_positive(scores - constant)
    np.testing.assert_array_equal(moved, base)
    assert moved_offset == offset - constant


@pytest.mark.parametrize("zero_value", [0, -1, np.nan])
def test_shift_positive_refuses_a_zero_value_that_is_not_positive(zero_value):
    with pytest.raises(ValueError, match="zero_value must be positive"):
        shift_positive([1, 2], zero_value=zero_value)


# collapse


@given(
    st.lists(st.integers(-20, 20), min_size=1, max_size=60),
    st.sampled_from([0, 10_000]),  # binned and exact
    st.booleans(),
)
def test_collapse_counts_integers_exactly(scores, max_exact, weighted):
    x = np.array(scores, dtype=float)
    w = np.arange(1, len(x) + 1, dtype=float) if weighted else np.ones(len(x))
    values, weights = collapse(x, w if weighted else None, max_exact=max_exact)
    np.testing.assert_array_equal(values, np.unique(x))
    np.testing.assert_array_equal(weights, [w[x == v].sum() for v in values])


def test_collapse_keeps_a_tie_exact_over_many_rows():
    x = np.tile([0.1, 2.0, 0.3], 100_000)  # 0.1 and 0.3 have no exact sum
    values, weights = collapse(x)
    np.testing.assert_array_equal(values, [0.1, 0.3, 2.0])
    np.testing.assert_array_equal(weights, [1e5] * 3)


@given(st.integers(0, 2**32 - 1), st.floats(1e-12, 1e12), st.floats(-10, 10))
@settings(max_examples=25)
def test_collapse_moves_no_value_beyond_its_bound(seed, scale, shift):
    x = np.sort(scale * (np.random.default_rng(seed).weibull(1.5, 500) + shift))
    values, weights = collapse(x, max_exact=0)
    moved = np.repeat(values, weights.astype(int))  # bins keep the order of the rows
    assert weights.sum() == 500
    assert np.all(np.abs(moved - x) <= (x - x[0]) / 1024 + 1e-14 * np.abs(x).max())
    assert values @ weights == pytest.approx(x.sum(), rel=1e-12)


def test_collapse_resolves_the_bulk_below_an_outlier():
    x = np.append(two_weibulls(20_000)[0], 1e9)
    values, _ = collapse(x)
    assert np.sum(values < 100) > 1000


def test_collapse_drops_rows_without_weight():
    values, weights = collapse([1, 2, 3, 2], [1, 0, 2, 0])
    np.testing.assert_array_equal(values, [1, 3])
    np.testing.assert_array_equal(weights, [1, 2])


# the fit: known answers


def test_weibull_golden_values():
    mixture = WeibullMixture().fit(two_weibulls()[0])
    np.testing.assert_allclose(mixture.scales_, [15.09, 59.82], atol=0.01)
    np.testing.assert_allclose(mixture.shapes_, [1.491, 5.880], atol=0.005)
    np.testing.assert_allclose(mixture.weights_, [0.799, 0.201], atol=0.001)
    assert mixture.log_likelihood_ == pytest.approx(-79787.9, abs=0.05)
    assert mixture.converged_
    assert mixture.degenerate_ == ""
    assert not mixture.on_atom_.any()


def test_single_weibull():
    t = np.sort(np.log(10 * np.random.default_rng(0).weibull(2, 200_000)))
    location, spread = GUMBEL.maximize(t, np.full(len(t), 1 / len(t)), (1 / 50, 20))
    assert np.exp(location) == pytest.approx(10, abs=0.02)
    assert 1 / spread == pytest.approx(2, abs=0.01)
    shape, _, scale = weibull_min.fit(np.exp(t[::100]), floc=0)
    location, spread = GUMBEL.maximize(t[::100], np.ones(2000), (1 / 50, 20))
    assert (np.exp(location), 1 / spread) == pytest.approx((scale, shape), rel=1e-4)


@pytest.mark.parametrize("weights", [(1, 1), (3, 1)])
def test_single_weibull_stays_in_its_bounds(weights):
    tied = GUMBEL.maximize(np.zeros(2), np.array(weights), (1 / 50, 20))
    np.testing.assert_allclose(tied, [0, 1 / 50], atol=1e-12)
    apart = GUMBEL.maximize(np.array([0, 1e4]), np.array(weights), (1 / 50, 20))
    assert apart[1] == pytest.approx(20)


def test_gaussian_equals_scikit_learn():
    rng = np.random.default_rng(0)
    x = np.r_[rng.normal(0, 1, 3000), rng.normal(4, 2, 1500)]
    ours = GaussianMixture1D().fit(x)
    reference = GaussianMixture(
        2,
        means_init=[[0], [4]],
        weights_init=[0.5, 0.5],
        precisions_init=[[[1]], [[1]]],
        tol=1e-10,
        max_iter=5000,
        reg_covar=0,
    ).fit(x[:, None])
    np.testing.assert_allclose(ours.means_, reference.means_[:, 0], atol=2e-3)
    np.testing.assert_allclose(ours.stds_**2, reference.covariances_[:, 0, 0], rtol=2e-3)
    np.testing.assert_allclose(ours.weights_, reference.weights_, atol=1e-3)
    assert ours.log_likelihood_ == pytest.approx(reference.score(x[:, None]) * len(x), rel=1e-8)
    posterior = ours.posterior(x, monotone=False)
    np.testing.assert_allclose(posterior, reference.predict_proba(x[:, None])[:, 1], atol=2e-3)


@pytest.mark.parametrize("family", [GUMBEL, NORMAL], ids=["gumbel", "normal"])
@given(
    # Narrower components bend too sharply for differences of this step.
    theta=st.tuples(*[st.floats(-0.3, 1)] * 5),
    seed=st.integers(0, 1000),
)
@settings(max_examples=25)
def test_gradient_against_finite_differences(family, theta, seed):
    rng = np.random.default_rng(seed)
    t, w = np.sort(rng.normal(size=30)), rng.dirichlet(np.ones(30))
    theta = np.array(theta)
    _, gradient = negative_log_likelihood(theta, t, w, family)
    numeric = [
        (
            negative_log_likelihood(theta + step, t, w, family)[0]
            - negative_log_likelihood(theta - step, t, w, family)[0]
        )
        / 2e-6
        for step in 1e-6 * np.eye(5)
    ]
    np.testing.assert_allclose(
        gradient, numeric, rtol=1e-4, atol=1e-7 + 1e-6 * np.abs(gradient).max()
    )


def test_likelihood_is_that_of_the_weibull_mixture():
    x = two_weibulls(500)[0]
    mixture = WeibullMixture().fit(x)
    density = weibull_min.pdf(x[:, None], mixture.shapes_, scale=mixture.scales_)
    np.testing.assert_allclose(mixture.pdf(x), density, rtol=1e-9)
    assert mixture.log_likelihood_ == pytest.approx(np.log(density @ mixture.weights_).sum())
    means = weibull_min.mean(mixture.shapes_, scale=mixture.scales_)
    np.testing.assert_allclose(mixture.means_, means)


@pytest.mark.parametrize("n", [8, 20, 300])
@pytest.mark.parametrize("seed", range(8))
def test_kde_split_equals_the_official_construction(n, seed):
    x = np.sort(two_weibulls(n, seed)[0])
    kde = gaussian_kde(x)
    span = x[-1] - x[0]
    grid = np.linspace(x[0] - span / 5, x[-1] + span / 5, 100)
    peak = grid[np.argmax(kde(grid))]
    best = {}
    for name, end in (("left", x[0]), ("right", x[-1])):
        line = np.linspace(end, peak, 100)
        chord = kde(peak) + (line - peak) * (kde(peak) - kde(end)) / (peak - end)
        gap = np.abs(chord - kde(line))
        best[name] = gap.max(), line[np.argmax(gap)]
    side = "left" if best["left"][0] > best["right"][0] else "right"
    split = kde_chord_split(x, np.full(n, 1 / n), n)
    assert split == pytest.approx(best[side][1], rel=1e-9)


def test_scale_is_the_632_quantile_of_the_noisy_component():
    x, noisy = two_weibulls()
    mixture = WeibullMixture().fit(x)
    assert np.mean(x[noisy] < mixture.scales_[1]) == pytest.approx(1 - 1 / np.e, abs=0.03)


# the fit: invariances


@pytest.mark.parametrize("cls", BOTH)
def test_weighted_equals_repeated(cls):
    rng = np.random.default_rng(1)
    x = two_weibulls(400)[0]
    w = rng.integers(0, 4, 400)
    weighted = cls().fit(x, w)
    repeated = cls().fit(rng.permutation(np.repeat(x, w)))
    np.testing.assert_allclose(weighted.means_, repeated.means_, rtol=1e-6)
    np.testing.assert_allclose(weighted.weights_, repeated.weights_, rtol=1e-6)
    assert weighted.log_likelihood_ == pytest.approx(repeated.log_likelihood_)


@pytest.mark.parametrize("factor", [1e-12, 1e-3, 1e12])
@pytest.mark.parametrize("cls", BOTH)
def test_unit_of_the_weights_does_not_matter(cls, factor):
    x = two_weibulls(2000)[0]
    base, scaled = cls().fit(x), cls().fit(x, np.full(2000, factor))
    np.testing.assert_allclose(scaled.means_, base.means_, rtol=1e-3)
    assert scaled.log_likelihood_ == pytest.approx(base.log_likelihood_ * factor, rel=1e-6)


@pytest.mark.parametrize(("cls", "family"), [(WeibullMixture, GUMBEL), (GaussianMixture1D, NORMAL)])
def test_no_step_of_expectation_maximization_leads_away_from_the_fit(cls, family):
    """The usual algorithm for mixtures, as a reference that shares only the maximization."""
    for x in (two_weibulls(3000)[0], shift_positive(mild_scores(3000)[0])[0]):
        fit = cls().fit(x)
        t, w = np.sort(fit._transform(x)), np.full(len(x), 1 / len(x))
        locations, spreads, weights = fit._locations, fit._spreads, fit.weights_
        for _ in range(20):
            joint = log_joint(t, family, locations, spreads, weights)
            part = w * np.exp(joint - np.logaddexp(*joint))
            weights = part.sum(axis=1)
            locations, spreads = np.transpose([family.maximize(t, p, (1e-3, 1e3)) for p in part])
        np.testing.assert_allclose(locations, fit._locations, rtol=1e-3)
        np.testing.assert_allclose(spreads, fit._spreads, rtol=1e-3)
        np.testing.assert_allclose(weights, fit.weights_, rtol=1e-3)


@given(st.floats(1e-12, 1e12))
@settings(max_examples=8)
def test_scale_equivariance(c):
    x = two_weibulls(500)[0]
    base, scaled = WeibullMixture().fit(x), WeibullMixture().fit(c * x)
    np.testing.assert_allclose(scaled.scales_, base.scales_ * c, rtol=1e-4)
    np.testing.assert_allclose(scaled.shapes_, base.shapes_, rtol=1e-4)
    np.testing.assert_allclose(scaled.weights_, base.weights_, rtol=1e-4)
    assert scaled.crossing() == pytest.approx(base.crossing() * c, rel=1e-4)
    base, scaled = GaussianMixture1D().fit(x), GaussianMixture1D().fit(c * x - 3 * c)
    np.testing.assert_allclose(scaled.means_, base.means_ * c - 3 * c, rtol=1e-3)
    np.testing.assert_allclose(scaled.stds_, base.stds_ * c, rtol=1e-3)
    scaled = GaussianMixture1D().fit(c * x)
    assert scaled.crossing() == pytest.approx(base.crossing() * c, rel=1e-3)
    assert scaled.posterior([scaled.crossing()])[0] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("cls", BOTH)
def test_fit_is_deterministic_and_leaves_its_argument_alone(cls):
    x = two_weibulls(500)[0]
    copy, before = x.copy(), global_states()
    first, second = cls().fit(x), cls().fit(x)
    np.testing.assert_array_equal(first.means_, second.means_)
    np.testing.assert_array_equal(x, copy)
    assert global_states() == before


def test_binning_hardly_moves_the_fit():
    x = two_weibulls(12_000)[0]
    binned = WeibullMixture().fit(x)
    values, counts = np.unique(x, return_counts=True)
    assert len(collapse(x)[0]) < len(values)
    exact = WeibullMixture().fit(values[:10_000], counts[:10_000])
    part = WeibullMixture().fit(*collapse(values[:10_000], max_exact=0))
    np.testing.assert_allclose(part.scales_, exact.scales_, rtol=1e-4)
    np.testing.assert_allclose(part.shapes_, exact.shapes_, rtol=1e-4)
    assert binned.converged_


# discrete scores


@pytest.mark.parametrize("noise", [0.1, 0.2, 0.5, 0.8])
def test_mild_scores_give_a_sensible_fit(noise):
    scores, noisy = mild_scores(5000, noise=noise)
    x, _ = shift_positive(scores)
    mixture = WeibullMixture().fit(x)
    assert mixture.degenerate_ == ""
    assert np.all(np.isfinite([mixture.scales_, mixture.shapes_, mixture.weights_]))
    assert np.all((mixture.scales_ >= x.min()) & (mixture.scales_ <= x.max()))
    assert np.all(mixture.shapes_ <= 50 + 1e-9)
    tau = mixture.scales_[1]
    assert np.mean(x[~noisy] < tau) > 0.97
    assert 0.5 < np.mean(x[noisy] < tau) < 0.8


def test_a_component_on_the_lowest_score_is_named():
    scores, _ = mild_scores(4000, clean=(60.0, 0.3), noisy=(1.0, 2.0))
    x, _ = shift_positive(scores)
    assert np.mean(x == 0.1) > 0.6
    mixture = WeibullMixture().fit(x)
    np.testing.assert_array_equal(mixture.on_atom_, [True, False])
    assert mixture.degenerate_ == ""
    assert mixture.shapes_[0] == pytest.approx(50)
    assert mixture.scales_[0] == pytest.approx(0.1)
    rest = GUMBEL.maximize(np.log(np.sort(x[x > 0.1])), np.ones(np.sum(x > 0.1)), (1 / 50, 20))
    assert mixture.scales_[1] == pytest.approx(np.exp(rest[0]), rel=0.01)


def test_a_local_maximum_beats_one_on_a_single_value():
    # The quantile starts put a component on the tie, with a higher likelihood than the two
    # groups that are there.
    rng = np.random.default_rng(0)
    x = np.r_[rng.normal(0, 1, 300), np.full(40, 0.5), rng.normal(8, 1, 100)]
    mixture = GaussianMixture1D().fit(x)
    assert not mixture.on_atom_.any()
    np.testing.assert_allclose(mixture.means_, [0, 8], atol=0.3)


def test_narrow_groups_may_reach_the_largest_shape():
    rng = np.random.default_rng(0)
    x = np.r_[rng.normal(1, 0.005, 800), rng.normal(100, 0.5, 200)]
    mixture = WeibullMixture().fit(x)
    np.testing.assert_allclose(mixture.shapes_, 50)
    np.testing.assert_allclose(mixture.weights_, [0.8, 0.2], atol=1e-3)
    assert not mixture.on_atom_.any()
    assert mixture.degenerate_ == ""


# degenerate and hostile input


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize("value", [1e-12, 0.1, 3.0, 1e12])
@pytest.mark.parametrize("n", [1, 5, 20_000])
def test_constant_input(cls, value, n):
    mixture = cls().fit(np.full(n, value))
    assert mixture.degenerate_.startswith("1 distinct value: two components need")
    np.testing.assert_array_equal(mixture.weights_, [1, 0])
    np.testing.assert_array_equal(mixture.posterior([value, 2 * value]), 0)
    assert np.isnan(mixture.crossing())
    if cls is WeibullMixture:
        np.testing.assert_allclose(mixture.scales_, value, rtol=1e-9)
    else:
        np.testing.assert_allclose(mixture.means_, value, rtol=1e-9)


@pytest.mark.parametrize("values", [[1, 2], [1, 2, 40]])
def test_too_few_values_for_two_weibulls(values):
    mixture = WeibullMixture().fit(values * 10)
    assert mixture.degenerate_ == f"{len(values)} distinct values: two components need 4"
    np.testing.assert_array_equal(mixture.posterior(values), 0)
    assert np.all(np.isfinite([mixture.scales_, mixture.shapes_, mixture.means_]))
    assert mixture.scales_[0] == mixture.scales_[1]


def test_two_values_are_two_normals_on_atoms():
    mixture = GaussianMixture1D().fit([1, 1, 1, 5])
    assert mixture.degenerate_ == ""
    assert mixture.on_atom_.all()
    np.testing.assert_allclose(mixture.means_, [1, 5])
    np.testing.assert_allclose(mixture.weights_, [0.75, 0.25])
    np.testing.assert_allclose(mixture.posterior([1, 5]), [0, 1], atol=1e-9)
    assert 1 < mixture.crossing() < 5


@pytest.mark.parametrize("cls", BOTH)
def test_an_empty_component_is_named_and_loses(cls, monkeypatch):
    x = np.random.default_rng(0).weibull(3, 300)  # one group
    assert cls(min_weight=0.01, tol=1e-7).fit(x).degenerate_ == ""
    monkeypatch.setattr(
        "noisyfit.mixture._base.starting_splits", lambda *args: starting_splits(*args)[:1]
    )
    mixture = cls(min_weight=0.01).fit(x)
    assert mixture.degenerate_ == "an empty component: its weight fell to 0.01"
    np.testing.assert_allclose(mixture.weights_, [0.99, 0.01])
    assert np.all(np.isfinite(mixture.means_))


def test_components_that_coincide_are_named():
    # Both groups are narrower than the largest shape allows, and at the same place.
    x = 1 + 1e-10 * np.random.default_rng(0).normal(size=200)
    mixture = WeibullMixture().fit(x)
    assert mixture.degenerate_ == "the two components coincide"
    np.testing.assert_array_equal(mixture.weights_, [1, 0])
    np.testing.assert_array_equal(mixture.posterior(x), 0)


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize("seed", range(5))
def test_values_over_24_decades(cls, seed):
    x = 10 ** np.random.default_rng(seed).uniform(-12, 12, 400)
    mixture = cls().fit(x)
    assert np.all(np.isfinite([*mixture.means_, mixture.log_likelihood_]))


@pytest.mark.parametrize("cls", BOTH)
def test_a_million_ties(cls):
    x = np.r_[np.full(1_000_000, 2.0), 1.0, 3.0, 5.0, 8.0]
    mixture = cls().fit(x)
    assert np.all(np.isfinite(mixture.means_))
    assert np.isfinite(mixture.log_likelihood_)


@pytest.mark.parametrize("cls", BOTH)
@given(seed=st.integers(0, 2**32 - 1), unit=st.sampled_from([1e-12, 1.0, 1e12]))
@settings(max_examples=15)
def test_finite_whatever_the_values_and_weights(cls, seed, unit):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    x = unit * rng.choice(np.exp(rng.normal(0, rng.uniform(0, 4), 30)), n)
    w = 10 ** rng.uniform(-12, 12, n) if rng.random() < 0.7 else None
    mixture = cls(tol=1e-7).fit(x, w)
    assert np.all(np.isfinite([*mixture.means_, *mixture.weights_, mixture.log_likelihood_]))
    assert mixture.means_[0] <= mixture.means_[1]
    assert mixture.weights_.sum() == pytest.approx(1)
    posterior = mixture.posterior(np.sort(x))
    assert np.all((posterior >= 0) & (posterior <= 1))


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(cls, bad):
    name = "NaN" if np.isnan(bad) else "infinity"
    with pytest.raises(ValueError, match=f"Input x contains {name}"):
        cls().fit([1, 2, bad])
    with pytest.raises(ValueError, match=f"Input x contains {name}"):
        cls().fit([1, 2, 3, 4]).posterior([bad])
    with pytest.raises(ValueError, match=f"Input sample_weight contains {name}"):
        cls().fit([1, 2, 3], [1, 1, bad])


@pytest.mark.parametrize("low", [0, -3])
def test_weibull_needs_positive_values(low):
    with pytest.raises(ValueError, match=rf"needs positive x.*minimum of {low}; .*shift_positive"):
        WeibullMixture().fit([low, 1, 2, 3])


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 1, -1, 1], "sample_weight must not be negative. Got a minimum of -1"),
        ([0, 0, 0, 0], "sample_weight must not be all zero"),
        ([1, 1], "inconsistent numbers of samples"),
        ([[1], [1], [1], [1]], r"sample_weight must be 1-D. Got an array of shape \(4, 1\)"),
    ],
)
def test_bad_weights_are_refused(cls, weights, message):
    with pytest.raises(ValueError, match=message):
        cls().fit([1, 2, 3, 4], weights)


@pytest.mark.parametrize("cls", BOTH)
def test_two_dimensional_and_empty_values_are_refused(cls):
    with pytest.raises(ValueError, match=r"x must be 1-D. Got an array of shape \(2, 2\)"):
        cls().fit([[1, 2], [3, 4]])
    with pytest.raises(ValueError, match="0 sample"):
        cls().fit([])


@pytest.mark.parametrize(
    ("mixture", "name"),
    [
        (WeibullMixture(max_shape=1), "max_shape"),
        (WeibullMixture(max_iter=0), "max_iter"),
        (WeibullMixture(tol=-1), "tol"),
        (GaussianMixture1D(min_std=0), "min_std"),
        (GaussianMixture1D(min_weight=0.5), "min_weight"),
    ],
)
def test_bad_parameters_are_refused(mixture, name):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of"):
        mixture.fit([1, 2, 3, 4])


def test_no_convergence_is_said():
    with pytest.warns(ConvergenceWarning, match="did not converge in 1 iterations"):
        mixture = WeibullMixture(max_iter=1).fit(two_weibulls(500)[0])
    assert not mixture.converged_
    assert mixture.n_iter_ == 1


@pytest.mark.parametrize("cls", BOTH)
def test_unfitted_clone_and_pickle(cls):
    x = two_weibulls(500)[0]
    with pytest.raises(NotFittedError):
        cls().posterior(x)
    mixture = cls(tol=1e-9).fit(x)
    assert clone(mixture).tol == 1e-9
    copy = pickle.loads(pickle.dumps(mixture))
    np.testing.assert_array_equal(copy.posterior(x), mixture.posterior(x))


# posterior and crossing


def test_posterior_is_bayes_rule():
    x = two_weibulls(1000)[0]
    mixture = WeibullMixture().fit(x)
    weighted = mixture.weights_ * weibull_min.pdf(
        x[:, None], mixture.shapes_, scale=mixture.scales_
    )
    expected = weighted[:, 1] / weighted.sum(1)
    np.testing.assert_allclose(mixture.posterior(x, monotone=False), expected, atol=1e-9)
    mixture = GaussianMixture1D().fit(x)
    weighted = mixture.weights_ * norm.pdf(x[:, None], mixture.means_, mixture.stds_)
    expected = weighted[:, 1] / weighted.sum(1)
    np.testing.assert_allclose(mixture.posterior(x, monotone=False), expected, atol=1e-9)


def test_posterior_of_a_narrow_noisy_component_is_held_at_its_top():
    mixture = WeibullMixture().fit(two_weibulls()[0])
    far = [60, 90, 200, 1e3, 1e300]
    raw, held = mixture.posterior(far, monotone=False), mixture.posterior(far)
    np.testing.assert_allclose(raw[-3:], 0, atol=1e-9)
    np.testing.assert_allclose(held[1:], held[1])
    assert held[0] == raw[0]
    assert held[1] >= raw.max()


def test_posterior_of_a_wide_noisy_component_is_held_at_its_bottom():
    rng = np.random.default_rng(0)
    x = np.r_[10 * rng.weibull(8, 3000), 40 * rng.weibull(1.1, 1000)]
    mixture = WeibullMixture().fit(x)
    near = [1e-300, 1e-3, 0.1, 9.0]
    raw, held = mixture.posterior(near, monotone=False), mixture.posterior(near)
    assert raw[0] > 0.99  # the wide component owns the neighbourhood of 0
    assert held[0] == held[1] == held[2] <= held[3] < 0.5


@pytest.mark.parametrize("family", [GUMBEL, NORMAL], ids=["gumbel", "normal"])
@given(
    place=st.tuples(st.floats(-3, 3), st.floats(0, 5)),
    spreads=st.tuples(st.floats(0.02, 20), st.floats(0.02, 20)),
    weight=st.floats(0.01, 0.99),
)
@example(place=(-24.2, 0.08), spreads=(1 / 4.28596, 1 / 4.28594), weight=0.3)
@settings(max_examples=200)
def test_held_posterior_equals_the_running_extremum(family, place, spreads, weight):
    # The running maximum from the left if component 2 is the narrower, the running minimum from
    # the right if it is the wider: the posterior turns once, and where `turning_point` says.
    locations, spreads = np.cumsum(place), np.array(spreads)
    weights = np.array([1 - weight, weight])
    gaps = np.abs([np.diff(locations), np.diff(spreads)])
    assume(gaps.max() > 1e-6 * spreads.min())  # else they coincide, and fit stores only one
    turn = family.turning_point(locations, spreads)
    t = np.linspace(-30, 30, 2001)
    if abs(turn) < 1e3:
        t = np.sort(np.append(t, turn))
    raw = expit(log_odds(t, family, locations, spreads, weights))
    held = hold(t, family, locations, spreads)
    held = expit(log_odds(held, family, locations, spreads, weights))
    if spreads[1] < spreads[0]:
        expected = np.maximum.accumulate(raw)
    else:
        expected = np.minimum.accumulate(raw[::-1])[::-1]
    np.testing.assert_allclose(held, expected, atol=1e-7)
    assert np.all(np.diff(held) >= -1e-9)


@pytest.mark.parametrize("cls", BOTH)
def test_crossing_equals_the_weighted_densities(cls):
    mixture = cls().fit(two_weibulls(3000)[0])
    at = mixture.crossing()
    assert mixture.means_[0] < at < mixture.means_[1]
    low, high = mixture.weights_ * mixture.pdf([at])[0]
    assert low == pytest.approx(high, rel=1e-6)
    below, above = mixture.posterior([at * (1 - 1e-6), at * (1 + 1e-6)])
    assert below < 0.5 < above


def test_no_crossing_between_the_means():
    # The clean group is denser all the way to the mean of the wide noisy one.
    rng = np.random.default_rng(0)
    mixture = GaussianMixture1D().fit(np.r_[rng.normal(0, 1, 9000), rng.normal(1, 5, 1000)])
    weighted = mixture.weights_ * mixture.pdf(np.linspace(*mixture.means_, 50))
    assert np.all(weighted[:, 0] > weighted[:, 1])
    assert np.isnan(mixture.crossing())


def test_outside_the_support():
    mixture = WeibullMixture().fit(two_weibulls(500)[0])
    np.testing.assert_array_equal(mixture.pdf([-1, 0]), 0)
    np.testing.assert_allclose(mixture.posterior([-1, 0]), mixture.posterior([1e-300])[0])


# cost


def best_time(function, repeats=3):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def test_cost_does_not_grow_with_the_rows_once_collapsed():
    small, large = (
        collapse(shift_positive(mild_scores(n)[0])[0], max_exact=0) for n in (10_000, 1_000_000)
    )
    assert len(small[0]) == len(large[0]) == 21
    ratio = best_time(lambda: WeibullMixture().fit(*large)) / best_time(
        lambda: WeibullMixture().fit(*small)
    )
    assert ratio < 5


@pytest.mark.slow
def test_ten_million_scores_in_a_second():
    scores = np.tile(mild_scores(100_000)[0], 100)

    def whole():
        WeibullMixture().fit(shift_positive(scores)[0])

    assert best_time(whole) < 1


@pytest.mark.parametrize("cls", [WeibullMixture, GaussianMixture1D])
def test_warm_start_goes_on_from_the_last_maximum(cls):
    rng = np.random.default_rng(0)
    x = np.r_[15 * rng.weibull(1.5, 4000), 60 * rng.weibull(6, 1000)]
    cold = cls().fit(x)
    warm = cls(warm_start=True).fit(x)
    assert warm.log_likelihood_ == cold.log_likelihood_, "the first fit has no last maximum"
    steps = warm.n_iter_
    warm.fit(x)
    assert warm.n_iter_ < 0.3 * steps
    np.testing.assert_allclose(warm.means_, cold.means_, rtol=1e-3)
    other = rng.choice(x, len(x))
    np.testing.assert_allclose(warm.fit(other).weights_, cls().fit(other).weights_, atol=1e-3)


# What a changed line could do unnoticed otherwise


def test_both_families_have_the_same_defaults():
    common = {
        "warm_start": False,
        "max_iter": 2000,
        "tol": 1e-10,
        "min_weight": 1e-4,
    }
    assert WeibullMixture().get_params() == common | {"max_shape": 50.0}
    assert GaussianMixture1D().get_params() == common | {"min_std": 1e-3}


@pytest.mark.parametrize("cls", BOTH)
def test_messages_name_the_argument(cls):
    mixture = cls().fit(two_weibulls(200)[0])
    for method in (mixture.pdf, mixture.posterior):
        with pytest.raises(ValueError, match=r"^(Input )?x "):
            method([np.nan])


def test_the_spread_of_constant_values_is_the_smallest_one():
    np.testing.assert_allclose(GaussianMixture1D(min_std=0.25).fit([3.0, 3.0]).stds_, 0.25)


@pytest.mark.parametrize("unit", [1e-3, 1, 1e3])
def test_a_component_may_be_much_wider_than_the_whole(unit):
    rng = np.random.default_rng(0)
    x = unit * np.r_[rng.normal(0, 0.01, 5000), rng.normal(0.1, 5, 50)]
    x = np.r_[x, -x] + 0.1 * unit
    stds = GaussianMixture1D().fit(x).stds_ / unit
    assert 5 * x.std() / unit < stds.max()
    assert stds.max() == pytest.approx(5, rel=0.3)


@pytest.mark.parametrize("cls", BOTH)
def test_warm_start_from_a_single_component(cls):
    x = two_weibulls(500)[0]
    mixture = cls(warm_start=True).fit(np.full(5, x.mean()))
    assert mixture.degenerate_
    mixture.fit(x)
    assert np.isfinite(mixture.log_likelihood_)


@pytest.mark.parametrize(
    ("location", "slope", "converged"),
    [
        (-1.0, 1.0, True),  # downhill lies beyond the bound: nothing is left to gain
        (-1.0, -1.0, False),
        (0.0, 1e-3, False),
        (0.5, 1e-6, True),
        (1.0, -1.0, True),
    ],
)
def test_a_line_search_that_failed_at_the_maximum_has_converged(
    location, slope, converged, monkeypatch
):
    class Ended:
        x = np.array([location, 0.0, 0.5, 0.0, 0.0])
        jac = np.array([slope, 0.0, 0.0, 0.0, 0.0])
        fun, nit, success = 1.0, 7, False

    monkeypatch.setattr("noisyfit.mixture._location_scale.minimize", lambda *args, **kwargs: Ended)
    t = np.array([-1.0, 0.0, 1.0])
    start = Solution(np.array([0.0, 0.5]), np.ones(2), np.array([0.5, 0.5]))
    found = maximize_likelihood(
        t,
        np.full(3, 1 / 3),
        NORMAL,
        start,
        spreads=(0.1, 10),
        min_weight=1e-4,
        max_iter=9,
        tol=0,
    )
    assert found.converged is converged
    assert (found.n_iter, found.log_likelihood) == (7, -1)


@pytest.mark.parametrize(
    ("locations", "spreads"),
    [
        ([-856.55648116, -1732.46824041], [0.99970246, 0.99947013]),  # it would turn below e^-800
        ([1323.38150153, 2351.16536758], [0.99963755, 1.00067221]),  # and here above e^800
        ([1081.52216802, 1647.73638922], [0.90988608, 1.13436337]),
        ([841.79568264, 1977.76677187], [0.6647439, 2.07680238]),
    ],
)
def test_odds_that_turn_beyond_all_numbers_are_left_alone(locations, spreads):
    locations, spreads = np.array(locations), np.array(spreads)
    assert np.isnan(GUMBEL.turning_point(locations, spreads))
    t = np.linspace(-700, 700, 20)
    np.testing.assert_array_equal(hold(t, GUMBEL, locations, spreads), t)


def fixed(cls, locations, spreads, weights):
    """Make a mixture of given components."""
    mixture = cls()
    mixture._locations, mixture._spreads = np.array(locations), np.array(spreads)
    mixture.weights_ = np.array(weights)
    mixture.means_ = mixture._means(mixture._locations, mixture._spreads)
    return mixture


def test_crossing_is_that_of_the_held_posterior():
    # The wide second component is the denser one at both means, but not all the way between.
    mixture = fixed(
        WeibullMixture, [-0.02166923, 0.00888381], [0.19496958, 6.63599656], [0.0296, 0.9704]
    )
    assert (mixture.posterior(mixture.means_, monotone=False) > 0.5).all()
    at = mixture.crossing()
    below, above = mixture.posterior([at * (1 - 1e-6), at * (1 + 1e-6)])
    assert below < 0.5 < above


def test_a_crossing_just_below_the_larger_mean_is_found():
    mixture = fixed(GaussianMixture1D, [0.0, 2.0], [1.0, 1.0], [0.85, 0.15])
    assert 0.5 < mixture.posterior([2.0])[0] < 0.7
    # Equal widths: the weighted densities agree at 1 + log(.85 / .15) / 2.
    assert mixture.crossing() == pytest.approx(1 + np.log(0.85 / 0.15) / 2)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_split_lies_on_the_side_of_the_larger_gap(sign):
    rng = np.random.default_rng(0)
    x = np.sort(sign * np.r_[rng.normal(0, 1, 900), rng.normal(9, 1, 100)])
    split = sign * kde_chord_split(x, np.full(1000, 1e-3), 1000)
    assert 3 < split < 7


def test_starts_are_the_kde_split_and_three_quantiles():
    x = np.r_[np.linspace(0, 1, 6), np.linspace(20, 21, 10)]
    w = np.full(16, 1 / 16)
    assert starting_splits(x, w, 16) == [6, 4, 8, 13]


@pytest.mark.parametrize(
    ("n", "sides"), [(2, {1}), (3, {1, 2}), (4, {2}), (5, {2, 3}), (9, {2, 7})]
)
def test_two_values_are_left_on_each_side_where_there_are_enough(n, sides):
    for heavy in (0, -1):
        w = np.full(n, 0.01)
        w[heavy] = 1 - w[1:].sum()
        splits = starting_splits(np.arange(n) ** 2.0, w, 1000)
        assert splits[0] in range(min(sides), max(sides) + 1)
        assert set(splits[1:]) <= sides


@pytest.mark.parametrize("factor", [0.9, 0.999, 1.001, 1.1])
def test_the_shape_of_one_weibull_is_kept_within_its_bounds(factor):
    t, w = np.log(two_weibulls(300)[0]), np.full(300, 1 / 300)
    free = GUMBEL.maximize(t, w, (1e-3, 1e3))[1]
    upper = GUMBEL.maximize(t, w, (1e-3, factor * free))[1]
    lower = GUMBEL.maximize(t, w, (factor * free, 1e3))[1]
    assert upper == pytest.approx(free * min(factor, 1))
    assert lower == pytest.approx(free * max(factor, 1))


def test_the_smallest_shape_of_a_weibull():
    x = np.exp(60 * np.random.default_rng(0).normal(size=500))
    assert WeibullMixture().fit(x).shapes_.min() == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("spread", "other", "on_atom"),
    [
        (1e-3, -5.0, True),
        (1.5e-3, -5.0, False),  # not held by the bound
        (1e-3, 2e-3, False),  # held by it, but on two values
        (1e-3, 1e-4, False),
    ],
)
def test_an_atom_is_one_value_and_held_by_the_bound(spread, other, on_atom):
    t = np.sort([0.0, other, 5.0, 6.0])
    found = Solution(np.array([0.0, 5.0]), np.array([spread, 1.0]), np.array([0.5, 0.5]))
    w = np.array([0.1, 0.1, 0.4, 0.4])
    on_atoms = GaussianMixture1D()._on_atom(found, t, w, (1e-3, 10.0))
    assert on_atoms.tolist() == [on_atom, False]


@pytest.mark.parametrize(
    ("weight", "gap", "message"),
    [
        (1.5e-4, 1.0, ""),
        (1e-4, 1.0, "an empty component: its weight fell to 0.0001"),
        (0.5, 1e-5, ""),
        (0.5, 1e-9, "the two components coincide"),
    ],
)
def test_what_makes_a_local_maximum_no_mixture(weight, gap, message):
    weights = np.array([1 - weight, weight])
    found = Solution(np.array([0.0, gap]), np.full(2, 0.01), weights)
    assert GaussianMixture1D()._fault(found) == message


@pytest.mark.parametrize("weighted", [False, True])
def test_bins_are_means_of_their_rows_over_all_blocks(weighted, monkeypatch):
    monkeypatch.setattr("noisyfit.mixture._collapse.BLOCK", 100)
    rng = np.random.default_rng(0)
    x = rng.exponential(size=2_000)
    w = rng.integers(1, 9, 2_000).astype(float) if weighted else None
    values, weights = collapse(x, w, max_exact=0)
    w = np.ones(2_000) if w is None else w
    assert len(values) < 1_900
    edges = np.append(values[0], (values[1:] + values[:-1]) / 2)
    bins = np.searchsorted(edges, x, side="right") - 1
    totals = np.bincount(np.maximum(bins, 0), w, len(values))
    assert weights.sum() == pytest.approx(w.sum())
    assert values @ weights == pytest.approx(x @ w)
    inside = totals == weights  # where the middle between two means parts their rows as bins do
    assert inside.mean() > 0.9
    means = np.bincount(np.maximum(bins, 0), w * x, len(values)) / totals
    np.testing.assert_allclose(values[inside], means[inside])


def test_a_thousand_bins_to_a_power_of_two_and_forty_powers():
    x = np.r_[0, np.linspace(1, 2, 50_000, endpoint=False)]
    assert len(collapse(x)[0]) == 1 + 1024
    tiny = np.repeat([0.0, 2**-40.5, 2**-39.5, 1.0], 5_000)
    values, weights = collapse(tiny)
    assert weights.tolist() == [10_000, 5_000, 5_000]
    assert values[1:].tolist() == [2**-39.5, 1]


def test_up_to_ten_thousand_rows_nothing_is_binned():
    x = np.sort(np.random.default_rng(0).random(10_001))
    np.testing.assert_array_equal(collapse(x[:-1])[0], x[:-1])
    assert len(collapse(x)[0]) < 9_000


def test_scores_that_are_missing_are_named():
    with pytest.raises(ValueError, match="scores contains NaN"):
        shift_positive([np.nan])
