"""Fits that several processes share: as those of one, and ended for all by the failure of one."""

import os
import signal
import tempfile
import time
import warnings
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from _estimators import CHECKED, QUICKER, SEMI_SUPERVISED, name_of
from _processes import in_processes
from sklearn.base import clone
from sklearn.datasets import load_digits
from skorch.callbacks import Callback
from torch.utils.data import Dataset

from noisyfit import DLTClassifier, DynamicsLSTMDetector, MetaRelabelClassifier, MILDSelector
from noisyfit import _ranks as ranks_module
from noisyfit.data import _stored, parquet_dataset
from noisyfit.dynamics._container import QUANTITIES
from noisyfit.metrics import auroc
from noisyfit.noise import corrupt_labels, transition_matrix
from noisyfit.persistence import held_folder

N_ROWS = 101  # seven batches of 16 rows, the last of which has 5: nothing divides evenly
SHORT = {"max_epochs": 3, "batch_size": 16, "random_state": 0}


def table(n_rows=N_ROWS):
    rng, y = np.random.default_rng(0), np.arange(n_rows) % 3
    X = 2 * np.eye(3)[y].repeat(2, axis=1) + rng.normal(size=(n_rows, 6))
    return X, np.where(np.arange(n_rows) < n_rows // 5, (y + 1) % 3, y)


def images(n_rows=48):
    rng, y = np.random.default_rng(1), np.arange(n_rows) % 2
    X = rng.integers(0, 100, (n_rows, 1, 8, 8)) + 100 * y[:, None, None, None]
    return X.astype(np.uint8), np.where(np.arange(n_rows) < 8, 1 - y, y)


class Plain(torch.nn.Module):
    """Convolutions without batch normalization, which count the rows that they are shown."""

    def __init__(self, normalized=False, dropout=0.0):
        super().__init__()
        norm = torch.nn.BatchNorm2d(4) if normalized else torch.nn.Identity()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3), norm, torch.nn.ReLU(), torch.nn.Flatten()
        )
        self.dropout, self.last = torch.nn.Dropout(dropout), torch.nn.Linear(144, 2)
        self.most = 0

    def forward(self, x):
        if self.training:
            self.most = max(self.most, len(x))
        return self.last(self.dropout(self.layers(x)))


class Streamed(Dataset):
    """Images that are read one by one, and counted."""

    def __init__(self, X, y):
        self.X, self.y, self.n_read = X, y, 0

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        self.n_read += 1
        return torch.from_numpy(self.X[i]), int(self.y[i])


class FailAt(Callback):
    """End the fit in its second epoch where `fails`; without an error, by killing the process."""

    def __init__(self, error, fails):
        self.error, self.fails = error, fails

    def on_epoch_begin(self, net, **kwargs):
        if self.fails and len(net.history) == 2:
            if self.error is None:
                os.kill(os.getpid(), signal.SIGKILL)
            raise self.error


def fitted(est, X, y, **fit_params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        est.fit(X, y, **fit_params)
    dynamics = est.dynamics_
    recorded = {} if dynamics is None else {q: getattr(dynamics, q) for q in dynamics.quantities}
    return {
        "noise_scores": est.noise_scores_,
        "clean_mask": est.clean_mask_,
        "noise_rate": est.noise_rate_,
        "predicted": est.predict_proba(X),
        "history": [epoch["train_loss"] for epoch in est.history_ if "train_loss" in epoch],
        **recorded,
    }


def tables_of_all_methods():
    """Return estimators by name: every method, with and without judges, records of every kind."""
    found = {}
    last_epoch, double_backward = CHECKED[1], CHECKED[3]
    for est in [*QUICKER, *SEMI_SUPERVISED, last_epoch, double_backward]:
        own = SHORT | ({"final_epochs": 2} if est in SEMI_SUPERVISED else {})
        found[f"{name_of(est)} {len(found)}"] = clone(est).set_params(**own)
    judged = {"judge_epochs": 3, **SHORT}
    return found | {
        "judges": MILDSelector(rounds=1, loss="auto", **judged),
        "held out": DynamicsLSTMDetector(recording="held_out", **judged),
        "validated": MILDSelector(rounds=1, validation_fraction=0.2, **judged),
        "jvp": MetaRelabelClassifier(warmup_epochs=1, meta_gradient="jvp", **judged),
    }


ON_IMAGES = {"judge_epochs": 2, "module": Plain, "precision": "float32", **SHORT}


def images_of_methods():
    """Return estimators by name, on images with random views, without batch normalization."""
    return {
        "MILD images": MILDSelector(rounds=1, recording="evaluation", **ON_IMAGES),
        "DLT images": DLTClassifier(noise_rate=0.2, warmup_epochs=1, **ON_IMAGES),
        "Meta images": MetaRelabelClassifier(warmup_epochs=1, **ON_IMAGES),
    }


@contextmanager
def stored_rows():
    """Give the table by name where it stays on the disk, in files of this process alone."""
    X, y = table()
    at_once = _stored._READ_AT_ONCE
    _stored._READ_AT_ONCE = 0  # so small an array would be read as a whole
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder)
            np.save(path / "rows.npy", X)
            columns = pa.table({f"x{j}": column for j, column in enumerate(X.T)} | {"y": y})
            pq.write_table(columns, path / "rows.parquet", row_group_size=16)
            window = 2 * 32 * X[0].nbytes  # of two row groups, in half the buffer
            found = {
                "mapped": np.load(path / "rows.npy", mmap_mode="r"),
                "Parquet": parquet_dataset(path / "rows.parquet", label="y", buffer_bytes=window),
            }
            assert found["Parquet"].window_rows < N_ROWS
            assert all(_stored.stored_table(rows) is not None for rows in found.values())
            yield found
    finally:
        _stored._READ_AT_ONCE = at_once


