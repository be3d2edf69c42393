"""What may be written over: files of noisyfit, and no others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_HEADER = 100_000_000  # bytes, as safetensors has it


def check_replaceable(path: str | Path, is_own: Callable[[Path], bool], written: str) -> None:
    """Refuse to replace a file of something else; an empty one may go.

    Parameters
    ----------
    path : str or Path
        The file that is to be written.
    is_own : callable
        Says of a file that is there whether noisyfit wrote it.
    written : str
        What is to be written, for the message.

    Raises
    ------
    FileExistsError
        If there is something else at `path`.
    """
    path = Path(path)
    if not path.exists() or (path.is_file() and (path.stat().st_size == 0 or is_own(path))):
        return
    kind = f"a file of {path.stat().st_size:,} bytes" if path.is_file() else "a folder"
    raise FileExistsError(
        f"{str(path)!r} is {kind} that noisyfit did not write, and is left as it is. To write "
        f"{written} there, move or delete it first, or give another path."
    )


def is_tensor_file(path: Path) -> bool:
    """Whether a file has the header of one that `write_tensors` wrote, be it damaged after that."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        head = file.read(length) if 2 <= length <= _LONGEST_HEADER else b""
    try:
        kind = json.loads(head)["__metadata__"]["format"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return False
    return isinstance(kind, str) and kind.startswith("noisyfit.")
