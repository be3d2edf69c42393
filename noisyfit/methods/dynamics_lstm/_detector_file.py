"""The file of a detector: its weights, and a header of which every entry is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noisyfit.persistence import (
    check_replaceable,
    is_tensor_file,
    read_tensors,
    write_tensors,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch
    from torch import nn

FORMAT, VERSION = "noisyfit.DynamicsLSTM", 1
_FIELDS: dict[str, Callable[[Any], bool]] = {
    "training_length": lambda value: type(value) is int and 1 <= value <= 100_000,
    "recording": lambda value: isinstance(value, str),
    "data_sets": lambda value: isinstance(value, list),
    "held_out": lambda value: isinstance(value, dict),
    "noise_rate": lambda value: isinstance(value, float) and 0 < value < 1,
}


def write_detector(
    path: str | Path, weights: dict[str, torch.Tensor], header: dict[str, Any]
) -> None:
    """Write a detector to a file.

    Parameters
    ----------
    path : str or Path
        The file to write.
    weights : dict of str to tensor
        State of the detector's network.
    header : dict
        ``training_length``, ``recording``, ``data_sets``, ``held_out`` and ``noise_rate``, each a
        value that JSON can hold.

    Raises
    ------
    FileExistsError
        If there is a file of something else.
    """
    check_replaceable(path, is_tensor_file, "a detector")
    write_tensors(path, FORMAT, VERSION, weights, header)


def read_detector(path: str | Path, module: nn.Module) -> dict[str, Any]:
    """Read a detector's weights into a module and return its header.

    Parameters
    ----------
    path : str or Path
        The file to read.
    module : torch.nn.Module
        Network whose weights are replaced. The file must have weights of the same names, shapes and
        types.

    Returns
    -------
    dict
        The header, as given to `write_detector`.

    Raises
    ------
    ValueError
        If the file is corrupt, holds something else, or comes from a later version.
    """
    weights, header = read_tensors(path, FORMAT, VERSION)
    header = header if isinstance(header, dict) else {}
    wrong = [name for name, is_valid in _FIELDS.items() if not is_valid(header.get(name))]
    expected = {name: (value.shape, value.dtype) for name, value in module.state_dict().items()}
    if wrong or {name: (value.shape, value.dtype) for name, value in weights.items()} != expected:
        raise ValueError(
            f"{str(path)!r} does not hold the weights of a {type(module).__name__}, or lacks "
            f"valid entries of the header: {wrong}."
        )
    if not all(value.isfinite().all() for value in weights.values()):
        raise ValueError(f"{str(path)!r} holds weights that are not finite.")
    module.load_state_dict(weights)
    return header
