"""The recorder against hand-written loops: the right value, at the right row, before the update."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from skorch.history import History
from torch import nn
from torch.utils.data import TensorDataset

import noisyfit.dynamics._recorder
from noisyfit._random import seeded
from noisyfit.data import BatchLoader, Rows, TensorSource
from noisyfit.dynamics import DynamicsRecorder, SelectionQuality, given_label_statistics
from noisyfit.dynamics._container import QUANTITIES
from noisyfit.training import NoisyNet, predict_logits

CPU = torch.device("cpu")


def problem(n=50, n_features=4, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_features)).astype(np.float32)
    return X, rng.integers(0, n_classes, size=n)


def small_net(n_features=4, n_classes=3, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(n_features, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, n_classes)
        )


def rows_of(X, y):
    return Rows(TensorSource(X, CPU), torch.tensor(y))


def noisy_net(module, recorder, *, lr=0.1, seed=0, batch_size=8, **kwargs):
    return NoisyNet(
        module,
        optimizer=torch.optim.SGD,
        lr=lr,
        batch_size=batch_size,
        callbacks=[("recorder", recorder)],
        iterator_train__shuffle=True,
        iterator_train__generator=torch.Generator().manual_seed(seed),
        **kwargs,
    ).initialize()


def statistics_by_hand(logits, y):
    """Quantities of one batch as numpy, in the order of QUANTITIES."""
    logits = np.asarray(logits, dtype=np.float64)
    each = np.arange(len(y))
    log_prob = log_softmax(logits, axis=1)[each, y]
    others = logits.copy()
    others[each, y] = -np.inf
    margin = logits[each, y] - others.max(axis=1)
    return np.stack([logits.argmax(axis=1) == y, np.exp(log_prob), margin, -log_prob])


def loop_by_hand(module, X, y, *, epochs, batch_size=8, lr=0.1, seed=0):
    """Plain torch training; (n_quantities, n_samples, epochs) from before each update."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(module.parameters(), lr=lr)
    X, y = torch.tensor(X), torch.tensor(y)
    records = np.full((4, len(y), epochs), np.nan)
    for epoch in range(epochs):
        for ids in torch.randperm(len(y), generator=generator).split(batch_size):
            optimizer.zero_grad()
            logits = module(X[ids])
            nn.functional.cross_entropy(logits, y[ids]).backward()
            records[:, ids, epoch] = statistics_by_hand(logits.detach(), y[ids].numpy())
            optimizer.step()
    return records


def assert_records(dynamics, expected):
    for name, matrix in zip(QUANTITIES, expected, strict=True):
        # in half precision, with room for a value on the border between two
        np.testing.assert_allclose(
            getattr(dynamics, name), matrix, rtol=2e-3, atol=1e-4, err_msg=name
        )
    np.testing.assert_array_equal(dynamics.correct, expected[0])


def test_training_records_equal_those_of_a_plain_loop():
    X, y = problem()
    module = small_net()
    recorder = DynamicsRecorder(50, QUANTITIES)
    net = noisy_net(copy.deepcopy(module), recorder)
    net.partial_fit(rows_of(X, y), None, epochs=4)
    expected = loop_by_hand(module, X, y, epochs=4)
    assert_records(recorded(net), expected)
    assert 0.2 < expected[0].mean() < 0.8
    assert (expected[0][:, 0] != expected[0][:, 3]).any()


def recorded(net):
    return dict(net.callbacks_)["recorder"].dynamics_


def test_statistics_of_a_batch_against_numpy():
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=4, size=(40, 5))
    y = rng.integers(0, 5, size=40)
    made = given_label_statistics(torch.tensor(logits), torch.tensor(y))
    assert made.dtype == torch.float32
    np.testing.assert_allclose(made, statistics_by_hand(logits, y), rtol=1e-4, atol=1e-5)
    some = given_label_statistics(torch.tensor(logits), torch.tensor(y), ("loss", "correct"))
    assert torch.equal(some, made[[3, 0]])
    half = given_label_statistics(torch.tensor(logits).bfloat16(), torch.tensor(y))
    assert half.dtype == torch.float32
    np.testing.assert_allclose(half[2], made[2], atol=0.1)


