"""Rows of an audit on the review page: nothing gives the label away, and they come back whole."""

import copy
import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_blobs
from test_page import cards, data_of, exported

from noisyfit import DLTClassifier, MILDSelector
from noisyfit.audit import Audit, AuditSample, sample
from noisyfit.review import apply_review, label_report, review_page

NAMES = np.array(["01", "1", "2"])  # pandas reads the first two as one
X, TRUE = make_blobs(120, 4, centers=3, cluster_std=1.0, random_state=1)
WRONG = np.random.default_rng(0).permutation(120) < 20
RIGHT = NAMES[TRUE]
GIVEN = NAMES[np.where(WRONG, (TRUE + 1) % 3, TRUE)]
TEXTS = [f"text of {i}" for i in range(120)]
NONE = "none of these classes"


@pytest.fixture(scope="module")
def est():
    return MILDSelector(max_epochs=10, random_state=0).fit(X, GIVEN)


@pytest.fixture(scope="module")
def drawn(est):
    return sample(est, 30, random_state=0)


@pytest.fixture(scope="module")
def page_file(est, drawn, tmp_path_factory):
    path = tmp_path_factory.mktemp("review") / "blind.html"
    review_page(est, X, GIVEN, path, texts=TEXTS, sample=drawn)
    return path


def with_data(page_file, path, **changed):
    """Write the page with other data, as if it were of another estimator."""
    content = json.dumps(data_of(page_file))
    other = json.dumps(data_of(page_file) | changed)
    html = page_file.read_text(encoding="utf-8")
    assert content in html
    path.write_text(html.replace(content, other), encoding="utf-8")
    return path


def test_the_page_has_the_rows_that_were_drawn_in_their_order(est, drawn, page_file, tmp_path):
    rows = data_of(page_file)["rows"]
    assert [row["row"] for row in rows] == drawn.rows.tolist()
    assert [row["text"] for row in rows] == [TEXTS[i] for i in drawn.rows]
    assert rows == sorted(rows, key=lambda row: drawn.rows.tolist().index(row["row"]))
    review_page(est, X, GIVEN, tmp_path / "a.html", texts=TEXTS, sample=drawn, max_rows=3)
    assert (tmp_path / "a.html").read_bytes() == page_file.read_bytes()


def test_nothing_of_what_is_hidden_is_in_the_file(est, drawn, page_file, tmp_path):
    data = data_of(page_file)
    assert set(data) == {"title", "data_set", "classes", "names", "blind", "rows"}
    assert all(set(row) == {"row", "text"} for row in data["rows"])
    # Whatever scores, predictions and verdicts are, the file is the same.
    other = copy.copy(est)
    other.noise_scores_ = np.linspace(0, 1, 120)[::-1]
    other.clean_mask_ = ~est.clean_mask_
    other.predict_proba = lambda X: np.tile([0.1, 0.7, 0.2], (len(X), 1))
    assert (label_report(other, X, GIVEN).suggested == "1").all()
    review_page(other, X, GIVEN, tmp_path / "a.html", texts=TEXTS, sample=drawn)
    assert (tmp_path / "a.html").read_bytes() == page_file.read_bytes()
    # Of the given labels there is a hash.
    given = np.roll(GIVEN, 1)
    other = MILDSelector(max_epochs=1, rounds=1, random_state=0).fit(X, given)
    review_page(other, X, given, tmp_path / "b.html", texts=TEXTS, sample=drawn)
    changed, html = data_of(tmp_path / "b.html"), page_file.read_text(encoding="utf-8")
    assert changed["data_set"] != data["data_set"]
    html = html.replace(data["data_set"], changed["data_set"])
    for name in (data, changed):
        key = hashlib.sha256(json.dumps(name).encode()).hexdigest()[:16]
        assert (key in html) == (name is data)
        html = html.replace(key, "")
    kept = (tmp_path / "b.html").read_text(encoding="utf-8").replace(key, "")
    assert kept == html


def test_without_a_sample_the_usual_rows_are_in_an_order_that_tells_nothing(est, tmp_path):
    worst = label_report(est, X, GIVEN).row.tolist()
    orders = {}
    for n in (40, None):
        review_page(est, X, GIVEN, tmp_path / "a.html", blind=True, max_rows=n, texts=TEXTS)
        rows = [row["row"] for row in data_of(tmp_path / "a.html")["rows"]]
        assert set(rows) == set(worst[:n])
        assert (
            abs(np.corrcoef(np.arange(len(rows)), [worst.index(row) for row in rows])[0, 1]) < 0.4
        )
        orders[n] = (tmp_path / "a.html").read_bytes()
    assert "score" not in data_of(tmp_path / "a.html")["rows"][0]
    review_page(est, X, GIVEN, tmp_path / "a.html", blind=True, max_rows=None, texts=TEXTS)
    assert (tmp_path / "a.html").read_bytes() == orders[None], "decisions are remembered by content"


