"""Where the inputs of rows lie: on the device, in a sparse matrix, or in a torch ``Dataset``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from noisyfit._random import seeded
from noisyfit.data._inputs import map_inputs

if TYPE_CHECKING:
    from scipy import sparse
    from torch.utils.data import Dataset

SINGLE_READS = 0  # seed of what is read apart from the batches of an epoch

View = Callable[[torch.Tensor], torch.Tensor]


class Source(Protocol):
    """Where the inputs of all rows come from."""

    device: torch.device

    @property
    def home(self) -> torch.device:
        """Where the inputs lie; ids that come from elsewhere have to be waited for."""
        ...

    def __len__(self) -> int: ...

    def gather(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the inputs of the rows `ids`, on the device."""
        ...


class TensorSource:
    """Inputs held as one tensor, on the device unless it would not fit.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...)
        Not copied if torch can share its memory, and never written to. ``uint8`` images stay
        ``uint8``, a quarter of the memory.
    device : torch.device
        Where batches are to be.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from noisyfit.data import TensorSource
    >>> source = TensorSource(np.array([[1.0], [2.0], [3.0]]), torch.device("cpu"))
    >>> source.gather(torch.tensor([2, 0])).tolist()
    [[3.0], [1.0]]
    """

    _share_of_free_memory = 0.5

    def __init__(self, X: np.ndarray, device: torch.device) -> None:
        self.device = device
        tensor = _share(X)
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if X.nbytes <= self._share_of_free_memory * free:
                tensor = tensor.to(device)
        self.X = tensor

    @property
    def home(self) -> torch.device:
        """Where the inputs lie."""
        return self.X.device

    def __len__(self) -> int:
        return len(self.X)

    def gather(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the inputs of the rows `ids`, on the device."""
        return to_device(self.X.index_select(0, ids.to(self.home)), self.device)


class SparseSource:
    """Inputs held as a CSR matrix and made dense batch by batch.

    Parameters
    ----------
    X : CSR matrix or array of shape (n_samples, n_features)
        All rows.
    device : torch.device
        Where batches are to be.

    Examples
    --------
    >>> import torch
    >>> from scipy import sparse
    >>> from noisyfit.data import SparseSource
    >>> source = SparseSource(sparse.eye_array(3, format="csr"), torch.device("cpu"))
    >>> source.gather(torch.tensor([2]))
    tensor([[0., 0., 1.]])
    """

    home = torch.device("cpu")

    def __init__(self, X: sparse.csr_matrix | sparse.csr_array, device: torch.device) -> None:
        self.X, self.device = X, device

    def __len__(self) -> int:
        return self.X.shape[0]

    def gather(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the inputs of the rows `ids`, dense and on the device."""
        dense = self.X[ids.cpu().numpy()].toarray()
        dense = torch.from_numpy(np.ascontiguousarray(dense, dtype=np.float32))
        return to_device(dense, self.device)


class StreamSource:
    """Inputs read from a map-style torch ``Dataset`` when they are needed.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Items are ``(input, label)`` pairs or inputs; an input is a tensor, an array, a PIL image,
        or a dict of these by the names of the network's arguments.
    device : torch.device
        Where batches are to be.

    Notes
    -----
    Transforms that draw at random are seeded batch by batch, whatever generator they draw from: the
    rows come out alike whoever reads them, one process or several, and after a stop.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import TensorDataset
    >>> from noisyfit.data import StreamSource
    >>> images = TensorDataset(torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 0, 1]))
    >>> StreamSource(images, torch.device("cpu")).gather(torch.tensor([3, 1])).shape
    torch.Size([2, 1, 8, 8])
    """

    home = torch.device("cpu")

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        self.dataset, self.device = dataset, device
        self._shape: Any = None  # or shapes by name
        self._reads_batches = _reads_batches(type(dataset))

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, i: int) -> tuple[Any, int]:
        return self._checked(self.dataset[i], i)

    def _checked(self, item: Any, i: int) -> tuple[Any, int]:
        x = as_inputs(item[0] if isinstance(item, (tuple, list)) else item)
        shape = map_inputs(lambda part: tuple(part.shape), x)
        if self._shape is None:  # of the first one that this process reads
            self._shape = shape
        if shape != self._shape:
            raise ValueError(
                f"All inputs must have one shape. Row {i} has {shape}, others have "
                f"{self._shape}. For images of different sizes add "
                "transforms.Resize((height, width)) to the data set's transform; pad texts to one "
                "length."
            )
        return x, i

    def __getitems__(self, batch: tuple[int, list[int]]) -> list[tuple[Any, int]]:
        """Read the rows of a batch of `_EpochBatches`."""
        seed, ids = batch
        with seeded(seed, "cpu"):
            if self._reads_batches:
                items = self.dataset.__getitems__(ids)  # type: ignore[attr-defined]
                return [self._checked(item, i) for item, i in zip(items, ids, strict=True)]
            return [self[i] for i in ids]

    def gather(self, ids: torch.Tensor) -> Any:
        """Return the inputs of the rows `ids`, read in this process."""
        read = [x for x, _ in self.__getitems__((SINGLE_READS, ids.tolist()))]
        if isinstance(read[0], dict):
            return {k: torch.stack([x[k] for x in read]).to(self.device) for k in read[0]}
        return torch.stack(read).to(self.device)


def _reads_batches(dataset_class: type) -> bool:
    """Say whether a data set gives several items at once, and no subclass changes single ones."""
    ways = {"__getitem__", "__getitems__"}
    owner = next(c for c in dataset_class.__mro__ if ways & vars(c).keys())
    return "__getitems__" in vars(owner)


def _share(X: np.ndarray) -> torch.Tensor:
    """Return an array as a tensor on the same memory, or on that of a copy if it has to be."""
    flags = X.flags
    fits = flags.c_contiguous and flags.writeable and flags.aligned  # torch warns of read-only
    if not fits or any(stride < 0 or stride % X.itemsize for stride in X.strides):
        X = np.array(X, order="C")
    return torch.from_numpy(X)


def to_device(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Send a batch off without waiting for it: from pinned memory, the device fetches it itself.

    Parameters
    ----------
    x : tensor
        The batch.
    device : torch.device
        Where it is to be.

    Returns
    -------
    tensor
    """
    if device.type == "cuda" and x.device.type == "cpu":
        x = x.pin_memory()
    return x.to(device, non_blocking=True)


def as_inputs(x: Any) -> Any:
    """Return one input as a tensor, or a dict of them as a dict of tensors."""
    return {k: as_tensor(part) for k, part in x.items()} if isinstance(x, Mapping) else as_tensor(x)


def as_tensor(x: Any) -> torch.Tensor:
    """Return one input as a tensor; a PIL image becomes ``uint8``, channels first.

    Raises
    ------
    TypeError
        For a string and all else that holds no numbers.
    """
    if isinstance(x, torch.Tensor):
        return x
    if hasattr(x, "getbands"):
        from torchvision.transforms.functional import pil_to_tensor

        return pil_to_tensor(x)
    array = np.array(x, order="C")  # may be read-only or run backwards
    if array.dtype.kind not in "biuf" or array.dtype == np.longdouble:
        raise TypeError(
            f"The input of an item must be a tensor, an array or a PIL image. Got "
            f"{type(x).__name__}; turn it into numbers, such as a text into an embedding."
        )
    return torch.from_numpy(array)
