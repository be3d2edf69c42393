"""Bounds of shares and ratios, against values computed otherwise."""

import numpy as np
import pytest
from scipy.stats import beta, hypergeom

from noisyfit.audit._intervals import Moments, bounds, ratio_bounds


def moments(n, wrong, size, *, simple):
    share = wrong / n
    hidden = ((1 - share) ** 0.5 / n, share**0.5 / n)
    values = (size, share, share * (1 - share) / n, 1 / n, *hidden, 1e9, n, wrong)
    return Moments(*(np.array([value], dtype=float) for value in values), simple)


@pytest.mark.parametrize(("n", "wrong"), [(20, 0), (20, 1), (20, 10), (20, 20), (200, 7)])
def test_equal_weights_give_the_bounds_of_clopper_and_pearson(n, wrong):
    low, high = bounds(moments(n, wrong, 10**7, simple=False), 0.025)
    expected_low = beta.ppf(0.025, wrong, n - wrong + 1) if wrong else 0
    expected_high = beta.ppf(0.975, wrong + 1, n - wrong) if wrong < n else 1
    assert low[0] == pytest.approx(expected_low, abs=1e-5)
    assert high[0] == pytest.approx(expected_high, abs=1e-5)


@pytest.mark.parametrize(("n", "wrong", "size"), [(5, 0, 20), (5, 2, 20), (19, 3, 20), (20, 4, 20)])
def test_bounds_of_a_simple_sample_are_the_numbers_that_are_not_too_unlikely(n, wrong, size):
    counts = np.arange(size + 1)
    few, many = hypergeom.cdf(wrong, size, counts, n), hypergeom.sf(wrong - 1, size, counts, n)
    possible = counts[(few > 0.025) & (many > 0.025)]
    low, high = bounds(moments(n, wrong, size, simple=True), 0.025)
    assert low[0] * size == pytest.approx(possible.min())
    assert high[0] * size == pytest.approx(possible.max())


def test_a_larger_step_allows_for_more_that_was_not_seen():
    even = moments(50, 0, 5000, simple=False)
    high = bounds(even, 0.025)[1][0]
    step = np.array([0.04])
    thin = bounds(even._replace(step=step, unseen_wrong=step), 0.025)[1][0]
    assert high == pytest.approx(1 - 0.025 ** (1 / 50))
    assert thin == pytest.approx(1 - 0.025 ** (1 / 25)), "as if 25 rows were verified"


def test_a_domain_without_a_verified_row_may_be_anything():
    nothing = Moments(
        *(np.array([v]) for v in (10.0, 0.0, 0.0, *[0.1] * 3, 0.0, 0.0, 0.0)), simple=False
    )
    assert [end[0] for end in bounds(nothing, 0.025)] == [0, 1]


def ends(*numbers):
    return [end[0] for end in ratio_bounds(*(np.array([float(x)]) for x in numbers))]


def test_the_bounds_of_a_ratio_solve_their_equation():
    a, a_low, a_high, b, b_low, b_high = 30.0, 22.0, 40.0, 10.0, 5.0, 18.0
    low, high = ends(a, a_low, a_high, b, b_low, b_high)
    for share, da, db in ((low, a - a_low, b_high - b), (high, a_high - a, b - b_low)):
        x = share / (1 - share)
        assert (a - x * b) ** 2 == pytest.approx(da**2 + x**2 * db**2)
    assert low < 0.75 < high


def test_the_bounds_of_a_ratio_where_nothing_is_found_or_all_is_known():
    assert ends(0, 0, 5, 0, 0, 5) == [0, 1], "no error was found"
    assert ends(3, 3, 3, 1, 1, 1) == pytest.approx([0.75, 0.75]), "all is known"
    assert ends(3, 3, 3, 0, 0, 0) == [1, 1], "nothing is left"
    assert ends(0, 0, 0, 3, 3, 3) == [0, 0], "nothing is found"
    low, high = ends(20, 20, 20, 0, 0, 5)
    assert low == pytest.approx(20 / 25)
    assert high == 1
