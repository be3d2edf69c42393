"""The noise rate from the gap between early and late losses."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as SklearnMixture

from noisyfit.dynamics import TrainingDynamics
from noisyfit.label_quality import estimate_noise_rate, loss_gap_noise_rate


def fact_sheet_gaps(n=10_000, seed=0):
    rng = np.random.default_rng(seed)
    wrong = np.arange(n) < 0.397 * n
    return np.where(wrong, rng.normal(2.5, 0.6, n), rng.normal(0.4, 0.35, n)), wrong


def run(wrong, *, n_epochs=20, hardness=0.2, memorised_from=None, seed=0):
    """Record an imagined training run: losses of right labels fall, those of wrong ones later."""
    rng, n = np.random.default_rng(seed), len(wrong)
    difficulty = rng.exponential(hardness, n)
    dynamics = TrainingDynamics(n, ["loss", "correct"])
    for epoch in range(n_epochs):
        right = 2.3 * np.exp(-epoch) + difficulty * rng.uniform(0.5, 1.5, n)
        loss = np.where(wrong, rng.normal(4, 0.8, n).clip(0.5), right)
        correct = ~wrong & (right < 0.7)
        if memorised_from is not None and epoch >= memorised_from:
            loss, correct = np.full(n, 1e-3), np.ones(n, dtype=bool)
        dynamics.append(loss=loss, correct=correct.astype(float))
    return dynamics


def test_the_case_of_the_fact_sheet():
    gaps, _ = fact_sheet_gaps()
    rate = loss_gap_noise_rate(gaps, np.zeros_like(gaps))
    # An implementation that takes Eq. 8's set for the clean one would give .609.
    assert rate == pytest.approx(0.391, abs=0.01)


def test_only_the_gap_counts():
    gaps, _ = fact_sheet_gaps(2000)
    late = np.random.default_rng(1).exponential(size=2000)
    expected = loss_gap_noise_rate(gaps, np.zeros(2000))
    assert loss_gap_noise_rate(gaps + late, late) == pytest.approx(expected, abs=1e-3)
    assert loss_gap_noise_rate(10 * gaps + 7, np.zeros(2000)) == pytest.approx(expected, abs=2e-3)


def test_a_higher_threshold_finds_more_noise():
    gaps, _ = fact_sheet_gaps(2000)
    rates = [loss_gap_noise_rate(gaps, 0 * gaps, threshold=t) for t in (0.01, 0.5, 0.99)]
    assert rates[0] < rates[1] < rates[2]


@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_the_mixtures_own_posterior_by_hand(threshold):
    """The set of phi < theta lies on both sides of the roots of a quadratic equation."""
    rng = np.random.default_rng(0)
    gaps = np.r_[rng.normal(0.4, 0.35, 6000), rng.normal(1, 1, 4000)]
    model = SklearnMixture(2, tol=1e-9, max_iter=5000, random_state=0).fit(gaps[:, None])
    order = model.means_.ravel().argsort()
    small, large = model.means_.ravel()[order]
    (w1, w2), (s1, s2) = model.weights_[order], model.covariances_.ravel()[order] ** 0.5
    # log(phi / (1 - phi)) = log(w1 s2 / (w2 s1)) - (d - m1)^2 / 2 s1^2 + (d - m2)^2 / 2 s2^2
    odds = np.log(threshold / (1 - threshold))
    square = 1 / (2 * s2**2) - 1 / (2 * s1**2)
    linear = small / s1**2 - large / s2**2
    constant = np.log(w1 * s2 / (w2 * s1)) - small**2 / (2 * s1**2) + large**2 / (2 * s2**2)
    low, high = np.sort(np.roots([square, linear, constant - odds]))
    own, monotone = (
        loss_gap_noise_rate(gaps, 0 * gaps, threshold, posterior=name)
        for name in ("mixture", "monotone")
    )
    assert own == pytest.approx(((gaps < low) | (gaps > high)).mean(), abs=2e-3)
    assert monotone == pytest.approx((gaps > high).mean(), abs=2e-3)
    assert own - monotone > 0.03


def test_equal_gaps_are_one_group():
    assert loss_gap_noise_rate(np.full(10, 3.0), np.ones(10)) == 0


@pytest.mark.parametrize(
    ("early", "late", "threshold", "message"),
    [
        (np.ones(3), np.ones(4), 0.5, r"Got \(3,\) and \(4,\)"),
        (np.ones((3, 2)), np.ones((3, 2)), 0.5, r"shape \(n_samples,\)"),
        (np.ones(0), np.ones(0), 0.5, r"Got \(0,\)"),
        (np.ones(3), np.ones(3), 1.0, r"threshold must be in the range \(0, 1\)"),
        (np.array([1, np.nan, 2]), np.ones(3), 0.5, "finite"),
        (np.array([1, np.inf, 2]), np.ones(3), 0.5, "finite"),
    ],
)
def test_bad_losses_are_refused(early, late, threshold, message):
    with pytest.raises(ValueError, match=message):
        loss_gap_noise_rate(early, late, threshold)


def test_a_posterior_of_another_name_is_refused():
    with pytest.raises(ValueError, match=r"'monotone' or 'mixture'\. Got 'bayes'"):
        loss_gap_noise_rate(np.arange(3), np.ones(3), posterior="bayes")


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.4, 0.6])
@pytest.mark.parametrize("memorised_from", [None, 12])
def test_the_rate_of_short_and_of_long_runs(rate, memorised_from):
    wrong = np.arange(3000) < 3000 * rate
    found = estimate_noise_rate(run(wrong, memorised_from=memorised_from), random_state=0)
    assert found.rate == pytest.approx(rate, abs=0.02)
    low, high = found.interval
    assert low <= found.rate <= high
    assert high - low < 0.1
    assert found.separation > 2


@pytest.mark.parametrize("n_epochs", [1, 2, 5, 40])
def test_runs_of_any_length(n_epochs):
    wrong = np.arange(1000) < 300
    found = estimate_noise_rate(run(wrong, n_epochs=n_epochs), n_bootstrap=5, random_state=0)
    assert 1 <= found.early_epoch <= n_epochs
    if n_epochs > 2:
        assert found.rate == pytest.approx(0.3, abs=0.02)


def test_without_noise_the_contradicted_share_decides():
    found = estimate_noise_rate(run(np.zeros(2000, dtype=bool)), random_state=0)
    assert found.separation <= 2
    assert found.rate == found.contradicted < 0.1
    low, high = found.interval
    assert low == 0, "contradicted labels are noise and the network's mistakes together"
    assert high >= found.rate


def test_the_contradicted_share_is_an_upper_bound():
    # Every second row is hard, not wrong: large losses, but the predictions agree.
    hard = np.arange(1000) % 2 == 0
    dynamics = TrainingDynamics(1000, ["loss", "correct"])
    rng = np.random.default_rng(0)
    for _ in range(10):
        loss = np.where(hard, rng.normal(4, 0.3, 1000), rng.exponential(0.1, 1000))
        dynamics.append(loss=loss, correct=np.arange(1000) >= 30)
    found = estimate_noise_rate(dynamics, random_state=0)
    assert found.separation > 2
    assert found.rate == found.contradicted == 0.03


def test_only_judged_rows_count():
    wrong = np.arange(2000) < 600
    judged = np.arange(2000) >= 300
    found = estimate_noise_rate(run(wrong), judged=judged, random_state=0)
    assert found.rate == pytest.approx(300 / 1700, abs=0.02)


def test_the_interval_narrows_with_the_rows_and_repeats():
    widths = []
    for n in (400, 6400):
        dynamics = run(np.arange(n) < 0.3 * n)
        one, other = (estimate_noise_rate(dynamics, random_state=1) for _ in range(2))
        assert one == other
        widths.append(np.diff(one.interval)[0])
    assert widths[1] < 0.5 * widths[0]


def test_the_interval_covers_the_rate():
    covered = 0
    for seed in range(20):
        wrong = np.random.default_rng(seed).random(500) < 0.3
        low, high = estimate_noise_rate(
            run(wrong, seed=seed), n_bootstrap=40, random_state=0
        ).interval
        covered += low <= 0.3 <= high
    assert covered >= 16


@pytest.mark.parametrize("judged", [np.zeros(10, dtype=bool), None])
def test_nothing_to_estimate_from(judged):
    dynamics = TrainingDynamics(10, ["loss", "correct"])
    if judged is not None:
        dynamics.append(loss=np.ones(10), correct=np.ones(10))
    with pytest.raises(ValueError, match="needs rows and epochs"):
        estimate_noise_rate(dynamics, judged=judged)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"threshold": 0.0}, "threshold must be in the range"),
        ({"judged": np.ones(50, dtype=int)}, "judged must be a boolean mask"),
        ({"judged": np.ones(49, dtype=bool)}, r"of shape \(50,\)"),
        ({"n_bootstrap": 0}, "n_bootstrap must be at least 1"),
    ],
)
def test_bad_parameters_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        estimate_noise_rate(run(np.arange(50) < 10, n_epochs=5), **params)


def test_losses_are_not_negative():
    dynamics = TrainingDynamics(10, ["loss", "correct"])
    dynamics.append(loss=np.full(10, -1.0), correct=np.ones(10))
    with pytest.raises(ValueError, match="at least 0"):
        estimate_noise_rate(dynamics)


def test_the_best_separated_early_stage_is_chosen():
    # Wrong labels are contradicted and have large losses in epochs 2 to 8, and are noise after it.
    wrong, rng = np.arange(2000) < 600, np.random.default_rng(0)
    dynamics = TrainingDynamics(2000, ["loss", "correct"])
    for epoch in range(40):
        seen = wrong & (epoch < 8)
        loss = np.where(seen, 4, rng.exponential(0.2 if epoch < 8 else 4, 2000))
        dynamics.append(loss=loss, correct=~seen)
    found = estimate_noise_rate(dynamics, n_bootstrap=5, random_state=0)
    assert found.early_epoch == 8
    assert found.rate == pytest.approx(0.3, abs=0.01)


def test_unrecorded_losses_are_named():
    dynamics = TrainingDynamics(10, ["correct"])
    dynamics.append(correct=np.ones(10))
    with pytest.raises(ValueError, match="'loss' was not recorded"):
        estimate_noise_rate(dynamics)


def test_rows_that_were_dropped_are_named():
    dynamics = run(np.arange(100) < 30, n_epochs=6)
    dynamics.append(
        loss=np.where(np.arange(100) < 5, np.nan, 0.1),
        correct=np.where(np.arange(100) < 5, np.nan, 1),
    )
    with pytest.raises(ValueError, match="not trained in every epoch"):
        estimate_noise_rate(dynamics)
    assert estimate_noise_rate(dynamics.epochs(stop=6), n_bootstrap=2).rate > 0.2
