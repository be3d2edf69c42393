"""The file of a detector: weights as safetensors, a JSON header, and a hash over both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
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
    """Write a detector.

    Parameters
    ----------
    path : str or Path
    weights : dict of str to tensor
    header : dict
        ``training_length``, ``recording``, ``data_sets``, ``held_out``, ``noise_rate``: all JSON.
    """
    if not Path(path).absolute().parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(Path(path).parent)!r}.")
    weights = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    text = json.dumps(header, sort_keys=True)
    metadata = {"format": FORMAT, "version": str(VERSION), "header": text}
    save_file(weights, path, metadata | {"sha256": _digest(weights, text)})


def read_detector(path: str | Path, module: nn.Module) -> dict[str, Any]:
    """Read a detector's weights into a module, and return its header.

    Parameters
    ----------
    path : str or Path
    module : torch.nn.Module
        Says which weights of which shapes there must be.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If the file is corrupt, holds something else, or comes from a later version.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{str(path)!r} is no file of safetensors, or damaged: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{str(path)!r} holds no detector: its format is {metadata.get('format')!r}, not "
            f"{FORMAT!r}."
        )
    if metadata.get("version") != str(VERSION):
        raise ValueError(
            f"{str(path)!r} has version {metadata.get('version')!r} of the format; this noisyfit "
            f"reads version {VERSION}. Update noisyfit."
        )
    text = metadata.get("header", "")
    if metadata.get("sha256") != _digest(weights, text):
        raise ValueError(f"{str(path)!r} is damaged: its contents do not fit their SHA-256.")
    header = _parse(text)
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


def _parse(text: str) -> dict[str, Any]:
    """Return the header, empty where it is no JSON object."""
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return header if isinstance(header, dict) else {}


def _digest(weights: dict[str, torch.Tensor], header: str) -> str:
    """SHA-256 of the header and of all weights in the order of their names."""
    digest = hashlib.sha256(header.encode())
    for name in sorted(weights):
        value = weights[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
