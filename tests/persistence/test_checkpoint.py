"""A fit that is stopped anywhere and fitted again ends as if it had not been stopped."""

import json
import multiprocessing
import os
import random
import signal
import time
from queue import Empty

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_blobs
from skorch.callbacks import Callback
from torch.utils.data import TensorDataset

from noisyfit import (
    DivideMixClassifier,
    DLTClassifier,
    DynamicsLSTMDetector,
    MetaRelabelClassifier,
    MILDSelector,
)
from noisyfit.data import SliceableDataset, parquet_dataset
from noisyfit.dynamics import DynamicsRecorder, SelectionQuality
from noisyfit.modules import MLP
from noisyfit.persistence._checkpoint import FitCheckpoint
from noisyfit.training import NoisyNet, predict_logits

X, TRUE = make_blobs(150, 4, centers=3, random_state=0)
WRONG = np.random.default_rng(0).random(150) < 0.2
Y = np.where(WRONG, (TRUE + 1) % 3, TRUE)
TRUSTED = (np.arange(150) < 20) & ~WRONG

FITS = {
    "MILD": MILDSelector(max_epochs=4),
    "MILD held out": MILDSelector(recording="held_out", rounds=2, max_epochs=3),
    "MILD Adam": MILDSelector(optimizer=torch.optim.Adam, lr=0.01, rounds=2, max_epochs=3),
    "MILD loss chosen": MILDSelector(rounds=2, max_epochs=2, judge_epochs=2),
    "MILD early": MILDSelector(loss="early_learning", rounds=2, max_epochs=2, judge_epochs=2),
    "DLT": DLTClassifier(estimation_epochs=3, max_epochs=5),
    "DLT debiased": DLTClassifier(debias=1.0, noise_rate=0.2, max_epochs=5),
    "DLT last epoch": DLTClassifier(strategy="last_epoch", noise_rate=0.2, max_epochs=5),
    "DivideMix": DivideMixClassifier(estimation_epochs=3, max_epochs=5, warmup_epochs=2),
    "DivideMix thresholds": DivideMixClassifier(division="dlt", noise_rate=0.2, max_epochs=5),
    "LSTM": DynamicsLSTMDetector(max_epochs=4),
    "Meta": MetaRelabelClassifier(max_epochs=4, warmup_epochs=2),
    "Meta weights": MetaRelabelClassifier(
        meta_gradient="double_backward", relabel=False, ema_decay=0, max_epochs=3, warmup_epochs=2
    ),
}
ONE_OF_EACH_STEP = {"MILD", "MILD Adam", "DLT debiased", "DivideMix", "LSTM", "Meta"}


class Stopper:
    """Lets a number of training batches pass and then stops everything, as Ctrl-C would."""

    def __init__(self, monkeypatch, after=None):
        self.n_batches, self.after = 0, after
        step = NoisyNet.train_step_single

        def counted(net, batch, **kwargs):
            self.n_batches += 1
            if self.n_batches == self.after:
                raise KeyboardInterrupt
            return step(net, batch, **kwargs)

        monkeypatch.setattr(NoisyNet, "train_step_single", counted)


def fit_until(after, monkeypatch, est, *args, **kwargs):
    """Fit, and stop at a batch."""
    with monkeypatch.context() as patch:
        Stopper(patch, after=after)
        with pytest.raises(KeyboardInterrupt):
            est.fit(*args, **kwargs)


def untimed(history):
    return [{key: value for key, value in epoch.items() if key != "dur"} for epoch in history]


def assert_same_fit(a, b):
    """Compare all that a fit leaves behind, to the last bit; only durations may differ."""
    assert repr(untimed(a.history_)) == repr(untimed(b.history_))  # NaN is NaN
    assert a.dynamics_.quantities == b.dynamics_.quantities
    for name in a.dynamics_.quantities:
        np.testing.assert_array_equal(getattr(a.dynamics_, name), getattr(b.dynamics_, name))
    weights, others = a.net_.module_.state_dict(), b.net_.module_.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    for name, value in vars(a).items():
        if isinstance(value, (np.ndarray, float, str)) and name.endswith("_"):
            np.testing.assert_array_equal(value, getattr(b, name), err_msg=name)


@pytest.mark.parametrize("name", FITS)
def test_a_stopped_fit_goes_on_where_it_was(name, tmp_path, monkeypatch):
    est = clone(FITS[name]).set_params(random_state=0)
    with monkeypatch.context() as patch:
        counter = Stopper(patch)
        whole = clone(est).fit(X, Y, trusted=TRUSTED)
        total = counter.n_batches
    rng = np.random.default_rng(1)
    for number, after in enumerate([1, *rng.integers(2, total, size=3), total]):
        est.set_params(checkpoint=tmp_path / str(number))
        fit_until(int(after), monkeypatch, clone(est), X, Y, trusted=TRUSTED)
        with monkeypatch.context() as patch:
            counter = Stopper(patch)
            again = clone(est).fit(X, Y, trusted=TRUSTED)
        assert_same_fit(whole, again)
        n_in_an_epoch = 10  # batches of 16, and fewer rows in some stages
        assert counter.n_batches <= total - after + 1 + n_in_an_epoch
    with monkeypatch.context() as patch:
        counter = Stopper(patch)
        assert_same_fit(whole, clone(est).fit(X, Y, trusted=TRUSTED))
        assert counter.n_batches == 0


@pytest.mark.parametrize("kind", ["csr", "uint8 images", "streamed"])
def test_kinds_of_rows(kind, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    rows = {
        "csr": lambda: sparse.csr_matrix(np.maximum(X, 0)),
        "uint8 images": lambda: rng.integers(0, 256, (150, 1, 8, 8), np.uint8),
        "streamed": lambda: _Streamed(torch.tensor(rng.random((150, 1, 8, 8)), dtype=torch.float)),
    }[kind]()
    est = MILDSelector(rounds=1, max_epochs=4, random_state=0)
    if kind == "streamed":
        est.set_params(iterator_train__num_workers=0)
    whole = clone(est).fit(rows, Y)
    est.set_params(checkpoint=tmp_path)
    fit_until(25, monkeypatch, clone(est), rows, Y)
    assert_same_fit(whole, clone(est).fit(rows, Y))


@pytest.mark.parametrize(
    "name",
    [
        # One for each optimizer and each step; held out and estimated rates change neither.
        pytest.param(name, marks=() if name in ONE_OF_EACH_STEP else pytest.mark.slow)
        for name in FITS
    ],
)
def test_networks_for_images_go_on(name, tmp_path, monkeypatch):
    """Their weights lie in memory in another order, and so must what the optimizer remembers."""
    images = np.random.default_rng(0).integers(0, 256, (150, 1, 8, 8), np.uint8)
    est = clone(FITS[name]).set_params(module__width=4, random_state=0)
    with monkeypatch.context() as patch:
        counter = Stopper(patch)
        whole = clone(est).fit(images, Y, trusted=TRUSTED)
    for number, share in enumerate((0.35, 0.65, 0.95)):
        est.set_params(checkpoint=tmp_path / str(number))
        fit_until(
            int(share * counter.n_batches), monkeypatch, clone(est), images, Y, trusted=TRUSTED
        )
        assert_same_fit(whole, clone(est).fit(images, Y, trusted=TRUSTED))


class _Streamed(TensorDataset):
    """Not taken for the tensor that it holds."""


def test_records_in_a_file_and_half_precision(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (150, 1, 8, 8), np.uint8)
    est = MILDSelector(rounds=2, max_epochs=2, precision="bfloat16", random_state=0)
    whole = clone(est).fit(images, Y)
    est.set_params(checkpoint=tmp_path / "fit", record_folder=tmp_path)
    fit_until(25, monkeypatch, clone(est), images, Y)
    assert_same_fit(whole, clone(est).fit(images, Y))


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(3)])
def test_a_seed_that_was_drawn_is_kept(random_state, tmp_path, monkeypatch):
    est = MILDSelector(rounds=1, max_epochs=3, checkpoint=tmp_path, random_state=random_state)
    fit_until(15, monkeypatch, est, X, Y)
    est.fit(X, Y)
    seed = json.loads((tmp_path / "fit.json").read_text())["seed"]
    whole = MILDSelector(rounds=1, max_epochs=3, random_state=seed).fit(X, Y)
    assert_same_fit(whole, est)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": X + 1}, r"differs in: X \(now \w+, then \w+\)"),
        ({"y": TRUE}, "differs in: y "),
        ({"trusted": TRUSTED}, "differs in: trusted "),
        ({"lr": 0.01}, r"parameter lr \(now 0.01, then auto\)"),
        ({"module__hidden": (4,)}, "parameter module__hidden"),
        ({"random_state": 1}, "parameter random_state"),
        ({"version": "0.0.1"}, r"version of torch \(now 0.0.1"),
        ({"est": DLTClassifier}, "estimator"),
    ],
)
def test_another_fit_is_refused_by_name(change, message, tmp_path, monkeypatch):
    params = {"max_epochs": 2, "checkpoint": tmp_path, "random_state": 0}
    MILDSelector(rounds=1, **params).fit(X, Y)
    before = sorted(path.name for path in tmp_path.iterdir())
    fit = {"X": X, "y": Y} | {k: change.pop(k) for k in ("X", "y", "trusted") if k in change}
    if "version" in change:
        fake = change.pop("version")
        monkeypatch.setattr("noisyfit.persistence._fit_identity.version", lambda name: fake)
    cls = change.pop("est", MILDSelector)
    own = {"rounds": 1} if cls is MILDSelector else {}
    with pytest.raises(ValueError, match=message):
        cls(**params | own | change).fit(fit.pop("X"), fit.pop("y"), **fit)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def written(path, inputs, group=40):
    table = pa.table({f"x{j}": column for j, column in enumerate(inputs.T)} | {"y": Y})
    pq.write_table(table, path, row_group_size=group)
    return path


@pytest.mark.parametrize("some", [False, True])
def test_other_rows_in_parquet_files_of_the_same_shape_are_refused(some, tmp_path, monkeypatch):
    def rows(path, order=slice(None), **buffer):
        found = parquet_dataset(path, label="y", **buffer)
        return SliceableDataset(found, np.arange(149, 9, -1)[order]) if some else found

    small = {"buffer_bytes": 2 * 40 * 4 * 8}
    est = MILDSelector(rounds=1, max_epochs=3, checkpoint=tmp_path / "fit", random_state=0)
    path = written(tmp_path / "rows.parquet", X)
    whole = clone(est).set_params(checkpoint=None).fit(rows(path, **small))
    fit_until(15, monkeypatch, clone(est), rows(path, **small))
    changed = X.copy()
    # One number, neither the smallest nor the largest: all that a file says of itself is the same.
    changed[77, 2] = (X[77, 2] + np.median(X[:, 2])) / 2
    others = {
        "a value": rows(written(tmp_path / "changed.parquet", changed), **small),
        "the order": rows(written(tmp_path / "turned.parquet", X[::-1]), **small),
        "what is shuffled at a time": rows(path),
        "the row groups": rows(written(tmp_path / "groups.parquet", X, group=39), **small),
    }
    if some:
        swapped = np.r_[1, 0, 2:140]
        others["which rows"] = rows(path, swapped, **small)
    for other in others.values():
        y = rows(path).labels if some else rows(path).targets
        with pytest.raises(ValueError, match=r"is of another fit, which differs in: X \(now \w+"):
            clone(est).fit(other, y)
    moved = path.rename(tmp_path / "moved.parquet")
    assert_same_fit(whole, clone(est).fit(rows(moved, **small)))


def test_a_network_that_is_given_is_told_from_one_of_other_weights(tmp_path, monkeypatch):
    torch.manual_seed(0)
    module = MLP(4, 3, hidden=(8,))
    est = MILDSelector(module, rounds=1, max_epochs=3, random_state=0)
    whole = clone(est).fit(X, Y)
    est.set_params(checkpoint=tmp_path)
    fit_until(15, monkeypatch, clone(est), X, Y)
    assert_same_fit(whole, clone(est).fit(X, Y))
    with pytest.raises(ValueError, match=r"differs in: parameter module \(now MLP \w+, then MLP"):
        est.set_params(module=MLP(4, 3, hidden=(8,))).fit(X, Y)


def test_what_changes_no_result_may_change(tmp_path):
    est = MILDSelector(rounds=1, max_epochs=2, checkpoint=tmp_path, random_state=0).fit(X, Y)
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    again = MILDSelector(
        rounds=1, max_epochs=2, checkpoint=moved, random_state=0, record_folder=moved
    )
    assert_same_fit(est, again.fit(X.copy(order="F"), Y.tolist()))


def test_a_fit_that_failed_before_its_first_epoch_does_not_claim_the_folder(tmp_path):
    est = MILDSelector(rounds=1, max_epochs=2, checkpoint=tmp_path, random_state=0)
    with pytest.raises(ValueError, match="trusted must be a boolean mask"):
        est.fit(X, Y, trusted=[0, 1])
    with pytest.raises(TypeError, match="could not be built"):
        clone(est).set_params(module__width=3).fit(X, Y)
    est.fit(X, Y, trusted=TRUSTED)


def test_a_recorder_of_the_user_is_kept_beside_the_own_one(tmp_path, monkeypatch):
    params = {"noise_rate": 0.2, "max_epochs": 6, "random_state": 0}
    whole = DLTClassifier(**params).fit(X, Y)
    users = DynamicsRecorder(150, ["margin"])
    est = DLTClassifier(callbacks=[("mine", users)], checkpoint=tmp_path, **params)
    fit_until(35, monkeypatch, clone(est), X, Y)
    assert_same_fit(whole, clone(est).fit(X, Y))


