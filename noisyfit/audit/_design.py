"""Estimates from a stratified sample: shares of domains, and how far they may be off."""

from __future__ import annotations

from copy import copy

import numpy as np

from noisyfit.audit._intervals import Moments

FEWEST_OF_A_KIND = 10
"""Wrong and right verified labels from which on the scores are believed to say more than nothing:
with fewer, the variance that is left beside them would be underestimated."""


class Design:
    """Verified rows of a stratified sample without replacement.

    Parameters
    ----------
    scores : ndarray of shape (n_rows,)
        Of all rows that could be drawn.
    strata : ndarray of shape (n_rows,), int
        The stratum of each.
    rows : ndarray of shape (n,), int
        Numbers of the verified ones among them.
    wrong : ndarray of shape (n,), bool, or float in [0, 1]
        Whether their labels are wrong, or how likely they are.

    Attributes
    ----------
    slope : float, in [0, 1]
        How much of the scores is believed: the coefficient of the difference estimator.
    """

    def __init__(
        self, scores: np.ndarray, strata: np.ndarray, rows: np.ndarray, wrong: np.ndarray
    ) -> None:
        self.scores, self.rows, self.wrong = scores, rows, wrong.astype(np.float64)
        self.strata = _with_two_rows(strata, rows)
        self.sizes = np.bincount(self.strata).astype(np.float64)
        of_row = self.strata[rows]
        self.in_stratum = np.zeros((len(rows), len(self.sizes)))
        self.in_stratum[np.arange(len(rows)), of_row] = 1
        self.counts = self.in_stratum.sum(axis=0)
        self.weights = (self.sizes / self.counts)[of_row]
        self.slope = self._slope()

    def _slope(self) -> float:
        n_wrong = self.wrong.sum()
        if min(n_wrong, len(self.wrong) - n_wrong) < FEWEST_OF_A_KIND:
            return 0.0
        score = self.scores[self.rows]
        spread = self.variance_of_sum(score)
        if not spread:
            return 0.0
        factor = (self._factors() / self.counts)[self.strata[self.rows]]
        together = (factor * self._centred(score) * self.wrong).sum()
        return float(np.clip(together / spread, 0, 1))

    def _centred(self, values: np.ndarray) -> np.ndarray:
        """Return values less the mean of their stratum."""
        means = self.in_stratum.T @ values / self.counts
        return np.asarray(values - self.in_stratum @ means)

    def _factors(self) -> np.ndarray:
        """Return N_h^2 (1 - n_h / N_h) / (n_h - 1) of each stratum; 0 where all is verified."""
        left = 1 - self.counts / self.sizes
        return np.where(left > 0, self.sizes**2 * left / np.maximum(self.counts - 1, 1), 0.0)

    def of_groups(self, codes: np.ndarray, k: int) -> Moments:
        """Return what the sample says of each of k groups of rows.

        Parameters
        ----------
        codes : ndarray of shape (n_rows,), int
            The group of each row, from 0 to k - 1.
        k : int
            Number of groups.

        Returns
        -------
        Moments
        """
        return self.of_sums(*self._sums_of(codes, k))

    def _sums_of(self, codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n_strata = len(self.sizes)
        sizes = np.bincount(codes * n_strata + self.strata, minlength=k * n_strata)
        members = codes[self.rows] == np.arange(k)[:, None]
        scores = np.bincount(codes, weights=self.scores, minlength=k)
        return members, sizes.reshape(k, n_strata), scores

    def of_sums(self, members: np.ndarray, sizes: np.ndarray, scores: np.ndarray) -> Moments:
        """Return what the sample says of domains, from their verified rows and their sums.

        Parameters
        ----------
        members : ndarray of shape (k, n), bool
            The verified rows of each domain.
        sizes : ndarray of shape (k, n_strata)
            Rows of each domain in each stratum.
        scores : ndarray of shape (k,)
            Sums of the scores over each domain.

        Returns
        -------
        Moments
        """
        members, size = members.astype(np.float64), sizes.sum(axis=1)
        residual = self.wrong - self.slope * self.scores[self.rows]
        weight = members @ self.weights
        seen = weight > 0
        safe = np.where(seen, weight, 1.0)
        mean = members @ (self.weights * residual) / safe
        share = np.where(seen, mean + self.slope * scores / np.maximum(size, 1), 0.0)
        off = members * (residual - mean[:, None])
        spread = off**2 @ self.in_stratum - (off @ self.in_stratum) ** 2 / self.counts
        variance = np.maximum(spread, 0) @ (self._factors() / self.counts) / safe**2
        n_inside = members @ self.in_stratum
        left = sizes > n_inside
        thin = left * (self.sizes / self.counts) / safe[:, None]
        step = thin.max(axis=1)
        n_wrong = (members * self.wrong) @ self.in_stratum
        unseen = _hidden(thin, n_wrong, n_inside), _hidden(thin, n_inside - n_wrong, n_inside)
        n, wrong = members.sum(axis=1), members @ self.wrong
        share = np.clip(share, wrong / np.maximum(size, 1), 1 - (n - wrong) / np.maximum(size, 1))
        freedom = n - (n_inside > 0).sum(axis=1) - (self.slope > 0)
        certain = bool(np.isin(self.wrong, (0, 1)).all())  # the exact bounds are those of counts
        simple = len(self.sizes) == 1 and self.slope == 0 and certain
        return Moments(size, share, variance, step, *unseen, freedom, n, wrong, simple)

    def of_another(self, quantity: np.ndarray) -> Design:
        """Return the same rows, of which something else than wrong labels is counted.

        Parameters
        ----------
        quantity : ndarray of shape (n,), in [0, 1]
            What is counted, in the verified rows. The scores say nothing of it.

        Returns
        -------
        Design
        """
        other = copy(self)
        other.wrong, other.slope = quantity.astype(np.float64), 0.0
        return other

    def of_groups_and_rest(self, codes: np.ndarray, k: int) -> tuple[Moments, Moments]:
        """Return what the sample says of each of k groups of rows, and of all rows beside it.

        Parameters
        ----------
        codes : ndarray of shape (n_rows,), int
            The group of each row, from 0 to k - 1.
        k : int
            Number of groups.

        Returns
        -------
        inside, outside : Moments
        """
        members, sizes, scores = self._sums_of(codes, k)
        rest = (~members, self.sizes - sizes, self.scores.sum() - scores)
        return self.of_sums(members, sizes, scores), self.of_sums(*rest)

    def variance_of_sum(self, values: np.ndarray) -> float:
        """Return the estimated variance of the estimated sum of something over all rows.

        Parameters
        ----------
        values : ndarray of shape (n,)
            Its values in the verified rows.

        Returns
        -------
        float
        """
        factor = (self._factors() / self.counts)[self.strata[self.rows]]
        return float((factor * self._centred(values) ** 2).sum())

    def unseen_weights(self) -> np.ndarray:
        """Return what a verified row of each stratum stands for; 0 where all are verified.

        Returns
        -------
        ndarray of shape (n_strata,)
        """
        return np.where(self.sizes > self.counts, self.sizes / self.counts, 0.0)


def _hidden(thin: np.ndarray, count: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return the standard deviation that one more of a kind has where it may best be overlooked.

    A stratum of which all verified rows are alike has no variance, and yet others may be there.
    """
    others = np.clip(1 - count / np.maximum(n, 1), 0, 1)
    return np.asarray((thin * np.sqrt(others)).max(axis=1))


def _with_two_rows(strata: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Join strata of which fewer than two rows were verified, and not all, to a neighbour."""
    strata = np.unique(strata, return_inverse=True)[1]
    while True:
        sizes = np.bincount(strata)
        counts = np.bincount(strata[rows], minlength=len(sizes))
        short = np.flatnonzero((counts < 2) & (counts < sizes))
        if not len(short) or len(sizes) == 1:
            return strata
        here = short[0]
        into = here - 1 if here else 1
        strata = np.unique(np.where(strata == here, into, strata), return_inverse=True)[1]
