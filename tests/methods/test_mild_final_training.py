"""The last training of MILD: its two steps by hand, and that the selection stays what it is."""

import re

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs, make_classification
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from noisyfit import MILDSelector, load
from noisyfit.data import Rows, TensorSource
from noisyfit.display import MixtureDisplay
from noisyfit.dynamics import SelectionQuality
from noisyfit.label_quality import aggregate_votes
from noisyfit.methods.mild._final_nets import FinalSettings, MixMatchNet, MixupContrastiveNet
from noisyfit.noise import corrupt_labels, transition_matrix
from noisyfit.training import NoisyNet

KINDS = ["mixmatch", "mixup_contrastive"]
every_kind = pytest.mark.parametrize("kind", KINDS)


def noisy_blobs(n=120, rate=0.3, seed=0):
    X, y = make_blobs(n, 4, centers=3 * np.eye(3, 4), random_state=seed)
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < rate
    return X.astype(np.float32), np.where(wrong, (y + rng.integers(1, 3, n)) % 3, y), y


X, GIVEN, TRUE = noisy_blobs()
N, N_CLASSES = len(X), 3
LABELED = np.arange(N) % 5 < 3
ROWS = Rows(TensorSource(X, torch.device("cpu")), torch.from_numpy(GIVEN))
PRIOR = np.array([0.5, 0.3, 0.2])
SETTINGS = FinalSettings(
    epochs=10,
    n_views=2,
    temperature=0.5,
    mixup_alpha=0.0,
    lambda_noisy=8.0,
    lambda_ramp_epochs=4,
)


def quick(kind, **params):
    params = {"rounds": 2, "max_epochs": 5, "final_epochs": 4, "judge_epochs": 0} | params
    return MILDSelector(semi_supervised=kind, random_state=0, **params)


@pytest.fixture(autouse=True)
def _own_random_numbers():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


# The steps


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 5), nn.Linear(5, N_CLASSES)

    def forward(self, x):
        return self.head(self.body(x).tanh())


def net_in_epoch(epoch, net_class, module=None, **settings):
    """Return a net at the beginning of an epoch, without any training."""
    own = {"prior": PRIOR} if net_class is MixMatchNet else {"n_features": 5}
    net = net_class(
        Tiny() if module is None else module,
        settings=SETTINGS._replace(**settings),
        labeled=LABELED,
        n_classes=N_CLASSES,
        optimizer=torch.optim.SGD,
        **own,
    ).initialize()
    net.notify("on_train_begin", X=ROWS, y=None)
    for _ in range(epoch):
        net.notify("on_epoch_begin", dataset_train=ROWS, dataset_valid=None)
    return net


def batch_of(views, y=ROWS.y):
    x, *others = (torch.from_numpy(view) for view in views)
    return {"x": x, "index": torch.arange(N), "views": tuple(others)}, y


def softmax(logits):
    return torch.as_tensor(logits).detach().double().softmax(1).numpy()


@pytest.mark.parametrize(("epoch", "weight"), [(1, 2.0), (3, 6.0), (9, 8.0)])
def test_the_mixmatch_step_by_hand(epoch, weight):
    net = net_in_epoch(epoch, MixMatchNet)
    other = X + 0.5
    step = net.training_loss(*batch_of([X, other]))
    p, q = (softmax(net.module_(torch.from_numpy(view))) for view in (X, other))
    guess = ((p + q) / 2) ** 2
    guess /= guess.sum(1, keepdims=True)
    own = np.concatenate([p, q])[np.tile(LABELED, 2)]
    cross_entropy = -np.log(own[np.arange(len(own)), np.tile(GIVEN[LABELED], 2)]).mean()
    squared = np.mean([((part - guess) ** 2)[~LABELED].mean() for part in (p, q)])
    penalty = (PRIOR * np.log(PRIOR / np.concatenate([p, q]).mean(0))).sum()
    expected = cross_entropy + weight * squared + penalty
    assert float(step["loss"].detach()) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(softmax(step["y_pred"]), (p + q) / 2, atol=1e-6)
    np.testing.assert_array_equal(step["kept"], LABELED)


def contrastive_by_hand(z, code, temperature=0.5):
    """Mean over 2 N rows of the loss against all others."""
    similarity, losses = np.exp(z @ z.T / temperature), []
    for i in range(len(z)):
        like = np.flatnonzero((code == code[i]) & (np.arange(len(z)) != i))
        total = similarity[i].sum() - similarity[i, i]
        losses.append(-np.log(similarity[i, like] / total).mean())
    return np.mean(losses)


