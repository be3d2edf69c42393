"""What a summary says first, and what it says of each class."""

import numpy as np
import pytest

from noisyfit.label_quality import count_by_class, doubts_about, summarize
from noisyfit.label_quality._class_counts import describe_classes

CLASSES = np.array(["cat", "dog"])
SCORES = np.r_[np.full(10, 1.0), np.zeros(90)]


def said(doubts=(), **settings):
    return summarize("Est", CLASSES, SCORES, 10, 0, 0.1, [], doubts, **settings).splitlines()


def test_the_verdict_comes_first_and_the_doubts_before_the_counts():
    counts = "Wrong by estimate: about 10 (10.0 %). Rejected: 10."
    title = "Est on 100 labels of 2 classes"
    nothing = "Believe it: nothing speaks against these numbers."
    assert said(interval=(0.05, 0.15))[:2] == [title, nothing]
    unchecked = "Unchecked: no network judged rows that it did not train on. "
    assert said()[:3] == [title, unchecked + "Hard rows may count as wrong.", counts]
    assert not any("Unchecked" in line for line in said(audit=["Verified: 10."]))
    one = [title, "With care: 1 thing speaks against these numbers:", "- A.", counts]
    assert said(["A."])[:4] == one
    two = [title, "With care: 2 things speak against these numbers:", "- A.", "- B.", counts]
    assert said(["A.", "B."])[:5] == two


def test_a_notebook_shows_the_lines_and_everything_else_has_a_string():
    class Printer:  # IPython's, of which only this is asked
        def text(self, text):
            self.shown = text

    text, printer = summarize("M", ["a"], np.zeros(4), 0, 0, 0.0, []), Printer()
    text._repr_pretty_(printer, cycle=False)
    assert printer.shown.splitlines()[0] == "M on 4 labels of 1 classes"
    assert type(printer.shown) is str
    assert (repr(text), text.upper()) == (repr(printer.shown), printer.shown.upper())


def test_an_interval_is_given_in_rows_and_shares():
    assert said(interval=(0.079, 0.2))[2] == (
        "Wrong by estimate: about 10 (10.0 %), between 8 and 20 (7.9 % and 20.0 %). Rejected: 10."
    )


def test_rows_without_a_label_are_no_doubt():
    lines = said(n_unlabeled=1234, interval=(0.05, 0.15))
    assert lines[1].startswith("Believe it")
    assert "Without a label: 1,234 more rows." in lines


def doubts(interval, n_rows=1000):
    given = np.arange(n_rows) % 2
    right = np.zeros(n_rows, dtype=bool)
    return doubts_about(CLASSES, given, right, right, 0.1, None, interval)


@pytest.mark.parametrize(
    ("interval", "n"), [(None, 0), ((0.1, 0.19), 0), ((0.0, 0.1), 0), ((0.1, 0.21), 1)]
)
def test_a_wide_interval_is_a_doubt(interval, n):
    assert len(doubts(interval)) == n


def test_the_doubt_says_how_to_tell_the_ends_apart():
    (doubt,) = doubts((0.079, 0.2))
    assert doubt == (
        "The estimate is uncertain: between 7.9 % and 20.0 % of the labels are wrong. Verify 40 "
        "random rows: at the low end about 3 of them are wrong, at the high end 8."
    )
    (few,) = doubts((0.1, 0.5), n_rows=20)
    assert "Verify 20 random rows: at the low end about 2 of them are wrong, at the high" in few


def test_counts_by_hand():
    given, corrected = np.array([0, 0, 0, 1, 3]), np.array([0, 1, 1, 1, 0])
    rejected = np.array([True, True, True, False, True])  # of row 0 the same label is suggested
    counts = count_by_class(given, rejected, corrected, np.array([0.5, 1, 0.9, 0.1, 0.7]), 4)
    assert list(counts) == [
        *("given", "rejected", "corrected", "share_given", "share_corrected", "mean_noise_score")
    ]
    assert counts["given"].tolist() == [3, 1, 0, 1]
    assert counts["rejected"].tolist() == [3, 0, 0, 1]
    assert counts["corrected"].tolist() == [2, 3, 0, 0]
    np.testing.assert_allclose(counts["share_given"], [0.6, 0.2, 0, 0.2])
    np.testing.assert_allclose(counts["share_corrected"], [0.4, 0.6, 0, 0])
    np.testing.assert_allclose(counts["mean_noise_score"], [0.8, 0.1, np.nan, 0.7])


def test_a_few_classes_are_a_table_with_aligned_columns():
    counts = {
        "given": np.array([1200, 30]),
        "rejected": np.array([400, 11]),
        "corrected": np.array([1211, 19]),
        "mean_noise_score": np.array([0.304, 0.4]),
    }
    assert describe_classes(np.array(["cat", "d" * 50]), counts) == [
        "Labels per class (corrected: as in corrected_labels_):",
        f"  {'class':40}  given  rejected  corrected  mean noise score",
        f"  {'cat':40}  1,200       400      1,211              0.30",
        f"  {'d' * 40}     30        11         19              0.40",
        "More than a third of the given labels was rejected of: " + "d" * 40,
    ]
    assert said(counts=counts)[-4:-2] == describe_classes(CLASSES, counts)[-4:-2]


def many(rejected):
    """Return names and counts of classes of 100 rows each."""
    n = len(rejected)
    counts = {
        "given": np.full(n, 100),
        "rejected": np.array(rejected),
        "corrected": 112 - np.array(rejected),
        "mean_noise_score": np.zeros(n),
    }
    return np.array([f"c{i}" for i in range(n)]), counts


def test_of_many_classes_those_are_named_that_lost_most():
    assert describe_classes(*many([33] * 13)) == []
    assert describe_classes(*many([0, 40, 0, 34, 90] + [33] * 8)) == [
        "More than a third of the given labels was rejected of 3 classes:",
        "  c4: 90 of 100 given labels rejected, 22 after correction",
        "  c1: 40 of 100 given labels rejected, 72 after correction",
        "  c3: 34 of 100 given labels rejected, 78 after correction",
    ]
    (heading, *lines) = describe_classes(*many(range(40, 60)))
    assert heading.endswith("was rejected of 20 classes, the worst 10:")
    assert [line.split(":")[0] for line in lines] == [f"  c{i}" for i in range(19, 9, -1)]
    assert describe_classes(*many([0] * 12 + [50]))[0].endswith("rejected of 1 class:")
    assert len(describe_classes(*many([0] * 12))) == 2 + 12
