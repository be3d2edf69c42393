"""A file of tensors with a JSON header and a hash of both, in the format safetensors."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file


def write_tensors(
    path: str | Path, kind: str, version: int, tensors: dict[str, torch.Tensor], header: Any
) -> None:
    """Write tensors and a header to a file, which is replaced only when the new one is complete.

    Parameters
    ----------
    path : str or Path
        The file to write; its folder must exist.
    kind : str
        Name of the kind of file, which `read_tensors` compares.
    version : int
        Version of the format of this kind of file.
    tensors : dict of str to tensor
        Tensors by name, on any device.
    header : object
        Anything that JSON can hold.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    """
    path = Path(path)
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(path.parent)!r}.")
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    text = json.dumps(header, sort_keys=True)
    metadata = {"format": kind, "version": str(version), "header": text}
    part = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        save_file(tensors, part, metadata | {"sha256": _digest(tensors, text)})
        _flush(part)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read_tensors(path: str | Path, kind: str, version: int) -> tuple[dict[str, torch.Tensor], Any]:
    """Read the tensors and the header of a file that `write_tensors` wrote.

    Parameters
    ----------
    path : str or Path
        The file to read.
    kind : str
        Kind of file that the caller expects.
    version : int
        The latest version that the caller understands.

    Returns
    -------
    tensors : dict of str to tensor
        Tensors by name, on the CPU.
    header : object
        The header, as JSON gives it back.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If the file is damaged, holds something else, or comes from a later version.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{str(path)!r} is no file of safetensors, or damaged: {error}") from error
    if metadata.get("format") != kind:
        raise ValueError(
            f"{str(path)!r} holds no {kind}: its format is {metadata.get('format')!r}."
        )
    if metadata.get("version") not in {str(number) for number in range(1, version + 1)}:
        raise ValueError(
            f"{str(path)!r} has version {metadata.get('version')!r} of the format; this noisyfit "
            f"reads version {version}. Update noisyfit."
        )
    text = metadata.get("header", "")
    if metadata.get("sha256") != _digest(tensors, text):
        raise ValueError(f"{str(path)!r} is damaged: its contents do not fit their SHA-256.")
    try:
        return tensors, json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{str(path)!r} has a header that is no JSON: {error}") from error


def _flush(path: Path) -> None:
    """Wait until the file is on disk, so that a crash after the renaming cannot empty it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(tensors: dict[str, torch.Tensor], header: str) -> str:
    """Compute the SHA-256 of the header and of all tensors in the order of their names."""
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
