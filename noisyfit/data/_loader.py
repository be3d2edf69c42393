"""`BatchLoader`: rows in batches, resident or streamed."""

from __future__ import annotations

import multiprocessing
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

import joblib
import torch
from torch.utils.data import DataLoader

from noisyfit._ranks import sharing
from noisyfit.data._inputs import map_inputs
from noisyfit.data._sources import StreamSource, View
from noisyfit.data._stored import StoredSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from noisyfit.data._rows import Rows

_WORKERS = 4  # at most, unless the user asks for more


class BatchLoader:
    """Iterate over `Rows` in batches ``({"x": x, "index": ids}, y)``.

    Where the rows have weights, those of a batch are under ``"sample_weight"``.

    No row is left out: the last batch may be smaller, and a last batch of a single row is merged
    into the one before it, since batch normalisation needs two.

    Parameters
    ----------
    dataset : Rows
        Rows to iterate over.
    batch_size : int, default=128
        Rows in a batch.
    shuffle : bool, default=False
        Whether each epoch has an order of its own.
    generator : torch.Generator or None, default=None
        Draws the order when `shuffle`; lives on the CPU.
    views : sequence of callables, default=()
        Batched augmentations, applied to the gathered inputs before they are scaled. The first
        makes ``"x"``; any others make the entries of the tuple ``"views"``. Without one, ``"x"`` is
        the plain input.
    num_workers : int or None, default=0
        Processes that read a streamed data set; has no effect on resident rows. None: one a
        processor, up to four; none for a single batch, and none in a process of joblib, beside
        which others read.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from noisyfit.data import BatchLoader, Rows, TensorSource
    >>> y = torch.tensor([0, 1, 0, 1, 0])
    >>> rows = Rows(TensorSource(np.eye(5, dtype=np.float32), torch.device("cpu")), y)
    >>> [batch["index"].tolist() for batch, labels in BatchLoader(rows, batch_size=2)]
    [[0, 1], [2, 3, 4]]
    """

    def __init__(
        self,
        dataset: Rows,
        batch_size: int = 128,
        *,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
        views: Sequence[View | None] = (),
        num_workers: int | None = 0,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.generator = generator
        self.views = tuple(views)
        self.num_workers = num_workers
        self._stream: DataLoader | None = None
        self.asked: deque[torch.Tensor] = deque()  # batches that ranks read together

    def __len__(self) -> int:
        return len(batch_sizes(len(self.dataset), self.batch_size))

    def __iter__(self) -> Iterator[tuple[dict[str, Any], torch.Tensor]]:
        rows, device = self.dataset, self.dataset.source.device
        for x, ids in self._gathered():
            made = [x if view is None else view(x) for view in self.views] or [x]
            batch: dict[str, Any] = {"x": rows.prepare(made[0]), "index": ids}
            if len(made) > 1:
                batch["views"] = tuple(rows.prepare(view) for view in made[1:])
            here = ids.to(device)
            if rows.weight is not None:
                batch["sample_weight"] = rows.weight.index_select(0, here)
            yield batch, rows.y.index_select(0, here)

    def id_batches(self) -> list[torch.Tensor]:
        """Draw the order of one epoch and return the row ids of its batches."""
        ids = self.dataset.index
        if self.shuffle:
            source = self.dataset.source
            if isinstance(source, StoredSource):
                ids = source.shuffled(ids, self.generator)
            else:
                ids = ids[torch.randperm(len(ids), generator=self.generator)]
        return list(ids.split(batch_sizes(len(ids), self.batch_size)))

    def _gathered(self) -> Iterator[tuple[Any, torch.Tensor]]:
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
            num_workers = self._auto_workers() if self.num_workers is None else self.num_workers
            self._stream = DataLoader(
                source,  # type: ignore[arg-type]
                batch_sampler=_EpochBatches(self),  # type: ignore[arg-type]  # with seeds
                num_workers=num_workers,
                persistent_workers=num_workers > 0,
                # With joblib's own way to start processes torch's loader fails.
                multiprocessing_context=_fork() if num_workers and _in_joblib() else None,
                pin_memory=source.device.type == "cuda",
                generator=torch.Generator(),  # of seeds of the workers, which nobody uses
            )
        for x, ids in self._stream:
            inputs = map_inputs(lambda part: part.to(source.device, non_blocking=True), x)
            yield self._whole(inputs, ids.to(source.device, non_blocking=True))

    def _whole(self, x: Any, ids: torch.Tensor) -> tuple[Any, torch.Tensor]:
        """Put together a batch of which each rank has read a part."""
        ranks = sharing()
        if ranks is None:
            return x, ids
        asked, gather = self.asked.popleft(), ranks.gather_values
        if len(asked) == len(ids):
            return x, ids
        return map_inputs(lambda part: gather(part, len(asked)), x), asked.to(ids.device)

    def _auto_workers(self) -> int:
        """Choose the number of processes: none for one batch, or where none may be started."""
        if len(self) < 2 or multiprocessing.current_process().daemon or _in_joblib():
            return 0
        return min(_WORKERS, joblib.cpu_count(), len(self))


def _in_joblib() -> bool:
    """Whether this is a process of joblib's default backend."""
    return multiprocessing.get_start_method(allow_none=True) == "loky"


def _fork() -> str:
    return "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"


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
        ranks = sharing()
        self.loader.asked.clear()  # of an epoch that was broken off
        for seed, ids in zip(seeds.tolist(), batches, strict=True):
            span = None if ranks is None else ranks.span(len(ids))
            if ranks is not None:
                self.loader.asked.append(ids)
            if ranks is None or span is None:
                yield seed, ids.tolist()
            else:  # with a seed of its own: transforms would draw alike for the rows of all ranks
                yield seed + ranks.rank, ids[span].tolist()


def batch_sizes(n_rows: int, batch_size: int) -> list[int]:
    """Sizes of the batches that cover all rows, none of them a single row if avoidable.

    Parameters
    ----------
    n_rows, batch_size : int
        Number of rows, and of rows in a full batch.

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
