"""Clothing1M."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noisyfit._sklearn import StrOptions, validate_parameter_constraints
from noisyfit.datasets._image_files import files_of, need, read_lines, read_pairs
from noisyfit.datasets._labeled_images import LabeledImages

if TYPE_CHECKING:
    from collections.abc import Callable

_FILES = (
    "noisy_label_kv",
    "clean_label_kv",
    "noisy_train_key_list",
    "clean_train_key_list",
    "clean_val_key_list",
    "clean_test_key_list",
    "category_names_eng",
)


def load_clothing1m(
    folder: str | Path,
    *,
    clean_train: str | None = None,
    transform: Callable | None = None,
) -> LabeledImages:
    """Read Clothing1M: a million images from shops, labelled by the words around them.

    Parameters
    ----------
    folder : str or Path
        Folder that holds ``images``, and the lists of files and labels, beside it or in
        ``annotations``.
    clean_train : {"clean", "given"} or None, default=None
        What becomes of the images of ``clean_train_key_list.txt``, which somebody has labelled
        anew. ``"clean"``: they follow the other rows with these labels, to be trusted. ``"given"``:
        those that also have a label from the web follow with that, so that what is found can be
        judged. None: they are left out, as in most papers.
    transform : callable, default=None
        As in `ImageFiles`.

    Returns
    -------
    LabeledImages
        With `X_val` and `X_test` of checked labels.

    Raises
    ------
    FileNotFoundError
        If a list is not there.
    ValueError
        If a file is listed that has no label, or a line is malformed.

    References
    ----------
    .. [1] T. Xiao et al., "Learning from massive noisy labeled data for image classification",
       CVPR 2015.

    Examples
    --------
    >>> from noisyfit.datasets import load_clothing1m
    >>> load_clothing1m("photos")
    Traceback (most recent call last):
    ...
    FileNotFoundError: Clothing1M: photos/noisy_label_kv.txt is not there. ...
    """
    validate_parameter_constraints(
        {"clean_train": [StrOptions({"clean", "given"}), None]},
        {"clean_train": clean_train},
        caller_name="load_clothing1m",
    )
    root = Path(folder)
    lists = root / "annotations" if (root / "annotations").is_dir() else root
    layout = f"{', '.join(f'{name}.txt' for name in _FILES)} in {root} or {root / 'annotations'}"
    paths = {name: need(lists / f"{name}.txt", "Clothing1M", layout) for name in _FILES}
    keys = {name: read_lines(path) for name, path in paths.items() if name.endswith("key_list")}
    given, clean = dict(read_pairs(paths[_FILES[0]])), dict(read_pairs(paths[_FILES[1]]))
    added: list[tuple[str, int]] = []
    if clean_train is not None:
        labels = clean if clean_train == "clean" else given
        more = keys["clean_train_key_list"]
        more = more if clean_train == "clean" else [key for key in more if key in given]
        added = _labeled(more, labels, paths["clean_train_key_list"])
    listed = _labeled(keys["noisy_train_key_list"], given, paths["noisy_train_key_list"])
    X = files_of(root, [*listed, *added], transform)
    true = np.array([-1] * len(listed) + [clean.get(key, -1) for key, _ in added], dtype=np.int64)
    val, test = (
        files_of(root, _labeled(keys[name], clean, paths[name]), transform)
        for name in ("clean_val_key_list", "clean_test_key_list")
    )
    return LabeledImages(
        *(X, X.targets, test, test.targets, tuple(read_lines(paths["category_names_eng"]))),
        true_labels=true if added else None,
        is_right=np.where(true < 0, -1, true == X.targets) if added else None,
        X_val=val,
        y_val=val.targets,
        noise_rate=0.3846,
        noise_rate_source="by images that have both labels (Xiao et al. 2015)",
    )


def _labeled(keys: list[str], labels: dict[str, int], path: Path) -> list[tuple[str, int]]:
    missing = [key for key in keys if key not in labels]
    if missing:
        raise ValueError(f"{path} lists {missing[0]!r}, for which the other files have no label.")
    return [(key, labels[key]) for key in keys]
