"""Whether all processes that share a fit were asked for the same one, and came to the same end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from noisyfit._random import fresh_seed
from noisyfit.persistence import hash_values, identity_of_fit

if TYPE_CHECKING:
    from noisyfit._ranks import Ranks
    from noisyfit.base._classifier import BaseNoisyClassifier

_OF_RANK = "parameter device"  # each GPU has a number of its own


def check_same_fit(
    ranks: Ranks, est: BaseNoisyClassifier, X: Any, y: np.ndarray, beside: dict[str, Any]
) -> int | np.random.RandomState:
    """Compare with rank 0 what a fit is one of, and agree on its ``random_state``.

    Parameters
    ----------
    ranks : Ranks
        The processes of the fit.
    est : BaseNoisyClassifier
        The estimator that is fitted.
    X : ndarray, CSR matrix or torch Dataset
        Its checked inputs.
    y : ndarray of shape (n_samples,)
        Its checked labels.
    beside : dict of str to array-like of shape (n_samples,) or None
        What else ``fit`` was given, by name.

    Returns
    -------
    int or RandomState
        That of the estimator; where it is None, a seed that rank 0 has drawn.

    Raises
    ------
    ValueError
        If a rank was asked for another fit; the message names it and says what differs.
    """
    random_state = est.random_state
    now = identity_of_fit(est, X, y, beside)
    now.pop(_OF_RANK, None)
    if isinstance(random_state, np.random.RandomState):
        state: Any = random_state.get_state()
        now["parameter random_state"] = hash_values([state[1], np.asarray(state[2])])
    of_all = ranks.exchange("X, y and parameters", json.dumps(now))
    first: dict[str, str] = json.loads(of_all[0])
    for rank, text in enumerate(of_all):
        then: dict[str, str] = json.loads(text)
        differ = [name for name in {**first, **then} if first.get(name) != then.get(name)]
        if differ:
            told = ", ".join(f"{n} ({then.get(n)}, not {first.get(n)})" for n in differ)
            raise ValueError(
                f"All {ranks.size} processes of the group share one fit, but rank {rank} was "
                f"asked for another one than rank 0, which differs in: {told}. Call fit with the "
                "same estimator, X and y on every rank: the rows are divided by noisyfit, not by "
                "you."
            )
    if random_state is not None:
        return random_state
    return int(ranks.exchange("a seed", str(fresh_seed(None)))[0])


def check_same_result(ranks: Ranks, est: BaseNoisyClassifier) -> None:
    """Compare with rank 0 what a fit has found.

    Parameters
    ----------
    ranks : Ranks
        The processes of the fit.
    est : BaseNoisyClassifier
        The fitted estimator.

    Raises
    ------
    RuntimeError
        If a rank has found something else; the message names it.
    """
    found = hash_values([est.noise_scores_, est.clean_mask_, np.asarray(est.noise_rate_)])
    of_all = ranks.exchange("the noise scores", found)
    other = [rank for rank, of_rank in enumerate(of_all) if of_rank != of_all[0]]
    if other:
        raise RuntimeError(
            f"The noise scores of rank {other[0]} are not those of rank 0. Something decides "
            "otherwise there: other hardware or libraries, a callback that is not the same on all "
            "ranks, or a network that draws random numbers elsewhere than from torch."
        )
