"""Two-component mixtures of one variable: which rows belong to the group of larger values.

The noise scores of a training set mix a clean group (small scores) with a mislabelled group
(large scores). `WeibullMixture` is MILD's model of them, `GaussianMixture1D` that of the
small-loss methods. Rows are collapsed to weighted distinct values first, so that the fit itself
costs the same for a thousand rows as for ten million.
"""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from scipy.special import gamma

from noisyfit._sklearn import Interval
from noisyfit.mixture._base import Mixture1D
from noisyfit.mixture._location_scale import GUMBEL, NORMAL

_MIN_SHAPE = 0.05  # gamma(1 + 1 / shape) must stay far from overflow


class WeibullMixture(Mixture1D):
    r"""Two-component Weibull mixture on weighted positive values, the model of MILD.

    The density is (Eq. 4 and 5 of [1]_, :math:`\alpha` a scale, :math:`\beta` a shape)

    .. math::
        \phi(x | \alpha, \beta) = \frac{\beta}{\alpha} \left(\frac{x}{\alpha}\right)^{\beta-1}
        e^{-(x/\alpha)^\beta}, \qquad
        P(x) = k_1 \phi(x | \alpha_1, \beta_1) + k_2 \phi(x | \alpha_2, \beta_2).

    Component 2 (index 1) is the one with the larger mean :math:`\alpha \Gamma(1 + 1/\beta)`: the
    mislabelled rows. MILD keeps the rows below its scale :math:`\alpha_2`, which are 63.2 % of
    that component whatever its shape.

    Parameters
    ----------
    warm_start : bool, default=False
        Start from the result of the last fit alone. Much faster if the values are like the last.
    max_iter : int, default=2000
        Most iterations of the solver from each start.
    tol : float, default=1e-10
        The solver stops after an iteration in which the mean log-likelihood gains less than this.
    max_shape : float, default=50.0
        Largest shape. It keeps a component from shrinking onto one value of discrete scores, where
        the likelihood has no bound.
    min_weight : float, default=1e-4
        Smallest weight of a component.

    Attributes
    ----------
    scales_, shapes_, weights_, means_ : ndarray of shape (2,)
        :math:`\alpha`, :math:`\beta`, :math:`k` and the mean of each component, means ascending.
    log_likelihood_ : float
        Sum of ``weight * log P(x)`` over the collapsed values.
    converged_ : bool
        Whether the solver converged within `max_iter` iterations.
    n_iter_ : int
        Iterations from the start with the best result.
    on_atom_ : ndarray of shape (2,), bool
        Whether a component sits on a single value of discrete scores, held by `max_shape` alone.
    degenerate_ : str
        Empty, or why these are not two components: fewer than 4 distinct values or components that
        coincide (a single Weibull is then stored twice, with weights 1 and 0), or an empty
        component. Check it before a threshold is used.

    See Also
    --------
    GaussianMixture1D : The same with normal components.

    Notes
    -----
    The likelihood is maximized by bounded quasi-Newton steps from four starts. The first is that of
    MILD's code: the values are split where a kernel density estimate lies furthest below a chord
    from its peak. The others split them at their 20, 50 and 80 % quantiles. A local maximum with an
    empty component or one on a single value loses against any other; among the rest the highest
    likelihood wins. MILD's code takes the local maximum that it reaches from its one start.

    The log odds of two Weibull densities have at most one turning point: if the noisy component is
    the narrower they fall again to the right of it, if it is the wider they rise again to the left.
    Beyond that point `posterior` stays constant. It is the running maximum (or minimum) over the
    whole support, which unlike one over a batch does not depend on the other rows.

    References
    ----------
    .. [1] C. Hu et al. "MILD: Modeling the Instance Learning Dynamics for Learning with Noisy
       Labels", IJCAI 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.mixture import WeibullMixture
    >>> rng = np.random.default_rng(0)
    >>> x = np.r_[15 * rng.weibull(1.5, 4000), 60 * rng.weibull(6, 1000)]
    >>> mixture = WeibullMixture().fit(x)
    >>> mixture.scales_.round(), mixture.weights_.round(2)
    (array([15., 59.]), array([0.79, 0.21]))
    >>> mixture.posterior([10, 60]) > 0.5
    array([False,  True])
    """

    _family = GUMBEL
    _min_distinct = 4
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Mixture1D._parameter_constraints,
        "max_shape": [Interval(Real, 1, None, closed="neither")],
    }

    def __init__(
        self,
        *,
        warm_start: bool = False,
        max_iter: int = 2000,
        tol: float = 1e-10,
        max_shape: float = 50.0,
        min_weight: float = 1e-4,
    ):
        self.warm_start = warm_start
        self.max_iter = max_iter
        self.tol = tol
        self.max_shape = max_shape
        self.min_weight = min_weight

    def _check_support(self, values: np.ndarray) -> None:
        if values[0] <= 0:
            raise ValueError(
                "WeibullMixture needs positive x, the support of the Weibull density. Got a "
                f"minimum of {values[0]:g}; move the values with shift_positive first."
            )

    def _transform(self, x: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(x, np.finfo(float).tiny))

    def _inverse(self, t: np.ndarray) -> np.ndarray:
        return np.exp(t)

    def _log_jacobian(self, x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, -self._transform(x), -np.inf)

    def _range(self, t: np.ndarray, w: np.ndarray) -> tuple[float, tuple[float, float]]:
        return 1.0, (1 / self.max_shape, 1 / _MIN_SHAPE)

    def _means(self, locations: np.ndarray, spreads: np.ndarray) -> np.ndarray:
        return np.exp(locations) * gamma(1 + spreads)

    def _publish(self) -> None:
        self.scales_, self.shapes_ = np.exp(self._locations), 1 / self._spreads


