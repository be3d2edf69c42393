"""What a bug report needs to know about a machine."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version


def show_versions() -> None:
    """Print what a bug report needs: versions, CUDA devices and numbers of threads.

    The packages are those that noisyfit's own metadata names: what it needs, and what its pictures
    and tables of labels need.

    See Also
    --------
    sklearn.show_versions : What scikit-learn's developers ask for.

    Examples
    --------
    >>> import noisyfit
    >>> noisyfit.show_versions()
    System
          Python: 3...
    ...
    Packages
        noisyfit: ...
           numpy: ...
    ...
    CUDA
    ...
    Threads
    ...
    """
    for title, facts in (
        ("System", _system()),
        ("Packages", _packages()),
        ("CUDA", _cuda()),
        ("Threads", _threads()),
    ):
        print(title)
        for name, fact in facts.items():
            print(f"{name:>16}: {fact}")


def _system() -> dict[str, str]:
    return {
        "Python": platform.python_version(),
        "system": platform.platform(),
        "processors": str(os.cpu_count()),
    }


def _packages() -> dict[str, str]:
    """Return the installed version of noisyfit and of each package that it is used with."""
    try:
        lines = requires("noisyfit") or []
    except PackageNotFoundError:
        lines = []
    needed = [line for line in lines if "extra ==" not in line]
    optional = [line for line in lines if re.search(r"extra == .plot\b", line)]
    names = [re.split(r"[^\w.-]", line)[0] for line in needed + optional]
    return {name: _version(name) for name in ["noisyfit", *names]}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _cuda() -> dict[str, str]:
    import torch

    devices = range(torch.cuda.device_count())
    return {
        "of this torch": torch.version.cuda or "none",
        "available": "yes" if torch.cuda.is_available() else "no",
        **{f"device {number}": torch.cuda.get_device_name(number) for number in devices},
    }


def _threads() -> dict[str, str]:
    """Return the number of threads of torch and of each library that is loaded."""
    import torch
    from threadpoolctl import threadpool_info

    pools = enumerate(threadpool_info(), start=1)
    libraries = {
        f"{pool['user_api']} {number}": f"{pool['num_threads']} in {pool['prefix']}, "
        f"version {pool['version'] or 'unknown'}"
        for number, pool in pools
    }
    return {
        "torch": f"{torch.get_num_threads()}; between operations {torch.get_num_interop_threads()}",
        **libraries,
    }
