"""DLT: selection by debiased predictions."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from skorch.callbacks import Callback
from torch import nn

import noisyfit
from noisyfit import DLTClassifier
from noisyfit.data import Rows, TensorSource
from noisyfit.methods.dlt import _net
from noisyfit.methods.dlt._debias import MarginalDistribution
from noisyfit.methods.dlt._net import ThresholdNet, ThresholdSettings
from noisyfit.modules import MLP

RNG = np.random.default_rng(0)
N, N_CLASSES = 60, 3
TRUE = np.arange(N) % N_CLASSES
X = (np.eye(N_CLASSES)[TRUE] @ RNG.normal(size=(N_CLASSES, 4)) * 2).astype(np.float32)
X += RNG.normal(0, 0.4, X.shape).astype(np.float32)
GIVEN = np.where(np.arange(N) < 15, (TRUE + 1) % N_CLASSES, TRUE)
PRIOR = np.array([0.5, 0.3, 0.2])


def make_net(module, *, callbacks=(), **settings):
    torch.manual_seed(0)
    defaults = ThresholdSettings(
        noise_rate=0.25,
        warmup_epochs=2,
        ramp_epochs=2,
        window=3,
        split_mode="training",
        temperature=0.5,
        mixup_alpha=0.0,
        lambda_noisy=10.0,
        lambda_ramp_epochs=4,
        lambda_prior=1.0,
        prior=None,
    )
    return ThresholdNet(
        module,
        settings=defaults._replace(**settings),
        trusted=np.zeros(N, dtype=bool),
        lr=0.1,
        batch_size=16,
        callbacks=list(callbacks),
    ).initialize()


def linear():
    torch.manual_seed(0)
    return nn.Linear(4, N_CLASSES)


def make_rows():
    return Rows(TensorSource(X, torch.device("cpu")), torch.from_numpy(GIVEN))


def by_hand(batches, factor, target):
    """Return the debiased log-probabilities of each batch, by the average of those before."""
    mean, result = target, []
    for logits in batches:
        result.append(log_softmax(logits - factor * (np.log(mean) - np.log(target)), axis=1))
        mean = 0.99 * mean + 0.01 * softmax(logits, axis=1).mean(axis=0)
    return result


# The moving average


@pytest.mark.parametrize("target", [None, PRIOR])
@pytest.mark.parametrize("factor", [0.5, 1.0])
def test_debiased_predictions_by_hand(target, factor):
    batches = [RNG.normal([3, 0, -3], 1, size=(size, 3)).astype(np.float32) for size in (8, 8, 5)]
    given = None if target is None else torch.tensor(target, dtype=torch.float32)
    marginal = MarginalDistribution(factor, given)
    expected = by_hand(batches, factor, np.full(3, 1 / 3) if target is None else target)
    for logits, log_proba in zip(batches, expected, strict=True):
        debiased = marginal.debias(torch.from_numpy(logits)).log_softmax(1)
        np.testing.assert_allclose(debiased, log_proba, rtol=1e-5, atol=1e-6)
        marginal.push(torch.from_numpy(logits))
    assert not np.allclose(expected[2], log_softmax(batches[2], axis=1), rtol=1e-3)


def test_whole_debiasing_divides_by_the_mean_prediction():
    """Once the average has settled: Bayes' rule with another distribution of the classes."""
    logits = torch.from_numpy(RNG.normal([1, 0, 0], 1, size=(200, 3)))
    marginal = MarginalDistribution(1.0, torch.from_numpy(PRIOR))
    for _ in range(2000):
        marginal.push(logits)
    weighted = logits.softmax(1).numpy()
    weighted = weighted / weighted.mean(axis=0) * PRIOR
    expected = weighted / weighted.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(marginal.debias(logits).softmax(1), expected, rtol=1e-5)


def test_a_class_that_is_never_predicted_keeps_losses_finite():
    marginal, logits = MarginalDistribution(1.0), torch.tensor([[500.0, 0.0, -500.0]])
    for _ in range(9_000):
        marginal.push(logits)
    assert torch.isfinite(marginal.debias(logits)).all()


# The step


def after_warmup(net, threshold):
    """Bring a net past its warm-up without training, with a fixed threshold and average."""
    rows = make_rows()
    net.notify("on_train_begin", X=rows, y=None)
    for _ in range(7):
        net.notify("on_epoch_begin", dataset_train=rows, dataset_valid=None)
    net.memory_.threshold = lambda q: torch.tensor(threshold)
    logits = net.infer(torch.from_numpy(X)).detach()
    for _ in range(1500 if net.marginal_ else 0):
        net.marginal_.push(logits)
    return net


