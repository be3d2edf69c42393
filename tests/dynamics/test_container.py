"""The container and the metrics of training dynamics, against values worked out by hand."""

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisyfit.dynamics import TrainingDynamics
from noisyfit.dynamics._container import QUANTITIES

NAN = np.nan


def filled(matrices):
    """Records with one column an epoch for each quantity's (n_samples, n_epochs) matrix."""
    (n_samples, n_epochs), *_ = {np.shape(m) for m in matrices.values()}
    dynamics = TrainingDynamics(n_samples, tuple(matrices))
    for epoch in range(n_epochs):
        dynamics.append(**{name: np.asarray(m)[:, epoch] for name, m in matrices.items()})
    return dynamics


@pytest.fixture
def random_records():
    rng = np.random.default_rng(0)
    shape = (53, 11)
    matrices = {
        "correct": rng.integers(0, 2, size=shape).astype(float),
        "given_prob": rng.random(shape),
        "margin": rng.normal(scale=3, size=shape),
        "loss": rng.exponential(size=shape),
    }
    untrained = rng.random(shape) < 0.3
    untrained[0] = True
    untrained[1] = False
    for matrix in matrices.values():
        matrix[untrained] = NAN
    return matrices


def test_what_was_put_in_comes_out_in_half_precision(random_records):
    dynamics = filled(random_records)
    assert dynamics.n_epochs == 11
    np.testing.assert_array_equal(dynamics.correct, random_records["correct"])
    for name in ("given_prob", "margin", "loss"):
        stored = getattr(dynamics, name)
        np.testing.assert_array_equal(stored, random_records[name].astype(np.float16))
        np.testing.assert_allclose(stored, random_records[name], rtol=1e-3)
    for name in QUANTITIES:
        assert getattr(dynamics, name).dtype == np.float32


def test_untrained_rows_are_nan_in_that_epoch_only():
    dynamics = filled({"correct": [[1, NAN, 0], [NAN, NAN, NAN], [0, 1, 1]]})
    np.testing.assert_array_equal(dynamics.correct, [[1, NAN, 0], [NAN, NAN, NAN], [0, 1, 1]])
    np.testing.assert_array_equal(dynamics.trained_epochs(), [2, 0, 3])
    np.testing.assert_array_equal(dynamics.mean("correct"), [0.5, NAN, 2 / 3])


def test_correct_costs_one_bit_a_row_and_epoch():
    n = 8 * 1000 + 3
    dynamics = TrainingDynamics(n, ["correct"])
    for _ in range(5):
        dynamics.append(correct=np.ones(n))
    assert dynamics.nbytes() == 5 * 1001
    # a mask of the trained rows costs as much again, in epochs that need one
    dynamics.append(correct=np.r_[NAN, np.ones(n - 1)])
    assert dynamics.nbytes() == 7 * 1001
    assert dynamics.correct.shape == (n, 6)
    assert np.isnan(dynamics.correct).sum() == 1


def test_other_quantities_cost_two_bytes():
    dynamics = TrainingDynamics(100, ["margin", "loss"])
    dynamics.append(margin=np.zeros(100), loss=np.zeros(100))
    assert dynamics.nbytes() == 2 * 2 * 100


def test_metrics_against_numpy(random_records):
    dynamics = filled(random_records)
    half = {
        name: matrix.astype(np.float16).astype(float) for name, matrix in random_records.items()
    }
    trained = ~np.isnan(random_records["correct"])
    for metric, name in (
        (dynamics.aum(), "margin"),
        (dynamics.confidence(), "given_prob"),
        (dynamics.mean("correct"), "correct"),
    ):
        by_row = [half[name][i][trained[i]] for i in range(53)]
        expected = [np.mean(row) if len(row) else NAN for row in by_row]
        np.testing.assert_allclose(metric, expected, rtol=1e-6)
        assert np.isnan(metric[0])
        assert metric.dtype == np.float64
    spread = [np.std(half["given_prob"][i][trained[i]]) if i else NAN for i in range(53)]
    np.testing.assert_allclose(dynamics.variability(), spread, rtol=1e-5)
    np.testing.assert_array_equal(dynamics.trained_epochs(), trained.sum(axis=1))


