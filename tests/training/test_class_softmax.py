"""Operations over the class axis, against torch's own."""

import pytest
import torch

from noisyfit.training._class_softmax import class_log_softmax, class_softmax, predicted_class


@pytest.mark.parametrize("n_classes", [1, 2, 10, 15, 16, 40])
def test_softmax_over_few_classes_is_softmax(n_classes):
    logits = (30 * torch.randn(50, n_classes, dtype=torch.float64)).requires_grad_()
    weights = torch.randn(50, n_classes, dtype=torch.float64)
    for ours, theirs in ((class_softmax, torch.softmax), (class_log_softmax, torch.log_softmax)):
        expected = theirs(logits, 1)
        torch.testing.assert_close(ours(logits), expected)
        (gradient,) = torch.autograd.grad((weights * ours(logits)).sum(), logits)
        (true,) = torch.autograd.grad((weights * expected).sum(), logits)
        torch.testing.assert_close(gradient, true)


def test_of_several_largest_logits_the_first_counts():
    logits = torch.randint(3, (200, 4), generator=torch.Generator().manual_seed(0)).float()
    logits.requires_grad_()
    assert torch.equal(predicted_class(logits), logits.argmax(1))
    assert (logits.sort(1).values.diff()[:, -1] == 0).sum() > 50