def test_without_learning_training_bits_equal_an_offline_pass():
    X, y = problem()
    module = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    net = noisy_net(module, DynamicsRecorder(50), lr=0.0)
    rows = rows_of(X, y)
    net.partial_fit(rows, None, epochs=3)
    offline = predict_logits(net, rows).argmax(axis=1) == y
    assert 0 < offline.mean() < 1
    for epoch in range(3):
        np.testing.assert_array_equal(recorded(net).correct[:, epoch], offline)


def test_the_value_is_that_of_the_weights_before_the_update():
    X, _ = problem(n=8)
    y = np.ones(8, dtype=np.int64)
    module = nn.Linear(4, 3)
    nn.init.zeros_(module.weight)
    module.bias.data = torch.tensor([1.0, 0.0, 0.0])
    net = noisy_net(module, DynamicsRecorder(8, ("correct", "margin")), lr=1e3)
    net.partial_fit(rows_of(X, y), None, epochs=1)
    # one batch: the old weights say class 0, the new ones class 1
    np.testing.assert_array_equal(recorded(net).correct[:, 0], 0)
    np.testing.assert_array_equal(recorded(net).margin[:, 0], -1)
    assert (predict_logits(net, rows_of(X, y)).argmax(axis=1) == 1).all()


def test_row_ids_survive_shuffling_and_merging():
    # the margin of row i is i itself
    X = np.arange(41, dtype=np.float32)[:, None]
    module = nn.Linear(1, 2, bias=False)
    module.weight.data = torch.tensor([[1.0], [0.0]])
    net = noisy_net(module, DynamicsRecorder(41, ["margin"]), lr=0.0)
    net.partial_fit(rows_of(X, np.zeros(41, dtype=np.int64)), None, epochs=2)
    np.testing.assert_array_equal(recorded(net).margin, np.stack([np.arange(41)] * 2, axis=1))


@pytest.mark.parametrize("mode", ["training", "evaluation"])
def test_rows_out_of_training_are_nan(mode):
    X = np.arange(30, dtype=np.float32)[:, None]
    module = nn.Linear(1, 2, bias=False)
    module.weight.data = torch.tensor([[1.0], [0.0]])
    net = noisy_net(module, DynamicsRecorder(30, ["margin"], mode=mode), lr=0.0)
    keep = np.arange(30) % 3 > 0
    rows = rows_of(X, np.zeros(30, dtype=np.int64))
    net.partial_fit(rows, None, epochs=1)
    net.partial_fit(rows.subset(keep), None, epochs=1)
    expected = np.stack([np.arange(30), np.where(keep, np.arange(30), np.nan)], axis=1)
    np.testing.assert_array_equal(recorded(net).margin, expected)


@pytest.mark.parametrize("pending", [0, 50, 2**22])
@pytest.mark.parametrize("mode", ["training", "evaluation"])
def test_how_often_logits_are_worked_up_changes_nothing(monkeypatch, pending, mode):
    X, y = problem()
    flushed = []
    statistics = given_label_statistics

    def counted(logits, y, quantities):
        flushed.append(len(y))
        return statistics(logits, y, quantities)

    monkeypatch.setattr(noisyfit.dynamics._recorder, "given_label_statistics", counted)
    made = []
    for limit in (2**22, pending):
        monkeypatch.setattr(noisyfit.dynamics._recorder, "_PENDING_LOGITS", limit)
        flushed.clear()
        net = noisy_net(small_net(), DynamicsRecorder(50, QUANTITIES, mode=mode))
        net.partial_fit(rows_of(X, y), None, epochs=3)
        made.append(recorded(net))
        assert sum(flushed) == 3 * 50
    # 7 batches of up to 8 rows and 3 logits
    assert len(flushed) == 3 * {0: 7, 50: 3, 2**22: 1}[pending]
    for name in QUANTITIES:
        np.testing.assert_array_equal(getattr(made[0], name), getattr(made[1], name))


class EpochProbabilities(Callback):
    """What predict_proba says after every epoch."""

    def __init__(self, X):
        self.X = X

    def on_epoch_end(self, net, **kwargs):
        self.seen_ = [*getattr(self, "seen_", []), net.predict_proba(self.X)]


