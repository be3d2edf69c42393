"""The review page: what is written into it, and what a real browser makes of it."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_blobs
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from noisyfit import MILDSelector
from noisyfit.review import apply_review, label_report, review_page
from noisyfit.review._page import _lines, _values, _written

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script> & \"'`\u2028"
NAMES = np.array(["ant", 'b,e"e', "<b>cat</b>"], dtype=object)
X, TRUE = make_blobs(120, 4, centers=3, cluster_std=1.0, random_state=1)
WRONG = np.zeros(120, dtype=bool)
WRONG[np.random.default_rng(0).permutation(120)[:15]] = True
GIVEN = NAMES[np.where(WRONG, (TRUE + 1) % 3, TRUE)]
TEXTS = [f"text {i} {HOSTILE}" for i in range(120)]


@pytest.fixture(scope="module")
def est():
    return MILDSelector(max_epochs=20, random_state=0).fit(X, GIVEN)


@pytest.fixture(scope="module")
def page_file(est, tmp_path_factory):
    path = tmp_path_factory.mktemp("review") / "review.html"
    review_page(est, X, GIVEN, path, texts=TEXTS, names=["a", "b", HOSTILE, "d"])
    return path


def data_of(path):
    html = path.read_text(encoding="utf-8")
    (content,) = re.findall(
        r'<script id="data" type="application/json">(.*?)</script>', html, re.DOTALL
    )
    return json.loads(content)


def test_what_is_written_is_the_report(est, page_file):
    data, report = data_of(page_file), label_report(est, X, GIVEN)
    assert [row["row"] for row in data["rows"]] == report.row.tolist()
    assert [data["classes"][row["given"]] for row in data["rows"]] == report.given.tolist()
    assert [data["classes"][row["suggested"]] for row in data["rows"]] == report.suggested.tolist()
    assert [row["text"] for row in data["rows"]] == [TEXTS[i] for i in report.row]
    first = data["rows"][0]
    assert first["values"] == [f"{value:.6g}" for value in X[first["row"]]]
    assert sum(n for *_, n in data["pairs"]) == 120
    for row in data["rows"]:
        assert data["pairs"][row["pair"]][:2] == [row["given"], row["suggested"]]


def test_nothing_of_the_data_can_end_the_script(page_file):
    html = page_file.read_text(encoding="utf-8")
    assert html.count("</script>") == 2
    assert "onerror=alert" in html
    assert "<img src=x" not in html
    assert "__DATA__" not in html
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", html)


def test_only_the_most_suspicious_rows_are_written(est, tmp_path):
    review_page(est, X, GIVEN, tmp_path / "a.html", max_rows=7)
    data = data_of(tmp_path / "a.html")
    assert [row["rank"] for row in data["rows"]] == list(range(1, 8))
    assert "7 of 120" in data["title"]


def test_the_table_as_it_was_is_shown(est, tmp_path):
    raw = pd.DataFrame({"where": ["nörth"] * 120, "age": [np.nan] * 119 + [3.5]})
    review_page(est, X, GIVEN, tmp_path / "a.html", table=raw)
    data = data_of(tmp_path / "a.html")
    assert data["names"] == ["where", "age"]
    for row in data["rows"]:
        assert row["values"] == ["nörth", "3.5" if row["row"] == 119 else ""]
    with pytest.raises(ValueError, match=r"table must have 120 entries\. Got 5"):
        review_page(est, X, GIVEN, tmp_path / "a.html", table=raw[:5])
    with pytest.raises(ValueError, match="For a data frame pass table="):
        review_page(est, X, GIVEN, tmp_path / "a.html", texts=raw)


def test_of_a_pipeline_what_came_before_its_first_step_is_shown(tmp_path):
    raw = pd.DataFrame({"x": X[:, 0], "y": X[:, 1], "word": GIVEN}, index=np.arange(120)[::-1])
    make = make_column_transformer((StandardScaler(), ["x", "y"])).set_output(transform="pandas")
    quick = MILDSelector(max_epochs=3, rounds=1, judge_epochs=0, random_state=0)
    pipeline = make_pipeline(make, quick).fit(raw, GIVEN)
    review_page(pipeline, raw, GIVEN, tmp_path / "a.html", max_rows=2)
    data, report = data_of(tmp_path / "a.html"), label_report(pipeline, raw, GIVEN)
    assert data["names"] == ["x", "y", "word"]
    first = report.iloc[0]
    assert data["rows"][0]["values"][2] == raw["word"].iloc[first.row]
    assert data["rows"][0]["index"] == str(first["index"]) == str(119 - first.row)
    est, rows = pipeline[-1], pipeline[:-1].transform(raw)
    pd.testing.assert_frame_equal(report, label_report(est, rows, pd.Series(GIVEN, raw.index)))
    decision = {"row": 3, "decision": "keep", "data_set": data["data_set"]}
    assert apply_review(GIVEN, [decision], est=pipeline).trusted[3]
    with pytest.raises(ValueError, match=r"not what est was fitted on: row \d+ differs"):
        review_page(pipeline, raw[::-1], GIVEN, tmp_path / "a.html")
    array = make_pipeline(make.set_output(transform="default"), quick).fit(raw, GIVEN)
    with pytest.raises(ValueError, match=r"numbers in the columns \['word'\].*whole pipeline"):
        review_page(array[-1], raw, GIVEN, tmp_path / "a.html")


@pytest.mark.parametrize("container", [list, np.array, pd.Series])
def test_of_a_pipeline_of_texts_the_texts_are_shown(container, tmp_path):
    texts = container([f"{name} {i % 5}" for i, name in enumerate(TRUE)])
    quick = MILDSelector(max_epochs=2, rounds=1, judge_epochs=0, random_state=0)
    pipeline = make_pipeline(TfidfVectorizer(token_pattern=r"\d"), quick).fit(texts, GIVEN)
    review_page(pipeline, texts, GIVEN, tmp_path / "a.html", max_rows=1)
    (row,) = data_of(tmp_path / "a.html")["rows"]
    assert row["text"] == texts[row["row"]]
    assert "values" not in row


def test_columns_of_a_frame_are_shown_with_their_names(tmp_path):
    frame = pd.DataFrame({"height": X[:, 0], "width": X[:, 1]}, index=np.arange(120)[::-1])
    est = MILDSelector(max_epochs=3, rounds=1, random_state=0).fit(frame, GIVEN)
    review_page(est, frame, GIVEN, tmp_path / "a.html", texts=pd.Series(TEXTS, index=frame.index))
    data = data_of(tmp_path / "a.html")
    row = data["rows"][0]
    assert data["names"] == ["height", "width"]
    assert row["values"] == [f"{X[row['row'], 0]:.6g}", f"{X[row['row'], 1]:.6g}"]
    assert row["text"] == TEXTS[row["row"]]


def test_sparse_rows_are_shown_dense(tmp_path):
    rows = sparse.csr_array(np.maximum(X, 0))
    est = MILDSelector(max_epochs=3, rounds=1, random_state=0).fit(rows, GIVEN)
    review_page(est, rows, GIVEN, tmp_path / "a.html", names=list("abcd"))
    row = data_of(tmp_path / "a.html")["rows"][0]
    assert row["values"] == [f"{max(value, 0):.6g}" for value in X[row["row"]]]


def decoded(uri, kind="png"):
    import base64
    import io

    assert uri.startswith(f"data:image/{kind};base64,")
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


@pytest.mark.parametrize("kind", ["uint8", "float", "gray", "PIL", "RGBA", "large"])
def test_images_are_written_as_they_are(est, kind, tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(120, 3, 5, 6), dtype=np.uint8)
    images = {
        "uint8": lambda: pixels,
        "float": lambda: pixels / 255.0,
        "gray": lambda: pixels[:, 0],
        "PIL": lambda: [Image.fromarray(p.transpose(1, 2, 0)) for p in pixels],
        "RGBA": lambda: [Image.fromarray(p.transpose(1, 2, 0)).convert("RGBA") for p in pixels],
        "large": lambda: np.zeros((120, 1, 700, 350), dtype=np.uint8),
    }[kind]()
    review_page(est, X, GIVEN, tmp_path / "a.html", images=images, max_rows=3)
    row = data_of(tmp_path / "a.html")["rows"][0]
    shown = decoded(row["image"], "jpeg" if kind == "large" else "png")
    if kind == "large":
        assert shown.size == (96, 192)
        return
    assert shown.size == (6, 5)
    expected = pixels[row["row"]]
    if kind == "gray":
        np.testing.assert_array_equal(np.asarray(shown), expected[0])
    elif kind != "float":
        np.testing.assert_array_equal(np.asarray(shown), expected.transpose(1, 2, 0))


def test_images_that_were_fitted_are_shown_without_being_asked_for(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(60, 1, 8, 8), dtype=np.uint8)
    est = MILDSelector(max_epochs=2, rounds=1, module__width=4, random_state=0)
    est.fit(pixels, GIVEN[:60])
    review_page(est, pixels, GIVEN[:60], tmp_path / "a.html")
    row = data_of(tmp_path / "a.html")["rows"][0]
    np.testing.assert_array_equal(np.asarray(decoded(row["image"])), pixels[row["row"], 0])


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"texts": TEXTS[:-1]}, "texts must have 120 entries. Got 119"),
        ({"names": ["a"]}, "names must have 4 entries. Got 1"),
        ({"images": np.zeros((3, 2, 2))}, "images must have 120 entries. Got 3"),
        ({"images": np.zeros((120, 4, 2, 2))}, r"one or three channels. Got \(4, 2, 2\)"),
    ],
)
def test_what_does_not_fit_is_named(est, extra, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        review_page(est, X, GIVEN, tmp_path / "a.html", **extra)
    assert not (tmp_path / "a.html").exists()


def test_a_file_of_something_else_is_not_replaced(est, page_file, tmp_path):
    path = tmp_path / "report.html"
    for other in ("<!DOCTYPE html>\n<title>Mine</title>", "notes on noisyfit-review-pages"):
        path.write_text(other)
        with pytest.raises(
            FileExistsError, match=r"report\.html' is a file of \d+ bytes that nois"
        ):
            review_page(est, X, GIVEN, path)
        assert path.read_text() == other
    path.write_bytes(page_file.read_bytes())
    review_page(est, X, GIVEN, path, max_rows=3)
    assert len(data_of(path)["rows"]) == 3
    with pytest.raises(FileExistsError, match="is a folder"):
        review_page(est, X, GIVEN, tmp_path)


# In a browser


def cards(tab):
    return [int(card.get_attribute("data-row")) for card in tab.query_selector_all(".card")]


def exported(tab, button, folder):
    with tab.expect_download() as download:
        tab.click(button)
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_what_the_data_hold_is_shown_as_text(tab, page_file):
    tab.goto(page_file.as_uri())
    rows = [row["row"] for row in data_of(page_file)["rows"]]
    assert cards(tab) == rows[:25]
    text = tab.inner_text(f".card[data-row='{rows[0]}'] .content")
    assert "<img src=x onerror=alert(1)></script><script>alert(2)</script> &" in text
    assert tab.query_selector("main img") is None
    assert tab.failures == []
    assert all(url.startswith("file:") for url in tab.requested)


def test_decisions_by_keyboard_come_back_as_labels(tab, page_file, tmp_path):
    tab.goto(page_file.as_uri())
    rows = cards(tab)
    for key in ("r", "k", "d", "s", "d", "ArrowUp", "u"):
        tab.keyboard.press(key)
    tab.select_option(f".card[data-row='{rows[5]}'] select", label="ant")
    assert tab.inner_text("#count").startswith("5 of 120")
    suggested = {row["row"]: row["suggested"] for row in data_of(page_file)["rows"]}
    expected = GIVEN.copy()
    expected[rows[0]], expected[rows[5]] = NAMES[suggested_name(page_file, rows[0])], "ant"
    for button in ("#csv", "#json"):
        review = apply_review(GIVEN, exported(tab, button, tmp_path))
        assert review.labels.tolist() == expected.tolist()
        assert np.flatnonzero(~review.kept).tolist() == [rows[2]]
        assert sorted(np.flatnonzero(review.trusted)) == sorted([rows[0], rows[1], rows[5]])
    assert suggested[rows[0]] is not None
    assert tab.failures == []


@pytest.mark.parametrize("button", ["#csv", "#json"])
def test_decisions_are_exported_with_what_they_were_made_on(tab, est, tmp_path, button):
    """Index, given label and data set; other labels, and the page of another data set, refuse."""
    places = [f"nr, {i}" for i in range(120)][::-1]
    given = pd.Series(GIVEN, index=places)
    review_page(est, X, given, tmp_path / "a.html")
    tab.goto((tmp_path / "a.html").as_uri())
    rows = cards(tab)
    assert f"row {rows[0]}, index {places[rows[0]]}, noise" in tab.inner_text(".card .head")
    for key in "krds":
        tab.keyboard.press(key)
    path = exported(tab, button, tmp_path)
    read = (
        json.loads(path.read_text()) if button == "#json" else pd.read_csv(path).to_dict("records")
    )
    assert [entry["row"] for entry in read] == sorted(rows[:4])
    for entry in read:
        assert entry["index"] == places[entry["row"]]
        assert entry["given"] == GIVEN[entry["row"]]
        assert entry["data_set"] == data_of(tmp_path / "a.html")["data_set"]
    assert apply_review(given, path, est=est).trusted.sum() == 2
    assert apply_review(GIVEN, pd.DataFrame(read)).trusted.sum() == 2
    with pytest.raises(ValueError, match="decisions were made on another label or row"):
        apply_review(np.roll(given, 1), path)
    fewer = MILDSelector(max_epochs=2, rounds=1, random_state=0).fit(X[:119], GIVEN[:119])
    review_page(fewer, X[:119], GIVEN[:119], tmp_path / "b.html")
    tab.goto((tmp_path / "b.html").as_uri())
    tab.set_input_files("#file", path)
    tab.locator("#status", has_text="0 decisions taken").wait_for()
    assert "4 do not belong to this page" in tab.inner_text("#status")
    assert tab.failures == []


def test_decisions_made_by_hand_are_taken_where_their_label_fits(tab, page_file, tmp_path):
    tab.goto(page_file.as_uri())
    entries = [
        {"row": 0, "decision": "keep", "given": GIVEN[0]},
        {"row": 1, "decision": "keep"},
        {"row": 2, "decision": "keep", "given": "dog"},
    ]
    (tmp_path / "mine.json").write_text(json.dumps(entries))
    tab.set_input_files("#file", tmp_path / "mine.json")
    tab.locator("#status", has_text="2 decisions taken").wait_for()
    assert "1 do not belong to this page" in tab.inner_text("#status")


def suggested_name(path, row):
    data = data_of(path)
    (entry,) = (entry for entry in data["rows"] if entry["row"] == row)
    return NAMES.tolist().index(data["classes"][entry["suggested"]])


@pytest.mark.parametrize("button", ["#csv", "#json"])
def test_decisions_are_taken_up_again(tab, browser, page_file, tmp_path, button):
    tab.goto(page_file.as_uri())
    rows = cards(tab)
    for label in NAMES:
        tab.select_option(
            f".card[data-row='{rows[NAMES.tolist().index(label)]}'] select", label=label
        )
    tab.click(f".card[data-row='{rows[3]}'] [data-decision=drop]")
    path = exported(tab, button, tmp_path)
    other = browser.new_context().new_page()  # another browser's memory
    other.goto(page_file.as_uri())
    assert other.inner_text("#count").startswith("0 of 120")
    other.set_input_files("#file", path)
    other.locator("#count", has_text="4 of 120").wait_for()
    assert "4 decisions taken" in other.inner_text("#status")
    assert other.query_selector(f".card[data-row='{rows[3]}'].drop")
    assert other.evaluate("JSON.stringify(decisions())") == tab.evaluate(
        "JSON.stringify(decisions())"
    )
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    other.set_input_files("#file", broken)
    other.locator("#status", has_text="could not be read").wait_for()
    assert other.inner_text("#count").startswith("4 of 120")
    other.context.close()


def test_the_browser_remembers(tab, page_file):
    tab.goto(page_file.as_uri())
    tab.keyboard.press("k")
    tab.reload()
    assert tab.inner_text("#count").startswith("1 of 120")


def test_filters(tab, page_file):
    tab.goto(page_file.as_uri())
    data = data_of(page_file)
    tab.select_option("#pair", "0")
    of_pair = [row["row"] for row in data["rows"] if row["pair"] == 0]
    assert cards(tab) == of_pair[:25]
    tab.select_option("#pair", "")
    tab.fill("#score", "0.5")
    assert cards(tab) == [row["row"] for row in data["rows"] if row["score"] >= 0.5][:25]
    tab.fill("#score", "0")
    tab.keyboard.press("Escape")
    tab.click("#title")
    tab.keyboard.press("k")
    tab.check("#open")
    assert data["rows"][0]["row"] not in cards(tab)
    tab.click("#next")
    assert cards(tab) == [row["row"] for row in data["rows"]][26:51]


def test_ten_thousand_rows_do_not_lag(tab, page_file, tmp_path):
    data = data_of(page_file)
    row = data["rows"][0]
    data["rows"] = [{**row, "row": i, "rank": i + 1} for i in range(10_000)]
    html = page_file.read_text(encoding="utf-8")
    start, end = html.index('json">') + 6, html.index("</script>")
    content = json.dumps(data).replace("<", "\\u003c")
    (tmp_path / "large.html").write_text(html[:start] + content + html[end:], encoding="utf-8")
    tab.goto((tmp_path / "large.html").as_uri())
    assert len(cards(tab)) == 25
    timed = "(f) => { const t = performance.now(); f(); return performance.now() - t; }"
    seconds = [
        min(tab.evaluate(f"() => ({timed})({action})") for _ in range(5)) / 1000
        for action in ("filter", "() => turn(1)", "() => decide(shown[current], 'keep', '', true)")
    ]
    assert max(seconds) < 0.1
    assert tab.failures == []


def test_a_row_of_a_pyarrow_table_is_no_column():
    pyarrow = pytest.importorskip("pyarrow")
    values = np.arange(12).reshape(4, 3)
    table = pyarrow.table({name: values[:, i] for i, name in enumerate("abc")})
    assert list(_values(table, 3)) == [9, 10, 11]


def test_a_column_may_be_called_row():
    table = pd.DataFrame({"row": [5, 6], "b": [7, 8]}, index=[1, 0])
    assert _lines(table, np.array([1])) == [(6, 8)]


def test_values_are_written_as_a_person_would():
    day = pd.Timestamp("2024-02-29")
    table = pd.DataFrame(
        {
            "id": [1234567, 7],
            "price": [123456.75, np.nan],
            "share": [1 / 3, 0.5],
            "day": [day, pd.NaT],
            "time": [day + pd.Timedelta("90min"), day],
            "text": [None, "a"],
        }
    )
    first, second = ([_written(v) for v in line] for line in _lines(table, np.array([0, 1])))
    assert first == ["1234567", "123456.75", "0.333333", "2024-02-29", "2024-02-29 01:30:00", ""]
    assert second == ["7", "", "0.5", "", "2024-02-29", "a"]
