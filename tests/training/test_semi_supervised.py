"""MixMatch's step: every piece by hand, and what must have no influence."""

import numpy as np
import pytest
import torch

from noisyfit.training import (
    auto_guessed_weight,
    guess_labels,
    linear_ramp,
    mixmatch_loss,
    mixup_factor,
    refine_labels,
    without_unlabeled,
)


def softmax(z):
    return np.exp(z) / np.exp(z).sum(1, keepdims=True)


def test_the_weight_rises_linearly_and_stays():
    assert [linear_ramp(t, 10, 16) for t in (1, 10, 18, 26, 300)] == [0, 0, 0.5, 1, 1]
    assert [linear_ramp(t, 10, 0) for t in (10, 11)] == [0, 1]


def test_the_weight_of_guesses_is_one_of_the_papers():
    assert auto_guessed_weight(0.249, 10) == 0
    assert auto_guessed_weight(0.25, 10) == 25  # CIFAR-10
    assert auto_guessed_weight(0.6, 100) == 150  # CIFAR-100


def test_a_guess_is_the_sharpened_mean_of_the_predictions():
    # Mean (.6, .3, .1); squares .36, .09, .01, which sum to .46.
    predicted = torch.tensor([[[0.8, 0.1, 0.1]], [[0.4, 0.5, 0.1]]])
    guess = guess_labels(predicted, temperature=0.5)
    np.testing.assert_allclose(guess, [[0.36 / 0.46, 0.09 / 0.46, 0.01 / 0.46]], rtol=1e-5)


def test_a_refined_label_by_hand():
    # .25 (0, 1) + .75 (.8, .2) = (.6, .4); squares .36, .16 of .52.
    y, p = torch.tensor([1]), torch.tensor([[0.8, 0.2]])
    refined = refine_labels(y, p, torch.tensor([0.25]), temperature=0.5)
    np.testing.assert_allclose(refined, [[0.36 / 0.52, 0.16 / 0.52]], rtol=1e-5)


@pytest.mark.parametrize(("belief", "expected"), [(1.0, [0.0, 1.0]), (0.0, [0.8, 0.2])])
def test_belief_goes_from_the_prediction_to_the_label(belief, expected):
    y, p = torch.tensor([1]), torch.tensor([[0.8, 0.2]])
    refined = refine_labels(y, p, torch.tensor([belief]), temperature=1.0)
    np.testing.assert_allclose(refined, [expected], atol=1e-6)


@pytest.mark.parametrize("alpha", [0.5, 4.0])
def test_the_row_itself_is_the_larger_part(alpha):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = np.array([mixup_factor(alpha) for _ in range(4000)])
        torch.manual_seed(0)
        expected = torch.distributions.Beta(alpha, alpha).sample((4000,)).numpy()
    assert drawn.min() >= 0.5
    folded = np.maximum(expected, 1 - expected)
    assert drawn.mean() == pytest.approx(folded.mean(), abs=0.01)


LOGITS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
TARGET = softmax(np.random.default_rng(1).normal(size=(6, 3))).astype(np.float32)
LABELED = torch.tensor([True, False, True])
PRIOR = np.array([0.5, 0.3, 0.2], dtype=np.float32)


def loss(target=TARGET, labeled=LABELED, batch=None, **weights):
    weights = {"guessed_weight": 4.0, "prior_weight": 0.5, "prior": torch.tensor(PRIOR)} | weights
    logits = torch.tensor(LOGITS)
    return mixmatch_loss(logits, torch.tensor(target), labeled, batch or {}, **weights)


def test_the_loss_of_two_views_by_hand():
    p, is_labeled = softmax(LOGITS.astype(float)), np.tile(LABELED.numpy(), 2)
    cross_entropy = -(TARGET * np.log(p)).sum(1)[is_labeled].mean()
    squared = ((p - TARGET) ** 2)[~is_labeled].mean()
    penalty = (PRIOR * np.log(PRIOR / p.mean(0))).sum()
    assert loss().item() == pytest.approx(cross_entropy + 4 * squared + 0.5 * penalty, rel=1e-5)


def test_weights_of_rows_are_in_all_three_parts():
    weight = np.array([2.0, 0.25, 0.75], dtype=np.float32)
    p, is_labeled, w = (
        softmax(LOGITS.astype(float)),
        np.tile(LABELED.numpy(), 2),
        np.tile(weight, 2),
    )
    cross_entropy = (w * -(TARGET * np.log(p)).sum(1))[is_labeled].mean()
    squared = (w[:, None] * (p - TARGET) ** 2)[~is_labeled].mean()
    penalty = (PRIOR * np.log(PRIOR / (w @ p / w.sum()))).sum()
    found = loss(batch={"sample_weight": torch.tensor(weight)}).item()
    assert found == pytest.approx(cross_entropy + 4 * squared + 0.5 * penalty, rel=1e-5)


@pytest.mark.parametrize("all_of_them", [True, False])
def test_an_empty_part_counts_nothing(all_of_them):
    found = loss(labeled=torch.full((3,), all_of_them), prior_weight=0.0).item()
    p = softmax(LOGITS.astype(float))
    cross_entropy = -(TARGET * np.log(p)).sum(1).mean()
    squared = 4 * ((p - TARGET) ** 2).mean()
    assert found == pytest.approx(cross_entropy if all_of_them else squared, rel=1e-5)


def test_rows_without_a_label_have_no_weight_in_plain_training():
    unlabeled = torch.tensor([False, True, False, True])
    batch = {"index": torch.tensor([0, 1, 2, 3]), "x": "as it is"}
    found = without_unlabeled(batch, unlabeled)
    assert found["sample_weight"].tolist() == [2, 0, 2, 0]
    assert found["x"] == "as it is"
    users = without_unlabeled({**batch, "sample_weight": torch.tensor([0.5, 1, 1, 1])}, unlabeled)
    assert users["sample_weight"].tolist() == [1, 0, 2, 0]
    assert without_unlabeled(batch, None) is batch
