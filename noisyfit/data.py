"""Rows of a data set with their ids, and the loader that yields them in batches.

Rows that fit live as one tensor on the device and are gathered by an index tensor; sparse rows are
made dense batch by batch; a torch ``Dataset`` is streamed by worker processes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from scipy import sparse
from torch.utils.data import DataLoader, Dataset

from noisyfit._seeding import seeded
from noisyfit.scaling import ImageScaler

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
        Copied. ``uint8`` images stay ``uint8``, a quarter of the memory.
    device : torch.device
    """

    _share_of_free_memory = 0.5

    def __init__(self, X: np.ndarray, device: torch.device) -> None:
        self.device = device
        tensor = torch.from_numpy(np.array(X, order="C"))  # torch takes no negative strides
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
        return _to_device(self.X.index_select(0, ids.to(self.home)), self.device)


class SparseSource:
    """Inputs held as a CSR matrix and made dense batch by batch.

    Parameters
    ----------
    X : CSR matrix or array of shape (n_samples, n_features)
    device : torch.device
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
        return _to_device(dense, self.device)


class StreamSource:
    """Inputs read from a map-style torch ``Dataset`` when they are needed.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Items are ``(input, label)`` pairs or inputs; an input is a tensor, an array or a PIL image.
    device : torch.device

    Notes
    -----
    Transforms that draw at random are seeded batch by batch, whatever generator they draw from: the
    rows come out alike whoever reads them, one process or several, and after a stop.
    """

    home = torch.device("cpu")

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        self.dataset, self.device = dataset, device
        self._shape: torch.Size | None = None

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        item = self.dataset[i]
        x = as_tensor(item[0] if isinstance(item, (tuple, list)) else item)
        if self._shape is None:  # of the first one that this process reads
            self._shape = x.shape
        if x.shape != self._shape:
            raise ValueError(
                f"All inputs must have one shape. Row {i} has {tuple(x.shape)}, others have "
                f"{tuple(self._shape)}. For images of different sizes add "
                "transforms.Resize((height, width)) to the data set's transform."
            )
        return x, i

    def __getitems__(self, batch: tuple[int, list[int]]) -> list[tuple[torch.Tensor, int]]:
        """Read the rows of a batch of `_EpochBatches`."""
        seed, ids = batch
        with seeded(seed, "cpu"):
            return [self[i] for i in ids]

    def gather(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the inputs of the rows `ids`, read in this process."""
        read = self.__getitems__((SINGLE_READS, ids.tolist()))
        return torch.stack([x for x, _ in read]).to(self.device)


