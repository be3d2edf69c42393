"""Which class a label in a file of decisions stands for, by whatever it was read."""

from __future__ import annotations

from collections import defaultdict
from numbers import Integral, Real
from typing import Any

import numpy as np

from noisyfit._sklearn import is_pandas_na

# What pandas takes for a gap when it reads a CSV file.
_GAPS = frozenset(("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"))
_GAPS |= {"1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
_BOOLEANS = {"true": True, "false": False}


def read_as(value: Any) -> tuple[str, Any]:
    """Say what pandas' reader of CSV files makes of a value, or of the text that stands for it.

    Parameters
    ----------
    value : object
        A label, an entry of an index, or its text.

    Returns
    -------
    kind : {"gap", "boolean", "number", "text"}
    value : None, bool, float or str
    """
    if value is None or is_pandas_na(value) or (isinstance(value, Real) and value != value):
        return "gap", None
    if isinstance(value, (bool, np.bool_)):
        return "boolean", bool(value)
    text = str(value)
    if text in _GAPS:
        return "gap", None
    if text.lower() in _BOOLEANS:
        return "boolean", _BOOLEANS[text.lower()]
    try:
        number = float(text.replace("_", "?"))  # Python would take 1_000 for a number
    except ValueError:
        return "text", text
    return ("number", number) if number == number else ("text", text)


def is_gap(value: Any) -> bool:
    """Whether nothing was written where a value belongs."""
    return read_as(value)[0] == "gap"


class KnownLabels:
    """The classes of a data set, found by what a file of decisions calls them.

    Parameters
    ----------
    given : ndarray of shape (n_samples,)
        Checked labels.

    Notes
    -----
    pandas makes a float of an integer in a column with gaps, and a number of the text "01". A label
    that is a text is compared as a text first; any other, and a text that no class has, by what
    pandas would have made of the classes.
    """

    def __init__(self, given: np.ndarray) -> None:
        classes = np.unique(given)
        self._by_text = {str(label): label for label in classes}
        self._whole_numbers = classes.dtype.kind in "iu"
        self._by_reading = defaultdict(list)
        for label in classes:
            self._by_reading[read_as(label)].append(label)

    def find(self, label: Any) -> list[Any]:
        """Return the classes that a label may stand for.

        Parameters
        ----------
        label : object
            A label, or what was read of it.

        Returns
        -------
        list
            One class, or none that is known, or several that it cannot tell apart.
        """
        exact = isinstance(label, str) or (
            self._whole_numbers and isinstance(label, Integral) and not isinstance(label, bool)
        )
        if exact and str(label) in self._by_text:
            return [self._by_text[str(label)]]
        return [] if is_gap(label) else self._by_reading.get(read_as(label), [])

    def find_one(self, label: Any, row: int) -> Any:
        """Return the class that a row is to get.

        Parameters
        ----------
        label : object
            A label, or what was read of it.
        row : int
            Number of the row, for the message.

        Returns
        -------
        scalar
            One of the labels that the data set has.

        Raises
        ------
        ValueError
            If there is no label, or none or several of the classes are called so.
        """
        found = self.find(label)
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(
                f"Row {row} is to get the label {label!r}, which may be any of "
                f"{[str(known) for known in found]}: pandas reads them as one. Pass the path of "
                "the file, or read it by pd.read_csv(path, dtype=str, keep_default_na=False)."
            )
        if is_gap(label):
            gaps = [name for name in self._by_text if is_gap(name)]
            hint = (
                f" pandas reads {gaps} as a gap: pass the path of the file, or read it by "
                "pd.read_csv(path, dtype=str, keep_default_na=False)."
                if gaps
                else ""
            )
            raise ValueError(f"Row {row} is to get a label, but its decision has no label.{hint}")
        raise ValueError(
            f"Row {row} is to get the label {label!r}, which no row has. "
            f"Known are {list(self._by_text)}."
        )
