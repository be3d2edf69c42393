"""What it takes to share the training of a network between processes, beside one process.

Two processes of one thread each, connected by gloo, train the same network in turn with one of them
alone while the other waits: the same rows, the same batches of 128 rows, random views included.

- "processor": seconds of one process alone / (2 * those of the slower one of two). 1 is ideal;
  what is missing is computed twice (views, losses, records) or spent on the exchange. Time in which
  a process only waits for the other is not in it.
- "clock": seconds on the clock alone / with two processes; 2 is ideal. On a machine that others use
  it says as much about them.
- "logits" and "gradients": share of the clock with two processes in which rank 0 gathers what the
  network returned, of which records and losses are made, and in which it averages gradients, with
  the time in which it waits for the other one there.

    OMP_NUM_THREADS=1 python examples/benchmarks/scale.py
"""

from __future__ import annotations

import argparse
import tempfile
import time

import numpy as np
import torch
import torch.distributed as dist
from report import markdown, save
from torch import multiprocessing

from noisyfit._ranks import Ranks, not_shared, shared_fit
from noisyfit.augment import weak_view
from noisyfit.data import make_rows
from noisyfit.modules import ConvNet, PreActResNet18
from noisyfit.training import NoisyNet

SHAPE, BATCH = (3, 32, 32), 128
NETWORKS = {"ConvNet": ConvNet, "PreActResNet18": PreActResNet18}


def make_net(network: str) -> NoisyNet:
    """Return a net with random views; weights are the same in all processes."""
    torch.manual_seed(0)
    return NoisyNet(
        NETWORKS[network](n_channels=SHAPE[0], n_classes=10),
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        batch_size=BATCH,
        iterator_train__shuffle=True,
        iterator_train__generator=torch.Generator().manual_seed(0),
        iterator_train__views=(weak_view(SHAPE),),
    ).initialize()


def measure(
    ranks: Ranks, exchanged: dict[str, list[float]], network: str, n_batches: int, repeats: int
) -> dict[str, list[float]]:
    """Train for an epoch alone and together, in turn; seconds of both clocks, on this rank."""
    rng = np.random.default_rng(0)
    n_rows = n_batches * BATCH
    X = rng.integers(0, 256, (n_rows, *SHAPE), dtype=np.uint8)
    rows = make_rows(X, rng.integers(10, size=n_rows), torch.device("cpu"), None)
    alone, together = make_net(network), make_net(network)
    seconds: dict[str, list[float]] = {}
    clocks = ("processor", "clock", *exchanged)
    for repeat in range(repeats + 1):
        for name in ("alone", "together"):
            ranks.exchange(name)
            start = time.process_time(), time.perf_counter()
            if name == "together":
                together.train_stage(rows, 1)
            elif ranks.rank == 0:
                with not_shared():
                    alone.train_stage(rows, 1)
            taken = time.process_time() - start[0], time.perf_counter() - start[1]
            in_calls = [sum(calls) for calls in exchanged.values()]
            if repeat:  # the first one warms up
                for what, value in zip(clocks, (*taken, *in_calls), strict=True):
                    seconds.setdefault(f"{name} {what}", []).append(value)
            for calls in exchanged.values():
                calls.clear()
    return seconds


def timed(ranks: Ranks, method: str) -> list[float]:
    """Have each call of a method timed; returns the list that takes the seconds."""
    call, seconds = getattr(ranks, method), []

    def timed_call(*args):
        start = time.perf_counter()
        found = call(*args)
        seconds.append(time.perf_counter() - start)
        return found

    setattr(ranks, method, timed_call)
    return seconds


def work(rank: int, address: str, args: argparse.Namespace) -> None:
    """Measure all networks in one of two processes; rank 0 writes the table."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    lines, data = [], {}
    with shared_fit() as ranks:
        assert ranks is not None
        exchanged = {
            "logits": timed(ranks, "gather_values"),
            "gradients": timed(ranks, "averaged"),
        }
        for network in args.networks:
            own = measure(ranks, exchanged, network, args.batches, args.repeats)
            both: list = [None, None]
            dist.all_gather_object(both, own)
            data[network] = both
            slower = np.max([of_rank["together processor"] for of_rank in both], axis=0)
            processor = np.array(both[0]["alone processor"]) / (2 * slower)
            clock = np.array(both[0]["alone clock"]) / np.array(both[0]["together clock"])
            shares = [
                np.array(both[0][f"together {name}"]) / np.array(both[0]["together clock"])
                for name in exchanged
            ]
            lines.append([network, *map(quartiles, (processor, clock, *shares))])
    if rank == 0:
        table = markdown(["network", "processor", "clock", *exchanged], lines)
        text = f"{args.batches} batches of {BATCH} images 3x32x32 an epoch, {args.repeats} epochs."
        save("scale", f"{text}\n\n{table}", data)
    dist.destroy_process_group()


def quartiles(values: np.ndarray) -> str:
    """Median and quartiles."""
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{median:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    """Start two processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(work, (f"file://{folder}/group", args), nprocs=2)


if __name__ == "__main__":
    main()
