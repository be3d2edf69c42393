"""Share to select, quantiles, and the two memories of losses."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisyfit.training import LastEpoch, SlidingWindow, selection_proportion
from noisyfit.training._loss_thresholds import _by_partition, _by_topk, quantile


def test_schedule_of_the_fact_sheet():
    w = {"noise_rate": 0.5, "warmup_epochs": 10, "ramp_epochs": 20}
    shares = [selection_proportion(t, **w) for t in (1, 10, 11, 20, 30, 31, 300)]
    assert shares == pytest.approx([1, 1, 0.975, 0.75, 0.5, 0.5, 0.5])


def test_schedule_without_ramp_or_noise():
    after = selection_proportion(3, noise_rate=0.3, warmup_epochs=2, ramp_epochs=0)
    assert after == pytest.approx(0.7)
    assert selection_proportion(9, noise_rate=0.0, warmup_epochs=2, ramp_epochs=3) == 1


@pytest.mark.parametrize(
    ("q", "expected", "n_kept"),
    [(0.8, 0.82, 8), (0.5, 0.55, 5), (0.95, 0.955, 9), (1.0, 1.0, 10), (0.55, 0.595, 5)],
)
def test_quantiles_of_the_fact_sheet(q, expected, n_kept):
    losses = torch.arange(1, 11) / 10
    threshold = quantile(losses, q)
    assert threshold.item() == pytest.approx(expected)
    assert int((losses <= threshold).sum()) == n_kept


@given(
    values=st.lists(st.floats(0, 100, width=32), min_size=1, max_size=40),
    q=st.floats(0, 1),
    padding=st.integers(0, 5),
)
def test_quantile_is_torchs(values, q, padding):
    values = torch.tensor(values)
    padded = torch.cat([torch.full((padding,), torch.inf), values])
    expected = torch.quantile(values.double(), q).item()
    assert quantile(padded, q, len(values)).item() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_everything_is_kept_at_a_share_of_one():
    losses = torch.randn(1001).exp()
    assert (losses <= quantile(losses, 1.0)).all()


def test_the_oldest_batch_leaves_the_window():
    window = SlidingWindow(n_batches=3, batch_size=2)
    for step in range(1, 6):
        window.push(torch.tensor([float(step), 10.0 * step]))
        recent = [v for k in range(max(1, step - 2), step + 1) for v in (k, 10 * k)]
        for q in (0.0, 0.3, 1.0):
            assert window.threshold(q).item() == pytest.approx(np.quantile(recent, q))


def test_a_window_of_batches_of_different_sizes():
    window = SlidingWindow(n_batches=2, batch_size=3)
    for batch in ([9.0, 9.0, 9.0], [1.0], [2.0, 3.0], [4.0, 5.0, 6.0]):
        window.push(torch.tensor(batch))
    assert window.threshold(0.5).item() == pytest.approx(np.median([2, 3, 4, 5, 6]))
    window.push(torch.tensor([7.0]))
    assert window.threshold(0.0).item() == 4
    assert window.threshold(1.0).item() == 7


def test_the_window_moves_every_step_and_the_last_epoch_once_an_epoch():
    window, last = SlidingWindow(n_batches=2, batch_size=4), LastEpoch()
    rng = np.random.default_rng(0)
    thresholds = {"window": [], "last": []}
    for epoch in range(3):
        for memory in (window, last):
            memory.next_epoch()
        for _ in range(5):
            losses = torch.from_numpy(rng.exponential(size=4))
            if epoch:
                thresholds["window"].append(window.threshold(0.6).item())
                thresholds["last"].append(last.threshold(0.6).item())
            window.push(losses)
            last.push(losses)
    assert len(set(thresholds["window"])) >= 8
    assert len(set(thresholds["last"][:5])) == len(set(thresholds["last"][5:])) == 1
    assert thresholds["last"][0] != thresholds["last"][5]


@pytest.mark.parametrize("q", [0.25, 0.6, 0.9, 1.0])
def test_with_frozen_weights_the_kept_share_is_q(q):
    losses, memory = torch.randn(997).exp(), LastEpoch()
    for _ in range(2):
        memory.next_epoch()
        for batch in losses.split(64):
            memory.push(batch)
    memory.next_epoch()
    kept = torch.cat([batch <= memory.threshold(q) for batch in losses.split(64)])
    assert kept.float().mean().item() == pytest.approx(q, abs=1 / 997)


def test_the_share_may_change_within_the_last_epoch_memory():
    memory = LastEpoch()
    memory.push(torch.tensor([1.0, 2.0, 3.0]))
    memory.next_epoch()
    assert [memory.threshold(q).item() for q in (1.0, 0.5, 1.0)] == [3, 2, 3]


@pytest.mark.parametrize("memory", [SlidingWindow(2, 2), LastEpoch()])
def test_an_empty_memory_says_what_is_missing(memory):
    with pytest.raises(RuntimeError, match="needs a warm-up"):
        memory.threshold(0.5)


@pytest.mark.parametrize("n_values", [2, 7, 300])
def test_both_ways_find_the_same_neighbours(n_values):
    values = torch.rand(300, generator=torch.Generator().manual_seed(0))
    values[n_values:] = torch.inf
    ordered = values.sort().values
    for below in {0, n_values // 2, n_values - 2}:
        for neighbours in (_by_topk, _by_partition):
            assert torch.equal(torch.stack(neighbours(values, below)), ordered[below : below + 2])


def test_the_window_lies_where_the_losses_do():
    """No other device may be at hand; "meta" holds shapes only."""
    window = SlidingWindow(n_batches=2, batch_size=3)
    window.push(torch.ones(3, device="meta"))
    assert window._losses.device.type == "meta"