def test_evaluation_mode_in_a_plain_skorch_net_equals_predict_proba():
    X, y = problem()
    witness = EpochProbabilities(X)
    net = NeuralNetClassifier(
        small_net(),
        criterion=nn.CrossEntropyLoss,
        lr=0.1,
        max_epochs=3,
        batch_size=16,
        train_split=None,
        iterator_train__shuffle=True,
        callbacks=[
            ("recorder", DynamicsRecorder(record=QUANTITIES, mode="evaluation")),
            ("witness", witness),
        ],
        verbose=0,
    )
    with torch.random.fork_rng(devices=[]):
        net.fit(X, y)
    seen = dict(net.callbacks_)["witness"].seen_
    assert len(seen) == 3
    for epoch, proba in enumerate(seen):
        given_prob = proba[np.arange(50), y]
        np.testing.assert_allclose(
            recorded(net).given_prob[:, epoch], given_prob, rtol=2e-3, atol=1e-4
        )
        np.testing.assert_array_equal(recorded(net).correct[:, epoch], proba.argmax(axis=1) == y)
        np.testing.assert_allclose(
            recorded(net).loss[:, epoch], -np.log(given_prob), rtol=2e-3, atol=1e-4
        )
    assert np.abs(seen[0] - seen[2]).max() > 0.01


def test_training_mode_without_row_ids_is_refused():
    X, y = problem()
    net = NeuralNetClassifier(
        small_net(),
        criterion=nn.CrossEntropyLoss,
        callbacks=[DynamicsRecorder()],
        train_split=None,
        verbose=0,
    )
    with pytest.raises(ValueError, match=r"carry no row ids.*BatchLoader.*mode='evaluation'"):
        net.fit(X, y)


def test_only_training_mode_sees_augmentation_and_dropout():
    X, y = problem()
    module = nn.Linear(4, 3)
    seen = {}
    for mode in ("training", "evaluation"):
        net = noisy_net(
            nn.Sequential(copy.deepcopy(module), nn.Dropout(0.5)),
            DynamicsRecorder(50, ["margin"], mode=mode),
            lr=0.0,
            iterator_train__views=(torch.zeros_like,),
        )
        with torch.random.fork_rng(devices=[]):
            net.partial_fit(rows_of(X, y), None, epochs=2)
        seen[mode] = recorded(net).margin
    with torch.no_grad():
        expected = statistics_by_hand(module(torch.tensor(X)), y)[2]
    np.testing.assert_allclose(seen["evaluation"][:, 0], expected, rtol=2e-3, atol=1e-4)
    np.testing.assert_array_equal(seen["evaluation"][:, 0], seen["evaluation"][:, 1])
    # from zeros come the biases, doubled or dropped
    assert len(np.unique(seen["training"])) < 30
    assert (seen["training"][:, 0] != seen["training"][:, 1]).any()


def test_evaluation_between_epochs_does_not_change_training():
    X, y = problem()
    weights = []
    for mode in ("training", "evaluation"):
        net = noisy_net(small_net(), DynamicsRecorder(50, mode=mode))
        net.partial_fit(rows_of(X, y), None, epochs=3)
        weights.append(net.module_.state_dict())
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


class Drawn:
    """A view that draws, and counts how often it was asked."""

    def __init__(self):
        self.n_calls = 0

    def __call__(self, x):
        self.n_calls += 1
        return x + torch.randn_like(x) + float(np.random.normal())  # noqa: NPY002


def test_augmented_evaluation_is_that_of_the_views_in_evaluation_mode():
    X, y = problem()
    module = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5))
    recorder = DynamicsRecorder(50, ["margin"], mode="evaluation_augmented")
    net = noisy_net(module, recorder, lr=0.0, iterator_train__views=(torch.neg,))
    with torch.random.fork_rng(devices=[]):
        net.partial_fit(rows_of(X, y), None, epochs=2)
    with torch.no_grad():
        expected = statistics_by_hand(module[0](torch.tensor(-X)), y)[2]
    np.testing.assert_allclose(recorded(net).margin[:, 0], expected, rtol=2e-3, atol=1e-4)
    np.testing.assert_array_equal(recorded(net).margin[:, 0], recorded(net).margin[:, 1])


def test_augmented_evaluation_draws_beside_the_training():
    X, y = problem()
    made = {}
    for mode in ("training", "evaluation", "evaluation_augmented", "evaluation_augmented"):
        view, recorder = Drawn(), DynamicsRecorder(50, ["margin"], mode=mode)
        net = noisy_net(small_net(), recorder, iterator_train__views=(view,))
        with seeded(0, CPU):
            net.partial_fit(rows_of(X, y), None, epochs=2)
        weights = list(net.module_.state_dict().values())
        assert all(torch.equal(*w) for w in zip(weights, made.get("w", weights), strict=True)), mode
        again = made.get(mode)
        made |= {"w": weights, mode: recorded(net).margin}
        assert again is None or np.array_equal(again, made[mode]), "repeatable"
        passes = 2 if mode == "evaluation_augmented" else 1
        assert view.n_calls == 2 * 7 * passes, "two epochs of seven batches"
    assert np.abs(made["evaluation"] - made["evaluation_augmented"]).max() > 0.1


def test_augmented_evaluation_draws_anew_in_each_epoch():
    X, y = problem()
    recorder = DynamicsRecorder(50, ["margin"], mode="evaluation_augmented")
    module = nn.Linear(4, 3)

    def shifted(x):
        return x if module.training else x + torch.randn(())

    net = noisy_net(module, recorder, lr=0.0, iterator_train__views=(shifted,))
    with seeded(0, CPU):
        net.partial_fit(rows_of(X, y), None, epochs=3)
    assert len(np.unique(recorded(net).margin[-1])) == 3, "though nothing else draws in between"


def test_augmented_evaluation_without_views_is_refused():
    X, y = problem()
    for views in ((), (None, torch.neg)):
        recorder = DynamicsRecorder(50, mode="evaluation_augmented")
        net = noisy_net(small_net(), recorder, iterator_train__views=views)
        with pytest.raises(ValueError, match="records views of the rows, but there are none"):
            net.partial_fit(rows_of(X, y), None, epochs=1)
    plain = NeuralNetClassifier(
        small_net(),
        criterion=nn.CrossEntropyLoss,
        callbacks=[DynamicsRecorder(mode="evaluation_augmented")],
        train_split=None,
    )
    with pytest.raises(ValueError, match="records views of the rows, but there are none"):
        plain.fit(X, y)


def test_partial_fit_goes_on_and_initialize_starts_anew():
    X, y = problem()
    net = noisy_net(small_net(), DynamicsRecorder(50))
    net.partial_fit(rows_of(X, y), None, epochs=2)
    first = recorded(net).correct
    net.partial_fit(rows_of(X, y), None, epochs=3)
    assert recorded(net).n_epochs == 5
    np.testing.assert_array_equal(recorded(net).correct[:, :2], first)
    net.initialize_callbacks()
    net.partial_fit(rows_of(X, y), None, epochs=1)
    assert recorded(net).n_epochs == 1


def test_the_number_of_rows_is_taken_from_the_first_training_set():
    X, y = problem()
    net = noisy_net(small_net(), DynamicsRecorder())
    net.partial_fit(rows_of(X, y), None, epochs=1)
    assert recorded(net).correct.shape == (50, 1)


def test_nothing_of_an_epoch_is_left_behind():
    X, y = problem()
    net = noisy_net(small_net(), DynamicsRecorder(50))
    net.partial_fit(rows_of(X, y), None, epochs=1)
    recorder = dict(net.callbacks_)["recorder"]
    assert not [name for name, value in vars(recorder).items() if torch.is_tensor(value)]
    again = pickle.loads(pickle.dumps(recorder))
    np.testing.assert_array_equal(again.dynamics_.correct, recorder.dynamics_.correct)


def test_an_unknown_mode_or_quantity_is_refused():
    with pytest.raises(ValueError, match=r"mode must be one of .*held_out.* Got 'eval'"):
        DynamicsRecorder(mode="eval").initialize()
    with pytest.raises(ValueError, match="Unknown quantities"):
        noisy_net(small_net(), DynamicsRecorder(50, ["entropy"]))


