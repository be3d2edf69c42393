"""CrossFit: what is said of a row does not come from its own label."""

import numpy as np
import pytest
import torch
from _cuda import BatchesWithoutWaiting, report_waiting
from joblib import parallel_config
from scipy import sparse
from skorch.callbacks import Callback
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import TensorDataset

from noisyfit.data import Rows, SparseSource, StreamSource, TensorSource
from noisyfit.dynamics import CrossFit
from noisyfit.dynamics._mean_probability import MeanProbability
from noisyfit.dynamics._panel import PanelNet
from noisyfit.dynamics._recorded_run import N_FOLDS, deal_folds
from noisyfit.modules import MLP, StackedMLP
from noisyfit.persistence import FitCheckpoint, StageCheckpoint
from noisyfit.training import EarlyLearningNet, NoisyNet, class_softmax, row_weighted

CPU = torch.device("cpu")
SGD = {"momentum": 0.9, "weight_decay": 5e-3, "nesterov": True}


class OwnMLP(MLP):
    """An MLP that is trained fold by fold."""


def problem(n=60, n_classes=3, seed=0, noise=1.0):
    """Classes apart from each other, in random order."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % n_classes)
    centers = 5 * rng.normal(size=(n_classes, 4))
    return (centers[y] + noise * rng.normal(size=(n, 4))).astype(np.float32), y


def maker(kind=MLP, n_classes=3, checkpoint=None, hidden=(8,), **module):
    """Return a `make_net` whose nets start from the same weights and draw the same orders."""

    def make_net(callbacks, net_class=NoisyNet, **settings):
        torch.manual_seed(0)
        own = {
            "module": kind(4, n_classes, hidden=hidden, **module),
            "lr": 0.05,
            "batch_size": 16,
            "n_classes": n_classes,
            "checkpoint": checkpoint,
            "iterator_train__shuffle": True,
            "iterator_train__generator": torch.Generator().manual_seed(1),
            **{f"optimizer__{name}": value for name, value in SGD.items()},
        } | settings
        if checkpoint is not None:
            callbacks = [*callbacks, ("checkpoint", StageCheckpoint(checkpoint))]
        return net_class(callbacks=callbacks, **own).initialize()

    return make_net


def rows_of(X, y, weight=None):
    rows = Rows(TensorSource(X, CPU), torch.from_numpy(y))
    return rows if weight is None else rows.with_weights(weight)


def crossed(rows, folds, epochs=3, *, early_learning=False, callbacks=(), **settings):
    run = CrossFit(maker(**settings), rows, folds, early_learning=early_learning)
    run.train(epochs, callbacks=callbacks)
    return run.proba


def some_folds(y, n_repeats=2):
    return [deal_folds(y, np.random.default_rng(seed)) for seed in range(n_repeats)]


class Masked(EarlyLearningNet):
    """A net of a single network that sees all rows, and learns from some."""

    takes, early_learning = None, False

    def training_loss(self, X, y):
        logits, take = self.infer(X), self.takes[X["index"]]
        loss = cross_entropy(logits, y, reduction="none")
        if self.early_learning:
            loss = loss + self.penalty(class_softmax(logits), X["index"])
        loss = row_weighted(loss, X)[take].mean() if take.any() else (0 * loss).sum()
        return {"loss": loss, "y_pred": logits}


@pytest.mark.parametrize("early_learning", [False, True])
@pytest.mark.parametrize("case", ["all rows", "weights", "a subset", "dropout=0"])
def test_a_network_of_the_panel_is_that_of_a_net_on_the_same_batches(case, early_learning):
    X, y = problem()
    weight = np.random.default_rng(1).uniform(0.2, 1.8, 60) if case == "weights" else None
    rows = rows_of(X, y, weight)
    if case == "a subset":
        rows = rows.subset(np.arange(60) % 3 != 1)
    takes = torch.arange(60)[:, None] % 7 != torch.arange(4)
    takes[:, 3] = torch.arange(60) == 5  # most of its batches have nothing for it
    make_net = maker(dropout=0) if case == "dropout=0" else maker()
    settings = {"n_source": 60}
    panel = make_net(
        [],
        PanelNet,
        module=StackedMLP([make_net([]).module_] * 4),
        n_classes=None,
        takes=takes,
        early_learning=early_learning,
        **settings,
    ).train_stage(rows, 4)
    start = make_net([]).module_
    for k in range(4):
        alone = make_net([], Masked, **settings)
        alone.takes, alone.early_learning = takes[:, k], early_learning
        alone.train_stage(rows, 4)
        found = panel.module_.network(k)
        assert not torch.allclose(found.layers[0].weight, start.layers[0].weight, atol=1e-3)
        torch.testing.assert_close(
            dict(found.state_dict()), dict(alone.module_.state_dict()), atol=1e-5, rtol=1e-5
        )
        if early_learning:
            torch.testing.assert_close(panel.target_[:, k], alone.target_, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "early_learning", "weighted"),
    [(MLP, False, False), (MLP, False, True), (MLP, True, False), (OwnMLP, True, True)],
)
def test_a_row_is_judged_without_its_own_label(kind, early_learning, weighted):
    X, y = problem()
    weight = np.random.default_rng(1).uniform(0.2, 1.8, 60) if weighted else None
    folds, settings = some_folds(y), {"kind": kind, "early_learning": early_learning}
    before = crossed(rows_of(X, y, weight), folds, **settings)
    for row in (0, 17):
        flipped = y.copy()
        flipped[row] = (y[row] + 1) % 3
        after = crossed(rows_of(X, flipped, weight), folds, **settings)
        np.testing.assert_array_equal(after[:, row], before[:, row])
        for proba, judged, fold in zip(before, after, folds, strict=True):
            others = fold != fold[row]  # whose networks learn from the row
            assert (proba[others] != judged[others]).any(axis=1).all()
            np.testing.assert_array_equal(proba[~others], judged[~others])


def test_a_row_that_no_network_leaves_out_is_judged_by_the_first():
    X, y = problem()
    fold = some_folds(y, 1)[0]
    lone = np.where(np.arange(60) == 7, -1, fold)
    first = np.where(np.arange(60) == 7, 0, fold)
    flipped = np.where(np.arange(60) == 7, (y + 1) % 3, y)
    c = flipped[7]
    for kind in (MLP, OwnMLP):
        proba = crossed(rows_of(X, y), [lone], kind=kind)
        assert crossed(rows_of(X, flipped), [lone], kind=kind)[0, 7, c] > proba[0, 7, c]
        # Other networks train on it either way.
        others = first != 0
        without = crossed(rows_of(X, y), [first], kind=kind)
        np.testing.assert_array_equal(proba[0, others], without[0, others])


def test_side_by_side_and_one_after_the_other_agree():
    X, y = problem(noise=0.3)
    given = np.where(np.arange(60) < 6, (y + 1) % 3, y)
    for kind, early_learning in ((MLP, False), (MLP, True), (OwnMLP, False), (OwnMLP, True)):
        settings = {"kind": kind, "early_learning": early_learning}
        proba = crossed(rows_of(X, given), some_folds(given, 1), 15, **settings)
        assert proba.shape == (1, 60, 3)
        assert proba.dtype == np.float32
        np.testing.assert_allclose(proba.sum(2), 1, atol=1e-5)
        np.testing.assert_array_equal(proba[0].argmax(1), y)


class Watch(Callback):
    """Keeps the softmax of each epoch's training steps, and that of a look after it."""

    def __init__(self, rows=None):
        self.rows, self.steps, self.looks = rows, [], []

    def on_epoch_begin(self, net, **kwargs):
        self.steps.append({})

    def on_batch_end(self, net, batch=None, y_pred=None, training=False, **kwargs):
        for row, p in zip(batch[0]["index"].tolist(), y_pred.softmax(-1), strict=True):
            self.steps[-1][row] = p.numpy()

    def on_epoch_end(self, net, **kwargs):
        if self.rows is not None:
            self.looks.append(net.predict_proba(self.rows))


