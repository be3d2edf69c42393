"""The base class of the mixtures: how they are fitted, and what is read from the fit."""

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
    hold,
    log_joint,
    log_odds,
    maximize_likelihood,
    starting_splits,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# Proportion of a component's weight on one value that makes it an atom.
ONE_VALUE = 0.9
COINCIDE = "the two components coincide"


class Mixture1D(BaseEstimator, metaclass=ABCMeta):
    """Base of the two mixtures: a subclass names the family and its variable.

    A fit collapses the rows, searches for a local maximum of the likelihood from several starts,
    keeps the best one, and orders the components by their means.
    """

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
        """Return t, the variable in which the components are a location-scale family."""

    @abstractmethod
    def _inverse(self, t: np.ndarray) -> np.ndarray:
        """Return the x that `_transform` maps to `t`."""

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
            If the likelihood still rose after `max_iter` iterations from the best start.
        """
        values, mass = collapse(x, sample_weight)
        self._check_support(values)
        t, w = self._transform(values), mass / mass.sum()
        center = w @ t
        unit, spreads = self._range(t - center, w)
        t = (t - center) / unit
        n_rows = max(mass.sum(), len(values))  # weights may be normalized to any sum
        if len(values) < self._min_distinct:
            values_got = "value" if len(t) == 1 else "values"
            why = f"{len(t)} distinct {values_got}: two components need {self._min_distinct}"
            best = self._single(t, w, spreads)
        else:
            if self.warm_start and hasattr(self, "_locations"):
                starts = [self._last_maximum(center, unit, spreads)]
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
        locations, widths = best.locations * unit + center, best.spreads * unit
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
        start = np.array([self._family.maximize(t[s], w[s], spreads) for s in sides])
        weights = np.clip([w[s].sum() for s in sides], self.min_weight, 1 - self.min_weight)
        return Solution(start[:, 0], start[:, 1], weights)

    def _last_maximum(self, center: float, unit: float, spreads: tuple[float, float]) -> Solution:
        widths = np.clip(self._spreads / unit, *spreads)
        weights = np.clip(self.weights_, self.min_weight, 1 - self.min_weight)
        return Solution((self._locations - center) / unit, widths, weights)

    def _climb(
        self, t: np.ndarray, w: np.ndarray, start: Solution, spreads: tuple[float, float]
    ) -> Solution:
        return maximize_likelihood(
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
        location, spread = self._family.maximize(t, w, spreads)
        return Solution(np.full(2, location), np.full(2, spread), np.array([1.0, 0.0]))

    def _fault(self, found: Solution) -> str:
        if found.weights.min() < 1.01 * self.min_weight:
            return f"an empty component: its weight fell to {self.min_weight:g}"
        gaps = np.abs([np.diff(found.locations), np.diff(found.spreads)])
        return COINCIDE if gaps.max() < 1e-6 * found.spreads.min() else ""

    def _on_atom(
        self, found: Solution, t: np.ndarray, w: np.ndarray, spreads: tuple[float, float]
    ) -> np.ndarray:
        joint = log_joint(t, self._family, *found[:3])
        weight = w * np.exp(joint - np.logaddexp(*joint))
        atom = weight.max(axis=1) > ONE_VALUE * weight.sum(axis=1)
        return atom & (found.spreads < 1.01 * spreads[0])

    def _merit(self, found: Solution, *context: Any) -> tuple[bool, bool, float]:
        # The likelihood has no bound where a component shrinks onto one value. Only the bound on
        # its spread makes it finite there, and that must not be compared with other local maxima.
        atoms = bool(self._on_atom(found, *context).any())
        return not self._fault(found), not atoms, found.log_likelihood

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
            Keep the posterior constant where it would fall as `x` grows (see Notes of the class).
            False gives Bayes' rule as it is.

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
