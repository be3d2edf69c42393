"""Interpolated contrastive learning: by hand, by a loop over pairs, and by finite differences."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from noisyfit.training import (
    ContrastiveMemory,
    interpolated_contrastive,
    partly_labeled_cross_entropy,
    positive_codes,
)

RNG = np.random.default_rng(0)


def test_rows_without_a_label_are_like_their_own_views_alone():
    y = torch.tensor([0, 0, 0, 1, 0])
    ids = torch.tensor([4, 5, 5, 6, 7])  # row 5 is there twice
    labeled = torch.tensor([True, False, False, True, True])
    code = positive_codes(y, ids, labeled, n_classes=2)
    alike = (code.unsqueeze(1) == code).numpy()
    expected = np.eye(5, dtype=bool)
    expected[0, 4] = expected[4, 0] = expected[1, 2] = expected[2, 1] = True
    np.testing.assert_array_equal(alike, expected)


def test_two_views_of_two_rows_by_hand():
    # Rows at right angles, temperature 1: each is compared with its other view, similarity 1, and
    # with both views of the other row, similarity 0.
    z = torch.eye(2).repeat(2, 1)
    own = torch.tensor([0, 1, 0, 1])
    others = ~torch.eye(4, dtype=torch.bool)
    of_own, of_other = -np.log(np.e / (np.e + 2)), -np.log(1 / (np.e + 2))
    factor = torch.tensor([1.0, 0.75, 0.5, 1.0])
    loss = interpolated_contrastive(z, z, (own, own.flip(0)), own, factor, 1.0, others)
    expected = factor.numpy() * of_own + (1 - factor.numpy()) * of_other
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def by_loops(z, keys, codes, key_codes, factor, temperature, compared):
    losses = np.zeros(len(z))
    for i in range(len(z)):
        similarity = np.exp(keys @ z[i] / temperature)
        total = sum(similarity[r] for r in range(len(keys)) if compared[i, r])
        for part, share in ((0, factor[i]), (1, 1 - factor[i])):
            like = [j for j in range(len(keys)) if key_codes[j] == codes[part][i]]
            terms = [-np.log(similarity[j] / total) for j in like if compared[i, j]]
            losses[i] += share * (np.mean(terms) if terms else 0)
    return losses


@pytest.mark.parametrize("to", ["batch", "memory"])
def test_the_loss_is_that_of_the_pairs_one_by_one(to):
    z, keys = (normalize(torch.tensor(RNG.normal(size=(n, 3)))) for n in (8, 11))
    codes = torch.tensor(RNG.integers(0, 5, (2, 8)))
    key_codes, compared = torch.tensor(RNG.integers(0, 4, 11)), np.ones((8, 11), dtype=bool)
    if to == "batch":
        keys, key_codes, compared = z, codes[0], ~np.eye(8, dtype=bool)
    factor = torch.tensor(RNG.uniform(0.5, 1, 8))
    args = z, keys, tuple(codes), key_codes, factor, 0.1
    mask = None if to == "memory" else torch.tensor(compared)
    in_numpy = z.numpy(), keys.numpy(), codes.numpy(), key_codes.numpy(), factor.numpy(), 0.1
    expected = by_loops(*in_numpy, compared)
    np.testing.assert_allclose(interpolated_contrastive(*args, mask), expected, rtol=1e-9)


def test_the_gradient_is_that_of_finite_differences():
    z = torch.tensor(RNG.normal(size=(6, 3)), requires_grad=True)
    codes = torch.tensor([0, 1, 9, 0, 1, 9]), torch.tensor([1, 1, 0, 9, 3, 0])
    factor, others = torch.tensor(RNG.uniform(0.5, 1, 6)), ~torch.eye(6, dtype=torch.bool)

    def loss(z):
        unit = normalize(z)
        return interpolated_contrastive(unit, unit, codes, codes[0], factor, 0.5, others)

    assert torch.autograd.gradcheck(loss, (z,))


def test_the_loss_falls_where_rows_come_near_those_of_their_label():
    codes = torch.tensor([0, 0, 1, 1])
    others, whole = ~torch.eye(4, dtype=torch.bool), torch.ones(4)

    def mean(z):
        return interpolated_contrastive(z, z, (codes, codes), codes, whole, 0.1, others).mean()

    by_label, across = torch.eye(2)[[0, 0, 1, 1]], torch.eye(2)[[0, 1, 0, 1]]
    assert mean(by_label) < 1e-3 < 5 < mean(across)


def test_the_memory_forgets_the_oldest_rows_first():
    memory = ContrastiveMemory(5)
    assert memory.z is None
    for batch in range(3):
        memory.push(torch.full((2, 4), float(batch)), torch.tensor([2 * batch, 2 * batch + 1]))
    assert memory.codes.tolist() == [4, 5, 2, 3, 0]
    assert memory.z[:, 0].tolist() == [2, 2, 1, 1, 0]


def test_a_part_without_a_target_counts_nothing():
    # .75 of row 0 and .5 of row 1 have a target: the mean is over 1.25 rows.
    target = torch.tensor([[0.75, 0.0], [0.2, 0.3]])
    loss = -(target * torch.tensor([[0.5, 0.5], [0.8, 0.2]]).log()).sum(1)
    by_hand = -(0.75 * np.log(0.5) + 0.2 * np.log(0.8) + 0.3 * np.log(0.2)) / 1.25
    assert float(partly_labeled_cross_entropy(loss, target)) == pytest.approx(by_hand, rel=1e-6)
    assert float(partly_labeled_cross_entropy(torch.zeros(2), torch.zeros(2, 3))) == 0
