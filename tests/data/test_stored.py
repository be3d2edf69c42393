"""Memory-mapped arrays stay in their files: what is copied, and that nothing else changes."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch.utils.data import Subset, TensorDataset

from noisyfit import MILDSelector
from noisyfit.data import _stored
from noisyfit.data._make_rows import fit_scaler, make_rows
from noisyfit.data._sources import TensorSource
from noisyfit.data._stored import MappedArray, StoredSource, is_mapped, stored_table
from noisyfit.persistence import hash_values
from tests.data.test_memory import Estimator, check_X, check_X_y, peak

CPU = torch.device("cpu")
N = 60
RNG = np.random.default_rng(0)
Y = np.arange(N) % 3
TABLE = (RNG.normal(size=(N, 4)) + 3 * np.eye(4)[Y]).astype(np.float32)
PIXELS = RNG.integers(100, size=(N, 1, 6, 6)).astype(np.uint8)
PIXELS += (70 * Y[:, None, None, None]).astype(np.uint8)
QUICK = MILDSelector(rounds=1, max_epochs=3, batch_size=16, judge_epochs=0, random_state=0)


@pytest.fixture
def mapped(tmp_path, monkeypatch):
    """Return a function that maps an array into memory, of which none is too small for it."""
    monkeypatch.setattr(_stored, "_READ_AT_ONCE", 0)

    def maps(X, mode="r"):
        np.save(tmp_path / "rows.npy", X)
        return np.load(tmp_path / "rows.npy", mmap_mode=mode)

    return maps


def test_arrays_that_lie_in_a_file(mapped):
    X = mapped(TABLE)
    assert is_mapped(X)
    assert is_mapped(np.asarray(X)[10:, :2].T)
    assert not is_mapped(X[[3, 1]])
    assert not is_mapped(X + 0)
    assert not is_mapped(TABLE[5:])
    assert isinstance(stored_table(X), MappedArray)
    assert stored_table(TABLE) is None
    assert stored_table(Subset(TensorDataset(torch.zeros(3, 2)), [1])) is None


def test_a_small_array_is_read_at_once(tmp_path):
    np.save(tmp_path / "rows.npy", TABLE)
    assert stored_table(np.load(tmp_path / "rows.npy", mmap_mode="r")) is None


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
@pytest.mark.parametrize("X", [TABLE, PIXELS], ids=["table", "images"])
def test_a_fit_is_that_of_the_array_in_memory(mapped, X, mode):
    settings = {"module__hidden": (8,)} if X.ndim == 2 else {"module__width": 4}
    est = clone(QUICK).set_params(**settings)
    stored, resident = clone(est).fit(mapped(X, mode), Y), clone(est).fit(X, Y)
    np.testing.assert_allclose(stored.noise_scores_, resident.noise_scores_, atol=1e-5)
    np.testing.assert_array_equal(stored.predict(mapped(X)), resident.predict(X))
    np.testing.assert_array_equal(stored.predict(X), resident.predict(X))
    assert pickle.dumps(stored)  # without the rows


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint8, np.float16, ">f4"])
def test_numbers_of_any_type(mapped, dtype):
    X = np.abs(10 * TABLE).astype(dtype)
    est = clone(QUICK).set_params(module__hidden=(8,))
    stored, resident = clone(est).fit(mapped(X), Y), clone(est).fit(X, Y)
    np.testing.assert_allclose(stored.noise_scores_, resident.noise_scores_, atol=1e-5)


def test_gaps_are_refused_as_in_memory(mapped):
    X = TABLE.copy()
    X[7, 2] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        clone(QUICK).fit(mapped(X), Y)


def test_some_rows_of_a_mapped_array_are_seen_in_blocks(mapped, monkeypatch):
    monkeypatch.setattr(_stored, "_BLOCK_VALUES", 20)
    table = stored_table(mapped(TABLE))
    assert [len(block) for block in table.blocks()] == [5] * 12
    np.testing.assert_array_equal(np.concatenate(list(table.blocks())), TABLE)
    some = _stored.SomeRows(table, np.array([50, 3, 4]))
    np.testing.assert_array_equal(some.take(np.array([0, 2])), TABLE[[50, 4]])
    np.testing.assert_array_equal(np.concatenate(list(some.blocks())), TABLE[[3, 4, 50]])


@pytest.mark.parametrize("kind", ["float32 table", "float64 table", "uint8 images", "images"])
def test_nothing_is_copied(mapped, kind):
    shape = (200_000, 50) if "table" in kind else (13_000, 3, 16, 16)
    dtype = {"uint8 images": np.uint8, "float64 table": np.float64}.get(kind, np.float32)
    X = mapped(RNG.integers(256, size=shape).astype(dtype))
    y, est = np.arange(len(X)) % 2, Estimator()

    def fit():
        checked, _ = check_X_y(est, X, y)
        scaler = fit_scaler(checked)
        return scaler, make_rows(checked, y, CPU, scaler)

    (scaler, rows), fitting = peak(fit)
    assert isinstance(rows.source, StoredSource)
    _, predicting = peak(lambda: make_rows(check_X(est, X, None), None, CPU, scaler))
    _, hashing = peak(lambda: hash_values(X))
    blocks = 16e6 if "table" in kind else 3e6  # of 2**20 values, in float64; a sample of images
    assert blocks < X.nbytes / 2
    assert fitting < blocks
    assert predicting < blocks
    assert hashing < 1e6


def test_hashes_are_those_of_copies(mapped):
    for X in (TABLE, TABLE.T, TABLE[:0], np.array(["a", "b"]), np.float64(3), PIXELS[:, :, ::2]):
        assert hash_values(X) == hash_values(np.array(X, order="C"))
    assert hash_values(mapped(TABLE)) == hash_values(TABLE)
    assert hash_values(TABLE) != hash_values(TABLE[::-1])


def test_a_tensor_of_rows_in_memory_stays_one():
    assert isinstance(make_rows(TABLE, Y, CPU, None).source, TensorSource)