class _Jittered(_Streamed):
    """Gives another input whenever a row is read."""

    def __getitem__(self, i):
        drawn = np.random.rand() + random.random()  # noqa: NPY002 - as transforms of users do
        return (super().__getitem__(i)[0] + torch.rand(()) + drawn,)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_data_set_with_random_transforms_goes_on(num_workers, tmp_path, monkeypatch):
    rows = _Jittered(torch.zeros(150, 1, 8, 8))
    est = MILDSelector(
        rounds=1,
        max_epochs=4,
        checkpoint=tmp_path,
        iterator_train__num_workers=num_workers,
        random_state=0,
    )
    whole = clone(est).set_params(checkpoint=None, iterator_train__num_workers=0).fit(rows, Y)
    fit_until(25, monkeypatch, clone(est), rows, Y)
    est.set_params(iterator_train__num_workers=1 - num_workers)  # whoever reads the rest
    with monkeypatch.context() as patch:
        counter = Stopper(patch)
        assert_same_fit(whole, clone(est).fit(rows, Y))
    assert counter.n_batches == 20
    with pytest.raises(ValueError, match="differs in: X"):
        clone(est).fit(_Jittered(torch.zeros(150, 1, 8, 9)), Y)


def jitter(x):
    """Augment with numpy's and Python's generators, as code of users may."""
    return x + 0.1 * np.random.rand() * random.random()  # noqa: NPY002


@pytest.mark.parametrize("recording", ["auto", "evaluation_augmented"])
def test_an_augmentation_of_the_user_goes_on(recording, tmp_path, monkeypatch):
    est = MILDSelector(
        recording=recording, rounds=1, max_epochs=4, augment=jitter, judge_epochs=0, random_state=0
    )
    whole = clone(est).fit(X, Y)
    est.set_params(checkpoint=tmp_path)
    fit_until(25, monkeypatch, clone(est), X, Y)
    np.random.seed(5)  # noqa: NPY002 - the rest depends on nothing outside
    assert_same_fit(whole, clone(est).fit(X, Y))


def test_a_folder_with_other_files_and_a_damaged_identity_are_refused(tmp_path):
    est = MILDSelector(rounds=1, max_epochs=1, checkpoint=tmp_path / "a")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"no fit\.json\. Give a folder of its own"):
        est.fit(X, Y)
    est.set_params(checkpoint=tmp_path / "b").fit(X, Y)
    for damaged in ('{"X"', "[]", "5", "{}", '{"seed": "1"}', "[" * 100_000, "\xff"):
        (tmp_path / "b" / "fit.json").write_bytes(damaged.encode("latin-1"))
        with pytest.raises(ValueError, match=r"is damaged\. Delete the folder"):
            est.fit(X, Y)


def stopped(tmp_path, monkeypatch, after):
    est = DLTClassifier(noise_rate=0.2, max_epochs=6, checkpoint=tmp_path, random_state=0)
    fit_until(after, monkeypatch, clone(est), X, Y)
    return est


@pytest.fixture(scope="module")
def whole_fit():
    """What `stopped` would have come to."""
    return DLTClassifier(noise_rate=0.2, max_epochs=6, random_state=0).fit(X, Y)


DAMAGED = {("current",): 1, ("current", "previous"): 3}