def test_aum_with_and_without_the_first_epoch_by_hand():
    """Margins of three epochs; the second row was trained in the first alone, the third not."""
    dynamics = TrainingDynamics(3, ["margin"])
    for margin in ([-6.0, 2.0, NAN], [1.0, NAN, 3.0], [2.0, NAN, 5.0]):
        dynamics.append(margin=np.array(margin))
    np.testing.assert_array_equal(dynamics.aum(), [-1, 2, 4])
    np.testing.assert_array_equal(dynamics.aum(skip_first=True), [1.5, NAN, 4])
    with pytest.raises(ValueError, match=r"skip_first=True needs two epochs or more\. Got 1:"):
        dynamics.epochs(stop=1).aum(skip_first=True)


def forgetting_by_hand(row):
    seen = [value for value in row if not np.isnan(value)]
    if 1 not in seen:
        return len(row)
    return sum(a == 1 and b == 0 for a, b in pairwise(seen))


def test_forgetting_events_against_a_loop(random_records):
    events = filled(random_records).forgetting_events()
    expected = [forgetting_by_hand(row) for row in random_records["correct"]]
    np.testing.assert_array_equal(events, expected)
    assert events.dtype == np.int64
    assert len(set(expected)) > 3


def test_forgetting_of_typical_rows():
    rows = [
        [1, 1, 1, 1],  # never forgotten
        [0, 1, 0, 1],  # once
        [1, 0, 1, 0],  # twice
        [0, 0, 0, 0],  # never learned: more than any other
        [1, NAN, 0, 1],  # an epoch out of training hides nothing
    ]
    np.testing.assert_array_equal(filled({"correct": rows}).forgetting_events(), [0, 1, 2, 4, 1])


def test_variability_of_equal_values_is_zero():
    dynamics = filled({"given_prob": [[0.25] * 3, [0.0, 1.0, NAN]]})
    np.testing.assert_array_equal(dynamics.variability(), [0, 0.5])


def test_epochs_and_select_are_parts(random_records):
    dynamics = filled(random_records)
    late = dynamics.epochs(start=4)
    assert late.n_epochs == 7
    np.testing.assert_array_equal(late.margin, dynamics.margin[:, 4:])
    np.testing.assert_array_equal(dynamics.epochs(2, 5).correct, dynamics.correct[:, 2:5])
    np.testing.assert_array_equal(dynamics.epochs(stop=-1).loss, dynamics.loss[:, :-1])
    np.testing.assert_array_equal(
        late.trained_epochs(), (~np.isnan(random_records["loss"][:, 4:])).sum(axis=1)
    )

    part = dynamics.select(("correct",))
    assert part.quantities == ("correct",)
    np.testing.assert_array_equal(part.correct, dynamics.correct)
    assert part.nbytes() < dynamics.nbytes()
    with pytest.raises(ValueError, match="'margin' was not recorded"):
        part.aum()
    assert dynamics.n_epochs == 11


def test_pickling(random_records):
    dynamics = filled(random_records)
    again = pickle.loads(pickle.dumps(dynamics))
    for name in QUANTITIES:
        np.testing.assert_array_equal(getattr(again, name), getattr(dynamics, name))
    assert len(pickle.dumps(dynamics.select(("correct",)))) < len(pickle.dumps(dynamics)) / 2


def test_without_an_epoch():
    dynamics = TrainingDynamics(3, ["correct", "margin"])
    assert dynamics.correct.shape == (3, 0)
    assert np.isnan(dynamics.aum()).all()
    np.testing.assert_array_equal(dynamics.forgetting_events(), 0)


def test_unknown_quantities_are_refused():
    with pytest.raises(ValueError, match=r"Unknown quantities \['entropy'\]; choose from"):
        TrainingDynamics(3, ["correct", "entropy"])


