"""What `examples/benchmarks/good_features.py` counts, on a few rows that are made here."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytestmark = pytest.mark.judged  # as the benchmark takes the estimators
EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def script(monkeypatch):
    for name in ("cleanlab", "skrub", "wordllama"):
        pytest.importorskip(name, reason="the docs extra is not installed")
    monkeypatch.syspath_prepend(str(EXAMPLES / "benchmarks"))
    before = set(sys.modules)
    import good_features

    yield good_features
    for name in set(sys.modules) - before:  # scripts have names that others may have, too
        if EXAMPLES in Path(getattr(sys.modules[name], "__file__", None) or "").parents:
            del sys.modules[name]


def test_the_crowd_is_drawn_row_by_row(script):
    answers = np.array([[1, -1, -1, -1], [-1, 0, 1, 1], [-1, -1, -1, -1]])
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(script.crowd_labels(answers, 3, rng), [1, 1, -1])
    of_one = [script.crowd_labels(answers, 1, rng) for _ in range(600)]
    assert {(first, last) for first, _, last in of_one} == {(1, -1)}
    assert np.mean([middle for _, middle, _ in of_one]) == pytest.approx(2 / 3, abs=0.08)


def test_a_right_label_that_is_replaced_counts_as_a_loss(script):
    y, given = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    scores, flagged = np.array([0.1, 0.8, 0.9, 0.2]), np.array([False, True, True, False])
    found = script.figures(y, given, scores, flagged, np.array([0, 0, 0, 1]), 0.5)
    assert found["gained"] == 0  # one is put right, one is spoilt
    assert found["flagged"] == 0.5
    assert found["mask_f1"] == pytest.approx(2 / 3)
    assert found["auroc"] == pytest.approx(2 / 3)
    assert found["noise_rate_error"] == pytest.approx(0.25)
    only = script.figures(y, y, scores, flagged, np.array([1, 0, 0, 1]), 0.5)
    assert only == {"flagged": 0.5, "noise_rate": 0.5, "gained": -50}


def test_the_first_rows_are_those_with_the_highest_scores(script, monkeypatch):
    monkeypatch.setattr(script, "VERIFIED", 2)
    y, given = np.zeros(4, dtype=int), np.array([1, 0, 1, 0])
    none = np.zeros(4, dtype=bool)
    found = script.figures(y, given, np.array([0.9, 0.5, 0.1, 0.2]), none, given, 0.5)
    assert found["first_wrong"] == 0.5


def test_an_audit_is_measured_on_the_rows_that_nobody_verified(script, monkeypatch):
    y, given = np.zeros(40, dtype=int), np.arange(40) % 2
    verified, fixed = np.arange(0, 20), 21  # of the others one is put right, and it is flagged
    corrected = np.where(np.isin(np.arange(40), [*verified, fixed]), y, given)
    after = SimpleNamespace(noise_rate_=0.4, noise_rate_interval_=(0.3, 0.6))
    after.clean_mask_, after.corrected_labels_ = np.arange(40) != fixed, corrected
    monkeypatch.setattr(script, "sample", lambda *a, **b: SimpleNamespace(rows=verified))
    monkeypatch.setattr(script, "Audit", lambda *a: SimpleNamespace(apply=lambda est: after))
    assert script.after_audit(None, y, given, 0) == {
        "audited_rate": 0.4,
        "audited_low": 0.3,
        "audited_high": 0.6,
        "audited_gained": pytest.approx(100 / 20),
        "audited_f1": pytest.approx(2 / 11),  # one of ten found
    }


def test_a_fit_is_measured_before_and_after_its_audit(script, monkeypatch):
    monkeypatch.setattr(script, "VERIFIED", 50)
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(200) % 2)
    X = rng.normal(size=(200, 4)) + 2 * y[:, None]
    given = np.where(rng.random(200) < 0.15, 1 - y, y)
    est, found = script.fitted("MILDSelector", True, script.Rows(X, y, X, y), given, 0)
    assert found["auroc"] > 0.9
    assert found["gained"] == 100 * ((est.corrected_labels_ == y).mean() - (given == y).mean())
    assert found["low"] <= found["noise_rate"] <= found["high"]
    assert found["holds"] == (found["low"] <= (given != y).mean() <= found["high"])
    assert found["audited_low"] <= (given != y).mean() <= found["audited_high"]


def test_cleanlab_is_measured_beside_it(script):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 60)
    X = rng.normal(size=(180, 4)) + 4 * np.eye(4)[y]
    given = y.copy()
    given[::10] = (y[::10] + 1) % 3
    est, found = script.fitted(script.USUAL, False, script.Rows(X, y, X, y), given, 0)
    assert found["auroc"] > 0.9
    assert 0 < found["gained"] <= 10
    assert est.score(X, y) > 0.9
    assert 0.9 < found["accuracy_on_all"] <= 1


def test_two_classes_have_no_pair(script):
    assert script.labels_of("trec") == ["clean", "symmetric .2", "pair .3"]
    assert script.labels_of("adult") == ["clean", "symmetric .2"]
    assert script.labels_of("crowd") == ["clean", "annotator", "majority"]


def test_the_best_is_bold_and_the_time_counts_in_plain_trainings(script):
    common = {"data": "trec", "labels": "clean", "seed": 0, "wrong": 0.0, "gained": 0.0}
    after = {"audited_rate": 0.01, "audited_low": 0.001, "audited_high": 0.03}
    records = [
        common | {"method": script.PLAIN, "seconds": 2.0, "accuracy": 0.7},
        common | {"method": script.PEER, "seconds": 5.0, "accuracy": 0.8, "noise_rate": 0.1},
        common
        | {"method": "MILDSelector", "seconds": 8.0, "accuracy": 0.6, "noise_rate": 0.04}
        | {"low": 0.0, "high": 0.2, **after},
    ]
    records = script.derived(records)
    last = script.table(records, "noise_rate").splitlines()[-1]
    assert last == "| trec | clean | 1 | 0.0% | 0.100 | **0.040** (0.00 to 0.20) |"
    assert script.table(records, "time").splitlines()[-1].endswith("| 1.0 | 2.5 | 4.0 |")
    assert "| **0.800** |" in script.table(records, "accuracy")
    lines = [line.split(" | ") for line in script.overview(records).splitlines()]
    cells = {line[3]: line[7] for line in lines if line[:2] == ["| texts", "clean"]}
    assert cells["interval, mean width"] == "0.200"
    assert cells["interval begins below .005, share of fits"] == "1.000"
    assert cells["audit: error of the rate, mean size"] == "0.010"
    assert cells["audit: interval holds the rate, share of fits"] == "0.000"
