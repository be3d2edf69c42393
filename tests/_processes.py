"""Several processes in one torch.distributed group, for tests of fits that they share."""

import multiprocessing
import os
import time
import traceback
from datetime import timedelta

import torch
import torch.distributed as dist

_SECONDS = 250
# Of a server that has imported everything once each process is a copy, where there are such.
_WAY = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def in_processes(function, size, folder, *args):
    """Call ``function(rank, *args)`` in a gloo group of `size` new processes.

    Returns what each returned, or the traceback of what it raised, or its exit code.
    """
    context = multiprocessing.get_context(_WAY)
    if _WAY == "forkserver":
        context.set_forkserver_preload(["noisyfit", "torch.distributed", "skorch", "sklearn"])
    queue = context.SimpleQueue()
    address = f"file://{folder / 'group'}"
    processes = [
        context.Process(target=_work, args=(queue, function, rank, size, address, args))
        for rank in range(size)
    ]
    try:
        for process in processes:
            process.start()
        deadline = time.monotonic() + _SECONDS
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
        assert all(process.exitcode is not None for process in processes), "a rank hangs"
    finally:
        for process in processes:
            process.kill()
    found = dict(enumerate(process.exitcode for process in processes))
    while not queue.empty():
        rank, result = queue.get()
        found[rank] = torch.load(result, weights_only=False)
    return [found[rank] for rank in range(size)]


def _work(queue, function, rank, size, address, args):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=address, rank=rank, world_size=size, timeout=timedelta(seconds=60)
    )
    try:
        result = function(rank, *args)
    except BaseException:
        result = traceback.format_exc()
    path = f"{address.removeprefix('file://')}-{rank}.pt"
    torch.save(result, path)
    queue.put((rank, path))
    os._exit(0)  # the group is not closed: that would wait for a rank that was killed