@pytest.mark.parametrize("epochs", [1, 2, 4])
def test_probabilities_are_the_mean_over_all_epochs_but_the_first(epochs):
    X, y = problem()
    rows = rows_of(X, y).subset(np.arange(60) % 4 != 1)
    folds, watch = some_folds(y), Watch()
    run = CrossFit(maker(), rows, folds)
    run.train(epochs, callbacks=[watch])
    proba, steps = run.proba_of_all, watch.steps[1:] or watch.steps
    for row in range(60):
        for r, fold in enumerate(folds):
            if row % 4 == 1:
                assert not proba[r, row].any()
            else:
                mean = np.mean([p[row][N_FOLDS * r + fold[row]] for p in steps], axis=0)
                np.testing.assert_allclose(proba[r, row], mean, atol=1e-6)


def test_a_look_after_each_epoch_is_averaged_alike():
    X, y = problem()
    rows = rows_of(X, y)
    held_out, others = (rows.subset(np.arange(60) % 4 == 1), rows.subset(np.arange(60) % 4 != 1))
    mean = MeanProbability(rows.y, torch.ones(1, 60, dtype=torch.bool), held_out=held_out)
    watch = Watch(held_out)
    net = maker(OwnMLP)([("mean", mean), ("watch", watch)])
    net.train_stage(others, 1)
    np.testing.assert_allclose(mean.result()[0, held_out.index], watch.looks[0], atol=1e-6)
    net.train_stage(others, 3)  # a second stage goes on
    expected = np.mean(watch.looks[1:], axis=0)
    np.testing.assert_allclose(mean.result()[0, held_out.index], expected, atol=1e-6)
    assert not mean.result()[0, others.index].any()


def epochs_until_settled(means, given, most):
    """Return the epochs, but the first, after which a network is not trained on."""
    predicted = [mean.argmax(axis=1) for mean in means]
    for i in range(3, len(means)):
        changed = predicted[i] != predicted[i - 3]
        of_class = [changed[given == k].mean() for k in np.unique(given)]
        knows_some = (predicted[i] == given).sum() > np.bincount(given).max()
        if knows_some and np.mean(of_class) + 1 / len(given) < 0.02:
            return i + 1
    return most


def test_a_network_is_trained_no_further_than_its_verdict_moves(monkeypatch):
    X, y = problem(n=400, noise=3)
    fold, seen, keep_best = some_folds(y, 1)[0], [], MeanProbability._keep_best

    def watched(self, mean):
        seen.append((self, mean[0].clone().numpy()))
        keep_best(self, mean)

    monkeypatch.setattr(MeanProbability, "_keep_best", watched)

    def means(kind, **settings):
        seen.clear()
        run = CrossFit(maker(kind), rows_of(X, y), [fold], **settings)
        run.train(30)
        assert run.may_still_gain == (0.02 if kind is OwnMLP and not settings else 0)
        nets = dict.fromkeys(net for net, _ in seen)
        return [np.array([mean for net, mean in seen if net is one]) for one in nets]

    one_after_the_other = means(OwnMLP)
    assert len(one_after_the_other) == N_FOLDS
    ends = []
    for k, of_net in enumerate(one_after_the_other):
        own = fold == k
        ends.append(epochs_until_settled(of_net[:, own], y[own], 29))
        assert len(of_net) == ends[-1]
    assert max(ends) < 29, "classes that are easy to tell"
    assert [len(m) for m in means(MLP)] == [29], "side by side they end together"
    assert [len(m) for m in means(OwnMLP, early_learning=True)] == [29] * N_FOLDS


def ends_at(given, means):
    """Return after how many epochs, the first not counted, a stage would end; None: it does not."""
    mean = MeanProbability(
        torch.as_tensor(given), torch.ones(1, len(given), dtype=torch.bool), ends_stage=True
    )
    for n_epochs, proba in enumerate(means, start=1):
        mean._keep_best(torch.as_tensor(proba, dtype=torch.float32)[None])
        if mean._has_settled():
            return n_epochs
    return None


def test_a_network_that_names_the_most_frequent_class_alone_has_not_settled():
    given = (np.arange(100) < 5).astype(int)  # five of a rare class
    nothing_known = np.tile([0.9, 0.1], (100, 1))
    assert ends_at(given, [nothing_known] * 20) is None
    some_known = nothing_known.copy()
    some_known[0] = 0.2, 0.8
    assert ends_at(given, [nothing_known] * 9 + [some_known] * 9) == 13
    assert ends_at(given, [np.full((100, 2), np.nan)] * 9) is None


def test_few_rows_do_not_tell_that_a_network_has_settled():
    given = np.arange(60) % 2
    known = np.where(given[:, None] == [0, 1], 0.9, 0.1)
    assert ends_at(given, [known] * 5) == 4
    assert ends_at(given[:50], [known[:50]] * 50) is None