def _to_device(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Send a batch off without waiting for it: from pinned memory, the device fetches it itself."""
    if device.type == "cuda" and x.device.type == "cpu":
        x = x.pin_memory()
    return x.to(device, non_blocking=True)


def as_tensor(x: Any) -> torch.Tensor:
    """Return one input as a tensor; a PIL image becomes ``uint8``, channels first."""
    if isinstance(x, torch.Tensor):
        return x
    if hasattr(x, "getbands"):
        from torchvision.transforms.functional import pil_to_tensor

        return pil_to_tensor(x)
    return torch.from_numpy(np.array(x, order="C"))  # may be read-only or run backwards


class Rows(Dataset):
    """Rows of a data set: inputs, encoded labels, and the ids under which results are kept.

    Parameters
    ----------
    source : TensorSource, SparseSource or StreamSource
        Inputs of all rows of the data set.
    y : tensor of shape (n_source,), int64
        Encoded labels of all rows of the source.
    scaler : ImageScaler or None
        Standardises ``uint8`` images; None scales them to [0, 1].
    index : tensor of shape (n_rows,), int64, or None
        Ids of the rows that belong; None: all of them.
    """

    def __init__(
        self,
        source: Source,
        y: torch.Tensor,
        scaler: ImageScaler | None = None,
        index: torch.Tensor | None = None,
    ) -> None:
        self.source, self.scaler = source, scaler
        self.y = y.to(source.device)
        self.index = torch.arange(len(source)) if index is None else index

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        ids = self.index[i].view(1).to(self.source.device)
        x = self.prepare(self.source.gather(ids))
        return {"x": x[0], "index": ids[0]}, self.y[ids[0]]

    def subset(self, keep: np.ndarray) -> Rows:
        """Return the rows whose ids are marked, without copying an input.

        Parameters
        ----------
        keep : ndarray of shape (n_source,), bool
            One entry for each row of the source.

        Returns
        -------
        Rows
        """
        keep = np.asarray(keep)
        if keep.dtype != bool:
            raise TypeError(f"keep must be a boolean mask. Got an array of {keep.dtype} instead.")
        kept = self.index[torch.tensor(keep)[self.index]]  # a copy: it may be read-only
        return Rows(self.source, self.y, self.scaler, kept)

    def prepare(self, x: torch.Tensor) -> torch.Tensor:
        """Bring gathered inputs into the form the network takes: float32, channels last."""
        if self.scaler is not None:
            x = self.scaler(x)
        elif x.dtype == torch.uint8 and x.ndim == 4:
            x = x.to(torch.float32).div_(255)
        elif x.dtype != torch.float32:
            x = x.to(torch.float32)
        return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


class BatchLoader:
    """Iterate over `Rows` in batches ``({"x": x, "index": ids}, y)``.

    No row is left out: the last batch may be smaller, and a last batch of a single row is merged
    into the one before it, since batch normalisation needs two.

    Parameters
    ----------
    dataset : Rows
    batch_size : int, default=128
    shuffle : bool, default=False
    generator : torch.Generator or None, default=None
        Draws the order when `shuffle`; lives on the CPU.
    views : sequence of callables, default=()
        Batched augmentations, applied to the gathered inputs before they are scaled. The first
        makes ``"x"``; any others make the entries of the tuple ``"views"``. Without one, ``"x"`` is
        the plain input.
    num_workers : int, default=0
        Processes that read a streamed data set; has no effect on resident rows.
    """

    def __init__(
        self,
        dataset: Rows,
        batch_size: int = 128,
        *,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
        views: Sequence[View | None] = (),
        num_workers: int = 0,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.generator = generator
        self.views = tuple(views)
        self.num_workers = num_workers
        self._stream: DataLoader | None = None

    def __len__(self) -> int:
        return len(batch_sizes(len(self.dataset), self.batch_size))

    def __iter__(self) -> Iterator[tuple[dict[str, Any], torch.Tensor]]:
        rows, device = self.dataset, self.dataset.source.device
        for x, ids in self._gathered():
            made = [x if view is None else view(x) for view in self.views] or [x]
            batch: dict[str, Any] = {"x": rows.prepare(made[0]), "index": ids}
            if len(made) > 1:
                batch["views"] = tuple(rows.prepare(view) for view in made[1:])
            yield batch, rows.y.index_select(0, ids.to(device))

    def id_batches(self) -> list[torch.Tensor]:
        """Draw the order of one epoch and return the row ids of its batches."""
        ids = self.dataset.index
        if self.shuffle:
            ids = ids[torch.randperm(len(ids), generator=self.generator)]
        return list(ids.split(batch_sizes(len(ids), self.batch_size)))

    def _gathered(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        source = self.dataset.source
        if not isinstance(source, StreamSource):
            batches = self.id_batches()
            if batches:
                sizes, order = [len(ids) for ids in batches], torch.cat(batches)
                at_home = order.to(source.home).split(sizes)
                for ids, here in zip(order.to(source.device).split(sizes), at_home, strict=True):
                    yield source.gather(here), ids
            return
        if self._stream is None:
            self._stream = DataLoader(
                source,  # type: ignore[arg-type]
                batch_sampler=_EpochBatches(self),  # type: ignore[arg-type]  # with seeds
                num_workers=self.num_workers,
                persistent_workers=self.num_workers > 0,
                pin_memory=source.device.type == "cuda",
                generator=torch.Generator(),  # of seeds of the workers, which nobody uses
            )
        for x, ids in self._stream:
            yield (
                x.to(source.device, non_blocking=True),
                ids.to(source.device, non_blocking=True),
            )


class _EpochBatches:
    """Batch sampler that asks the loader for a new order each time it is iterated."""

    def __init__(self, loader: BatchLoader) -> None:
        # In a reference cycle the garbage collector would close the workers' queues before they
        # are told to stop, and then wait 5 s for each of them.
        self.loader = weakref.proxy(loader)

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        # Lazily: DataLoader starts with a second iterator, and an eager one would draw two orders.
        # Seeds come from a copy of what draws the order, so that streamed and resident rows leave
        # the same draws to all others.
        batches, drawn_from = self.loader.id_batches(), self.loader.generator
        generator = torch.Generator()
        generator.set_state(torch.get_rng_state() if drawn_from is None else drawn_from.get_state())
        seeds = torch.randint(2**62, (len(batches),), generator=generator)
        for seed, ids in zip(seeds.tolist(), batches, strict=True):
            yield seed, ids.tolist()


def batch_sizes(n_rows: int, batch_size: int) -> list[int]:
    """Sizes of the batches that cover all rows, none of them a single row if avoidable.

    Parameters
    ----------
    n_rows, batch_size : int

    Returns
    -------
    list of int

    Examples
    --------
    >>> batch_sizes(10, 4), batch_sizes(9, 4), batch_sizes(1, 4)
    ([4, 4, 2], [4, 5], [1])
    """
    full, rest = divmod(n_rows, batch_size)
    sizes = [batch_size] * full
    if rest == 1 and sizes:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes
