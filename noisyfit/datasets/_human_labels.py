"""CIFAR-10N and CIFAR-100N: labels that people gave to CIFAR's training images in haste."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from noisyfit._sklearn import StrOptions, validate_parameter_constraints
from noisyfit.datasets._cifar import load_cifar10, load_cifar100
from noisyfit.datasets._image_files import need

if TYPE_CHECKING:
    from noisyfit.datasets._labeled_images import LabeledImages

_COLUMNS = {"aggregate": "aggre_label", "worst": "worse_label"}
_COLUMNS |= {f"random{i}": f"random_label{i}" for i in (1, 2, 3)}
_SOURCE = "counted: given labels that differ from the published clean ones (Wei et al. 2022)"


def load_cifar10n(
    folder: str | Path, labels: str = "worst", *, file: str | Path | None = None
) -> LabeledImages:
    """Read CIFAR-10 with the labels of CIFAR-10N, which people gave in haste.

    Parameters
    ----------
    folder : str or Path
        Folder that holds ``cifar-10-batches-py``.
    labels : {"worst", "aggregate", "random1", "random2", "random3"}, default="worst"
        Which of the labels: a wrong one of three if there is any, the majority of three, or the
        first, second or third.
    file : str or Path, default=None
        The published file, ``.pt`` or ``.npy``. None: ``CIFAR-10_human.pt`` in `folder`.

    Returns
    -------
    LabeledImages
        `true_labels` are CIFAR-10's own, `noise_rate` is counted by them.

    Raises
    ------
    FileNotFoundError
        If images or labels are not there.
    ValueError
        If the clean labels in the file are not those of the images in their order, or it holds
        something else than arrays.

    References
    ----------
    .. [1] J. Wei et al., "Learning with noisy labels revisited: a study using real-world human
       annotations", ICLR 2022.

    Examples
    --------
    >>> from noisyfit.datasets import load_cifar10n
    >>> load_cifar10n("photos", "aggregate")
    Traceback (most recent call last):
    ...
    FileNotFoundError: CIFAR-10N: photos/CIFAR-10_human.pt is not there. ...
    """
    validate_parameter_constraints(
        {"labels": [StrOptions(set(_COLUMNS))]}, {"labels": labels}, caller_name="load_cifar10n"
    )
    path = _labels_file(folder, file, "CIFAR-10_human.pt", "CIFAR-10N")
    return _relabeled(load_cifar10(folder), path, _COLUMNS[labels])


def load_cifar100n(folder: str | Path, *, file: str | Path | None = None) -> LabeledImages:
    """Read CIFAR-100 with the labels of CIFAR-100N, which people gave in haste.

    Parameters
    ----------
    folder : str or Path
        Folder that holds ``cifar-100-python``.
    file : str or Path, default=None
        The published file, ``.pt`` or ``.npy``. None: ``CIFAR-100_human.pt`` in `folder`.

    Returns
    -------
    LabeledImages
        `true_labels` are CIFAR-100's own, `noise_rate` is counted by them.

    Raises
    ------
    FileNotFoundError
        If images or labels are not there.
    ValueError
        If the clean labels in the file are not those of the images in their order, or it holds
        something else than arrays.

    References
    ----------
    .. [1] J. Wei et al., "Learning with noisy labels revisited: a study using real-world human
       annotations", ICLR 2022.

    Examples
    --------
    >>> from noisyfit.datasets import load_cifar100n
    >>> load_cifar100n("photos")
    Traceback (most recent call last):
    ...
    FileNotFoundError: CIFAR-100N: photos/CIFAR-100_human.pt is not there. ...
    """
    path = _labels_file(folder, file, "CIFAR-100_human.pt", "CIFAR-100N")
    return _relabeled(load_cifar100(folder), path, "noisy_label")


def _labels_file(folder: str | Path, file: str | Path | None, usual: str, name: str) -> Path:
    path = Path(folder, usual) if file is None else Path(file)
    return need(path, name, f"a file {usual}, or name it by file=")


def _relabeled(data: LabeledImages, path: Path, column: str) -> LabeledImages:
    """Give the images the labels of a file that is shown to be in their order."""
    columns = _read_arrays(path)
    missing = [name for name in ("clean_label", column) if name not in columns]
    if missing:
        raise ValueError(f"{path} has no {missing[0]!r}, only {sorted(columns)}.")
    clean, given = (np.asarray(columns[name]).astype(np.int64) for name in ("clean_label", column))
    if given.shape != data.y.shape or not np.array_equal(clean, data.y):
        raise ValueError(
            f"The clean labels in {path} are not those of the images, so that its rows are in "
            "another order. The files with 'ordered' in their name follow TensorFlow Datasets; "
            "take the one without."
        )
    rate = float((given != clean).mean())
    return data._replace(
        y=given,
        true_labels=clean,
        is_right=(given == clean).astype(np.int64),
        noise_rate=rate,
        noise_rate_source=_SOURCE,
    )


class _ArraysOnly(pickle.Unpickler):
    """Unpickles containers and arrays, and refuses whatever could run code."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what rebuilds an array, and nothing else."""
        module = module.replace("numpy.core", "numpy._core")  # its name before numpy 2
        if (module, name) not in _REBUILD_ARRAYS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


_REBUILD_ARRAYS = {
    *(("numpy._core.multiarray", name) for name in ("_reconstruct", "scalar")),
    *(("numpy", name) for name in ("ndarray", "dtype")),
    ("_codecs", "encode"),
}


def _read_arrays(path: Path) -> dict[str, Any]:
    """Read a dict of arrays that was saved by torch or numpy."""
    try:
        if path.suffix != ".npy":
            with torch.serialization.safe_globals(_torch_globals()):
                columns = torch.load(path, map_location="cpu", weights_only=True)
        else:
            with path.open("rb") as file:
                np.lib.format.read_magic(file)
                np.lib.format.read_array_header_1_0(file)
                columns = _ArraysOnly(file).load().item()
    except (pickle.UnpicklingError, EOFError, AttributeError) as error:
        raise ValueError(f"{path} is not one of the published files: {error}") from error
    if not isinstance(columns, dict):
        raise ValueError(f"{path} has to hold a dict of arrays. Got {type(columns).__name__}.")
    return columns


def _torch_globals() -> list[Any]:
    """Return what torch may use to rebuild arrays, under its names before and after numpy 2."""
    rebuild = np.zeros(1).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    names = [(rebuild, "_reconstruct"), (scalar, "scalar")]
    places = ("numpy.core.multiarray", "numpy._core.multiarray")
    renamed = [(value, f"{place}.{name}") for value, name in names for place in places]
    dtypes = [type(np.dtype(kind)) for kind in ("i1", "u1", "i2", "i4", "i8", "f4", "f8", "?")]
    return [*renamed, np.ndarray, np.dtype, *dtypes]