def test_a_rare_class_counts_as_much_as_another():
    given = np.r_[np.zeros(95, dtype=int), np.ones(5, dtype=int)]
    proba = np.tile([0.9, 0.1], (100, 1))
    means = []
    for i in range(95, 100):  # one more row of the rare class in each epoch: 1 % of all rows
        proba = proba.copy()
        proba[i] = 0.1, 0.9
        means.append(proba)
    assert ends_at(given, means) is None
    assert ends_at(given, means + means[-1:] * 2) is None
    assert ends_at(given, means + means[-1:] * 3) == 8, "the last of them was new three epochs ago"


def test_networks_are_trained_as_long_as_somebody_wants_to_know():
    X, y = problem()
    fold, asked = some_folds(y, 1)[0], []

    def goes_on(proba, judged):
        asked.append((proba.copy(), judged))
        return len(asked) < 3

    run = CrossFit(maker(OwnMLP), rows_of(X, y), [fold])
    run.train(4, goes_on=goes_on)
    assert not run.is_complete
    assert len(run.proba) == 0
    assert [judged.sum() for _, judged in asked] == [(fold <= k).sum() for k in range(3)]
    whole = CrossFit(maker(OwnMLP), rows_of(X, y), [fold])
    asked.clear()
    whole.train(4, goes_on=lambda *so_far: asked.append(so_far) or True)
    assert whole.is_complete
    assert len(asked) == N_FOLDS - 1, "nobody asks after the last one"
    for proba, judged in asked:
        np.testing.assert_array_equal(proba[judged], whole.proba_of_all[0][judged])
        assert not proba[~judged].any()


@pytest.mark.parametrize("kind", [MLP, OwnMLP])
def test_the_mean_ends_where_it_predicts_the_given_labels_best(kind, monkeypatch):
    X, y = problem(noise=6)
    rng = np.random.default_rng(0)
    given = np.where(rng.random(60) < 0.5, rng.integers(0, 3, 60), y)
    seen, keep_best = [], MeanProbability._keep_best

    def watched(self, mean):
        seen.append((self, mean.clone().numpy()))
        keep_best(self, mean)

    monkeypatch.setattr(MeanProbability, "_keep_best", watched)
    fold = some_folds(given, 1)[0]
    fold[:2] = -1  # their judge has trained on them: they do not count
    run = CrossFit(maker(kind, hidden=(64,)), rows_of(X, given), [fold])
    run.train(12)
    ends = []
    for k in range(N_FOLDS):
        own = np.flatnonzero(fold == k)
        counts = np.flatnonzero(fold >= 0) if run.is_stacked else own
        nets = list(dict.fromkeys(net for net, _ in seen))
        means = [m[0] for net, m in seen if net is nets[0 if run.is_stacked else k]]
        of_given = np.array([m[counts, given[counts]] for m in means])
        likelihood = np.log(of_given + 1e-4).mean(axis=1)
        assert len(means) == 11, "so few rows do not end it"
        best = likelihood.argmax()
        ends.append(best)
        np.testing.assert_allclose(run.proba[0, own], means[best][own], atol=1e-6)
        np.testing.assert_allclose(run.proba_of_all[0, own], means[-1][own], atol=1e-6)
    assert min(ends) < 10, "what is learned by heart does not help"
    early = CrossFit(maker(kind), rows_of(X, given), [fold], early_learning=True)
    early.train(4)
    np.testing.assert_array_equal(early.proba, early.proba_of_all)


@pytest.mark.parametrize("kind", [MLP, OwnMLP])
def test_folds_without_rows_and_folds_of_all_rows(kind):
    X, y = problem()
    few = np.where(np.arange(60) % 2, 1, 4)
    proba = crossed(rows_of(X, y), [few], kind=kind)
    np.testing.assert_allclose(proba.sum(2), 1, atol=1e-5)
    # What is not among the rows does not count, whatever its fold is.
    rows = rows_of(X, y).subset(few == 4)
    one = crossed(rows, [few], epochs=10, kind=kind)[0]
    assert (one[few == 4].argmax(1) == y[few == 4]).all()
    np.testing.assert_array_equal(one, crossed(rows, [np.full(60, -1)], 10, kind=kind)[0])


