"""Decisions know what they were made on; other labels and rows are refused."""

import json

import numpy as np
import pandas as pd
import pytest

from noisyfit import MILDSelector
from noisyfit.review import apply_review, label_report, review_page
from noisyfit.review._identity import data_set_identity, row_index

RNG = np.random.default_rng(0)
NAMES = np.array(["ant", "bee", "cat"])
CODES = np.arange(60) % 3
Y = NAMES[CODES]
X = RNG.normal(size=(60, 3)) + 4 * np.eye(3)[CODES]
PLACES = [f"id-{i}" for i in range(60)][::-1]
WHICH = {"rounds": 1, "max_epochs": 2, "random_state": 0}


@pytest.fixture(scope="module")
def est():
    return MILDSelector(**WHICH).fit(X, Y)


def decided(y, est=None, index=None, rows=range(0, 60, 5)):
    """What a page exports."""
    name = data_set_identity(np.asarray(y), est)
    return [
        {"row": row, "decision": "keep", "label": "", "given": str(y[row]), "data_set": name}
        | ({} if index is None else {"index": index[row]})
        for row in rows
    ]


def page_data(path):
    html = path.read_text(encoding="utf-8")
    return json.loads(html.split('type="application/json">')[1].split("</script>")[0])


def test_decisions_on_the_same_labels_are_applied(est):
    for kind in (list, pd.Series, lambda y: np.array(y, dtype=object)):
        assert apply_review(kind(Y), decided(Y, est)).trusted.sum() == 12
    assert apply_review(Y, decided(Y, est), est=est).trusted.sum() == 12


@pytest.mark.parametrize("kind", [float, "Int64", str])
def test_numbers_are_the_same_labels_in_every_type(kind):
    assert apply_review(pd.Series(CODES).astype(kind), decided(CODES)).trusted.sum() == 12
    assert apply_review(CODES, pd.DataFrame(decided(CODES.astype(float)))).trusted.sum() == 12


def test_rows_that_were_dropped_since_are_noticed_row_by_row(est):
    dropped = np.delete(Y, 3)
    with pytest.raises(ValueError, match="were made on another label or row") as raised:
        apply_review(dropped, decided(Y, est))
    told = str(raised.value)
    assert "11 of 12 decisions" in told
    assert "row 5 had the label 'cat' and has 'ant'; row 10 had" in told
    assert "row 50 had" in told
    assert "row 55 had" not in told
    assert "; and 1 more. It had 60 labels when it was reviewed, y has 59." in told
    assert "Nothing was applied. Apply decisions to the labels that were reviewed" in told


def test_rows_at_the_end_that_are_not_there_are_named(est):
    with pytest.raises(ValueError, match=r"2 of 12.*row 50 had the label 'cat' and is not there"):
        apply_review(Y[:50], decided(Y, est))


def test_labels_that_nobody_decided_on_count_as_well(est):
    changed = Y.copy()
    changed[1] = "ant"
    with pytest.raises(ValueError, match=r"of another data set\. It has as many labels, but not"):
        apply_review(changed, decided(Y, est))
    with pytest.raises(ValueError, match=r"had 60 labels when it was reviewed, y has 58"):
        apply_review(Y[:58], decided(Y, est))


def test_a_label_that_was_given_is_enough():
    entries = [{"row": 1, "decision": "drop", "given": "cat"}]
    with pytest.raises(ValueError, match=r"1 of 1 .*: row 1 had the label 'cat' and has 'bee'"):
        apply_review(Y, entries)


def test_decisions_without_identity_are_taken_as_they_are():
    entries = [{"row": 1, "decision": "drop"}, {"row": 2, "decision": "keep", "given": None}]
    assert apply_review(Y, pd.DataFrame(entries)).kept.sum() == 59


def test_other_rows_with_the_same_labels_are_told_by_the_estimator(est):
    order = np.argsort(CODES, kind="stable")[::-1].reshape(3, 20)[::-1].ravel()
    order = np.concatenate([np.flatnonzero(c == CODES)[::-1] for c in (0, 1, 2)])
    other = np.empty_like(X)
    for c in range(3):
        other[c == CODES] = X[order[c * 20 : c * 20 + 20]]
    of_others = MILDSelector(**WHICH).fit(other, Y)
    assert apply_review(Y, decided(Y, est)).trusted.sum() == 12
    with pytest.raises(ValueError, match="Its labels are the same, but est was fitted on other"):
        apply_review(Y, decided(Y, est), est=of_others)
    with pytest.raises(ValueError, match="est was fitted on 60 rows, but y has 59 labels"):
        apply_review(Y[1:], decided(Y, est), est=est)


@pytest.mark.parametrize("damage", ["", "x", "60-1-2-3", 7, None, ["a"], {}])
def test_an_identity_of_any_kind(damage):
    entries = [entry | {"data_set": damage} for entry in decided(Y)]
    if damage in ("", None):
        assert apply_review(Y, entries).trusted.sum() == 12
    else:
        with pytest.raises(ValueError, match="of another data set"):
            apply_review(Y, entries)


# Indices


def test_an_index_is_compared():
    y = pd.Series(Y, index=PLACES)
    assert apply_review(y, decided(Y, index=PLACES)).trusted.sum() == 12
    assert apply_review(Y, decided(Y, index=PLACES)).trusted.sum() == 12
    same_class = y.iloc[[*range(5), 8, 6, 7, 5, *range(9, 60)]]
    with pytest.raises(ValueError, match=r"row 5 was at the index 'id-54' and is at 'id-51'\."):
        apply_review(same_class, decided(Y, index=PLACES))


