"""What the mixtures of `noisyfit.mixture` share: the fit template and all that is read from it."""

from __future__ import annotations

import warnings
from abc import ABCMeta, abstractmethod
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from noisyfit._sklearn import Interval, fit_context
from noisyfit.mixture._collapse import BLOCK, check_values, collapse
from noisyfit.mixture._location_scale import (
    Family,
    Solution,
    climb,
    hold,
    log_joint,
    log_odds,
    starting_splits,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# Share of a component's weight on one value that makes it an atom.
ONE_VALUE = 0.9
COINCIDE = "the two components coincide"


class Mixture1D(BaseEstimator, metaclass=ABCMeta):
    """Template: collapse the rows, climb from several starts, keep the best, order by mean."""

    _family: ClassVar[Family]
    _min_distinct: ClassVar[int]
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "warm_start": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "min_weight": [Interval(Real, 0, 0.5, closed="neither")],
    }
    warm_start: bool
    max_iter: int
    tol: float
    min_weight: float

    @abstractmethod
    def _transform(self, x: np.ndarray) -> np.ndarray:
        """Return t, the variable of which the mixture is a location-scale mixture."""

    @abstractmethod
    def _inverse(self, t: np.ndarray) -> np.ndarray:
        """Return x."""

    @abstractmethod
    def _log_jacobian(self, x: np.ndarray) -> np.ndarray | float:
        """Return log(dt / dx)."""

    @abstractmethod
    def _range(self, t: np.ndarray, w: np.ndarray) -> tuple[float, tuple[float, float]]:
        """Return the unit in which to fit `t` and the range of spreads in that unit."""

    @abstractmethod
    def _means(self, locations: np.ndarray, spreads: np.ndarray) -> np.ndarray:
        """Return the component means of x."""

    @abstractmethod
    def _publish(self) -> None:
        """Set the parameters of the components from `_locations` and `_spreads`."""

    def _check_support(self, values: np.ndarray) -> None:
        """Raise a ValueError if a value is outside the support."""

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, x: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the mixture to weighted values.

        Parameters
        ----------
        x : array-like of shape (n_samples,)
            Finite values; positive for a Weibull mixture (see `shift_positive`).
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, not all zero. A weight of 3 counts like three equal rows.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a value is not finite or outside the support, or a weight is negative.

        Warns
        -----
        ConvergenceWarning
            If the best start was still climbing after `max_iter` iterations.
        """
        values, mass = collapse(x, sample_weight)
        self._check_support(values)
        t, w = self._transform(values), mass / mass.sum()
        centre = w @ t
        unit, spreads = self._range(t - centre, w)
        t = (t - centre) / unit
        n_rows = max(mass.sum(), len(values))  # weights may be normalised to any sum
        if len(values) < self._min_distinct:
            values_got = "value" if len(t) == 1 else "values"
            why = f"{len(t)} distinct {values_got}: two components need {self._min_distinct}"
            best = self._single(t, w, spreads)
        else:
            if self.warm_start and hasattr(self, "_locations"):
                starts = [self._last_summit(centre, unit, spreads)]
            else:
                splits = starting_splits(values, w, n_rows)
                starts = [self._split_at(t, w, k, spreads) for k in splits]
            found = [self._climb(t, w, start, spreads) for start in starts]
            best = max(found, key=lambda s: self._merit(s, t, w, spreads))
            why = self._fault(best)
            if why == COINCIDE:
                best = self._single(t, w, spreads)
        if not best.converged:
            warnings.warn(
                f"{type(self).__name__} did not converge in {self.max_iter} iterations. "
                "Increase max_iter or tol.",
                ConvergenceWarning,
                stacklevel=3,
            )
        locations, widths = best.locations * unit + centre, best.spreads * unit
        order = np.argsort(self._means(locations, widths), kind="stable")
        self._locations, self._spreads = locations[order], widths[order]
        self.degenerate_, self.weights_ = why, best.weights[order]
        self.on_atom_ = self._on_atom(best, t, w, spreads)[order]
        self.means_ = self._means(self._locations, self._spreads)
        self._publish()
        self.converged_, self.n_iter_ = best.converged, best.n_iter
        self.log_likelihood_ = float(mass @ np.logaddexp(*self._log_joint(values, self.weights_)))
        return self

    def _split_at(
        self, t: np.ndarray, w: np.ndarray, split: int, spreads: tuple[float, float]
    ) -> Solution:
        sides = (slice(None, split), slice(split, None))
        start = np.array([self._family.maximise(t[s], w[s], spreads) for s in sides])
        weights = np.clip([w[s].sum() for s in sides], self.min_weight, 1 - self.min_weight)
        return Solution(start[:, 0], start[:, 1], weights)

    def _last_summit(self, centre: float, unit: float, spreads: tuple[float, float]) -> Solution:
        widths = np.clip(self._spreads / unit, *spreads)
        weights = np.clip(self.weights_, self.min_weight, 1 - self.min_weight)
        return Solution((self._locations - centre) / unit, widths, weights)

    def _climb(
        self, t: np.ndarray, w: np.ndarray, start: Solution, spreads: tuple[float, float]
    ) -> Solution:
        return climb(
            t,
            w,
            self._family,
            start,
            spreads=spreads,
            min_weight=self.min_weight,
            max_iter=self.max_iter,
            tol=self.tol,
        )

    def _single(self, t: np.ndarray, w: np.ndarray, spreads: tuple[float, float]) -> Solution:
        location, spread = self._family.maximise(t, w, spreads)
        return Solution(np.full(2, location), np.full(2, spread), np.array([1.0, 0.0]))

    def _fault(self, summit: Solution) -> str:
        if summit.weights.min() < 1.01 * self.min_weight:
            return f"an empty component: its weight fell to {self.min_weight:g}"
        gaps = np.abs([np.diff(summit.locations), np.diff(summit.spreads)])
        return COINCIDE if gaps.max() < 1e-6 * summit.spreads.min() else ""

    def _on_atom(
        self, summit: Solution, t: np.ndarray, w: np.ndarray, spreads: tuple[float, float]
    ) -> np.ndarray:
        joint = log_joint(t, self._family, *summit[:3])
        share = w * np.exp(joint - np.logaddexp(*joint))
        atom = share.max(axis=1) > ONE_VALUE * share.sum(axis=1)
        return atom & (summit.spreads < 1.01 * spreads[0])

    def _merit(self, summit: Solution, *context: Any) -> tuple[bool, bool, float]:
        # The likelihood has no bound where a component shrinks onto one value: only the bound on
        # its spread gives it a value there, which must not be compared with an honest summit.
        atoms = bool(self._on_atom(summit, *context).any())
        return not self._fault(summit), not atoms, summit.log_likelihood

    def _log_joint(self, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        joint = log_joint(self._transform(x), self._family, self._locations, self._spreads, weights)
        return joint + self._log_jacobian(x)

    def _log_odds(self, t: np.ndarray, monotone: bool) -> np.ndarray:
        if monotone:
            t = hold(t, self._family, self._locations, self._spreads)
        return log_odds(t, self._family, self._locations, self._spreads, self.weights_)

    def posterior(self, x: ArrayLike, monotone: bool = True) -> np.ndarray:
        """Return the probability of the component with the larger mean, given the value.

        Parameters
        ----------
        x : array-like of shape (n_samples,)
            Finite values; outside the support the limit at its edge is returned.
        monotone : bool, default=True
            Hold the posterior where it would fall as `x` grows (see Notes of the class). False
            gives Bayes' rule as it is.

        Returns
        -------
        ndarray of shape (n_samples,)
            In [0, 1]; zeros if `degenerate_` left only one component.
        """
        check_is_fitted(self)
        x = check_values(x, "x")
        out = np.empty(len(x))
        for rows in gen_batches(len(x), BLOCK):
            out[rows] = expit(self._log_odds(self._transform(x[rows]), monotone))
        return out

    def pdf(self, x: ArrayLike) -> np.ndarray:
        """Return the density of each component, not multiplied by its weight.

        Parameters
        ----------
        x : array-like of shape (n_samples,)
            Finite values.

        Returns
        -------
        ndarray of shape (n_samples, 2)
            ``pdf(x) @ weights_`` is the density of the mixture.
        """
        check_is_fitted(self)
        return np.exp(self._log_joint(check_values(x, "x"), np.ones(2))).T

    def crossing(self) -> float:
        """Return the point between the component means where the weighted densities are equal.

        Returns
        -------
        float
            Below it `posterior` is under one half, above it over one half. NaN if there is no such
            point: one weighted density exceeds the other all the way between the means.
        """
        check_is_fitted(self)

        def odds(t: float) -> float:
            return float(self._log_odds(np.array([t]), True)[0])

        low, high = self._transform(self.means_)
        if not odds(low) < 0 < odds(high):
            return np.nan
        precision = 1e-12 * self._spreads.min()
        return float(self._inverse(brentq(odds, low, high, xtol=precision, maxiter=1000)))