@pytest.mark.parametrize("fold", [np.zeros(59), np.full(60, 5), np.arange(60) - 2])
def test_other_folds_are_refused(fold, refused):
    with refused(ValueError, "numbers from -1 to 4 for each of 60 rows"):
        CrossFit(maker(), rows_of(*problem()), [fold])


@pytest.mark.parametrize("kind", [MLP, OwnMLP])
def test_rows_may_lie_anywhere(kind):
    X, y = problem()
    X, labels, folds = np.maximum(X, 0), torch.from_numpy(y), some_folds(y)
    expected = crossed(rows_of(X, y), folds, kind=kind)
    sources = [
        SparseSource(sparse.csr_matrix(X), CPU),
        StreamSource(TensorDataset(torch.from_numpy(X), labels), CPU),
    ]
    for source in sources:
        np.testing.assert_array_equal(crossed(Rows(source, labels), folds, kind=kind), expected)


@pytest.mark.parametrize("early_learning", [False, True])
@pytest.mark.parametrize("n_classes", [1, 2, 20])
def test_any_number_of_classes(n_classes, early_learning):
    X, y = problem(n_classes=n_classes)
    settings = {"n_classes": n_classes, "early_learning": early_learning}
    proba = crossed(rows_of(X, y), some_folds(y), epochs=12, **settings)
    assert proba.shape == (2, 60, n_classes)
    np.testing.assert_allclose(proba.sum(2), 1, atol=1e-5)
    assert (proba[0].argmax(1) == y).mean() > 2 / n_classes or n_classes <= 2


def test_half_precision_is_about_the_same():
    X, y = problem()
    folds, proba = some_folds(y), {}
    for precision in (None, torch.bfloat16):
        make_net = maker()
        run = CrossFit(
            lambda callbacks, *args, make_net=make_net, precision=precision, **settings: make_net(
                callbacks, *args, precision=precision, **settings
            ),
            rows_of(X, y),
            folds,
            early_learning=True,
        )
        run.train(5)
        proba[precision] = run.proba
    assert (proba[None] != proba[torch.bfloat16]).any()
    np.testing.assert_allclose(proba[None], proba[torch.bfloat16], atol=0.1)