def step_of(net):
    batch = {"x": torch.from_numpy(X), "index": torch.arange(N)}
    return net.training_loss(batch, torch.from_numpy(GIVEN))


def test_rows_are_split_by_debiased_losses_and_learned_from_by_others():
    net = after_warmup(make_net(linear(), debias=1.0, lambda_prior=0.3), 0.9)
    step = step_of(net)
    logits = net.infer(torch.from_numpy(X)).detach().numpy()
    p, rows = softmax(logits, axis=1), np.arange(N)
    debiased = p / p.mean(axis=0) / (p / p.mean(axis=0)).sum(axis=1, keepdims=True)
    kept = -np.log(debiased[rows, GIVEN]) <= 0.9
    losses = -np.log(p[rows, GIVEN])
    assert step["kept"].numpy().tolist() == kept.tolist()
    assert (kept != (losses <= 0.9)).sum() > 5
    np.testing.assert_allclose(step["sample_loss"], losses, rtol=1e-5)
    pseudo = p**2 / (p**2).sum(axis=1, keepdims=True)
    noisy = ((p - pseudo)[~kept] ** 2).mean()
    penalty = (1 / 3 * np.log(1 / 3 / p.mean(axis=0))).sum()
    expected = losses[kept].mean() + 10 * noisy + 0.3 * penalty
    assert step["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_a_bias_to_one_class_does_not_change_what_is_kept():
    kept = {}
    for debias in (0.0, 1.0):
        for bias in (0.0, 2.0):
            net = make_net(linear(), debias=debias)
            with torch.no_grad():
                net.module_.weight *= 0.02  # with large logits a bias is no longer a factor
                net.module_.bias.copy_(torch.tensor([bias, 0, 0]))
            kept[debias, bias] = step_of(after_warmup(net, np.log(3)))["kept"].numpy()
    assert (kept[1, 0] == kept[1, 2]).all()
    assert (kept[0, 2] == (GIVEN == 0)).all(), "without: all of the class, and nothing else"
    assert (kept[1, 2] != kept[0, 2]).sum() > 10


class Spy(Callback):
    """Keeps the logits and what was kept in each batch."""

    def __init__(self):
        self.steps = []

    def on_batch_end(self, net, batch=None, training=False, **step):
        self.steps.append((step["y_pred"].numpy(), batch[1].numpy(), step.get("kept"), net.share_))


@pytest.mark.parametrize("prior", [None, PRIOR])
def test_thresholds_are_quantiles_of_debiased_losses(prior):
    spy = Spy()
    net = make_net(MLP(4, N_CLASSES, hidden=(8,)), callbacks=[spy], prior=prior, debias=0.5)
    net.train_stage(make_rows(), 6)
    target = np.full(N_CLASSES, 1 / N_CLASSES) if prior is None else prior
    debiased = by_hand([step[0] for step in spy.steps], 0.5, target)
    losses = [-d[np.arange(len(d)), step[1]] for d, step in zip(debiased, spy.steps, strict=True)]
    thresholds = net.threshold_history().ravel()
    for i, (_, _, kept, share) in enumerate(spy.steps[8:], start=8):  # two epochs of warm-up
        expected = np.quantile(np.concatenate(losses[i - 3 : i]), share)
        assert thresholds[i - 8] == pytest.approx(expected, rel=1e-4)
        assert kept.tolist() == (losses[i] <= thresholds[i - 8]).tolist()


# The estimator


def test_the_default_runs_nothing_of_it(monkeypatch):
    est = DLTClassifier(noise_rate=0.3, max_epochs=6, random_state=0)
    debiased = est.set_params(debias=1.0).fit(X, GIVEN).thresholds_
    monkeypatch.setattr(_net, "MarginalDistribution", None)
    plain = est.set_params(debias=0.0).fit(X, GIVEN).thresholds_
    assert not np.array_equal(plain, debiased)


@pytest.mark.parametrize("value", [-0.1, "auto", None])
def test_other_values_are_refused(value):
    with pytest.raises(ValueError, match=r"'debias' parameter of DLTClassifier must be a float"):
        DLTClassifier(debias=value).fit(X, GIVEN)


def test_files(tmp_path):
    est = DLTClassifier(debias=0.5, noise_rate=0.3, max_epochs=3, random_state=0).fit(X, GIVEN)
    est.save(tmp_path / "est.safetensors")
    again = noisyfit.load(tmp_path / "est.safetensors")
    assert again.debias == again.net_.settings.debias == 0.5
    np.testing.assert_array_equal(again.predict_proba(X), est.predict_proba(X))
    assert not hasattr(est.net_, "marginal_"), "only training needs it"
    older = est.net_.settings[: ThresholdSettings._fields.index("debias")]
    assert ThresholdSettings(*older).debias == 0.0, "files of earlier versions"
