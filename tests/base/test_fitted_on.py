"""Rows and labels of a fit are known again, others are refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.decomposition import NMF, PCA
from sklearn.pipeline import make_pipeline
from torch.utils.data import Dataset, Subset, TensorDataset

import noisyfit
from noisyfit import MILDSelector
from noisyfit.base import check_fitted_on
from noisyfit.base._row_sample import sampled_ids

RNG = np.random.default_rng(0)
Y = np.arange(90) % 3
X = RNG.normal(size=(90, 5)).astype(np.float32) + 3 * np.eye(3, 5, dtype=np.float32)[Y]
WHICH = {"rounds": 1, "max_epochs": 1, "random_state": 0}
SHUFFLED = RNG.permutation(90)


class Stream(Dataset):
    """Images from elsewhere, each with noise of its own: no row is read twice alike."""

    def __init__(self, n=40, size=8):
        self.n, self.size = n, size

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return torch.randn(1, self.size, self.size), i % 2


@pytest.fixture(scope="module")
def est():
    return MILDSelector(**WHICH).fit(X, Y)


@pytest.mark.parametrize(
    "container",
    [
        lambda X: X.astype(np.float64),
        lambda X: X.tolist(),
        torch.tensor,
        lambda X: pd.DataFrame(X).to_numpy(),
        np.asfortranarray,
    ],
)
def test_the_same_numbers_are_the_same_rows(est, container):
    np.testing.assert_array_equal(check_fitted_on(est, container(X), Y), Y)


def test_sparse_rows_are_known_in_every_format():
    rows = sparse.csr_matrix(np.maximum(X, 0))
    est = MILDSelector(**WHICH).fit(rows, Y)
    for form in (rows.astype(np.float64), sparse.csr_array(rows), rows.tocoo(), rows.tocsc()):
        check_fitted_on(est, form, Y)
    with pytest.raises(ValueError, match="X is not what est was fitted on: row"):
        check_fitted_on(est, rows[SHUFFLED], Y)


def test_dense_and_sparse_rows_give_the_same_numbers():
    from noisyfit.base._row_sample import row_sample

    rows = sparse.csr_matrix(np.maximum(X, 0))
    np.testing.assert_allclose(row_sample(rows), row_sample(rows.toarray()), atol=1e-12)


def test_frames_are_known_by_their_values():
    frame = pd.DataFrame(X, columns=list("abcde"), index=SHUFFLED)
    est = MILDSelector(**WHICH).fit(frame, Y)
    check_fitted_on(est, frame.reset_index(drop=True).astype(np.float64), Y)
    with pytest.raises(ValueError, match="X is not what est was fitted on"):
        check_fitted_on(est, frame.sort_index(), Y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X[SHUFFLED], r"row 0 differs, and \d\d more of the 90 rows.*pipeline\[:-1\]"),
        (lambda X: X[[*range(70), 89, *range(71, 90)]], "row 70 differs, and 0 more"),
        (lambda X: 10 * X, "row 0 differs"),
        (lambda X: X[:, ::-1], "row . differs"),
        (lambda X: np.zeros_like(X), "row . differs"),
        (lambda X: X[1:], "Got 89 rows and 90 labels"),
    ],
)
def test_other_rows_are_refused(est, change, message):
    with pytest.raises(ValueError, match=message):
        check_fitted_on(est, change(X), Y)


@pytest.mark.parametrize("step", [PCA(3, svd_solver="randomized"), NMF(3, max_iter=500)])
def test_what_a_pipeline_makes_of_the_rows_need_not_be_the_same_to_the_last_digit(step):
    rows = np.abs(X)
    pipe = make_pipeline(step, MILDSelector(**WHICH)).fit(rows, Y)
    check_fitted_on(pipe[-1], pipe[:-1].transform(rows), Y)
    with pytest.raises(ValueError, match="X is not what est was fitted on"):
        check_fitted_on(pipe[-1], pipe[:-1].transform(rows[SHUFFLED]), Y)


def test_rows_that_are_all_alike_are_the_same():
    ones = np.ones((90, 2)) / 3
    est = MILDSelector(**WHICH).fit(ones, Y)
    check_fitted_on(est, ones.astype(np.float32), Y)
    with pytest.raises(ValueError, match="row 0 differs, and 89 more"):
        check_fitted_on(est, 2 * ones, Y)


def test_of_many_rows_a_sample_is_compared():
    assert sampled_ids(3).tolist() == [0, 1, 2]
    ids = sampled_ids(100_000)
    assert (len(np.unique(ids)), ids[0], ids[-1]) == (256, 0, 99_999)


def test_images_are_compared_by_values_and_shape():
    images = RNG.integers(256, size=(40, 1, 8, 8), dtype=np.uint8)
    est = MILDSelector(module__width=4, **WHICH).fit(images, Y[:40] > 0)
    check_fitted_on(est, images, Y[:40] > 0)
    with pytest.raises(ValueError, match=r"shape \(1, 9, 9\), which was \(1, 8, 8\) in fit"):
        check_fitted_on(est, np.zeros((40, 1, 9, 9), np.uint8), Y[:40] > 0)
    with pytest.raises(ValueError, match="row 0 differs"):
        check_fitted_on(est, images[::-1], Y[:40] > 0)


def test_a_data_set_in_memory_is_compared_by_values():
    rows = TensorDataset(torch.randn(40, 1, 8, 8), torch.arange(40) % 2)
    est = MILDSelector(module__width=4, **WHICH).fit(rows)
    check_fitted_on(est, rows)
    with pytest.raises(ValueError, match="X is not what est was fitted on"):
        check_fitted_on(est, Subset(rows, [*range(2, 40), 0, 1]))


def test_of_a_stream_the_number_of_rows_and_their_shape_are_compared():
    est = MILDSelector(module__width=4, **WHICH).fit(Stream())
    check_fitted_on(est, Stream())
    with pytest.raises(ValueError, match="Got 41 rows and 40 labels"):
        check_fitted_on(est, Stream(41), np.arange(40) % 2)
    with pytest.raises(ValueError, match=r"shape \(1, 9, 9\), which was \(1, 8, 8\) in fit"):
        check_fitted_on(est, Stream(size=9))


def test_a_file_knows_the_rows_and_one_from_before_takes_any(est, tmp_path):
    est.save(tmp_path / "est")
    again = noisyfit.load(tmp_path / "est")
    check_fitted_on(again, X, Y)
    with pytest.raises(ValueError, match="X is not what est was fitted on"):
        check_fitted_on(again, X[SHUFFLED], Y)
    del again._row_sample
    check_fitted_on(again, X[SHUFFLED], Y)