STORED = {
    "MILD": MILDSelector(rounds=1, judge_epochs=2, **SHORT),
    "DLT": DLTClassifier(noise_rate=0.2, judge_epochs=2, **SHORT),
}


def all_fits():
    """Fit everything that has to come out as in one process; the number of ranks is no matter."""
    found = {name: fitted(est, *table()) for name, est in tables_of_all_methods().items()}
    weights = np.linspace(0.5, 1.5, N_ROWS)
    weighted = MILDSelector(rounds=1, judge_epochs=2, **SHORT)
    found["weighted"] = fitted(weighted, *table(), sample_weight=weights)
    for name, est in images_of_methods().items():
        found[name] = fitted(est, *images())
        found[name]["most"] = est.net_.module_.most
    with stored_rows() as stored:
        for kind, rows in stored.items():
            for name, est in STORED.items():
                found[f"{name} {kind}"] = fitted(clone(est), rows, table()[1])
    streamed = Streamed(*images())
    est = MILDSelector(rounds=1, recording="evaluation", **(ON_IMAGES | {"judge_epochs": 0}))
    est.set_params(iterator_train__num_workers=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        est.fit(streamed, streamed.y)
    n_read = streamed.n_read
    found["streamed"] = fitted(clone(est), streamed, streamed.y) | {"n_read": n_read}
    return found


def in_two(rank, folder):
    """Everything that two ranks do in the tests below; a start of both takes seconds."""
    found = {"equal": all_fits()}
    for name, module in (("normalized", {"normalized": True}), ("dropout", {"dropout": 0.5})):
        est = MILDSelector(rounds=1, **ON_IMAGES)
        est.set_params(**{f"module__{key}": value for key, value in module.items()})
        found[name] = fitted(est, *images())
        found[name]["buffers"] = [b.numpy() for b in est.net_.module_.buffers()]
    for state in (None, np.random.RandomState(0)):
        est = MILDSelector(rounds=1, judge_epochs=0, **(SHORT | {"random_state": state}))
        found[f"random_state {type(state).__name__}"] = fitted(est, *table())
    X, y = table()
    found["other y"] = refusal(MILDSelector(**SHORT), X, y if rank == 0 else 1 - y.clip(max=1))
    path = folder / f"rows-{rank}.parquet"
    columns = {f"x{j}": column for j, column in enumerate((X + 0.01 * rank).T)}
    pq.write_table(pa.table(columns | {"y": y}), path)
    found["other files"] = refusal(MILDSelector(**SHORT), parquet_dataset(path, label="y"), y)
    found["other lr"] = refusal(MILDSelector(lr=0.1 * (1 + rank), **SHORT), X, y)
    for name in ("stopped", "resumed"):
        found[name] = refusal(checkpointed(folder / name, fails=True), X, y)
    found["resumed"] = fitted(checkpointed(folder / "resumed"), X, y)
    with held_folder(folder / "held" if rank == 0 else None):
        found["held"] = refusal(checkpointed(folder / "held"), X, y)
    if rank == 0:  # the last one: rank 1 does not come
        ranks_module._timeout_of_users = lambda: timedelta(seconds=1)
        found["absent"] = refusal(MILDSelector(**SHORT), X, y)
    return found


def checkpointed(folder, fails=False):
    """Return an estimator that keeps its state, and that is the same fit whether it fails."""
    callbacks = [FailAt(OSError("no more"), fails)]
    return DLTClassifier(
        judge_epochs=2, noise_rate=0.2, checkpoint=folder, callbacks=callbacks, **SHORT
    )


def refusal(est, X, y):
    """Return the message by which a fit ends, and how long that took."""
    begun = time.monotonic()
    try:
        fitted(est, X, y)
    except BaseException as error:
        return f"{type(error).__name__}: {error}", time.monotonic() - begun
    return "it fits", 0.0


def few_rows():
    """Fit where batches have fewer rows than there are ranks, or fewer than two for each."""
    X, y = table(22)
    small = {"judge_epochs": 2, "max_epochs": 2, "random_state": 0}
    return {
        f"{type(est).__name__} {size}": fitted(est.set_params(batch_size=size), X, y)
        for size in (2, 7)
        for est in (
            MILDSelector(rounds=1, **small),
            DLTClassifier(noise_rate=0.2, warmup_epochs=1, **small),
        )
    }


def in_three(rank, folder):
    """Everything that three ranks do in the tests below."""
    (X, y), found = table(), {"few": few_rows()}
    for error in (ValueError("the disk is full"), KeyboardInterrupt()):
        failing = MILDSelector(callbacks=[FailAt(error, rank == 2)], **SHORT)
        found[type(error).__name__] = refusal(failing, X, y)
    # On one rank alone, before the first collective.
    found["NaN"] = refusal(MILDSelector(**SHORT), np.where(rank == 1, np.nan, X), y)
    found["after"] = fitted(MILDSelector(rounds=1, judge_epochs=0, **SHORT), X, y)
    found["killed"] = refusal(MILDSelector(callbacks=[FailAt(None, rank == 1)], **SHORT), X, y)
    return found


def digits():
    """Return handwritten digits of which a fifth has a wrong label, and which."""
    X, y = load_digits(return_X_y=True)
    given, wrong = corrupt_labels(y, transition_matrix("symmetric", 10, 0.2), random_state=0)
    return (16 * X).clip(max=255).astype(np.uint8).reshape(-1, 1, 8, 8), given, wrong


def auroc_on_digits(rank, method, settings):
    """Fit the default network, with batch normalization and random views."""
    X, given, wrong = digits()
    est = method(max_epochs=12, judge_epochs=4, random_state=0, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return auroc(wrong, est.fit(X, given).noise_scores_)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    return *in_processes(in_two, 2, folder, folder), folder


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    return in_processes(in_three, 3, folder, folder)


@cache
def in_one():
    return all_fits()


OF_FILES = [f"{name} {kind}" for kind in ("mapped", "Parquet") for name in STORED]
EQUAL = [*tables_of_all_methods(), "weighted", *images_of_methods(), *OF_FILES, "streamed"]


def assert_equal(one, of_ranks):
    for part in one.keys() - {"most", "n_read"}:
        expected = np.asarray(one[part], dtype=float)
        # Records are kept in half precision, and may be rounded to the other side.
        size = np.nan_to_num(np.abs(expected)).astype(np.float16)
        step = np.spacing(size) if part in QUANTITIES else 0.0
        found = np.asarray(of_ranks[part], dtype=float)
        equal = (np.abs(found - expected) <= 1e-5 + step) | (np.isnan(found) & np.isnan(expected))
        assert equal.all(), f"{part} differs: {found[~equal]}, not {expected[~equal]}"


@pytest.mark.parametrize("name", EQUAL)
def test_two_ranks_fit_as_one_process_does(two, name):
    for of_rank in two[:2]:
        assert_equal(in_one()[name], of_rank["equal"][name])


def test_the_ranks_find_the_same_to_the_last_bit(two):
    first, second, _ = two
    for name in EQUAL:
        for part in first["equal"][name].keys() - {"n_read"}:
            np.testing.assert_array_equal(
                first["equal"][name][part], second["equal"][name][part], err_msg=f"{name} {part}"
            )


@pytest.mark.parametrize("name", images_of_methods())
def test_a_network_sees_half_of_each_batch(two, name):
    assert in_one()[name]["most"] >= 16
    for of_rank in two[:2]:
        assert of_rank["equal"][name]["most"] == in_one()[name]["most"] // 2


def test_a_rank_reads_half_of_the_rows(two):
    # Those of the first look at two rows, and of the last batches, are read by all.
    for of_rank in two[:2]:
        assert of_rank["equal"]["streamed"]["n_read"] < 0.6 * in_one()["streamed"]["n_read"]


@pytest.mark.parametrize("name", ["normalized", "dropout"])
def test_normalization_and_dropout_leave_the_ranks_equal(two, name):
    first, second, _ = two
    for part in first[name].keys() - {"buffers"}:
        np.testing.assert_array_equal(first[name][part], second[name][part], err_msg=part)
    for of_first, of_second in zip(first[name]["buffers"], second[name]["buffers"], strict=True):
        np.testing.assert_array_equal(of_first, of_second)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "settings"),
    [
        (MILDSelector, {"rounds": 1}),
        (DynamicsLSTMDetector, {}),
        (DLTClassifier, {"noise_rate": 0.2}),
        (MetaRelabelClassifier, {"warmup_epochs": 4}),
    ],
)
def test_normalization_and_views_find_the_wrong_labels_as_well(method, settings, tmp_path):
    alone = auroc_on_digits(0, method, settings)
    first, second = in_processes(auroc_on_digits, 2, tmp_path, method, settings)
    print(f"{method.__name__}: AUROC {alone:.4f} by one process, {first:.4f} by two")
    assert first == second
    assert alone > 0.9
    assert abs(first - alone) <= 0.005