def test_an_index_that_pandas_has_read_is_the_same():
    y = pd.Series(Y, index=[f"{i:03}" for i in range(60)][::-1])
    frame = pd.DataFrame(decided(Y, index=[int(i) for i in y.index]))
    assert apply_review(y, frame).trusted.sum() == 12


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (pd.RangeIndex(60), None),
        (list(range(60)), None),
        (pd.RangeIndex(1, 61), list(range(1, 61))),
        (PLACES, PLACES),
        ([f"patient {i // 4}" for i in range(60)], [f"patient {i // 4}" for i in range(60)]),
        (
            pd.MultiIndex.from_product([["a", "b"], range(30)]),
            [(c, i) for c in "ab" for i in range(30)],
        ),
    ],
)
def test_the_report_has_an_index_that_is_no_plain_range(est, index, expected, tmp_path):
    frame = pd.DataFrame(X, index=index)
    for args in ((frame, Y), (X, pd.Series(Y, index=index))):
        report = label_report(est, *args)
        assert ("index" in report) == (expected is not None)
        if expected is not None:
            assert list(report["index"]) == [expected[row] for row in report["row"]]
            assert list(report.columns[:3]) == ["row", "index", "given"]
    assert list(report.columns).index("rank") == list(report.columns).index("kept") - 1


@pytest.mark.parametrize("shown_by", ["X", "y", "table", "texts"])
def test_the_page_shows_the_index(est, shown_by, tmp_path):
    made = {
        "X": {"X": pd.DataFrame(X, index=PLACES)},
        "y": {"y": pd.Series(Y, index=PLACES)},
        "table": {"table": pd.DataFrame(X, index=PLACES)},
        "texts": {"texts": pd.Series(Y, index=PLACES)},
    }[shown_by]
    review_page(est, **{"X": X, "y": Y, "path": tmp_path / "a.html", **made})
    data = page_data(tmp_path / "a.html")
    assert [row["index"] for row in data["rows"]] == [PLACES[row["row"]] for row in data["rows"]]
    assert data["data_set"] == data_set_identity(Y, est)


REPEATED = [f"patient {i // 4}" for i in range(60)]
DAYS = pd.date_range("2024-01-01", periods=60)


@pytest.mark.parametrize("way", ["frame", "csv", "read", "json", "page"])
@pytest.mark.parametrize(
    "index",
    [PLACES, REPEATED, [i // 4 for i in range(60)], DAYS, DAYS.tz_localize("CET"), DAYS - DAYS[30]],
    ids=["texts", "repeated", "repeated numbers", "days", "days of a zone", "durations"],
)
def test_decisions_go_by_the_row_and_their_index_survives_a_file(est, index, way, tmp_path):
    y = pd.Series(Y, index=index)
    report, path = label_report(est, X, y), tmp_path / f"decided.{way}"
    report["decision"] = np.where(report["row"] == 5, "drop", "keep")
    decisions = report
    if way == "page":
        review_page(est, X, y, tmp_path / "a.html")
        decision = report.set_index("row")["decision"]
        decisions = [
            {"row": e["row"], "index": e["index"], "decision": decision[e["row"]]}
            for e in page_data(tmp_path / "a.html")["rows"]
        ]
    elif way == "json":
        report.to_json(path, orient="records", date_format="iso")
        decisions = path
    elif way != "frame":
        report.to_csv(path, index=False)
        decisions = path if way == "csv" else pd.read_csv(path)
    review = apply_review(y, decisions, est=est)
    assert np.flatnonzero(~review.kept).tolist() == [5]
    moved = pd.Series(Y, index=[*y.index[30:], *y.index[:30]])
    with pytest.raises(ValueError, match="at the index"):
        apply_review(moved, decisions)


def test_a_place_that_is_no_date_is_another_one():
    y = pd.Series(Y, index=DAYS)
    for place in ("yesterday, at noon", [2024, 1, 1], 10**30, "2024-01-02"):
        with pytest.raises(ValueError, match=r"row 0 was at the index .* at '2024-01-01 00:00:00'"):
            apply_review(y, [{"row": 0, "decision": "keep", "index": place}])
    for place in ("2024-01-01T00:00:00.000", 1704067200000):
        assert apply_review(y, [{"row": 0, "decision": "keep", "index": place}]).trusted[0]


def test_where_two_indices_differ_that_of_the_labels_counts(est):
    frame, y = pd.DataFrame(X, index=range(1, 61)), pd.Series(Y, index=PLACES)
    report = label_report(est, frame, y)
    assert list(report["index"]) == [PLACES[row] for row in report["row"]]
    assert apply_review(y, report.assign(decision="keep")).trusted.all()


def test_frames_of_polars_have_row_numbers_only(tmp_path):
    polars = pytest.importorskip("polars")
    frame, y = polars.DataFrame({c: X[:, i] for i, c in enumerate("abc")}), polars.Series(Y)
    est = MILDSelector(**WHICH).fit(frame, y)
    report = label_report(est, frame, y)
    assert "index" not in report
    assert apply_review(y, report.assign(decision="keep"), est=est).trusted.all()
    review_page(est, frame, y, tmp_path / "a.html")
    data = page_data(tmp_path / "a.html")
    assert data["names"] == ["a", "b", "c"]
    for entry in data["rows"]:
        assert "index" not in entry
        assert entry["values"] == [f"{value:.6g}" for value in X[entry["row"]]]


def test_what_has_no_index_of_its_own():
    assert row_index(None, X, list(Y), (1, 2), "text") is None
    assert row_index(X, pd.Series([1, 2])) is None
    assert row_index(pd.Series([1, 2]), pd.Series([1, 2], index=[2, 1])).tolist() == [2, 1]
