"""The processes that share one fit: what they exchange, and how the failure of one ends all.

Every rank holds all labels, records and weights, and computes the network's passes for its share of
each batch. What the network returns is gathered, so that a loss, whatever it takes of a batch, is
computed on all of it by all; the gradients are averaged.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_LOOK = timedelta(seconds=0.5)
"""How long a rank waits before it looks whether another one has failed."""
_LAST_WORDS = 5.0
"""Seconds in which the ranks that are left say so, once the connection is lost."""
_sharing: ContextVar[Ranks | None] = ContextVar("sharing", default=None)
_numbers = count()


class OtherRankError(RuntimeError):
    """Another process of the fit has failed, or does not answer."""


class Ranks:
    """The processes of one fit, as one of them sees them.

    Parameters
    ----------
    number : int
        Of the fit, among all that this process group shares.

    Attributes
    ----------
    rank, size : int
        Number of this process, and how many there are.
    n_divided : int or None
        Rows of the batch that the network looked at last, if each rank took a share of it.

    Raises
    ------
    OtherRankError
        Here and in all methods, if another rank fails; the message names it.
    """

    def __init__(self, number: int) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        # torch has no public name for it, by which its own groups meet.
        store = dist.distributed_c10d._get_default_store()  # noqa: SLF001
        self._store = dist.PrefixStore(f"noisyfit/{number}", store)
        self._timeout = _timeout_of_users()
        self._n_exchanged = 0
        self.n_divided: int | None = None
        self.exchange("begin")
        # A group of its own: what is left in it when a rank fails hits no collective of the user.
        self._group: Any = dist.new_group(timeout=self._timeout)

    def close(self) -> None:
        """Leave the group.

        With the last reference its connections are closed, by which what others wait for in it
        fails at once. While they are open the end of a process would wait for them, too.
        """
        dist.destroy_process_group(self._group)
        self._group = None

    def exchange(self, what: str, text: str = "") -> list[str]:
        """Tell all ranks something, and wait for what they tell.

        Parameters
        ----------
        what : str
            Of what it is, for the message to a user whose ranks do not answer.
        text : str, default=""
            What this rank says.

        Returns
        -------
        list of str
            What each rank said, in their order.
        """
        self._n_exchanged += 1
        keys = [f"{self._n_exchanged}/{what}/{rank}" for rank in range(self.size)]
        try:
            self._store.set(keys[self.rank], text)
            deadline, pause = time.monotonic() + self._timeout.total_seconds(), 0.001
            while not self._store.check(keys):
                failure = self._failure()
                if failure is not None:
                    raise failure
                if time.monotonic() > deadline:
                    absent = [r for r, key in enumerate(keys) if not self._store.check([key])]
                    raise OtherRankError(
                        f"Rank {self.rank} waited {self._timeout} for {_named(absent)} ({what!r}). "
                        "Every rank has to call the same fits in the same order."
                    )
                time.sleep(pause)
                pause = min(2 * pause, 0.1)
            return [self._store.get(key).decode() for key in keys]
        except dist.DistError as error:
            raise self._gone() from error

    def tell(self, error: BaseException) -> None:
        """Tell all ranks why this one ends the fit."""
        with suppress(RuntimeError):  # the store may have gone with rank 0
            told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            self._store.set("failed", json.dumps([self.rank, told]))

    def span(self, n_rows: int) -> slice | None:
        """Return the rows of a batch that this rank computes.

        Parameters
        ----------
        n_rows : int
            Rows of the batch.

        Returns
        -------
        slice or None
            None: all ranks compute all of them, since with less than two rows for each some would
            have none, and batch normalization needs two.
        """
        if n_rows < 2 * self.size:
            return None
        return slice(*self._bounds(n_rows)[self.rank])

    def _bounds(self, n_rows: int) -> list[tuple[int, int]]:
        return [
            (n_rows * rank // self.size, n_rows * (rank + 1) // self.size)
            for rank in range(self.size)
        ]

    def gather(self, own: Tensor, n_rows: int) -> Tensor:
        """Put together what all ranks computed for their rows of a batch.

        Parameters
        ----------
        own : tensor of shape (n_own, ...)
            Of the rows of `span`.
        n_rows : int
            Rows of the batch.

        Returns
        -------
        tensor of shape (n_rows, ...)
            The same on all ranks. A rank's gradient goes to its own rows, times the number of
            ranks, so that it is the mean over the ranks that is the gradient of all rows.
        """
        return _Gather.apply(own, self, n_rows)

    def gather_values(self, own: Tensor, n_rows: int) -> Tensor:
        """Do the same without a gradient."""
        sizes = [stop - start for start, stop in self._bounds(n_rows)]
        sent = own.detach().contiguous()
        sent = sent.view(torch.uint8) if own.dtype is torch.bool else sent
        missing = max(sizes) - len(own)
        if missing:
            sent = torch.cat([sent, sent.new_zeros(missing, *sent.shape[1:])])
        parts = [torch.empty_like(sent) for _ in sizes]
        self._finish(dist.all_gather(parts, sent, group=self._group, async_op=True), sent)
        whole = torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
        return whole.view(own.dtype)

    def mean(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Average tensors over the ranks; the result can be differentiated twice.

        Parameters
        ----------
        tensors : sequence of tensor
            Of the same shapes on all ranks.

        Returns
        -------
        tuple of tensor
        """
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        parts = _Mean.apply(flat, self).split([tensor.numel() for tensor in tensors])
        return tuple(part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True))

    def average_(self, tensors: Iterable[Tensor]) -> None:
        """Average tensors over the ranks in place; those of one type travel together."""
        for alike in _by_dtype(tensors):
            averaged = self.averaged(torch.cat([tensor.reshape(-1) for tensor in alike]))
            _put_back(averaged, alike)

    def copy_from_first_(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with those of rank 0."""
        for alike in _by_dtype(tensors):
            flat = torch.cat([tensor.detach().reshape(-1) for tensor in alike])
            sent = flat.view(torch.uint8) if flat.dtype is torch.bool else flat
            self._finish(dist.broadcast(sent, 0, group=self._group, async_op=True), sent)
            _put_back(flat, alike)

    def averaged(self, flat: Tensor) -> Tensor:
        """Average one tensor in place, without a gradient."""
        self._finish(dist.all_reduce(flat, group=self._group, async_op=True), flat)
        return flat.div_(self.size)

    def _finish(self, work: Any, of: Tensor) -> None:
        if of.is_cuda:  # the stream waits, the host does not: NCCL's own watchdog looks after it
            work.wait()
            return
        while True:
            ended = work.is_completed()
            try:
                work.wait(_LOOK)
                return
            except RuntimeError as error:  # of a work that has not ended: not yet
                failure = self._failure()
                if failure is None and ended:
                    failure = self._lost()
                if failure is not None:
                    del work  # which keeps the connections open, from the traceback
                    raise failure from error

    def _failure(self) -> OtherRankError | None:
        """Look whether a rank has told that it failed."""
        try:
            if not self._store.check(["failed"]):
                return None
            rank, told = json.loads(self._store.get("failed"))
        except dist.DistError:
            return self._gone()
        return OtherRankError(f"Rank {rank} of {self.size} has failed in this fit: {told}")

    def _lost(self) -> OtherRankError:
        """Say which ranks do not answer any more, once a collective has failed."""
        keys = [f"here/{rank}" for rank in range(self.size)]
        deadline = time.monotonic() + _LAST_WORDS
        try:
            self._store.set(keys[self.rank], "")
            while time.monotonic() < deadline and not self._store.check(keys):
                failure = self._failure()
                if failure is not None:
                    return failure
                time.sleep(0.05)
            silent = [rank for rank, key in enumerate(keys) if not self._store.check([key])]
        except dist.DistError:
            return self._gone()
        if not silent:
            return OtherRankError("The ranks of this fit have lost their connection.")
        return OtherRankError(
            f"{_named(silent)} of {self.size} ended without a word, or did not answer within "
            f"{self._timeout}: killed, or out of memory? This fit cannot go on without it."
        )

    def _gone(self) -> OtherRankError:
        return OtherRankError(
            f"Rank {self.rank} of {self.size} does not reach the store of the process group any "
            "more: the process that keeps it, rank 0 or torchrun, has ended."
        )


class _Gather(torch.autograd.Function):
    """`Ranks.gather`, with derivatives of both modes; what follows is the same on all ranks."""

    @staticmethod
    def forward(own: Tensor, ranks: Ranks, n_rows: int) -> Tensor:
        return ranks.gather_values(own, n_rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:  # noqa: ARG004
        _, ctx.ranks, ctx.n_rows = inputs

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        return grad[ctx.ranks.span(ctx.n_rows)] * ctx.ranks.size, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        return ctx.ranks.gather_values(tangent, ctx.n_rows)


class _Mean(torch.autograd.Function):
    """`Ranks.mean` of one tensor; the gradient of a mean over ranks is again the mean over them."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return ranks.averaged(flat.detach().clone())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        return _Mean.apply(grad, ctx.ranks), None


def sharing() -> Ranks | None:
    """Return the ranks that share the fit which is running; None: it is that of one process."""
    return _sharing.get()


def leads() -> bool:
    """Return whether this process is the one that writes and shows: rank 0, or the only one."""
    ranks = sharing()
    return ranks is None or ranks.rank == 0


@contextmanager
def shared_fit() -> Iterator[Ranks | None]:
    """Share a fit among the processes of torch's process group, if there are several.

    Whatever ends it in one of them is told to all.
    """
    alone = not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1
    if alone or sharing() is not None:  # a fit within a fit has the ranks of the outer one
        yield sharing()
        return
    ranks = Ranks(next(_numbers))
    token = _sharing.set(ranks)
    try:
        yield ranks
    except OtherRankError:
        raise
    except BaseException as error:
        ranks.tell(error)
        raise
    finally:
        _sharing.reset(token)
        ranks.close()


@contextmanager
def not_shared() -> Iterator[None]:
    """Compute all rows on every rank for a while, such as in a trial of a few."""
    token = _sharing.set(None)
    try:
        yield
    finally:
        _sharing.reset(token)


def _timeout_of_users() -> timedelta:
    """Return the timeout of the group: one that is made without another has torch's default."""
    device = torch.device("cpu" if "cpu:" in dist.get_backend_config() else "cuda")
    group: Any = dist.group.WORLD
    return group._get_backend(device).options._timeout  # noqa: SLF001 - there is no public way


def _by_dtype(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    of_dtype: dict[tuple, list[Tensor]] = {}
    for tensor in tensors:
        of_dtype.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    return list(of_dtype.values())


@torch.no_grad()
def _put_back(flat: Tensor, tensors: list[Tensor]) -> None:
    parts = flat.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view(tensor.shape))


def _named(ranks: list[int]) -> str:
    return f"Rank {ranks[0]}" if len(ranks) == 1 else f"Ranks {ranks}"
