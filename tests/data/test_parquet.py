"""Rows of Parquet files: what is read, in which order, and what a fit makes of them."""

import pickle
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict
from torch.utils.data import DataLoader, Subset

import noisyfit
from noisyfit import ConsensusClassifier, DivideMixClassifier, DLTClassifier, MILDSelector
from noisyfit.data import SliceableDataset, parquet_dataset
from noisyfit.data._dataset_items import dataset_targets
from noisyfit.data._make_rows import fit_scaler, make_rows
from noisyfit.data._stored import StoredSource
from noisyfit.training import _progress

CPU = torch.device("cpu")
N, GROUP = 60, 7
RNG = np.random.default_rng(0)
Y = np.arange(N) % 3
X = (RNG.normal(size=(N, 4)) + 3 * np.eye(4)[Y]).astype(np.float32)
NAMES = ["a", "b", "c", "d"]
ROW = 4 * len(NAMES)
SMALL = 2 * GROUP * ROW
"""A buffer for two row groups."""


def frame(**further):
    return pd.DataFrame(X, columns=NAMES).assign(y=Y, **further)


def written(folder, table=None, name="rows.parquet", group=GROUP):
    table = frame() if table is None else table
    table = table if isinstance(table, pa.Table) else pa.Table.from_pandas(table)
    path = folder / name
    pq.write_table(table, path, row_group_size=group)
    return path


@pytest.fixture
def path(tmp_path):
    return written(tmp_path)


def decoded(monkeypatch, rows):
    """Return the list to which the numbers of the row groups are added that are read."""
    read, real = [], rows._decoded
    monkeypatch.setattr(rows, "_decoded", lambda shard: read.append(shard) or real(shard))
    return read


def test_items_and_batches_are_the_rows_of_the_file(path):
    rows = parquet_dataset(path, NAMES, "y")
    assert len(rows) == N
    np.testing.assert_array_equal(rows.take(np.array([59, 0, 30, 0])), X[[59, 0, 30, 0]])
    np.testing.assert_array_equal(rows.targets, Y)
    x, label = rows[-1]
    np.testing.assert_array_equal(x, X[-1])
    assert label == Y[-1]
    batch, labels = next(iter(DataLoader(rows, batch_size=5)))
    np.testing.assert_array_equal(batch, X[:5])
    assert labels.tolist() == Y[:5].tolist()
    with pytest.raises(IndexError, match="no row 60: the files have 60 rows"):
        rows[60]


def test_all_columns_but_the_label_are_the_default(path):
    assert parquet_dataset(path, label="y").columns == NAMES
    np.testing.assert_array_equal(parquet_dataset(path, ["c", "a"])[3], X[3, [2, 0]])


def test_several_files_are_numbered_by_their_paths(tmp_path):
    (tmp_path / "more").mkdir()
    last = written(tmp_path, frame()[20:], "more/b.parquet")
    first = written(tmp_path, frame()[:20], "a.parquet")
    for files in (tmp_path, str(tmp_path), [first, last]):
        rows = parquet_dataset(files, NAMES, "y")
        np.testing.assert_array_equal(rows.take(np.arange(N)), X)
        np.testing.assert_array_equal(rows.targets, Y)
    rows = parquet_dataset([last, first], NAMES, "y")
    np.testing.assert_array_equal(rows.take(np.arange(N)), np.r_[X[20:], X[:20]])


def test_no_more_than_the_buffer_is_held(path, monkeypatch):
    rows = parquet_dataset(path, NAMES, "y", buffer_bytes=3 * GROUP * ROW)
    most, real = [], rows._decoded

    def watched(shard):
        most.append(sum(block.nbytes for block in rows._held.values()) + GROUP * ROW)
        return real(shard)

    monkeypatch.setattr(rows, "_decoded", watched)
    for _ in range(3):
        rows.take(RNG.permutation(N))
    assert max(most) == 3 * GROUP * ROW