def test_the_ranks_agree_on_a_seed(two):
    first, second, _ = two
    for kind in ("NoneType", "RandomState"):
        one, other = (of_rank[f"random_state {kind}"] for of_rank in (first, second))
        np.testing.assert_array_equal(one["noise_scores"], other["noise_scores"])
    same = MILDSelector(rounds=1, judge_epochs=0, **(SHORT | {"random_state": None}))
    same.set_params(random_state=np.random.RandomState(0))
    assert_equal(fitted(same, *table()), first["random_state RandomState"])


OTHER_FITS = [("other y", "y"), ("other files", "X"), ("other lr", "parameter lr")]


@pytest.mark.parametrize(("name", "what"), OTHER_FITS)
def test_a_rank_that_fits_something_else_is_named(two, name, what):
    for of_rank in two[:2]:
        told, _ = of_rank[name]
        assert told.startswith("ValueError: All 2 processes of the group share one fit, but rank 1")
        assert f"differs in: {what} (" in told


def test_a_rank_that_does_not_come_is_named(two):
    told, seconds = two[0]["absent"]
    assert told.startswith("OtherRankError: Rank 0 waited 0:00:01 for Rank 1")
    assert 1 <= seconds < 20


def test_a_stopped_fit_goes_on_with_as_many_ranks_or_in_one_process(two, tmp_path):
    first, second, folder = two
    one = fitted(checkpointed(tmp_path), *table())
    for of_rank in (first, second):
        assert of_rank["stopped"][0] == "OSError: no more"
        assert_equal(one, of_rank["resumed"])
    assert list((folder / "stopped").glob("stage-*.safetensors"))
    assert_equal(one, fitted(checkpointed(folder / "stopped"), *table()))