@pytest.mark.parametrize(("epoch", "guesses"), [(3, False), (5, False), (6, True)])
def test_the_contrastive_step_by_hand(epoch, guesses):
    net = net_in_epoch(epoch, MixupContrastiveNet)
    views = X + 0.5, X - 0.25
    loss = float(net.training_loss(*batch_of([X, *views]))["loss"].detach())
    logits = net.module_(torch.from_numpy(np.concatenate(views)))
    log_p, plain = np.log(softmax(logits)), softmax(net.module_(torch.from_numpy(X)))
    target = np.eye(N_CLASSES)[GIVEN]
    target[~LABELED] = plain[~LABELED] if guesses else 0
    named = -(np.tile(target, (2, 1)) * log_p).sum() / (2 * (N if guesses else LABELED.sum()))
    with torch.no_grad():
        body = net.module_.body(torch.from_numpy(np.concatenate(views))).tanh()
        z = net.head_(body).double().numpy()
    assert z.shape == (2 * N, 128)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    code = np.tile(np.where(LABELED, GIVEN, 100 + np.arange(N)), 2)
    assert loss == pytest.approx(named + contrastive_by_hand(z, code), rel=1e-4)


def test_the_memory_counts_from_the_fourth_epoch_on():
    batch = batch_of([X, X + 0.5, X - 0.25])
    losses = []
    for epoch, remembers in ((3, True), (4, False), (4, True)):
        torch.manual_seed(0)
        net = net_in_epoch(epoch, MixupContrastiveNet)
        if remembers:
            z = nn.functional.normalize(torch.randn(7, 128))
            net.memory_.push(z, torch.arange(7) % N_CLASSES)
        losses.append(float(net.training_loss(*batch)["loss"].detach()))
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("net_class", [MixMatchNet, MixupContrastiveNet])
@pytest.mark.parametrize("alpha", [0.0, 4.0])
def test_labels_of_dropped_rows_have_no_influence(net_class, alpha):
    other = torch.where(torch.from_numpy(LABELED), ROWS.y, (ROWS.y + 1) % N_CLASSES)
    losses = []
    for y in (ROWS.y, other, (ROWS.y + 1) % N_CLASSES):
        torch.manual_seed(0)
        net = net_in_epoch(8, net_class, mixup_alpha=alpha)
        losses.append(float(net.training_loss(*batch_of([X, X + 0.5, X], y))["loss"].detach()))
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


@pytest.mark.parametrize("net_class", [MixMatchNet, MixupContrastiveNet])
def test_asking_leaves_no_trace_in_batch_normalisation(net_class):
    """Of the passes of a step the statistics see one, that which is learned from."""
    module = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, N_CLASSES))
    net = net_in_epoch(8, net_class, module)
    net.training_loss(*batch_of([X, X + 0.5, X]))
    assert int(net.module_[1].num_batches_tracked) == 1


def test_two_views_are_mixed_by_factors_of_their_own(monkeypatch):
    drawn = iter([0.9, 0.6])
    monkeypatch.setattr("noisyfit.methods.mild._final_nets.mixup_factor", lambda _: next(drawn))
    seen, module = [], Tiny()
    module.register_forward_hook(lambda _, x, out: seen.append(x[0]))
    net = net_in_epoch(1, MixupContrastiveNet, module, mixup_alpha=1.0)
    ones = np.repeat(np.arange(N, dtype=np.float32)[:, None], 4, axis=1)
    net.training_loss(*batch_of([ones] * 3))
    first, second = seen[-1][:, 0].numpy().reshape(2, N)
    for mixed, factor in ((first, 0.9), (second, 0.6)):  # what is left is a permutation
        partner = (mixed - factor * ones[:, 0]) / (1 - factor)
        np.testing.assert_allclose(np.sort(partner), np.arange(N), atol=1e-3)


# Fits


class Watch(Callback):
    """Keep what the last training was given."""

    def on_train_begin(self, net, X=None, **kwargs):
        if net.stage_ in KINDS:
            self.labeled = net.labeled.copy()
            self.counts = np.bincount(X.index.numpy(), minlength=N)
            self.first = {k: v.clone() for k, v in net.module_.state_dict().items()}
            self.head = None if net.stage_ == "mixmatch" else net.head_.weight.detach().clone()

    def on_train_end(self, net, **kwargs):
        if net.stage_ == "mixup_contrastive":
            self.head_moved = not torch.equal(self.head, net.head_.weight)
            self.codes, self.z = net.memory_.codes, net.memory_.z