def test_a_sample_may_be_shown_with_everything(est, drawn, tmp_path):
    review_page(est, X, GIVEN, tmp_path / "a.html", sample=drawn, blind=False)
    rows = data_of(tmp_path / "a.html")["rows"]
    assert [row["row"] for row in rows] == drawn.rows.tolist()
    report = label_report(est, X, GIVEN).set_index("row")
    assert [row["rank"] for row in rows] == report.loc[drawn.rows, "rank"].tolist()


def test_samples_of_other_rows_are_refused(est, drawn, tmp_path):
    path = tmp_path / "a.html"
    for other in (sample(est.noise_scores_[:100], 30), sample(np.r_[est.noise_scores_, 0.5], 30)):
        with pytest.raises(ValueError, match=r"The sample was drawn of .* Got 120 rows"):
            review_page(est, X, GIVEN, path, sample=other)
    with pytest.raises(TypeError, match=r"must be an AuditSample.*Got ndarray"):
        review_page(est, X, GIVEN, path, sample=drawn.rows)
    with pytest.raises(ValueError, match="probabilities of the sample are missing"):
        review_page(est, X, GIVEN, path, sample=drawn._replace(rows=drawn.rows[:5]))
    assert not path.exists()


def test_trusted_and_unlabelled_rows_are_left_out_and_counted_right(tmp_path):
    codes = np.where(WRONG, (TRUE + 1) % 3, TRUE)
    trusted, codes[10:25] = np.arange(120) < 10, -1
    codes[:10] = TRUE[:10]
    est = DLTClassifier(unlabeled=-1, max_epochs=3, estimation_epochs=2, random_state=0)
    est.fit(X, codes, trusted=trusted)
    drawn = sample(est, 95, random_state=0)
    review_page(est, X, codes, tmp_path / "a.html", texts=TEXTS, sample=drawn)
    rows = data_of(tmp_path / "a.html")["rows"]
    assert sorted(row["row"] for row in rows) == list(range(25, 120))
    assert all(row["text"] == TEXTS[row["row"]] for row in rows)
    assert data_of(tmp_path / "a.html")["classes"] == ["0", "1", "2"]
    decisions = [{"row": r["row"], "decision": "label", "label": str(TRUE[r["row"]])} for r in rows]
    review = apply_review(codes, decisions, est=est, sample=drawn)
    assert review.labels.tolist() == [*codes[:25], *TRUE[25:]]
    assert Audit(est, codes, review).noise_rate.value == pytest.approx(WRONG[25:].mean())


# In a browser


def press(tab, keys):
    for key in keys:
        tab.keyboard.press(key)


def decided_as(tab, row):
    pressed = tab.query_selector_all(f".card[data-row='{row}'] [aria-pressed=true]")
    return [button.get_attribute("data-decision") for button in pressed]


@pytest.mark.parametrize("button", ["#csv", "#json"])
def test_what_was_seen_comes_back_with_its_probabilities(
    tab, est, drawn, page_file, tmp_path, button
):
    tab.goto(page_file.as_uri())
    assert cards(tab) == drawn.rows[:25].tolist()
    for hidden in ("#pair", "#score", ".reason"):
        assert tab.query_selector_all(f"{hidden}:visible") == []
    shown = tab.inner_text(".card .head")
    assert shown == "1 of 30", "in data sorted by class the number of a row tells it"
    # A class that is called by a digit has that key.
    keys = {"1": "1", "2": "2"}
    assert tab.inner_text("#how").split() == ["1", "2"]
    for row in drawn.rows:
        if RIGHT[row] in keys:
            press(tab, keys[RIGHT[row]])
        else:
            tab.click(f".card[data-row='{row}'] button:text-is('01')")
            press(tab, ["ArrowDown"])
    assert tab.inner_text("#count").startswith("30 of 30")
    press(tab, ["ArrowUp"] * 40 + ["n", "s", "ArrowUp", "u", "s", "k", "r", "d"])
    assert decided_as(tab, drawn.rows[0]) == ["drop"]
    assert NONE in tab.inner_text(".card .buttons")
    assert decided_as(tab, drawn.rows[1]) == ["skip"]
    assert tab.failures == []
    path = exported(tab, button, tmp_path)
    read = json.loads(path.read_text()) if button == "#json" else pd.read_csv(path)
    assert "given" not in (read[0] if button == "#json" else read)
    review = apply_review(GIVEN, path, est=est, sample=drawn)
    right = RIGHT[drawn.rows]
    assert review.labels[drawn.rows[2:]].tolist() == right[2:].tolist()
    assert np.flatnonzero(review.trusted).tolist() == sorted(drawn.rows[2:])
    assert np.flatnonzero(~review.kept).tolist() == [drawn.rows[0]]
    wrong = GIVEN[drawn.rows] != right
    wrong[0] = True
    seen = np.arange(30) != 1
    same = Audit(est, GIVEN, wrong[seen], drawn, rows=drawn.rows[seen])
    assert Audit(est, GIVEN, review).noise_rate == same.noise_rate
    with pytest.raises(ValueError, match="of another data set"):
        apply_review(np.roll(GIVEN, 1), path, sample=drawn)