class GaussianMixture1D(Mixture1D):
    r"""Two-component normal mixture on weighted values.

    Component 2 (index 1) is the one with the larger mean.

    Parameters
    ----------
    warm_start : bool, default=False
        Start from the result of the last fit alone. Much faster if the values are like the last.
    max_iter : int, default=2000
        Most iterations of the solver from each start.
    tol : float, default=1e-10
        The solver stops after an iteration in which the mean log-likelihood gains less than this.
    min_std : float, default=1e-3
        Smallest standard deviation of a component, in units of that of `x`. It keeps a component
        from shrinking onto one value, where the likelihood has no bound.
    min_weight : float, default=1e-4
        Smallest weight of a component.

    Attributes
    ----------
    means_, stds_, weights_ : ndarray of shape (2,)
        Mean, standard deviation and weight of each component, means ascending.
    log_likelihood_ : float
        Sum of ``weight * log density`` over the collapsed values.
    converged_ : bool
        Whether the solver converged within `max_iter` iterations.
    n_iter_ : int
        Iterations from the start with the best result.
    on_atom_ : ndarray of shape (2,), bool
        Whether a component sits on a single value, held by `min_std` alone.
    degenerate_ : str
        Empty, or why these are not two components: constant values or components that coincide
        (a single normal is then stored twice, with weights 1 and 0), or an empty component.

    See Also
    --------
    WeibullMixture : The same with Weibull components; *Notes* say which local maximum is chosen.
    sklearn.mixture.GaussianMixture : Any number of components and features, without weights.

    Notes
    -----
    The posterior of two normals of unequal width has one turning point, far out on the side of the
    narrower one. Beyond that point `posterior` stays constant.

    Examples
    --------
    >>> import numpy as np
    >>> from noisyfit.mixture import GaussianMixture1D
    >>> rng = np.random.default_rng(0)
    >>> x = np.r_[rng.normal(0, 1, 3000), rng.normal(6, 1, 1000)]
    >>> mixture = GaussianMixture1D().fit(x)
    >>> mixture.means_.round(1), mixture.weights_.round(2), round(mixture.crossing(), 1)
    (array([-0.,  6.]), array([0.75, 0.25]), 3.2)
    """

    # scikit-learn's GaussianMixture takes no sample weights, so it cannot fit collapsed values, and
    # its cost grows with the rows. What fits the Weibull mixture fits normals as it is; a test
    # holds it to scikit-learn's answer.
    _family = NORMAL
    _min_distinct = 2
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Mixture1D._parameter_constraints,
        "min_std": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        *,
        warm_start: bool = False,
        max_iter: int = 2000,
        tol: float = 1e-10,
        min_std: float = 1e-3,
        min_weight: float = 1e-4,
    ):
        self.warm_start = warm_start
        self.max_iter = max_iter
        self.tol = tol
        self.min_std = min_std
        self.min_weight = min_weight

    def _transform(self, x: np.ndarray) -> np.ndarray:
        return x

    def _inverse(self, t: np.ndarray) -> np.ndarray:
        return t

    def _log_jacobian(self, x: np.ndarray) -> float:
        return 0.0

    def _range(self, t: np.ndarray, w: np.ndarray) -> tuple[float, tuple[float, float]]:
        unit = float(np.sqrt(w @ t**2)) or 1.0
        # No weighted standard deviation exceeds half the range.
        return unit, (self.min_std, max((t[-1] - t[0]) / unit, 1.0))

    def _means(self, locations: np.ndarray, spreads: np.ndarray) -> np.ndarray:
        return locations

    def _publish(self) -> None:
        self.stds_ = self._spreads