@every_kind
@pytest.mark.parametrize(
    "params",
    [{}, {"judge_epochs": 2, "loss": "cross_entropy"}, {"recording": "held_out"}],
    ids=["alone", "with judges", "held out"],
)
def test_the_selection_stays_what_it_is(kind, params):
    plain = quick(None, **params).fit(X, GIVEN)
    watch = Watch()
    est = quick(kind, callbacks=[watch], **params).fit(X, GIVEN)
    for name in ("noise_scores_", "clean_mask_", "dropped_round_"):
        np.testing.assert_array_equal(getattr(est, name), getattr(plain, name))
    for name in ("noise_rate_", "noise_rate_interval_", "rounds_", "termination_"):
        assert repr(getattr(est, name)) == repr(getattr(plain, name))  # some are NaN
    assert not est.clean_mask_.all()
    np.testing.assert_array_equal(watch.labeled, est.clean_mask_)
    assert not np.allclose(est.predict_proba(X), plain.predict_proba(X))
    np.testing.assert_array_equal(est.predicted_labels_, est.predict(X))
    assert est.score(X, TRUE) > 0.85


@every_kind
def test_the_last_training_starts_anew_on_all_rows(kind):
    first, watch = [], Watch()

    class Begin(Callback):
        def on_train_begin(self, net, **kwargs):
            if net.stage_ == "round 1":
                first.append({k: v.clone() for k, v in net.module_.state_dict().items()})

    est = quick(kind, callbacks=[Begin(), watch], threshold=0.2).fit(X, GIVEN)
    assert (watch.counts[~est.clean_mask_] == 1).all()
    times = round((~est.clean_mask_).sum() / est.clean_mask_.sum())
    assert times > 1
    assert (watch.counts[est.clean_mask_] == times).all()
    for name, value in first[0].items():
        assert torch.equal(watch.first[name], value)


@every_kind
def test_history_and_records(kind):
    est = quick(kind, validation_fraction=0.2).fit(X, GIVEN)
    assert [epoch["round"] for epoch in est.history_] == [1] * 5 + [2] * 5 + [0] * 4
    assert [epoch["stage"] for epoch in est.history_[-4:]] == [kind] * 4
    assert all(0 <= epoch["valid_acc"] <= 1 for epoch in est.history_)
    assert est.dynamics_.n_epochs == 10
    MixtureDisplay.from_estimator(est, round=2)


@every_kind
def test_callbacks_see_the_last_training(kind):
    quality = SelectionQuality(GIVEN == TRUE)
    stop = EarlyStopping(monitor="train_loss", patience=1, threshold=1e9, threshold_mode="abs")
    est = quick(kind, callbacks=[quality, stop]).fit(X, GIVEN)
    precision = (GIVEN == TRUE)[est.clean_mask_].mean()
    assert est.history_[-1]["kept_precision"] == pytest.approx(precision)
    assert sum(epoch["stage"] == kind for epoch in est.history_) < 4


@every_kind
def test_nothing_dropped_is_mixup_alone(kind):
    est = quick(kind, rounds=1).fit(X, GIVEN, trusted=np.ones(N, dtype=bool))
    assert est.clean_mask_.all()
    assert np.isfinite([epoch["train_loss"] for epoch in est.history_]).all()


@every_kind
@pytest.mark.parametrize("params", [{"augment": None}, {"n_views": 1, "mixup_alpha": 0}], ids=str)
def test_rows_as_they_are(kind, params):
    assert quick(kind, final_epochs=12, **params).fit(X, GIVEN).score(X, TRUE) > 0.85


def test_votes_count_before_the_last_training():
    rng = np.random.default_rng(0)
    votes = np.where(rng.random((N, 3)) < 0.3, rng.integers(0, 3, (N, 3)), TRUE[:, None])
    watch = Watch()
    est = quick("mixmatch", callbacks=[watch], final_epochs=1).fit(X, aggregate_votes(votes))
    np.testing.assert_array_equal(watch.labeled, est.clean_mask_)


