"""A pretrained network in every method: what is frozen stays, what learns does so at its rate."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from _estimators import QUICKER, SEMI_SUPERVISED, name_of
from sklearn.base import clone
from torch import nn

import noisyfit
from noisyfit import MILDSelector
from noisyfit.data import ImageScaler
from noisyfit.training import NoisyNet

pytestmark = pytest.mark.filterwarnings("ignore:No trusted rows:UserWarning")

LR, HEAD_LR = 0.05, 0.2
RNG = np.random.default_rng(0)
Y = np.arange(60) % 3
X = (RNG.normal(0, 0.5, (60, 2)) + np.array([[0, 0], [3, 0], [0, 3]])[Y]).astype(np.float32)
GIVEN = np.where(np.arange(60) < 9, (Y + 1) % 3, Y)


class Backbone(nn.Module):
    """Three parts: one frozen with its statistics, one that learns on, and a new head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5))
        self.body = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.head = nn.Linear(8, 3)
        self.stem.requires_grad_(False)

    def forward(self, x):
        return self.head(self.body(self.stem(x)))


def backbone():
    torch.manual_seed(0)
    module = Backbone()
    with torch.no_grad():
        module.stem[1].running_mean.fill_(0.3)
    return module


def state_of(net):
    return {name: t.clone() for name, t in net.module_.state_dict().items()}


@pytest.fixture
def trained(monkeypatch):
    """Return, of every net that is trained, what it was before and after, and all its rates."""
    nets = []
    whole, of_epoch = NoisyNet.train_stage, NoisyNet.run_single_epoch

    def train_stage(net, *args, **kwargs):
        seen = SimpleNamespace(net=net, before=state_of(net), rates=[])
        nets.append(seen)
        whole(net, *args, **kwargs)
        seen.stage, seen.after = net.stage_, state_of(net)
        return net

    def run_single_epoch(net, iterator, training, *args, **kwargs):
        if training:
            rates = {id(p): g["lr"] for g in net.optimizer_.param_groups for p in g["params"]}
            named = {name: rates[id(p)] for name, p in net.module_.named_parameters()}
            nets[-1].rates.append(named)
        of_epoch(net, iterator, training, *args, **kwargs)

    monkeypatch.setattr(NoisyNet, "train_stage", train_stage)
    monkeypatch.setattr(NoisyNet, "run_single_epoch", run_single_epoch)
    return nets


@pytest.mark.parametrize("est", [*QUICKER, *SEMI_SUPERVISED], ids=name_of)
def test_every_net_of_every_method(est, trained):
    own = {"final_epochs": 2} if "semi_supervised" in vars(est) and est.semi_supervised else {}
    est = clone(est).set_params(
        module=backbone(),
        max_epochs=2,
        judge_epochs=1,
        batch_size=30,
        lr=LR,
        schedule="step",
        optimizer__param_groups=[("head*", {"lr": HEAD_LR})],
        **own,
    )
    est.fit(X, GIVEN)
    stages = {seen.stage for seen in trained}
    assert any(stage.startswith("cross-validation") for stage in stages)
    assert len(stages) > 5, "judges, and the method's own"
    for seen in trained:
        moved = {name for name, t in seen.before.items() if not t.equal(seen.after[name])}
        assert not {name for name in moved if "stem" in name}, seen.stage
        learned = {name for name in seen.before if "stem" not in name}
        assert moved == learned, seen.stage
        for rates in seen.rates:
            of_head = {rate for name, rate in rates.items() if "head" in name}
            of_others = {rate for name, rate in rates.items() if "head" not in name}
            assert len(of_head) == len(of_others) == 1
            assert of_head.pop() == pytest.approx(HEAD_LR / LR * of_others.pop())
        first = seen.rates[0]
        assert first[next(name for name in first if "head" in name)] == pytest.approx(HEAD_LR)
        if len(seen.rates) > 1 and not seen.stage.startswith("cross-validation"):  # a cosine
            assert seen.rates[-1] == pytest.approx({k: v / 10 for k, v in first.items()})
    assert est.history_[0]["lr"] == pytest.approx(LR), "that of what has no rate of its own"


