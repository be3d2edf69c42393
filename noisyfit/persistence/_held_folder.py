"""The folder of a checkpoint, held by the one fit that uses it."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from noisyfit._ranks import leads

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK = "lock"


@contextmanager
def held_folder(folder: str | Path | None) -> Iterator[None]:
    """Keep other fits out of the folder of a checkpoint while one uses it.

    The lock is one of the operating system's, which ends with the process that holds it, however
    that ends: a fit that was killed leaves none behind. Other threads, processes and machines see
    it, those that share the folder by a file system with locks, as NFS is. Of processes that share
    a fit, the first one holds it. Where nothing can be written, as on a medium that is for reading
    only, nothing is held: a fit that is complete is read from there, any other cannot go on.

    Parameters
    ----------
    folder : str, Path or None
        Made if it is not there, and removed if the fit ends in an error before it left a state
        there, as it does where its input cannot be used. None: there is no checkpoint.

    Raises
    ------
    ValueError
        If another fit uses the folder.
    """
    if folder is None or not leads():
        yield
        return
    path = Path(folder) / _LOCK
    is_new = not path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(path, timeout=0).acquire()
    except Timeout:
        raise ValueError(
            f"checkpoint={str(folder)!r} is in use by another fit that runs at this moment, and "
            "two would take each other's state. Give each fit a folder of its own; searches and "
            "cross-validation fit many, with checkpoint=None. If no such fit runs, since its "
            f"machine was lost, delete the file {_LOCK!r} in the folder."
        ) from None
    except OSError:
        if os.access(path.parent, os.W_OK):
            raise
        yield
        return
    with held:
        try:
            yield
        except BaseException:
            if is_new and list(path.parent.iterdir()) == [path]:
                shutil.rmtree(path.parent, ignore_errors=True)  # Windows keeps what is open
            raise
