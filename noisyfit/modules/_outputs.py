"""What networks return: logits, or an object that holds them, as those of Hugging Face do."""

from __future__ import annotations

from typing import Any


def logits_of(output: Any) -> Any:
    """Return the logits of what a network has returned.

    Parameters
    ----------
    output : tensor, or object with an attribute ``logits``
        What the network has returned.

    Returns
    -------
    object
        A tensor, unless the network has returned something that cannot be used.
    """
    return getattr(output, "logits", output)