def test_a_folder_that_another_fit_uses_is_refused_on_all_ranks(two):
    first, second, _ = two
    assert "is in use by another fit" in first["held"][0]
    assert second["held"][0].startswith("OtherRankError: Rank 0 of 2 has failed")
    assert "is in use by another fit" in second["held"][0]


def test_a_group_of_one_process_changes_nothing(tmp_path):
    est, data = DLTClassifier(noise_rate=0.2, judge_epochs=2, **SHORT), table()
    alone = fitted(est, *data)
    group = {"init_method": f"file://{tmp_path / 'group'}", "rank": 0, "world_size": 1}
    torch.distributed.init_process_group("gloo", **group)
    try:
        in_group = fitted(clone(est), *data)
    finally:
        torch.distributed.destroy_process_group()
    for part, value in alone.items():
        np.testing.assert_array_equal(in_group[part], value, err_msg=part)


def test_batches_with_fewer_rows_than_ranks(three):
    one = few_rows()
    for of_rank in (three[0], three[2]):
        for name, expected in one.items():
            assert_equal(expected, of_rank["few"][name])


def test_the_failure_of_a_rank_ends_all_with_its_message(three):
    for name, told in (("ValueError", ": the disk is full"), ("KeyboardInterrupt", "")):
        (of_other, seconds), (of_failed, _) = three[0][name], three[2][name]
        assert of_failed.startswith(name)
        assert of_other == f"OtherRankError: Rank 2 of 3 has failed in this fit: {name}{told}"
        assert seconds < 30
    assert three[0]["NaN"][0].startswith("OtherRankError: Rank 1 of 3 has failed in this fit: Val")
    assert "NaN" in three[0]["NaN"][0]


def test_after_a_failure_the_next_fit_is_shared_again(three):
    one = fitted(MILDSelector(rounds=1, judge_epochs=0, **SHORT), *table())
    for of_rank in (three[0], three[2]):
        assert_equal(one, of_rank["after"])


def test_a_killed_rank_is_named(three):
    assert three[1] == -signal.SIGKILL
    for of_rank in (three[0], three[2]):
        told, seconds = of_rank["killed"]
        assert told.startswith("OtherRankError: Rank 1 of 3 ended without a word")
        assert seconds < 30