@pytest.mark.parametrize("values", [{}, {"margin": [0, 0]}, {"correct": [0, 0], "loss": [0, 0]}])
def test_a_missing_or_superfluous_quantity_is_refused(values):
    dynamics = TrainingDynamics(2, ["correct"])
    with pytest.raises(ValueError, match="Expected the quantities"):
        dynamics.append(**{name: np.array(v, dtype=float) for name, v in values.items()})
    assert dynamics.n_epochs == 0


@pytest.mark.parametrize("shape", [(3,), (2, 1), ()])
def test_another_length_is_refused(shape):
    with pytest.raises(ValueError, match=r"correct has shape .*, expected \(2,\)"):
        TrainingDynamics(2, ["correct"]).append(correct=np.zeros(shape))


def test_relative_probability_is_that_of_two_classes():
    logits = np.array([[2.0, 0.5, -1.0], [0.0, 3.0, 1.0]])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    dynamics = TrainingDynamics(2, ["margin"])
    dynamics.append(margin=np.array([logits[0, 0] - logits[0, 1], logits[1, 2] - logits[1, 1]]))
    expected = [p[0, 0] / (p[0, 0] + p[0, 1]), p[1, 2] / (p[1, 2] + p[1, 1])]
    np.testing.assert_allclose(dynamics.relative_prob[:, 0], expected, rtol=1e-3)


def test_records_of_different_rows_are_combined():
    parts = []
    for rows in ([0, 2], [1]):
        part = TrainingDynamics(4, ["correct", "margin"])
        for epoch in range(3):
            values = np.full(4, np.nan)
            values[rows] = np.array(rows) + 10 * epoch
            part.append(correct=np.where(np.isnan(values), np.nan, values > 10), margin=values)
        parts.append(part)
    both = TrainingDynamics.combine(parts)
    nan = np.nan
    np.testing.assert_array_equal(
        both.margin, [[0, 10, 20], [1, 11, 21], [2, 12, 22], [nan, nan, nan]]
    )
    np.testing.assert_array_equal(both.correct, [[0, 0, 1], [0, 1, 1], [0, 1, 1], [nan] * 3])


def test_extending_adds_epochs():
    first, second = (TrainingDynamics(2, ["loss"]) for _ in range(2))
    first.append(loss=np.array([1.0, 2.0]))
    second.append(loss=np.array([3.0, np.nan]))
    first.extend(second)
    np.testing.assert_array_equal(first.loss, [[1, 3], [2, np.nan]])


# In a file


@pytest.fixture(params=[None, "file"])
def folder(request, tmp_path):
    return None if request.param is None else tmp_path


def recorded(n_samples, n_epochs, folder=None, seed=0):
    """Records with gaps: some rows are left out in some epochs."""
    rng = np.random.default_rng(seed)
    dynamics = TrainingDynamics(n_samples, folder=folder)
    for epoch in range(n_epochs):
        left_out = rng.random(n_samples) < (0.3 if epoch % 2 else 0)
        values = {
            "correct": (rng.random(n_samples) < 0.5).astype(float),
            "given_prob": rng.random(n_samples),
            "margin": rng.normal(size=n_samples),
            "loss": rng.exponential(size=n_samples),
        }
        dynamics.append(**{k: np.where(left_out, np.nan, v) for k, v in values.items()})
    return dynamics


def assert_same_records(one, other):
    assert one.n_epochs == other.n_epochs
    for name in one.quantities:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.trained_epochs(), other.trained_epochs())


def test_records_in_a_file_are_those_in_memory(tmp_path):
    stored, held = recorded(37, 6, tmp_path), recorded(37, 6)
    assert_same_records(stored, held)
    assert_same_records(stored.epochs(1, 4), held.epochs(1, 4))
    assert_same_records(stored.select(("loss",)), held.select(("loss",)))
    for metric in ("aum", "variability", "forgetting_events", "nbytes"):
        np.testing.assert_array_equal(getattr(stored, metric)(), getattr(held, metric)())
    columns = [c for cs in stored._columns.values() for c in cs]
    assert len(columns) == 4 * 6
    assert not any(isinstance(column, np.ndarray) for column in columns)


