"""Random streams: reproducible, independent, and without a trace in the global generators."""

import multiprocessing
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from _generators import global_states
from hypothesis import given, settings
from hypothesis import strategies as st

from noisyfit._random import _fresh_entropy as fresh_entropy
from noisyfit._random import seeded, spawn_streams


def draws(streams):
    """Sixteen numbers out of each stream."""
    made = [
        torch.rand(16, generator=torch.Generator().manual_seed(seed)).numpy()
        for seed in (streams.init, streams.training)
    ]
    made.append(torch.rand(16, generator=streams.shuffle).numpy())
    made.append(streams.split.random(16))
    return np.array(made)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_one_seed_gives_four_reproducible_streams(seed):
    first = draws(spawn_streams(seed))
    np.testing.assert_array_equal(first, draws(spawn_streams(seed)))
    assert len(np.unique(first)) > 60
    # independent also of what the seed itself would give, the trap that the streams avoid
    plain = torch.rand(16, generator=torch.Generator().manual_seed(seed)).numpy()
    assert not (np.abs(first - plain) < 1e-12).any()


def test_streams_are_uncorrelated():
    made = np.concatenate([draws(spawn_streams(seed)) for seed in range(200)], axis=1)
    correlation = np.corrcoef(made) - np.eye(4)
    assert np.abs(correlation).max() < 0.1


def test_neighbouring_seeds_differ():
    assert len({spawn_streams(seed).init for seed in range(100)}) == 100
    assert (draws(spawn_streams(0)) != draws(spawn_streams(1))).all()


def test_numpy_integers_are_seeds():
    assert spawn_streams(np.int64(3)).init == spawn_streams(3).init


def test_a_random_state_is_consumed_but_reproducible():
    state = np.random.RandomState(0)
    first, second = draws(spawn_streams(state)), draws(spawn_streams(state))
    assert (first != second).all()
    np.testing.assert_array_equal(first, draws(spawn_streams(np.random.RandomState(0))))


def test_none_takes_fresh_entropy_and_moves_no_global_generator():
    before = global_states()
    first, second = spawn_streams(None), spawn_streams(None)
    assert first.init != second.init
    assert (draws(first) != draws(second)).all()
    assert global_states() == before
    assert fresh_entropy() != fresh_entropy()  # the one that conftest.py stands in for


def test_a_seeded_block_is_reproducible():
    made = []
    for seed in (5, 5, 6):
        with seeded(seed, "cpu"):
            made.append(torch.rand(4).tolist())
    assert made[0] == made[1] != made[2]
    assert made[0] == torch.rand(4, generator=torch.Generator().manual_seed(5)).tolist()


def test_a_seeded_block_leaves_no_trace():
    before = global_states()
    with seeded(spawn_streams(0).training, torch.device("cpu")):
        torch.rand(10)
        torch.nn.Linear(3, 3)
        np.random.rand(3)  # noqa: NPY002
        random.random()
    assert global_states() == before


def test_all_global_generators_are_seeded():
    def draw(seed):
        with seeded(seed, "cpu"):
            return torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002

    for one, same, other in zip(draw(2**62), draw(2**62), draw(2**62 + 1), strict=True):
        assert one == same != other


def _draw_in_another_process():
    with seeded(3, "cpu"):
        return torch.rand(1).item()


@pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="processes are not forked here")
def test_a_process_forked_while_a_thread_is_fitting_does_not_wait_for_it():
    held, done = threading.Event(), threading.Event()

    def fit():
        with seeded(1, "cpu"):
            held.set()
            done.wait(60)

    thread = threading.Thread(target=fit)
    thread.start()
    held.wait(60)
    try:
        with multiprocessing.get_context("fork").Pool(1) as pool:
            found = pool.apply_async(_draw_in_another_process).get(timeout=30)
    finally:
        done.set()
        thread.join()
    assert found == _draw_in_another_process()


def test_an_exception_inside_a_seeded_block_leaves_no_trace_either():
    before = global_states()

    def interrupted():
        with seeded(1, "cpu"):
            torch.rand(10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert global_states() == before


def test_seeded_blocks_nest():
    with seeded(1, "cpu"):
        first = torch.rand(1)
        with seeded(2, "cpu"):
            torch.rand(5)
        second = torch.rand(1)
    with seeded(1, "cpu"):
        assert torch.equal(torch.cat([first, second]), torch.cat([torch.rand(1), torch.rand(1)]))


@pytest.mark.gpu
def test_the_generator_of_a_cuda_device_is_restored():
    before = torch.cuda.get_rng_state()
    made = []
    for _ in range(2):
        with seeded(1, "cuda"):
            made.append(torch.rand(4, device="cuda").tolist())
    assert made[0] == made[1]
    assert torch.equal(torch.cuda.get_rng_state(), before)


def test_seeded_blocks_in_threads_take_turns():
    def draw(seed):
        with seeded(seed, "cpu"):
            made = []
            for _ in range(20):
                made.append(torch.rand(1).item())
                time.sleep(0.001)
        return made

    before = global_states()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(draw, range(4)))
    assert together == [draw(seed) for seed in range(4)]
    assert global_states() == before
