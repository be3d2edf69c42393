"""Losses and pieces of semi-supervised learning."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from noisyfit.training import (
    class_prior_penalty,
    clean_partner,
    consistency,
    dominant_factor,
    frozen_batch_statistics,
    masked_mean,
    mixup,
    normalize_logits,
    sharpen,
    soft_cross_entropy,
    squared_error,
)


def random_logits(n_rows=6, n_classes=4, seed=0):
    return torch.randn(n_rows, n_classes, generator=torch.Generator().manual_seed(seed))


def test_soft_cross_entropy_of_one_hot_rows_is_cross_entropy():
    logits, y = random_logits(), torch.tensor([0, 1, 2, 3, 0, 1])
    expected = cross_entropy(logits, y, reduction="none")
    torch.testing.assert_close(soft_cross_entropy(logits, one_hot(y, 4).float()), expected)


def test_soft_cross_entropy_by_hand():
    logits = torch.tensor([[0.2, 0.8]]).log()
    expected = -(0.25 * np.log(0.2) + 0.75 * np.log(0.8))
    assert soft_cross_entropy(logits, torch.tensor([[0.25, 0.75]])).item() == pytest.approx(
        expected
    )


def test_squared_error_by_hand():
    logits = torch.tensor([[0.2, 0.8]]).log()
    loss = squared_error(logits, torch.tensor([[0.5, 0.5]]))
    assert loss.item() == pytest.approx((0.3**2 + 0.3**2) / 2)
    rows = squared_error(logits.expand(2, 2), torch.tensor([[0.5, 0.5], [0.2, 0.8]]))
    np.testing.assert_allclose(rows, [0.3**2, 0], atol=1e-7)


def test_sharpen_of_the_fact_sheet():
    for options in ({"temperature": 0.5}, {}):
        sharp = sharpen(torch.tensor([[0.5, 0.3, 0.2]]), **options)
        np.testing.assert_allclose(sharp[0], [0.6579, 0.2368, 0.1053], atol=5e-5)


@pytest.mark.parametrize("temperature", [1e-3, 0.5, 1.0, 2.0])
def test_sharpen_gives_distributions_even_of_zeros(temperature):
    p = torch.tensor([[0.0, 0.4, 0.6], [0.0, 0.0, 1.0], [1e-20, 2e-20, 1.0]])
    sharp = sharpen(p, temperature)
    assert torch.isfinite(sharp).all()
    torch.testing.assert_close(sharp.sum(1), torch.ones(3))
    assert (sharp.argmax(1) == p.argmax(1)).all()
    if temperature == 1:
        torch.testing.assert_close(sharp, p, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("mean", "expected"),
    [((0.9, 0.1), 0.5108), ((0.25,) * 4, 0.0), ((0.55, *(0.05,) * 9), 0.4534)],
)
def test_class_prior_penalty_of_the_fact_sheet(mean, expected):
    mean = torch.tensor(mean)
    around = torch.stack([mean + 0.01, mean - 0.01])  # only the mean over the rows counts
    assert class_prior_penalty(around).item() == pytest.approx(expected, abs=5e-5)


def test_class_prior_penalty_of_another_prior():
    prior = torch.tensor([0.7, 0.3, 0.0])
    assert class_prior_penalty(prior.view(1, -1), prior).item() == pytest.approx(0, abs=1e-7)
    swapped = class_prior_penalty(torch.tensor([[0.3, 0.7, 0.0]]), prior).item()
    assert swapped == pytest.approx(0.7 * np.log(0.7 / 0.3) + 0.3 * np.log(0.3 / 0.7))


def test_masked_mean_and_its_gradient():
    values = torch.tensor([1.0, 3.0, 8.0], requires_grad=True)
    mean = masked_mean(values, torch.tensor([True, True, False]))
    mean.backward()
    assert mean.item() == 2
    assert values.grad.tolist() == [0.5, 0.5, 0.0]


def test_masked_mean_of_nothing():
    values = torch.tensor([1.0, 3.0], requires_grad=True)
    mean = masked_mean(values, torch.zeros(2, dtype=torch.bool))
    mean.backward()
    assert mean.item() == 0
    assert values.grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 4, 4)])
def test_mixup_blends_inputs_and_targets_alike(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    target, partner = torch.eye(5), torch.tensor([1, 0, 4, 2, 2])
    mixed, mixed_target = mixup(x, target, partner, 0.7)
    torch.testing.assert_close(mixed, 0.7 * x + 0.3 * x[partner])
    torch.testing.assert_close(mixed_target, 0.7 * target + 0.3 * target[partner])


def test_mixup_keeps_channels_last():
    x = torch.randn(4, 3, 5, 5).contiguous(memory_format=torch.channels_last)
    mixed, _ = mixup(x, torch.eye(4), torch.tensor([3, 2, 1, 0]), 0.6)
    assert mixed.is_contiguous(memory_format=torch.channels_last)


@given(clean=st.lists(st.booleans(), min_size=1, max_size=30), seed=st.integers(0, 99))
def test_partners_are_clean(clean, seed):
    clean = torch.tensor(clean)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        partner = clean_partner(clean)
    n_clean = int(clean.sum())
    if n_clean == 0:
        assert partner.tolist() == list(range(len(clean)))
        return
    assert clean[partner].all()
    assert sorted(partner[clean].tolist()) == clean.nonzero().flatten().tolist()
    times = np.bincount(partner[~clean].numpy(), minlength=len(clean))[clean.numpy()]
    assert times.max() - times.min() <= 1


def test_partners_are_random():
    clean = torch.tensor([True] * 8 + [False] * 8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = torch.stack([clean_partner(clean) for _ in range(2000)])
    counts = np.stack([np.bincount(drawn[:, i].numpy(), minlength=8)[:8] for i in range(16)])
    assert (np.abs(counts - 250) < 80).all(), "every clean row is as likely as any other"


@pytest.mark.parametrize("momentum", [0.1, None])
def test_frozen_batch_statistics(momentum):
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=momentum))
    x = torch.randn(10, 3) + 2
    with torch.no_grad(), frozen_batch_statistics(module):
        frozen = module(x)
    assert module[1].num_batches_tracked == 0
    assert torch.equal(module[1].running_mean, torch.zeros(4))
    torch.testing.assert_close(module(x), frozen)  # the batch's own statistics, as in training
    assert module[1].num_batches_tracked == 1


def test_statistics_thaw_after_an_error():
    layer = nn.BatchNorm1d(2)
    with pytest.raises(RuntimeError), frozen_batch_statistics(layer):
        raise RuntimeError
    assert layer.track_running_stats


def test_layers_without_running_statistics_stay_so():
    layer = nn.BatchNorm1d(2, track_running_stats=False)
    with frozen_batch_statistics(layer):
        pass
    assert not layer.track_running_stats


def test_dominant_factors_have_the_papers_distribution():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        m = dominant_factor(400_000, 0.5)
    assert m.min() >= 0.5
    assert m.max() <= 1
    assert float(m.mean()) == pytest.approx(5 / 6, abs=0.002)
    assert float((m > 0.9).float().mean()) == pytest.approx(0.447, abs=0.004)


def test_mixup_with_a_factor_for_each_row():
    x, target = torch.arange(12.0).view(3, 2, 2), torch.eye(3)
    partner, factor = torch.tensor([1, 2, 0]), torch.tensor([1.0, 0.5, 0.75])
    mixed, mixed_target = mixup(x, target, partner, factor)
    for i in range(3):
        one, other = mixup(x, target, partner, float(factor[i]))
        torch.testing.assert_close(mixed[i], one[i])
        torch.testing.assert_close(mixed_target[i], other[i])


def test_normalised_logits_have_one_scale_for_the_whole_batch():
    z = torch.tensor([[3.0, 4.0], [0.0, 5.0]])
    scaled = normalize_logits(z)
    torch.testing.assert_close(scaled, z / (50 / 4) ** 0.5)
    torch.testing.assert_close(normalize_logits(10 * z), scaled)
    assert torch.isfinite(normalize_logits(torch.zeros(2, 2))).all()


def test_consistency_sums_over_classes():
    p, q = torch.tensor([[0.2, 0.8]]), torch.tensor([[0.5, 0.5]])
    expected = 0.2 * np.log(0.2 / 0.5) + 0.8 * np.log(0.8 / 0.5)
    assert float(consistency(p.log(), q.log())) == pytest.approx(expected)
    never = torch.full((1, 3), -1e4)  # classes that are never predicted change nothing
    padded = consistency(torch.cat([p.log(), never], 1), torch.cat([q.log(), never], 1))
    assert float(padded) == pytest.approx(expected)
    assert float(consistency(p.log(), p.log() + 7)) == pytest.approx(0, abs=1e-6)


def test_consistency_sends_no_gradient_to_detached_logits():
    weak, strong = torch.randn(2, 4, 3, requires_grad=True).unbind()
    loss = consistency(weak.detach(), strong).mean()
    to_weak, to_strong = torch.autograd.grad(loss, (weak, strong), allow_unused=True)
    assert to_weak is None
    torch.testing.assert_close(to_strong, (strong.softmax(1) - weak.softmax(1)) / 4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_mixup_keeps_the_type_of_the_inputs(dtype):
    mixed, _ = mixup(
        torch.eye(2, dtype=dtype), torch.eye(2), torch.tensor([1, 0]), torch.full((2,), 0.75)
    )
    assert mixed.dtype == dtype
    torch.testing.assert_close(mixed, torch.tensor([[0.75, 0.25], [0.25, 0.75]], dtype=dtype))


def test_draws_are_made_on_the_device_of_the_rows():
    """No other device may be at hand; "meta" holds shapes only."""
    clean = torch.ones(3, dtype=torch.bool, device="meta")
    assert clean_partner(clean).device.type == "meta"
    assert dominant_factor(3, 0.5, device="meta").device.type == "meta"


def test_the_mean_of_one_marked_row_is_its_value():
    values = torch.tensor([5.0, 7.0], dtype=torch.float64)
    mean = masked_mean(values, torch.tensor([False, True]))
    assert mean == 7
    assert mean.dtype == torch.float64


def test_the_prior_penalty_weighs_rows():
    probabilities, prior = torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([0.5, 0.5])
    # The weighted mean is (3 * .9 + .2) / 4 = .725 and (3 * .1 + .8) / 4 = .275.
    expected = 0.5 * np.log(0.5 / 0.725) + 0.5 * np.log(0.5 / 0.275)
    penalty = class_prior_penalty(probabilities, prior, torch.tensor([3.0, 1.0]))
    assert float(penalty) == pytest.approx(expected, abs=1e-6)
    even = class_prior_penalty(probabilities, prior, torch.tensor([2.0, 2.0]))
    assert float(even) == pytest.approx(float(class_prior_penalty(probabilities, prior)), abs=1e-6)
