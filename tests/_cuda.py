"""What tests of CUDA devices share: an error where the processor would wait for the device."""

import warnings
from contextlib import contextmanager

import torch
from skorch.callbacks import Callback


def report_waiting(mode):
    """Set torch's mode; it warns, once in a process, that it does not see everything that waits."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Synchronization debug mode is a prototype")
        torch.cuda.set_sync_debug_mode(mode)


@contextmanager
def without_waiting():
    """Let what waits for the device fail, within the block."""
    report_waiting("error")
    try:
        yield
    finally:
        report_waiting("default")


class BatchesWithoutWaiting(Callback):
    """Let what waits for the device fail, within each batch; a batch that fails leaves it so."""

    def on_batch_begin(self, net, **kwargs):
        report_waiting("error")

    def on_batch_end(self, net, **kwargs):
        report_waiting("default")
