"""Parameters of an estimator's network and optimizer, next to the estimator's own."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


_SETTLED = {
    "criterion": "the losses are part of the methods. See class_weight= and sample_weight.",
    "train_split": "use validation_fraction= for rows that are not trained on.",
    "iterator_valid": "predictions do not depend on it; num_workers is that of iterator_train__.",
    "iterator_test": "predictions do not depend on it; num_workers is that of iterator_train__.",
    "unlabeled": "DLTClassifier and MetaRelabelClassifier take rows without a label.",
    "dataset": "rows are passed as X, also those of a torch Dataset.",
    "warm_start": "each fit starts anew; one that was stopped goes on by checkpoint=.",
    "max_iter": "the number of epochs is max_epochs=.",
    "n_epochs": "the number of epochs is max_epochs=.",
    "epochs": "the number of epochs is max_epochs=.",
    "learning_rate": "it is lr= here.",
    "learning_rate_init": "it is lr= here.",
}
"""Parameters of skorch and scikit-learn that users try, and what to do instead."""


class NestedParams:
    """Mixin that lets a scikit-learn estimator take ``module__*`` and ``optimizer__*`` parameters.

    They are kept in one private dict, not in attributes named ``module__x``: scikit-learn allows an
    ``__init__`` to set nothing but its named parameters. Names without a known prefix are kept,
    too. `check_nested_params` refuses them at fit, because an ``__init__`` must not validate.
    """

    _nested_prefixes: tuple[str, ...] = (
        "module",
        "optimizer",
        "iterator_train",
    )
    _net_params: dict[str, Any]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return all parameters, the nested ones included.

        Parameters
        ----------
        deep : bool, default=True
            Passed on to scikit-learn: whether to add the parameters of nested estimators.

        Returns
        -------
        dict of str to object
            Values by the names of the parameters.
        """
        return {**super().get_params(deep=deep), **self._net_params}  # type: ignore[misc]

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name.

        Parameters
        ----------
        **params : object
            Values by name: those of the signature, ``module__<name>`` and the like.

        Returns
        -------
        self : object
        """
        nested = {name: value for name, value in params.items() if self._is_nested(name)}
        own = {name: value for name, value in params.items() if name not in nested}
        super().set_params(**own)  # type: ignore[misc]
        self._net_params = {**self._net_params, **nested}
        return self

    def check_nested_params(self) -> None:
        """Refuse unknown names of parameters.

        Raises
        ------
        TypeError
            If there are any; the message names them and, for each, the most similar valid one.
        """
        unknown = [name for name in self._net_params if not self._is_prefixed(name)]
        if not unknown:
            return
        for name in unknown:
            first = name.partition("__")[0]
            if first in _SETTLED:
                raise TypeError(
                    f"{type(self).__name__} got the parameter {name!r} of skorch: {_SETTLED[first]}"
                )
        valid = [*super().get_params(deep=False), *(f"{p}__" for p in self._nested_prefixes)]  # type: ignore[misc]
        lines = []
        for name in unknown:
            near = get_close_matches(name, valid, n=1)
            lines.append(f"{name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
        raise TypeError(
            f"{type(self).__name__} got unexpected parameters: {', '.join(lines)}. Parameters of "
            f"the network start with one of {', '.join(p + '__' for p in self._nested_prefixes)}, "
            f"as in module__width."
        )

    def _is_prefixed(self, name: str) -> bool:
        return any(name.startswith(p + "__") for p in self._nested_prefixes)

    def _is_nested(self, name: str) -> bool:
        return self._is_prefixed(name) or name in self._net_params


def nested_params(params: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the parameters ``prefix__name`` by what follows the prefix.

    Parameters
    ----------
    params : mapping of str to object
        All parameters of an estimator.
    prefix : str
        Such as ``"module"``.

    Returns
    -------
    dict

    Examples
    --------
    >>> nested_params({"lr": 0.1, "module__width": 8}, "module")
    {'width': 8}
    """
    start = prefix + "__"
    return {
        name.removeprefix(start): value for name, value in params.items() if name.startswith(start)
    }