def test_the_recorder_takes_the_batches_of_the_loader():
    # the loader's ids, not positions, decide where a value goes
    every = rows_of(*problem(n=10))
    rows, validation = (every.subset(np.isin(np.arange(10), ids)) for ids in ((7, 8, 9), (1, 3)))
    recorder = DynamicsRecorder(10, ["margin"]).initialize()
    recorder.on_epoch_begin(NoisyNet(nn.Linear(4, 3)), dataset_train=rows)
    for batch in BatchLoader(rows, 2):
        logits = torch.zeros(len(batch[1]), 3)
        recorder.on_batch_end(None, batch=batch, training=True, y_pred=logits)
    for batch in BatchLoader(validation, 2):  # which are looked at once they were not trained on
        logits = nn.functional.one_hot(batch[1], 3).float()
        recorder.on_batch_end(None, batch=batch, training=False, y_pred=logits)
    recorder.on_epoch_end(None, dataset_train=rows, dataset_valid=validation)
    margin = np.full(10, np.nan)
    margin[[7, 8, 9]], margin[[1, 3]] = 0, 1
    np.testing.assert_array_equal(recorder.dynamics_.margin[:, 0], margin)


def split_of_two_batches(is_right):
    """An epoch of 6 rows in two batches: rows 0, 1, 2 and 5 are kept."""
    quality = SelectionQuality(is_right)

    class Net:
        device = "cpu"
        history = History()

    class Data:
        source = range(6)

    Net.history.new_epoch()
    quality.on_train_begin(Net, X=Data)
    quality.on_epoch_begin(Net)
    for ids, kept in (([0, 1, 2, 3], [1, 1, 1, 0]), ([5, 4], [1, 0])):
        batch = ({"index": torch.tensor(ids)}, None)
        quality.on_batch_end(Net, batch=batch, kept=torch.tensor(kept, dtype=torch.bool))
    quality.on_epoch_end(Net)
    return Net.history[-1]


def test_selection_quality_by_hand():
    epoch = split_of_two_batches(np.array([1, 1, 0, 1, 1, 0], dtype=bool))
    assert epoch["kept_precision"] == 2 / 4
    assert epoch["kept_recall"] == 2 / 4
    epoch = split_of_two_batches(np.array([1, 1, 0, 0, 0, 1], dtype=bool))
    assert epoch["kept_precision"] == 3 / 4
    assert epoch["kept_recall"] == 1


def test_selection_quality_of_nothing():
    epoch = split_of_two_batches(np.zeros(6, dtype=bool))
    assert epoch["kept_precision"] == 0
    assert np.isnan(epoch["kept_recall"])


@pytest.mark.parametrize(
    "is_right", [np.arange(6), np.ones((6, 1), dtype=bool), np.ones(7, dtype=bool), np.ones(6)]
)
def test_selection_quality_takes_a_mask(is_right):
    with pytest.raises(ValueError, match=r"boolean mask of shape \(6,\)"):
        split_of_two_batches(is_right)


def test_held_out_rows_of_a_plain_skorch_net():
    X, y = problem()
    held_out = TensorDataset(torch.from_numpy(X[40:]), torch.from_numpy(y[40:]))
    recorder = DynamicsRecorder(record=["given_prob"], mode="held_out", held_out=held_out)
    net = NeuralNetClassifier(
        small_net(),
        criterion=nn.CrossEntropyLoss,
        max_epochs=3,
        callbacks=[recorder],
        train_split=None,
        verbose=0,
    ).fit(X[:40], y[:40])
    proba = torch.from_numpy(net.forward(X[40:]).numpy()).softmax(1).numpy()
    expected = proba[np.arange(len(y) - 40), y[40:]]
    recorded = dict(net.callbacks_)["DynamicsRecorder"].dynamics_.given_prob
    assert recorded.shape == (len(y) - 40, 3)
    np.testing.assert_allclose(recorded[:, -1], expected, atol=1e-3)


@pytest.mark.parametrize("kwargs", [{"mode": "held_out"}, {"held_out": [1, 2]}], ids=str)
def test_held_out_rows_belong_to_their_mode(kwargs):
    with pytest.raises(ValueError, match="mode='held_out' needs the rows to record"):
        DynamicsRecorder(**kwargs).initialize()


def test_a_net_that_returns_probabilities_is_refused():
    X, y = problem()
    module = nn.Sequential(nn.Linear(4, 3), nn.Softmax(1))
    net = NeuralNetClassifier(module, callbacks=[DynamicsRecorder(50)], train_split=None)
    with pytest.raises(ValueError, match="needs a module that returns logits"):
        net.fit(X, y)