# --- images on the scale of the pretrained network ---

IMAGENET = ImageScaler((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Pixels(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.head = nn.Linear(3, n_classes)

    def forward(self, x):
        return self.head(x.mean((2, 3)))


def images():
    values = RNG.integers(0, 200, (60, 3, 4, 4))
    values[np.arange(60), Y] += 50
    return values.astype(np.uint8)


def test_images_are_standardised_by_the_given_numbers(tmp_path):
    X = images()
    est = MILDSelector(Pixels, rounds=1, max_epochs=2, augment=None, random_state=0)
    est.set_params(judge_epochs=0, standardize=IMAGENET)
    est.fit(X, GIVEN)
    assert est.scaler_ is not IMAGENET
    assert not IMAGENET._on_device, "fit leaves parameters as they are"
    mean, std = (np.array(t)[:, None, None] for t in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    by_hand = ((X / 255 - mean) / std).astype(np.float32)
    same = clone(est).set_params(standardize=False).fit(by_hand, GIVEN)
    np.testing.assert_allclose(est.noise_scores_, same.noise_scores_, atol=1e-4)
    np.testing.assert_allclose(est.predict_proba(X), same.predict_proba(by_hand), atol=1e-4)
    est.save(tmp_path / "est")
    again = noisyfit.load(tmp_path / "est", trusted=[__name__])
    assert repr(again.standardize) == repr(clone(est).standardize) == repr(IMAGENET)
    np.testing.assert_array_equal(again.predict_proba(X), est.predict_proba(X))


@pytest.mark.parametrize(
    ("X", "got"),
    [
        (np.zeros((60, 3, 4, 4), dtype=np.float32), r"shape \(3, 4, 4\) and type float32"),
        (np.zeros((60, 1, 4, 4), dtype=np.uint8), r"shape \(1, 4, 4\) and type uint8"),
        (np.zeros((60, 3), dtype=np.uint8), r"shape \(3,\) and type"),
        (torch.utils.data.StackDataset([{"a": torch.zeros(3)}] * 60, Y), "several inputs by name"),
    ],
    ids=["float", "grey", "table", "dict"],
)
def test_other_rows_are_refused(X, got, refused):
    with refused(ValueError, rf"is for uint8 images of 3 channels.*{got}.*standardize=False"):
        MILDSelector(standardize=IMAGENET).fit(X, GIVEN)


# --- networks that return an object with their logits ---


class Answering(Backbone):
    """As a model of Hugging Face: an object that holds the logits beside something else."""

    def forward(self, x):
        return SimpleNamespace(loss=None, logits=super().forward(x))


@pytest.mark.parametrize(
    "est",
    [*QUICKER[3:4], QUICKER[5], SEMI_SUPERVISED[1]],
    ids=["MetaRelabelClassifier", "DivideMixClassifier", "mixup_contrastive"],
)
def test_logits_are_taken_out_of_an_object(est):
    module = Answering()
    module.load_state_dict(backbone().state_dict())
    est = clone(est).set_params(max_epochs=3, batch_size=30, lr=LR)
    plain = clone(est).set_params(module=backbone()).fit(X, GIVEN)
    est.set_params(module=module.requires_grad_(True)).module.stem.requires_grad_(False)
    est.fit(X, GIVEN)
    np.testing.assert_array_equal(est.noise_scores_, plain.noise_scores_)
    np.testing.assert_array_equal(est.predict_proba(X), plain.predict_proba(X))


class Tuples(Backbone):
    def forward(self, x):
        return (super().forward(x),)


def test_a_tuple_is_refused_with_what_to_return(refused):
    with refused(ValueError, r"Got tuple instead.*alone, or an object that has them as \.logits"):
        MILDSelector(Tuples()).fit(X, GIVEN)