def test_head_and_memory_are_used_and_left_behind():
    watch = Watch()
    est = quick("mixup_contrastive", callbacks=[watch]).fit(X, GIVEN)
    assert watch.head_moved
    dropped = np.unique(watch.codes[watch.codes >= N_CLASSES].numpy()) - N_CLASSES
    np.testing.assert_array_equal(dropped, np.flatnonzero(~est.clean_mask_))
    assert watch.z.shape == (200 * N_CLASSES, 128)
    assert not watch.z.requires_grad
    assert est.net_.head_ is None
    assert not hasattr(est.net_, "memory_")


@every_kind
def test_files(kind, tmp_path):
    est = quick(kind).fit(X, GIVEN)
    est.save(tmp_path / "est.noisyfit")
    again = load(tmp_path / "est.noisyfit")
    np.testing.assert_array_equal(est.predict_proba(X), again.predict_proba(X))
    assert again.get_params()["semi_supervised"] == kind
    assert type(again.net_) is type(est.net_)
    assert again.history_ == est.history_


class Stop(Callback):
    """End a fit in its last training."""

    def on_epoch_begin(self, net, **kwargs):
        if net.stage_ in KINDS and len(net.history) == 6:
            raise RuntimeError("stopped")


@every_kind
def test_a_fit_goes_on_where_it_was_stopped(kind, tmp_path, monkeypatch):
    whole = quick(kind, final_epochs=8).fit(X, GIVEN)
    with pytest.raises(RuntimeError, match="stopped"):
        quick(kind, final_epochs=8, checkpoint=tmp_path, callbacks=[Stop()]).fit(X, GIVEN)
    monkeypatch.delattr(Stop, "on_epoch_begin")
    trained = []
    monkeypatch.setattr(Stop, "on_epoch_end", lambda self, net, **_: trained.append(net.stage_))
    again = quick(kind, final_epochs=8, checkpoint=tmp_path, callbacks=[Stop()]).fit(X, GIVEN)
    assert trained == [kind] * 3
    np.testing.assert_array_equal(whole.predict_proba(X), again.predict_proba(X))
    np.testing.assert_array_equal(whole.noise_scores_, again.noise_scores_)


# Settings


def test_numbers_of_the_papers():
    settings = MILDSelector(semi_supervised="mixmatch")._final_settings(0.4, 10)
    assert settings == FinalSettings(50, 2, 0.5, 0.5, 25.0, 16)
    settings = MILDSelector(semi_supervised="mixup_contrastive")._final_settings(0.1, 10)
    assert (settings.temperature, settings.mixup_alpha) == (0.1, 1.0)
    own = {"temperature": 0.3, "mixup_alpha": 4, "lambda_noisy": 50, "lambda_ramp_epochs": 0}
    settings = quick("mixmatch", **own)._final_settings(0.1, 10)
    assert settings == FinalSettings(4, 2, 0.3, 4.0, 50.0, 0)


class NoLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.W = nn.Parameter(torch.eye(4, 3))

    def forward(self, x):
        return x @ self.W


def test_what_is_refused_before_training(monkeypatch):
    monkeypatch.setattr(NoisyNet, "train_stage", lambda *args, **kwargs: pytest.fail("trained"))
    message = r"^semi_supervised='mixup_contrastive' takes.*NoLayer.*use semi_supervised='mixmatch'"
    with pytest.raises(ValueError, match=message):
        quick("mixup_contrastive", module=NoLayer, judge_epochs=2).fit(X, GIVEN)
    with pytest.raises(ValueError, match="iterator_train__views is set by the method itself"):
        quick("mixmatch", iterator_train__views=(None,)).fit(X, GIVEN)


@every_kind
def test_rows_of_several_inputs_are_refused(kind):
    rows = [({"a": torch.from_numpy(x)}, int(label)) for x, label in zip(X, GIVEN, strict=True)]

    class Named(Tiny):
        def forward(self, a):
            return super().forward(a)

    with pytest.raises(TypeError, match=rf"semi_supervised='{kind}'\) mixes .*keys \['a'\]"):
        quick(kind, module=Named, max_epochs=1).fit(AsDataset(rows))


