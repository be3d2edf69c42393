"""What cannot be rows: one table of what was passed, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from pathlib import PurePath
from typing import Any, NamedTuple

from scipy import sparse
from skorch.helper import SliceDataset
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from noisyfit.data._columns import is_lazy
from noisyfit.data._picture_paths import are_paths, are_picture_paths

_MAP_STYLE = (
    "noisyfit asks for rows by their number, in a new order each epoch: pass a map-style torch "
    "Dataset, a class with __len__ and a __getitem__(i) that returns (input, label)"
)

_HF_STREAM = (
    "X is a Hugging Face data set in streaming mode, whose rows have no number. Load it "
    "without streaming=True (it stays on the disk), and pass noisyfit.data.HFRows(X, "
    "input=..., label=...)."
)

_SHARDS = (
    "datasets.load_dataset('webdataset', data_files=..., split='train'), wrapped in "
    "noisyfit.data.HFRows(..., input='png', label='cls')"
)

_LOADER = (
    "X is a DataLoader. Pass its data set, X.dataset; noisyfit makes the batches itself "
    "(batch_size=..., iterator_train__num_workers=...)."
)

_IMAGE_FEATURES = (
    "Put noisyfit.features.ImageFeatures in front, which takes them as they are, of any size: "
    "make_pipeline(ImageFeatures(), estimator). If that was done, pass the whole pipeline instead "
    "of its last step. "
)
_PIL_IMAGES = (
    f"X is a list of PIL images. {_IMAGE_FEATURES}To train a network on the images themselves, "
    "bring them to one size and stack them as channels-first arrays, or pass a torch Dataset such "
    "as torchvision's ImageFolder."
)
_PICTURE_PATHS = (
    f"X holds paths of pictures. {_IMAGE_FEATURES}To train a network on the pictures themselves, "
    "pass a torch Dataset that reads them, such as torchvision's ImageFolder(folder, "
    "transform=...)."
)
_PARQUET_PATHS = (
    "X holds paths of Parquet files, which have many rows each. Pass "
    "noisyfit.data.parquet_dataset(X, columns, label)."
)
_TAR_PATHS = f"X holds paths of tar files, which have many rows each. Pass {_SHARDS}."
_ROWS_AND_LABELS = "X is a tuple of rows and labels. Pass them apart: fit(X[0], X[1])."


class Refusal(NamedTuple):
    """One line of the table."""

    applies: Callable[[Any], bool]
    """Whether this is what was passed."""
    message: str | Callable[[Any], str]
    """What was got, and what to do."""
    error: type[Exception] = TypeError
    """What is raised."""


def _is_hf(X: Any, *further: str) -> bool:
    """Tell a data set of Hugging Face, whose package need not be there."""
    names = ("with_format", "map", *further)
    return type(X).__module__.split(".")[0] == "datasets" and all(hasattr(X, n) for n in names)


def is_hf_dataset(X: Any) -> bool:
    """Tell a data set of Hugging Face that gives its rows by number.

    Parameters
    ----------
    X : object
        What was passed.

    Returns
    -------
    bool
    """
    return _is_hf(X, "__getitem__", "__len__", "column_names") and not _is_hf_dict(X)


def _is_hf_dict(X: Any) -> bool:
    return isinstance(X, dict) and _is_hf(X)


def _first(X: Any) -> Any:
    """Return the first row of a list or of what acts like one; None for all else."""
    if is_lazy(X):  # whose columns would have to be found out
        return None
    is_array = any(hasattr(X, name) for name in ("shape", "columns", "__array__", "dtype"))
    if is_array or isinstance(X, (str, bytes, Mapping, Dataset)):
        return None
    try:
        return X[0] if len(X) else None
    except Exception:  # whatever it is, it is no list of rows
        return None


def _is_pair(item: Any) -> bool:
    """Tell (input, label) from a row of two numbers."""
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        return False
    x, label = item
    is_input = isinstance(x, (list, tuple, Mapping)) or getattr(x, "ndim", 0) > 0
    is_label = not isinstance(label, (list, tuple, Mapping)) and getattr(label, "ndim", 0) == 0
    return (is_input or hasattr(x, "getbands")) and is_label


def _splits(X: Any) -> str:
    name = next(iter(X), "train")
    return (
        f"X is a {type(X).__name__} of the splits {list(X)}. Pass one of them: "
        f"noisyfit.data.HFRows(X[{name!r}], input=..., label=...)."
    )


def _hf(X: Any) -> str:
    return (
        "X is a Hugging Face data set, whose items are dicts. Name the columns: "
        "noisyfit.data.HFRows(X, input=..., label=...). Its columns are "
        f"{list(X.column_names)}."
    )


def _path(X: Any) -> str:
    return (
        f"X must be rows, not a path. Got {str(X)!r}. For a folder of images with a subfolder "
        "for each class pass torchvision.datasets.ImageFolder(path, transform=...), for Parquet "
        f"files noisyfit.data.parquet_dataset(path, columns, label), for tar shards {_SHARDS}."
    )


def _stream(X: Any) -> str:
    if type(X).__module__.split(".")[0] == "webdataset":
        return (
            f"X is a {type(X).__name__}, an IterableDataset, whose rows have no number, and "
            "noisyfit asks for rows by their number, in a new order each epoch. The same tar "
            f"shards as a data set that gives them by number: {_SHARDS}."
        )
    return (
        f"X is a {type(X).__name__}, an IterableDataset, whose rows have no number. {_MAP_STYLE}. "
        "What fits into memory: torch.utils.data.StackDataset(inputs, labels), of two lists."
    )


def _without_length(X: Any) -> str:
    return f"X is a {type(X).__name__}, a Dataset without __len__. {_MAP_STYLE}."


def _without_items(X: Any) -> str:
    return f"X is a {type(X).__name__}, a Dataset without __getitem__. {_MAP_STYLE}."


def _iterator(X: Any) -> str:
    return (
        f"X is a {type(X).__name__}, which can be gone through once. Make an array of its rows, "
        f"such as numpy.stack(list(X)). Or: {_MAP_STYLE}."
    )


def _pairs(X: Any) -> str:
    if isinstance(X, (list, tuple)):
        inputs = "list(inputs)" if hasattr(X[0][0], "getbands") else "numpy.stack(inputs)"
        return (
            f"X is a {type(X).__name__} of pairs (input, label). If scikit-learn made it out of a "
            "torch Dataset, to take folds: pass data = noisyfit.data.SliceableDataset(dataset) "
            "there, and data.labels as y. Pairs of your own: take them apart, "
            f"inputs, y = zip(*X), and fit({inputs}, y)."
        )
    return (
        f"X is a {type(X).__name__} with items (input, label), but no torch Dataset. Let its class "
        "inherit from torch.utils.data.Dataset, or take the items apart into an array and y."
    )


def _dicts(X: Any) -> str:
    return (
        f"X is a {type(X).__name__} of dicts. Make a table of them: pandas.DataFrame(X) with "
        "numbers in it, or sklearn.feature_extraction.DictVectorizer().fit_transform(X)."
    )


def _class(X: Any) -> str:
    return f"X is the class {X.__name__}. Pass an instance of it: {X.__name__}(...)."


def _is_rows_and_labels(X: Any) -> bool:
    """Tell (X, y), which would otherwise be two rows."""
    if not isinstance(X, tuple) or len(X) != 2:
        return False
    n_dims = [len(getattr(part, "shape", ())) for part in X]
    return n_dims[0] > 1 == n_dims[1] and X[0].shape[0] == X[1].shape[0]


def _set(X: Any) -> str:
    return f"X is a {type(X).__name__}, whose rows have no order. Pass a list or an array."


def _dict(X: Any) -> str:
    return (
        f"X is a {type(X).__name__} with the keys {list(X)[:10]}. Pass a table, such as "
        "pandas.DataFrame(X), or one array that the network takes apart."
    )


def _slice_dataset(X: Any) -> str:
    return (
        f"X is a SliceDataset that gives part {X.idx} of each item, or changes it. Pass "
        "noisyfit.data.SliceableDataset(X.dataset), which scikit-learn can slice as well."
    )


def _gives_inputs(X: SliceDataset) -> bool:
    return X.idx == 0 and type(X).transform is SliceDataset.transform


TABLE: dict[str, Refusal] = {
    "path": Refusal(lambda X: isinstance(X, (str, PurePath)), _path, ValueError),
    "Hugging Face splits": Refusal(_is_hf_dict, _splits),
    "Hugging Face stream": Refusal(lambda X: _is_hf(X) and not is_hf_dataset(X), _HF_STREAM),
    "Hugging Face data set": Refusal(is_hf_dataset, _hf),
    "DataLoader": Refusal(lambda X: isinstance(X, DataLoader), _LOADER),
    "IterableDataset": Refusal(lambda X: isinstance(X, IterableDataset), _stream),
    "Dataset without length": Refusal(
        lambda X: isinstance(X, Dataset) and not hasattr(X, "__len__"), _without_length
    ),
    "Dataset without items": Refusal(
        lambda X: isinstance(X, Dataset) and type(X).__getitem__ is Dataset.__getitem__,
        _without_items,
    ),
    "SliceDataset of something else": Refusal(
        lambda X: isinstance(X, SliceDataset) and not _gives_inputs(X), _slice_dataset
    ),
    "class": Refusal(lambda X: isinstance(X, type), _class),
    "rows and labels": Refusal(_is_rows_and_labels, _ROWS_AND_LABELS),
    "set": Refusal(lambda X: isinstance(X, Set), _set),
    "iterator": Refusal(lambda X: hasattr(X, "__next__"), _iterator),
    "dict": Refusal(lambda X: isinstance(X, Mapping) and not sparse.issparse(X), _dict),
    "PIL images": Refusal(lambda X: hasattr(_first(X), "getbands"), _PIL_IMAGES, ValueError),
    "paths of pictures": Refusal(are_picture_paths, _PICTURE_PATHS, ValueError),
    "paths of Parquet files": Refusal(
        lambda X: are_paths(X, (".parquet", ".pq")), _PARQUET_PATHS, ValueError
    ),
    "paths of tar files": Refusal(
        lambda X: are_paths(X, (".tar", ".tar.gz", ".tgz")), _TAR_PATHS, ValueError
    ),
    "dicts": Refusal(lambda X: isinstance(_first(X), Mapping), _dicts),
    "pairs": Refusal(lambda X: _is_pair(_first(X)), _pairs),
}
"""What was passed, by name: how to tell it, and what to say. The first line that applies counts."""


def refuse_unusable(X: Any) -> None:
    """Refuse what cannot be rows in words that name it and say what to pass instead.

    Parameters
    ----------
    X : object
        What the user passed as rows.

    Raises
    ------
    TypeError, ValueError
        By the first line of the table that applies.
    """
    for line in TABLE.values():
        if line.applies(X):
            raise line.error(line.message if isinstance(line.message, str) else line.message(X))


def unwrapped(X: Any) -> Any:
    """Refuse what cannot be rows; return skorch's SliceDataset as the Dataset that it stands for.

    Parameters
    ----------
    X : object
        What the user passed as rows.

    Returns
    -------
    object
        `X`, or a Subset with its items.
    """
    refuse_unusable(X)
    return Subset(X.dataset, X.indices_) if isinstance(X, SliceDataset) else X