def test_an_epoch_reads_each_row_group_once_and_each_row(path, monkeypatch):
    dataset = parquet_dataset(path, NAMES, "y", buffer_bytes=4 * GROUP * ROW)
    rows = make_rows(dataset, Y, CPU, None)
    loader = noisyfit.data.BatchLoader(
        rows, batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(0)
    )
    read = decoded(monkeypatch, dataset)
    for _ in range(2):
        dataset._forget()
        read.clear()
        batches = [(b["x"], b["index"], y) for b, y in loader]
        ids = torch.cat([i for _, i, _ in batches]).numpy()
        assert sorted(read) == list(range(-(-N // GROUP)))
        assert sorted(ids) == list(range(N))
        np.testing.assert_array_equal(torch.cat([x for x, _, _ in batches]), X[ids])
        np.testing.assert_array_equal(torch.cat([y for _, _, y in batches]), Y[ids])


def test_the_shuffle_is_by_row_groups_and_within_windows_of_them(path):
    dataset = parquet_dataset(path, NAMES, "y", buffer_bytes=4 * GROUP * ROW)
    source = make_rows(dataset, Y, CPU, None).source
    orders = [source.shuffled(torch.arange(N), torch.Generator().manual_seed(s)) for s in (0, 1, 0)]
    assert orders[0].tolist() == orders[2].tolist() != orders[1].tolist()
    for order in orders:
        groups = order.numpy() // GROUP
        # Of two row groups at a time, mixed: each is there in one run, and no run is of one alone.
        spans = [np.flatnonzero(groups == g) for g in range(-(-N // GROUP))]
        assert all(np.ptp(span) < 2 * GROUP for span in spans)
        assert sum(np.ptp(span) >= GROUP for span in spans) >= 6
    firsts = {int(source.shuffled(torch.arange(N), None)[0]) // GROUP for _ in range(40)}
    assert len(firsts) > 4


def test_some_rows_are_shuffled_like_all(path):
    dataset = Subset(parquet_dataset(path, NAMES, "y", buffer_bytes=SMALL), range(59, 9, -1))
    rows = make_rows(dataset, None, CPU, None)
    kept = rows.subset(np.arange(50) % 2 == 0)
    order = kept.source.shuffled(kept.index, torch.Generator().manual_seed(0))
    assert sorted(order.tolist()) == list(range(0, 50, 2))
    groups = (59 - order.numpy()) // GROUP
    assert np.count_nonzero(np.diff(groups)) == len(set(groups)) - 1  # one after the other
    np.testing.assert_array_equal(rows.source.gather(torch.tensor([3]))[0], X[56])


def test_an_array_is_shuffled_in_the_same_order_where_all_fits_into_the_buffer(path):
    source = make_rows(parquet_dataset(path, NAMES), None, CPU, None).source
    order = source.shuffled(torch.arange(N), torch.Generator().manual_seed(3))
    assert order.tolist() == torch.randperm(N, generator=torch.Generator().manual_seed(3)).tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_the_scale_is_that_of_an_array(tmp_path, dtype):
    table = (1e6 * X.astype(np.float64) + 1e8).astype(dtype)
    rows = parquet_dataset(written(tmp_path, pd.DataFrame(table, columns=NAMES)))
    assert rows.dtype == (np.float32 if dtype == np.float32 else np.float64)
    streamed, resident = fit_scaler(rows), fit_scaler(table)
    assert streamed.in_float64_ == resident.in_float64_
    np.testing.assert_allclose(streamed.scaler_.scale_, resident.scaler_.scale_, rtol=1e-6)
    ids = torch.tensor([5, 50])
    np.testing.assert_allclose(
        make_rows(rows, None, CPU, streamed).source.gather(ids),
        make_rows(table, None, CPU, resident).source.gather(ids),
        atol=1e-5,
    )


QUICK = MILDSelector(
    rounds=1, max_epochs=3, batch_size=16, module__hidden=(8,), judge_epochs=0, random_state=0
)


def test_a_fit_is_that_of_the_array_where_all_fits_into_the_buffer(path):
    rows = parquet_dataset(path, NAMES, "y")
    est, resident = clone(QUICK).fit(rows), clone(QUICK).fit(X, Y)
    np.testing.assert_allclose(est.noise_scores_, resident.noise_scores_, atol=1e-5)
    assert est.noise_rate_ == pytest.approx(resident.noise_rate_, abs=1e-5)
    np.testing.assert_array_equal(est.predict(rows), resident.predict(X))
    np.testing.assert_allclose(est.predict_proba(rows), resident.predict_proba(X), atol=1e-5)
    assert est.feature_names_in_.tolist() == NAMES
    np.testing.assert_array_equal(est.predict(frame()[NAMES]), resident.predict(X))
    scores = est.score_labels(rows, Y)
    np.testing.assert_allclose(scores, resident.score_labels(X, Y), atol=1e-5)


@pytest.mark.parametrize(
    "est",
    [
        MILDSelector(rounds=2),
        DLTClassifier(judge_epochs=0),
        DivideMixClassifier(judge_epochs=0),
        ConsensusClassifier(),
        noisyfit.MetaRelabelClassifier(judge_epochs=0),
    ],
    ids=lambda est: type(est).__name__,
)
@pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning")
def test_every_method_fits_with_a_buffer_for_two_row_groups(path, est):
    rows = parquet_dataset(path, NAMES, "y", buffer_bytes=SMALL)
    est = clone(est).set_params(max_epochs=2, batch_size=16, module__hidden=(8,), random_state=0)
    est.fit(rows, trusted=np.arange(N) < 6)
    assert np.isfinite(est.noise_scores_).all()
    assert est.predict(rows).shape == (N,)


def test_a_fit_by_windows_is_the_same_again(path):
    rows = parquet_dataset(path, NAMES, "y", buffer_bytes=SMALL)
    first, second = clone(QUICK).fit(rows), clone(QUICK).fit(pickle.loads(pickle.dumps(rows)))
    np.testing.assert_array_equal(first.noise_scores_, second.noise_scores_)
    whole = clone(QUICK).fit(parquet_dataset(path, NAMES, "y"))
    assert (first.noise_scores_ != whole.noise_scores_).any()


def test_reading_before_the_training_is_shown(path, tmp_path, capsys, monkeypatch):
    est = MILDSelector(rounds=1, max_epochs=1, judge_epochs=0, random_state=0)

    def told(**params):
        clone(est).set_params(**params).fit(parquet_dataset(path, NAMES, "y"))
        err = capsys.readouterr().err
        assert "\r" not in err
        return [line.split(",")[0] for line in err.splitlines() if "reading" in line]

    assert told(verbose=1) == []  # it takes no time
    monkeypatch.setattr(_progress, "_NO_MATTER", 0.0)
    # Twice for the scale; a row group of 7 is more than a tenth of 60 rows, two are of 120.
    rows = (14, 28, 42, 56, 74, 88, 102, 116, 120)
    assert told(verbose=1) == [f"MILDSelector reading: row {n}/{2 * N}" for n in rows]
    assert told(verbose=0) == told(verbose=2) == []
    assert told(verbose=1, standardize=False) == []
    known = [f"MILDSelector reading: row {min(n, N)}/{N}" for n in range(7, 65, 7)]
    assert told(verbose=1, standardize=False, checkpoint=tmp_path / "fit") == known


def test_standardize_false_takes_the_numbers_as_they_are(path):
    est = clone(QUICK).set_params(standardize=False).fit(parquet_dataset(path, NAMES, "y"))
    same = clone(QUICK).set_params(standardize=False).fit(X, Y)
    np.testing.assert_array_equal(est.noise_scores_, same.noise_scores_)


def test_labels_that_are_strings_or_passed(tmp_path):
    kinds = np.array(["cat", "dog", "eel"])[Y]
    path = written(tmp_path, frame(kind=kinds))
    est = clone(QUICK).fit(parquet_dataset(path, NAMES, "kind"))
    assert est.classes_.tolist() == ["cat", "dog", "eel"]
    assert est.given_labels_.tolist() == kinds.tolist()
    passed = clone(QUICK).fit(parquet_dataset(path, NAMES), kinds)
    np.testing.assert_array_equal(est.noise_scores_, passed.noise_scores_)
    categories = written(tmp_path, frame(kind=pd.Categorical(kinds)), "categories.parquet")
    assert parquet_dataset(categories, NAMES, "kind").targets.tolist() == kinds.tolist()


def test_labels_are_known_without_reading_a_row(path, monkeypatch):
    rows = parquet_dataset(path, NAMES, "y")
    read = decoded(monkeypatch, rows)
    np.testing.assert_array_equal(dataset_targets(rows), Y)
    np.testing.assert_array_equal(SliceableDataset(rows)[10:20].labels, Y[10:20])
    assert read == []


def test_cross_validation(path):
    data = SliceableDataset(parquet_dataset(path, NAMES, "y", buffer_bytes=SMALL))
    est = clone(QUICK).set_params(max_epochs=20, lr=0.1)
    predicted = cross_val_predict(est, data, data.labels, cv=2)
    assert np.mean(predicted == Y) > 0.8


def test_a_pickle_reads_the_files_anew(path):
    rows = parquet_dataset(path, NAMES, "y")
    rows[0]
    copy = pickle.loads(pickle.dumps(rows))
    assert not copy._held
    np.testing.assert_array_equal(copy.take(np.arange(N)), X)


def test_a_saved_estimator_predicts_from_files(path, tmp_path):
    rows = parquet_dataset(path, NAMES, "y")
    est = clone(QUICK).fit(rows)
    est.save(tmp_path / "est.noisyfit")
    loaded = noisyfit.load(tmp_path / "est.noisyfit")
    np.testing.assert_array_equal(loaded.predict_proba(rows), est.predict_proba(rows))


def test_other_columns_than_in_fit_are_refused(path):
    est = clone(QUICK).fit(parquet_dataset(path, NAMES, "y"))
    with pytest.raises(ValueError, match=r"fit was given \['a', 'b', 'c', 'd'\]. Got the columns"):
        est.predict(parquet_dataset(path, ["b", "a", "c", "d"]))
    est.fit(X, Y)
    assert not hasattr(est, "feature_names_in_")
    with pytest.raises(ValueError, match=r"fit was given 4 columns. Got the columns"):
        est.predict(parquet_dataset(path, ["b", "a"]))


@pytest.mark.parametrize(
    ("further", "arguments", "message"),
    [
        ({}, (["a", "z"], "y"), r"no column 'z'. The files have \['a', 'b', 'c', 'd', 'y'\]"),
        ({}, (NAMES, "z"), "no column 'z'"),
        ({}, (["a", "a"], "y"), r"\['a'\] are there more than once"),
        ({}, (["a", "y"], "y"), "'y' of the labels is among the inputs"),
        ({}, ([], "y"), "no column of inputs"),
        ({"s": "text"}, (None, "y"), "'s' is of the type .*string, which is no number. Write num"),
        ({"s": pd.Timestamp("2020")}, (None, "y"), "'s' is of the type timestamp.*days since"),
        ({"s": [[1.0, 2.0]] * N}, (None, "y"), "'s' is of the type list.*a column for each"),
    ],
)
def test_columns_that_cannot_be_inputs_are_refused(tmp_path, further, arguments, message):
    path = written(tmp_path, frame(**further))
    with pytest.raises(ValueError, match=message):
        parquet_dataset(path, *arguments)


def test_a_name_in_place_of_a_list_of_names_is_refused(path):
    with pytest.raises(TypeError, match=r"Got 'a'; write \['a'\]"):
        parquet_dataset(path, "a", "y")


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, "a missing value"),
        (np.nan, "a missing value"),
        (np.inf, "inf"),
        (-1e200, "-1e\\+200"),
    ],
)
def test_values_that_are_missing_or_too_large_are_refused_by_row_and_column(tmp_path, value, what):
    column = X[:, 1].astype(np.float64).tolist()
    column[38] = value
    table = pa.table({"a": X[:, 0], "b": pa.array(column, from_pandas=False), "y": Y})
    rows = parquet_dataset(written(tmp_path, table), label="y")
    with pytest.raises(ValueError, match=f"'b' has {what}.* in row 38"):
        clone(QUICK).fit(rows)


def test_missing_labels_are_refused(tmp_path):
    labels = [None if i in (4, 41) else int(y) for i, y in enumerate(Y)]
    rows = parquet_dataset(written(tmp_path, pa.table({"a": X[:, 0], "y": labels})), label="y")
    with pytest.raises(
        ValueError, match=r"'y' of the labels has 2 missing values, in .* \[4, 41\]"
    ):
        clone(QUICK).fit(rows)


def test_a_fit_without_labels_is_refused(path):
    with pytest.raises(ValueError, match="neither an attribute 'targets' nor items"):
        clone(QUICK).fit(parquet_dataset(path, NAMES))


def test_files_without_rows_or_of_another_kind_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Found 0 rows in .*rows.parquet"):
        parquet_dataset(written(tmp_path, frame()[:0]))
    with pytest.raises(FileNotFoundError, match=r"no file or folder '.*nowhere'"):
        parquet_dataset(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no Parquet file in .*empty"):
        parquet_dataset(tmp_path / "empty")
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"rows.csv.* cannot be read as Parquet"):
        parquet_dataset(tmp_path / "rows.csv")


def test_a_buffer_that_is_too_small_is_refused(path):
    assert parquet_dataset(path, NAMES, buffer_bytes=SMALL).buffer_bytes == SMALL
    with pytest.raises(ValueError, match=f"=10 is too small: .* 7 rows, .* take {SMALL} bytes"):
        parquet_dataset(path, NAMES, buffer_bytes=10)


def test_a_path_as_rows_is_answered_with_the_function(path):
    with pytest.raises(ValueError, match=r"for Parquet files noisyfit.data.parquet_dataset\(path"):
        MILDSelector().fit(path)


def test_without_pyarrow_there_is_the_line_for_pip(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.dataset", None)
    with pytest.raises(ImportError, match=r"pip install 'noisyfit\[parquet\]'"):
        parquet_dataset(path)


def test_the_source_is_not_read_by_workers(path):
    rows = make_rows(parquet_dataset(path, NAMES, "y"), Y, CPU, None)
    assert isinstance(rows.source, StoredSource)
    loader = noisyfit.data.BatchLoader(rows, batch_size=16, num_workers=2)
    assert len(list(loader)) == 4
    assert loader._stream is None
