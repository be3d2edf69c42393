"""EarlyLearningNet: what it remembers, and what that does to the loss."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from skorch.callbacks import Callback
from torch.autograd import gradcheck

import noisyfit
from noisyfit import MILDSelector
from noisyfit.data import Rows, TensorSource
from noisyfit.modules import MLP
from noisyfit.persistence import FitCheckpoint, StageCheckpoint
from noisyfit.training import EarlyLearningNet, NoisyNet, early_learning_penalty, predict_classes

X, TRUE = make_blobs(200, 20, centers=3, cluster_std=8, random_state=0)
X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
WRONG = np.random.default_rng(0).random(200) < 0.3
GIVEN = np.where(WRONG, (TRUE + 1) % 3, TRUE)
ROWS = Rows(TensorSource(X, torch.device("cpu")), torch.from_numpy(GIVEN))


def make_net(net_class=EarlyLearningNet, callbacks=(), **settings):
    torch.manual_seed(0)
    if net_class is EarlyLearningNet:
        settings["n_source"] = 200
    return net_class(
        MLP(20, 3, hidden=(64,), dropout=settings.pop("dropout", 0)),
        callbacks=list(callbacks),
        batch_size=32,
        iterator_train__shuffle=True,
        iterator_train__generator=torch.Generator().manual_seed(1),
        **{"lr": 0.1, "optimizer__momentum": 0.9, **settings},
    ).initialize()


def batch(ids, **others):
    ids = torch.tensor(ids)
    return {"x": torch.from_numpy(X)[ids], "index": ids, **others}, ROWS.y[ids]


def test_moving_averages_by_hand():
    net = make_net()
    inputs, y = batch([7, 3])
    p = net.training_loss(inputs, y)["y_pred"].softmax(1)
    torch.testing.assert_close(net.target_[[7, 3]], 0.3 * p)
    with torch.no_grad():
        net.module_.layers[0].weight += 1
    inputs, y = batch([3, 5])
    q = net.training_loss(inputs, y)["y_pred"].softmax(1)
    torch.testing.assert_close(net.target_[3], 0.7 * 0.3 * p[1] + 0.3 * q[0])
    torch.testing.assert_close(net.target_[[5, 7]], 0.3 * torch.stack([q[1], p[0]]))
    assert not net.target_.requires_grad
    assert net.target_.count_nonzero() == 3 * 3


@pytest.mark.parametrize("weight", [None, [0.5, 1.5]])
def test_the_loss_by_hand(weight):
    weights = {} if weight is None else {"sample_weight": torch.tensor(weight)}
    net = make_net()
    net.training_loss(*batch([3, 7]))
    t = net.target_[[7, 3]].clone()
    inputs, y = batch([7, 3], **weights)
    step = net.training_loss(inputs, y)
    p = step["y_pred"].softmax(1).detach().numpy()
    t = 0.7 * t.numpy() + 0.3 * p
    loss = -np.log(p[[0, 1], y]) + 3 * np.log(1 - (t * p).sum(1))
    np.testing.assert_allclose(step["sample_loss"].detach(), loss, rtol=1e-5)
    assert step["loss"].item() == pytest.approx(np.average(loss * (weight or 1)), rel=1e-5)


def test_gradient_of_the_penalty():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 2, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.rand(4, 2, 3, generator=generator, dtype=torch.float64).softmax(-1)
    assert gradcheck(lambda z: early_learning_penalty(z.softmax(-1), target), logits)
    # Lemma 1 of Liu et al. 2020: for logit c it is p_c / (1 - <t, p>) times <p, t> - t_c.
    early_learning_penalty(logits.softmax(-1), target).sum().backward()
    p = logits.detach().softmax(-1)
    agreement = (p * target).sum(-1, keepdim=True)
    torch.testing.assert_close(logits.grad, p / (1 - agreement) * (agreement - target))
    sure = torch.tensor([[0.0, 1.0]])
    assert early_learning_penalty(sure, sure).item() == pytest.approx(np.log(1e-4), rel=1e-3)


def test_wrong_labels_are_learned_by_heart_less():
    right = {}
    for net_class in (NoisyNet, EarlyLearningNet):
        predicted = predict_classes(make_net(net_class).train_stage(ROWS, 30), ROWS)
        right[net_class] = (predicted == TRUE)[WRONG].mean()
    assert right[NoisyNet] == 0
    assert right[EarlyLearningNet] > 0.3


class Stop(Callback):
    """Stops everything at a batch."""

    def __init__(self, after):
        self.after = after

    def on_batch_begin(self, net, **kwargs):
        self.after -= 1
        if self.after == 0:
            raise KeyboardInterrupt


def test_a_stage_that_is_stopped_keeps_the_averages(tmp_path):
    whole = make_net(dropout=0.3).train_stage(ROWS, 4)

    def train(after):
        checkpoint = FitCheckpoint(tmp_path)
        callbacks = [("stop", Stop(after)), ("checkpoint", StageCheckpoint(checkpoint))]
        net = make_net(callbacks=callbacks, checkpoint=checkpoint, dropout=0.3)
        return net.train_stage(ROWS, 4)

    with pytest.raises(KeyboardInterrupt):
        train(7 * 2 + 3)  # seven batches an epoch
    again = train(7 * 2 + 1)
    assert torch.equal(again.target_, whole.target_)
    weights, others = whole.module_.state_dict(), again.module_.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_before_the_first_batch_there_is_nothing_to_keep():
    net = make_net()
    assert net.stage_state() == {}
    net.load_stage_state({})
    assert not hasattr(net, "target_")


def test_release_drops_the_averages():
    net = make_net().train_stage(ROWS, 1)
    predicted, size = predict_classes(net, ROWS), len(pickle.dumps(net))
    assert net.release() is net
    assert not hasattr(net, "target_")
    assert len(pickle.dumps(net)) < size - 200 * 3 * 4
    np.testing.assert_array_equal(predict_classes(net, ROWS), predicted)
    net.release()


def test_a_net_in_a_file_predicts_the_same(tmp_path):
    est = MILDSelector(rounds=1, max_epochs=1, module__hidden=(64,), random_state=0).fit(X, GIVEN)
    plain = est.net_
    est.net_ = make_net(n_classes=3).train_stage(ROWS, 1).release()
    est.net_.iterator_valid__num_workers = plain.iterator_valid__num_workers
    est.save(tmp_path / "est")
    loaded = noisyfit.load(tmp_path / "est")
    assert type(loaded.net_) is EarlyLearningNet
    np.testing.assert_array_equal(loaded.predict_proba(X), est.predict_proba(X))