@pytest.mark.parametrize(
    ("damaged", "lost", "how"),
    [
        ((), 0, None),
        *((*item, how) for item in DAMAGED.items() for how in ("cut", "flip", "empty", "gone")),
    ],
)
def test_a_damaged_file_costs_an_epoch(damaged, lost, how, whole_fit, tmp_path, monkeypatch):
    est = stopped(tmp_path, monkeypatch, after=35)  # in the fourth of six epochs of ten batches
    for name in damaged:
        path = tmp_path / f"{name}.safetensors"
        raw = bytearray(path.read_bytes())
        raw[-5] ^= 1
        kept = {"cut": raw[: len(raw) // 2], "flip": raw, "empty": b"", "gone": None}[how]
        path.unlink()
        if kept is not None:
            path.write_bytes(bytes(kept))
    with monkeypatch.context() as patch:
        counter = Stopper(patch)
        again = clone(est).fit(X, Y)
    assert counter.n_batches == 10 * (3 + lost)
    assert_same_fit(whole_fit, again)


def test_a_full_disk_is_told_and_loses_no_more_than_an_epoch(whole_fit, tmp_path, monkeypatch):
    est = DLTClassifier(noise_rate=0.2, max_epochs=6, checkpoint=tmp_path, random_state=0)
    save, saved = FitCheckpoint.save, []

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    def save_thrice(*args):
        saved.append(args)
        if len(saved) == 4:
            monkeypatch.setattr("noisyfit.persistence._tensor_file.save_file", full)
        save(*args)

    with monkeypatch.context() as patch:
        patch.setattr(FitCheckpoint, "save", save_thrice)
        with pytest.raises(OSError, match="No space left"):
            clone(est).fit(X, Y)
    monkeypatch.undo()
    with monkeypatch.context() as patch:
        counter = Stopper(patch)
        again = clone(est).fit(X, Y)
    assert counter.n_batches == 30  # three of six epochs were on the disk
    assert_same_fit(whole_fit, again)


class Remembers(Callback):
    """Counts the rows that it has seen."""

    def on_train_begin(self, net, **kwargs):
        self.n_rows, self.losses = 0, []

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        self.n_rows += len(batch[1])

    def on_epoch_end(self, net, **kwargs):
        self.losses.append(torch.tensor(net.history[-1, "train_loss"]))
        net.history.record("n_rows", self.n_rows)

    def state_dict(self):
        return {"n_rows": self.n_rows, "losses": self.losses}

    def load_state_dict(self, state):
        self.n_rows, self.losses = state["n_rows"], state["losses"]


def test_callbacks_that_say_what_they_remember_go_on(tmp_path, monkeypatch):
    est = DLTClassifier(noise_rate=0.2, max_epochs=6, callbacks=[Remembers()], random_state=0)
    whole = clone(est).fit(X, Y)
    est.set_params(checkpoint=tmp_path)
    fit_until(35, monkeypatch, clone(est), X, Y)
    again = clone(est).fit(X, Y)
    assert [e["n_rows"] for e in again.history_] == [150 * epoch for epoch in range(1, 7)]
    assert_same_fit(whole, again)


def test_callbacks_and_the_progress_bar_go_on(tmp_path, monkeypatch, capsys):
    params = {"noise_rate": 0.2, "max_epochs": 6, "random_state": 0, "verbose": 1}
    whole = DLTClassifier(callbacks=[SelectionQuality(~WRONG)], **params).fit(X, Y)
    est = DLTClassifier(callbacks=[SelectionQuality(~WRONG)], checkpoint=tmp_path, **params)
    fit_until(35, monkeypatch, clone(est), X, Y)
    capsys.readouterr()
    again = clone(est).fit(X, Y)
    assert_same_fit(whole, again)
    assert "kept_precision" in again.history_[0]
    assert "6/6" in capsys.readouterr().err


def fit_and_say(est, rows, queue):
    torch.set_num_threads(1)
    est.fit(rows, Y, trusted=TRUSTED)
    queue.put((est.noise_scores_.tobytes(), predict_logits(est.net_, est.as_rows(rows)).tobytes()))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["table", "images"])
@pytest.mark.parametrize("name", ["MILD", "MILD held out", "DLT", "LSTM", "Meta"])
def test_killed_at_random_moments(name, kind, tmp_path):
    """SIGKILL real fits, 120 and more over all methods; `-s` shows how many.

    Processes are forked, so that a kill hits the fit and not the import of torch.
    """
    est = clone(FITS[name]).set_params(random_state=0)
    est.set_params(max_epochs=20, checkpoint=tmp_path / "fit")
    rows = X
    if kind == "images":
        rows = np.random.default_rng(0).integers(0, 256, (150, 1, 8, 8), np.uint8)
        est.set_params(module__width=4)
    context, rng = multiprocessing.get_context("fork"), np.random.default_rng(0)
    whole = clone(est).set_params(checkpoint=None).fit(rows, Y, trusted=TRUSTED)
    start = time.perf_counter()
    clone(est).set_params(checkpoint=tmp_path / "timed").fit(rows, Y, trusted=TRUSTED)
    seconds, n_kills = time.perf_counter() - start, 0
    while True:
        queue = context.Queue()
        process = context.Process(target=fit_and_say, args=(clone(est), rows, queue))
        process.start()
        delay = rng.uniform(0.02, 0.12) * seconds + 0.05
        try:
            result = queue.get(timeout=delay if n_kills < 15 else 300)
        except Empty:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            n_kills += 1
            continue
        process.join()
        break
    print(f"\n{name}, {kind}: killed {n_kills} times")
    assert n_kills >= 12
    assert result[0] == whole.noise_scores_.tobytes()
    assert result[1] == predict_logits(whole.net_, whole.as_rows(rows)).tobytes()