def test_a_file_leaves_nothing_behind(tmp_path):
    dynamics = recorded(50, 3, tmp_path)
    part = dynamics.epochs(2)
    expected = part.margin
    del dynamics
    np.testing.assert_array_equal(part.margin, expected)  # the file lives as long as its readers
    del part
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("duplicate", [lambda d: pickle.loads(pickle.dumps(d)), copy.deepcopy])
def test_a_copy_of_what_lies_in_a_file_stands_alone(tmp_path, duplicate):
    dynamics = recorded(20, 4, tmp_path)
    other = duplicate(dynamics)
    assert all(isinstance(c, np.ndarray) for cs in other._columns.values() for c in cs)
    assert_same_records(other, dynamics)
    values = {name: np.ones(20) for name in other.quantities}
    other.append(**values)
    assert (other.n_epochs, dynamics.n_epochs) == (5, 4)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        recorded(20, 1, tmp_path / "nowhere")


def test_a_file_that_was_cut_short_is_noticed(tmp_path):
    dynamics = recorded(20, 2, tmp_path)
    dynamics._file._file.truncate(10)
    with pytest.raises(OSError, match="cut short"):
        dynamics.aum()


@given(start=st.integers(0, 50), length=st.integers(0, 50))
def test_some_rows(start, length):
    dynamics = recorded(50, 3)
    part = dynamics.rows(start, start + length)
    assert part.n_samples == max(0, min(length, 50 - start))
    for name in dynamics.quantities:
        whole = getattr(dynamics, name)[start : start + length]
        np.testing.assert_array_equal(getattr(part, name), whole)


def test_some_rows_from_a_file(folder):
    dynamics = recorded(50, 3, folder)
    np.testing.assert_array_equal(dynamics.rows(13, 31).correct, dynamics.correct[13:31])


def test_an_epoch_in_which_one_quantity_is_missing_does_not_count():
    for missing in ("margin", "loss"):
        values = {"margin": np.ones(2), "loss": np.ones(2)}
        values[missing] = np.array([NAN, 1])
        dynamics = TrainingDynamics(2, ["margin", "loss"])
        dynamics.append(**values)
        assert dynamics.trained_epochs().tolist() == [0, 1]


def test_a_row_that_was_trained_once_has_a_mean():
    dynamics = filled({"given_prob": [[0.25, NAN], [0.5, 1.0]]})
    np.testing.assert_array_equal(dynamics.confidence(), [0.25, 0.75])
    np.testing.assert_array_equal(dynamics.variability(), [0, 0.25])


@pytest.mark.parametrize("sign", [1, -1])
def test_what_half_precision_cannot_hold_is_its_largest_number(sign):
    dynamics = filled({"margin": [[sign * 1e9]]})
    assert dynamics.margin.tolist() == [[sign * 65504.0]]


def test_parts_of_records_in_a_file_go_on_in_its_folder(tmp_path):
    dynamics = recorded(20, 4, tmp_path)
    parts = [
        dynamics.epochs(1),
        dynamics.select(("loss",)),
        TrainingDynamics.combine([dynamics]),
    ]
    for part in parts:
        assert part.folder == tmp_path
        part.append(**{name: np.ones(20) for name in part.quantities})
        assert not any(isinstance(cs[-1], np.ndarray) for cs in part._columns.values())
    assert_same_records(parts[2].epochs(0, 4), dynamics)
    assert pickle.loads(pickle.dumps(dynamics)).folder is None


def test_some_rows_of_some_quantities():
    dynamics = recorded(20, 3).select(("loss",))
    part = dynamics.rows(5, 9)
    assert part.quantities == ("loss",)
    np.testing.assert_array_equal(part.loss, dynamics.loss[5:9])


def test_records_without_an_epoch_have_the_types_of_others():
    empty = TrainingDynamics(3)
    assert empty.loss.shape == (3, 0)
    assert empty.loss.dtype == np.float32
    assert empty.trained_epochs().dtype == recorded(3, 1).trained_epochs().dtype == np.int64