class Stop(Callback):
    """Stops everything at a batch, as Ctrl-C would."""

    def __init__(self, after):
        self.after = after

    def on_batch_begin(self, net, **kwargs):
        self.after -= 1
        if self.after == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("kind", "early_learning", "n_repeats", "n_batches"),
    [(MLP, False, 2, 16), (MLP, True, 2, 16), (OwnMLP, True, 1, 60)],
)
def test_a_training_that_is_stopped_goes_on_where_it_was(
    kind, early_learning, n_repeats, n_batches, tmp_path
):
    X, y = problem()
    folds = some_folds(y, n_repeats)

    def cross(callback, folder=None):
        checkpoint = None if folder is None else FitCheckpoint(folder)
        settings = {"kind": kind, "early_learning": early_learning, "dropout": 0.3}
        return crossed(
            rows_of(X, y), folds, 4, callbacks=[callback], checkpoint=checkpoint, **settings
        )

    whole = cross(Stop(n_batches + 1))
    for after in (2, n_batches // 2 + 2, n_batches):
        folder = tmp_path / str(after)
        folder.mkdir()
        with pytest.raises(KeyboardInterrupt):
            cross(Stop(after), folder)
        np.testing.assert_array_equal(cross(Stop(n_batches + 1), folder), whole)
        np.testing.assert_array_equal(cross(Stop(1), folder), whole)  # nothing is left to do


def test_trainings_are_counted_and_named():
    X, y = problem()
    for kind, expected in ((MLP, 1), (OwnMLP, 2 * N_FOLDS)):
        names = []

        class Names(Callback):
            def on_train_begin(self, net, names=names, **kwargs):
                names.append(net.stage_)

        run = CrossFit(maker(kind), rows_of(X, y), some_folds(y))
        run.train(1, "judges", callbacks=[Names()])
        assert run.is_stacked == (kind is MLP)
        assert len(set(names)) == len(names) == run.n_trainings == expected
        assert all(name.startswith("judges") for name in names)


def test_a_network_with_batch_normalisation_is_trained_fold_by_fold():
    X, y = problem()

    def make_net(callbacks, net_class=NoisyNet, **settings):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        settings = {"module": module, "lr": 0.1, "batch_size": 16} | settings
        return net_class(callbacks=callbacks, **settings).initialize()

    run = CrossFit(make_net, rows_of(X, y), some_folds(y, 1))
    run.train(8)
    assert not run.is_stacked
    assert (run.proba[0].argmax(1) == y).mean() > 0.9


@pytest.mark.gpu
@pytest.mark.parametrize("early_learning", [False, True])
@pytest.mark.parametrize("where", ["resident", "sparse"])
def test_on_a_cuda_device(where, early_learning):
    X, y = problem()
    weight = np.random.default_rng(1).uniform(0.2, 1.8, 60)
    source = {
        "resident": TensorSource,
        "sparse": lambda X, device: SparseSource(sparse.csr_matrix(X), device),
    }
    folds = some_folds(y)
    flipped = np.where(np.arange(60) == 17, (y + 1) % 3, y)

    def cross(device, labels, kind=MLP, precision=None, callbacks=()):
        rows = Rows(source[where](X, device), torch.from_numpy(labels)).with_weights(weight)
        make_net = maker(kind)

        def there(*args, **settings):
            return make_net(*args, device=device, precision=precision, **settings)

        run = CrossFit(
            there, rows.subset(np.arange(60) % 9 != 1), folds, early_learning=early_learning
        )
        try:
            run.train(4, callbacks=callbacks)
        finally:
            report_waiting("default")
        return run.proba

    for kind in (MLP, OwnMLP):
        proba = cross(torch.device("cuda"), y, kind, callbacks=[BatchesWithoutWaiting()])
        np.testing.assert_allclose(proba, cross(CPU, y, kind), atol=0.02)
        judged = cross(torch.device("cuda"), flipped, kind)
        np.testing.assert_array_equal(judged[:, 17], proba[:, 17])
        assert (judged != proba).any()
        for precision in (torch.bfloat16, torch.float16):
            half = cross(torch.device("cuda"), y, kind, precision)
            np.testing.assert_allclose(half, proba, atol=0.1)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("kind", [MLP, OwnMLP])
@pytest.mark.parametrize("early_learning", [False, True])
def test_half_precision_leaves_no_step_out(kind, early_learning, precision):
    """Scaled gradients that overflow at first would cost each network its first steps."""
    X, y = problem()
    weight = np.random.default_rng(1).uniform(0.2, 1.8, 60)
    folds, make_net = some_folds(y), maker(kind)

    def judged(precision):
        rows = Rows(TensorSource(X, CPU), torch.from_numpy(y)).with_weights(weight)
        rows = rows.subset(np.arange(60) % 9 != 1)
        run = CrossFit(
            lambda *args, **settings: make_net(*args, precision=precision, **settings),
            rows,
            folds,
            early_learning=early_learning,
        )
        run.train(4)
        return run.proba

    np.testing.assert_allclose(judged(precision), judged(None), atol=0.02)


def test_jobs_find_what_one_finds():
    """In threads, which need no start; tests/test_common.py has processes."""
    X, y = problem(40)
    rows = rows_of(X, y)

    def make_net(callbacks, net_class=NoisyNet, **settings):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.3))
        settings = {"lr": 0.1, "batch_size": 8, "iterator_train__shuffle": True} | settings
        return net_class(module, callbacks=callbacks, n_classes=3, **settings).initialize()

    alone, together = (CrossFit(make_net, rows, [some_folds(y)[0]]) for _ in range(2))
    epochs = []
    torch.manual_seed(1)
    alone.train(3)
    torch.manual_seed(1)
    with parallel_config("threading"):
        together.train(3, n_jobs=2, on_trained=epochs.append)
    np.testing.assert_allclose(together.proba, alone.proba, atol=1e-6)
    np.testing.assert_allclose(together.proba_of_all, alone.proba_of_all, atol=1e-6)
    assert epochs == [3] * N_FOLDS
    stopped, judged = CrossFit(make_net, rows, [some_folds(y)[0]]), []
    with parallel_config("threading"):
        stopped.train(
            3,
            n_jobs=2,
            goes_on=lambda proba, so_far: judged.append(so_far.sum()) or len(judged) < 3,
        )
    assert not stopped.is_complete
    assert judged == [8, 16, 24], "the networks of two processes are asked in order"