def test_decisions_are_taken_up_again_and_do_not_mix(tab, est, drawn, page_file, tmp_path):
    tab.goto(page_file.as_uri())
    press(tab, "1ns")
    path = exported(tab, "#json", tmp_path)
    tab.reload()
    assert tab.inner_text("#count").startswith("3 of 30")
    for name, options in (("open", {"blind": False}), ("more", {"sample": sample(est, 40)})):
        review_page(est, X, GIVEN, tmp_path / f"{name}.html", **{"sample": drawn, **options})
        tab.goto((tmp_path / f"{name}.html").as_uri())
        assert tab.inner_text("#count").startswith("0 of ")
    # What was decided in knowledge of the suggestion is none of a blind page's.
    tab.goto(page_file.as_uri())
    for row in drawn.rows[:3]:
        tab.click(f".card[data-row='{row}']")
        press(tab, "u")
    assert tab.inner_text("#count").startswith("0 of 30")
    tab.set_input_files("#file", path)
    tab.locator("#status", has_text="3 decisions taken").wait_for()
    assert [decided_as(tab, row) for row in drawn.rows[:3]] == [["label"], ["drop"], ["skip"]]
    entries = [
        {"row": int(drawn.rows[3]), "decision": "keep"},
        {"row": int(drawn.rows[4]), "decision": "relabel", "label": "1"},
        {"row": int(drawn.rows[5]), "decision": "label", "label": "dog"},
        {"row": int(drawn.rows[6]), "decision": "label", "label": "01"},
    ]
    (tmp_path / "mine.json").write_text(json.dumps(entries))
    tab.set_input_files("#file", tmp_path / "mine.json")
    tab.locator("#status", has_text="1 decisions taken").wait_for()
    assert "3 do not belong to this page" in tab.inner_text("#status")
    assert tab.failures == []


def test_many_classes_are_typed(tab, page_file, drawn, tmp_path):
    names = [f"kind {i}" for i in range(198)] + ["7", "two\nlines"]
    tab.goto(with_data(page_file, tmp_path / "a.html", classes=names).as_uri())
    assert tab.inner_text("#how") == "C type a class, then Enter"
    assert tab.query_selector_all("[data-decision=label]") == []
    for text in ("kind 123", "7", "twolines"):
        press(tab, "c")
        tab.keyboard.type(text)
        press(tab, ["Enter"])
    press(tab, "7n")  # 7 is no key here, and n moves on
    press(tab, "c")
    tab.keyboard.type("kind")
    press(tab, ["Enter"])
    assert "5 of 30: no class is called kind" in tab.inner_text("#status")
    decisions = tab.evaluate("decisions()")
    of_row = {entry["row"]: (entry["decision"], entry["label"]) for entry in decisions}
    assert [of_row.get(row) for row in drawn.rows[:5].tolist()] == [
        ("label", "kind 123"),
        ("label", "7"),
        ("label", "two\nlines"),
        ("drop", ""),
        None,
    ]
    assert tab.failures == []


def test_the_first_nine_classes_have_keys(tab, page_file, drawn, tmp_path):
    names = [f"<b>{letter}</b>" for letter in "abcdefghijkl"]
    tab.goto(with_data(page_file, tmp_path / "a.html", classes=names).as_uri())
    press(tab, "19")
    tab.click(f".card[data-row='{drawn.rows[2]}'] [data-decision=label]:nth-child(12)")
    labels = {entry["row"]: entry["label"] for entry in tab.evaluate("decisions()")}
    assert [labels[row] for row in drawn.rows[:3].tolist()] == [names[0], names[8], names[11]]
    tab.goto(with_data(page_file, tmp_path / "b.html", classes=["only"]).as_uri())
    assert tab.inner_text(".card .buttons").split("\n") == ["1 only", NONE, "skip"]
    assert tab.failures == []


def test_a_row_of_which_nothing_is_to_be_seen_has_its_number(tab, est, drawn, tmp_path):
    places = pd.Series(GIVEN, index=[f"id {i}" for i in range(120)])
    review_page(est, X, places, tmp_path / "a.html", sample=drawn)
    tab.goto((tmp_path / "a.html").as_uri())
    row = drawn.rows[0]
    assert tab.inner_text(".card .head") == f"row {row}, index id {row}"
    press(tab, "1")
    review = apply_review(places, exported(tab, "#csv", tmp_path), sample=drawn)
    assert np.flatnonzero(review.trusted).tolist() == [row]
    assert isinstance(review.sample, AuditSample)