class AsDataset(torch.utils.data.Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"semi_supervised": "fixmatch"}, "'semi_supervised'"),
        ({"final_epochs": 0}, "'final_epochs'"),
        ({"n_views": 0}, "'n_views'"),
        ({"temperature": 0}, "'temperature'"),
        ({"mixup_alpha": -1}, "'mixup_alpha'"),
        ({"lambda_noisy": -1}, "'lambda_noisy'"),
        ({"lambda_ramp_epochs": -1}, "'lambda_ramp_epochs'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_parameters_out_of_range(params, message):
    with pytest.raises(ValueError, match=message):
        MILDSelector(**params).fit(X, GIVEN)


# Retraining


def memorised(**params):
    """Fit a table of many columns, whose wrong labels a network learns at once."""
    X, y = make_classification(
        *(300, 60),
        n_informative=8,
        n_redundant=0,
        n_classes=3,
        n_clusters_per_class=1,
        class_sep=1.5,
        random_state=0,
    )
    given, _ = corrupt_labels(y, transition_matrix("symmetric", 3, 0.25), random_state=0)
    params = {"rounds": 1, "judge_epochs": 10, "optimizer__weight_decay": 0.0} | params
    return MILDSelector(random_state=0, **params).fit(X[:200], given[:200]), X, y, given


def test_a_network_that_has_learned_rejected_labels_by_heart_is_exchanged():
    (new, X, y, given), (last, *_) = memorised(), memorised(retrain=False)
    for name in ("noise_scores_", "clean_mask_", "dropped_round_"):
        assert np.array_equal(getattr(new, name), getattr(last, name)), name
    assert new.noise_rate_ == last.noise_rate_
    rejected = ~last.clean_mask_
    assert rejected.sum() > 20
    by_heart = [(e.predicted_labels_ == given[:200])[rejected].mean() for e in (last, new)]
    assert by_heart[0] > 0.8
    assert by_heart[1] < 0.3
    assert [epoch["round"] for epoch in last.history_] == [1] * 20
    assert [epoch["round"] for epoch in new.history_] == [1] * 20 + [0] * 20
    assert new.score(X[200:], y[200:]) > last.score(X[200:], y[200:]) + 0.05


def test_the_new_network_has_seen_the_kept_rows_alone():
    est, X, *_ = memorised()
    kept, settings = est.clean_mask_, {"rounds": 1, "judge_epochs": 0, "standardize": False}
    alone = MILDSelector(random_state=0, optimizer__weight_decay=0.0, **settings)
    alone.fit(est.scaler_.transform(X[:200])[kept], est.given_labels_[kept])
    # The same training from other first weights: as far from the wrong labels, and from the right.
    agree = (alone.predict(est.scaler_.transform(X[:200])) == est.predicted_labels_).mean()
    assert agree > 0.85


@pytest.mark.parametrize(
    "params",
    [
        {"judge_epochs": 0},
        {"max_epochs": 3},
    ],
    ids=["nobody judges", "learned nothing by heart"],
)
def test_otherwise_the_network_of_the_last_round_stays(params):
    est, *_ = memorised(**params)
    assert {epoch["round"] for epoch in est.history_} == {1}


def test_a_summary_names_kept_rows_that_the_network_has_not_learned_from():
    line = r"Of the kept rows (\d+) \((\S+) %\) were left out by the rounds"
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    X = rng.normal(size=(400, 3)) + 0.8 * y[:, None]  # hard rows, and no wrong label
    settings = {"rounds": 2, "max_epochs": 10, "judge_epochs": 10, "threshold": 0.8}
    est = MILDSelector(random_state=0, **settings).fit(X, y)
    taken_back = (est.dropped_round_ > 0) & est.clean_mask_
    assert taken_back.sum() > 40
    told = re.search(line, est.summary())
    assert told.groups() == (str(taken_back.sum()), f"{100 * taken_back.mean():.1f}")
    anew = MILDSelector(random_state=0, retrain=True, **settings).fit(X, y)
    assert not re.search(line, anew.summary())


def test_retraining_as_asked_for_goes_through_a_file_and_ends_early(tmp_path):
    est = MILDSelector(
        rounds=1,
        max_epochs=4,
        judge_epochs=0,
        retrain=True,
        random_state=0,
        validation_fraction=0.2,
    ).fit(X, GIVEN)
    assert [epoch["round"] for epoch in est.history_] == [1] * 4 + [0] * 4
    assert all("valid_acc" in epoch for epoch in est.history_)
    est.save(tmp_path / "est.safetensors")
    assert np.array_equal(load(tmp_path / "est.safetensors").predict(X), est.predict(X))
    with pytest.raises(ValueError, match="retrain"):
        MILDSelector(retrain="always").fit(X, GIVEN)
