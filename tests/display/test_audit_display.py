"""Pictures of an audit: the numbers in them, by hand and as the audit has them."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from noisyfit import MILDSelector
from noisyfit.audit import Audit, sample
from noisyfit.display import AuditDisplay
from noisyfit.label_quality import aggregate_votes, expected_errors_found

KINDS = ("review", "reliability")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def audit():
    rng = np.random.default_rng(0)
    scores = rng.random(2000)
    is_wrong = rng.random(2000) < scores**3  # the scores are far too high
    drawn = sample(scores, 300, random_state=0)
    return Audit(scores, None, is_wrong[drawn.rows], drawn)


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_review_by_hand():
    audit = Audit([0.1, 0.9, 0.2, 0.8], None, [True, True, False, False], rows=range(4))
    display = AuditDisplay.from_audit(audit)
    assert display.kind == "review"
    assert display.x.tolist() == [0, 1, 2, 3, 4]
    for values in (display.share, display.low, display.high):  # all is verified: no width
        assert values.tolist() == [0, 0.5, 0.5, 0.5, 1]
    np.testing.assert_allclose(display.line_y, [0, 0.45, 0.85, 0.95, 1])


def test_bins_by_hand():
    scores = np.repeat([0.1, 0.3, 0.5, 0.7, 0.9], 2)
    wrong = [False, False, True, False, False, False, True, True, False, True]
    display = AuditDisplay.from_audit(Audit(scores, None, wrong, rows=range(10)), kind=KINDS[1])
    np.testing.assert_allclose(display.x, [0.1, 0.3, 0.5, 0.7, 0.9])
    for values in (display.share, display.low, display.high):
        assert values.tolist() == [0, 0.5, 0, 1, 0.5]
    assert len(display.line_x) == len(display.line_y) == 0  # every row is known


def test_bins_without_a_verified_row_join_the_one_below():
    scores = np.repeat([0.1, 0.3, 0.5, 0.7, 0.9], 4)
    audit = Audit(scores, None, [True, False, True, False], rows=[4, 5, 12, 13])
    display = AuditDisplay.from_audit(audit, kind="reliability")
    np.testing.assert_allclose(display.x, [np.mean([0.1, 0.3, 0.5]), np.mean([0.7, 0.9])])
    assert display.share.tolist() == [0.5, 0.5]
    assert ((display.low <= 0.5) & (display.high >= 0.5)).all()
    assert (display.low >= 1 / 12).tolist()[0]  # one of twelve was found wrong


def test_a_review_is_the_curve_of_the_audit_beside_that_of_the_scores(audit):
    display = AuditDisplay.from_audit(audit)
    curve = audit.review_curve()
    for mine, its in zip((display.x, display.share, display.low, display.high), curve, strict=True):
        np.testing.assert_array_equal(mine, its)
    np.testing.assert_allclose(display.line_y, expected_errors_found(audit.scores)[display.x])
    by_audit, by_scores = display.ax_.lines
    np.testing.assert_array_equal(by_audit.get_xydata(), np.c_[curve.rows, curve.found])
    np.testing.assert_array_equal(by_scores.get_ydata(), display.line_y)
    (band,) = display.ax_.collections
    for row, low, high in zip(curve.rows[::50], curve.low[::50], curve.high[::50], strict=True):
        corners = band.get_paths()[0].vertices
        at = corners[corners[:, 0] == row, 1]
        assert (at.min(), at.max()) == (low, high)
    assert labels(display.ax_) == ["verified labels, 95 % interval", "scores alone"]


def test_reliability_is_that_of_the_rows(audit):
    display = AuditDisplay.from_audit(audit, kind="reliability")
    fifths = np.array_split(np.sort(audit.scores), 5)
    np.testing.assert_allclose(display.x, [part.mean() for part in fifths])
    bins = np.searchsorted([part[-1] for part in fifths[:-1]], audit.scores)
    shares = [audit.by(bins)[k] for k in range(5)]
    np.testing.assert_array_equal(np.c_[display.share, display.low, display.high], shares)
    # The scores are probabilities after the third power, and recalibration comes near to it.
    assert (display.share < display.x).all()
    assert abs(display.line_y - display.line_x**3).max() < 0.12
    assert (np.diff(display.line_x) > 0).all()
    assert (np.diff(display.line_y) >= 0).all()
    assert len(display.line_x) == 201
    (bars,) = display.ax_.collections
    ends = np.array([bar[:, 1] for bar in bars.get_segments()])
    np.testing.assert_allclose(ends, np.c_[display.low, display.high])
    assert labels(display.ax_)[0] == "probabilities"


def test_rows_that_votes_leave_open_are_not_in_the_recalibrated_line():
    rng = np.random.default_rng(0)
    scores, y = np.linspace(0.01, 0.99, 200), np.repeat([0, 1], 100)
    rows = rng.permutation(200)[:60]
    votes = np.where(rng.random((60, 4)) < 0.3, 1 - y[rows][:, None], y[rows][:, None])
    votes[:, 3] = y[rows]
    voted = aggregate_votes(votes, "dawid_skene")
    assert ((voted.confidence > 0.5) & (voted.confidence < 1)).any()
    audit = Audit(scores, y, voted, rows=rows)
    display = AuditDisplay.from_audit(audit, kind="reliability")
    np.testing.assert_array_equal(audit.rows, np.sort(rows))
    np.testing.assert_array_equal(display.line_x, np.delete(scores, rows))
    assert (np.diff(display.line_y) >= 0).all()


def test_rows_that_could_not_be_drawn_are_not_in_it():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 4)).astype(np.float32), rng.integers(0, 2, 200)
    trusted = np.arange(200) < 50
    est = MILDSelector(max_epochs=3, judge_epochs=0, rounds=1, random_state=0)
    est.fit(X, y, trusted=trusted)
    drawn = sample(est, 60, random_state=0)
    audit = Audit(est, y, y[drawn.rows] ^ (rng.random(60) < 0.3), drawn)
    np.testing.assert_array_equal(np.isnan(audit.scores), trusted)
    np.testing.assert_array_equal(audit.scores[~trusted], est.noise_scores_[~trusted])
    display = AuditDisplay.from_audit(audit)
    assert display.x[-1] == 150
    reliability = AuditDisplay.from_audit(audit, kind="reliability")
    assert reliability.x.min() >= est.noise_scores_[~trusted].min()
    assert np.isin(reliability.line_x, np.delete(est.noise_scores_, np.r_[:50, drawn.rows])).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("scores", "wrong"),
    [
        (np.full(30, 0.4), [True, False, False]),
        (np.zeros(30), [False, False, False]),
        (np.linspace(0, 1, 30), [False, False, False]),
        (np.linspace(0, 1, 30), [True, True, True]),
    ],
    ids=["constant", "nothing to find", "none was wrong", "all were wrong"],
)
def test_audits_that_say_little_are_drawn(kind, scores, wrong):
    audit = Audit(scores, None, wrong, rows=[3, 12, 25])
    display = AuditDisplay.from_audit(audit, kind=kind)
    display.figure_.canvas.draw()
    known = ~np.isnan(display.share)
    assert (display.low[known] <= display.share[known]).all()
    assert (display.share[known] <= display.high[known]).all()
    assert known.any() or (kind == "review" and not any(wrong))


@pytest.mark.parametrize("kind", KINDS)
def test_it_draws_where_it_is_told_and_again(audit, kind):
    _, (left, right) = plt.subplots(1, 2)
    display = AuditDisplay.from_audit(audit, kind=kind, ax=left)
    assert display.ax_ is left
    assert not right.lines
    assert display.plot(right).ax_ is right
    assert len(right.lines) == len(left.lines) > 0


def test_what_cannot_be_drawn_is_refused(audit):
    with pytest.raises(TypeError, match=r"noisyfit\.audit\.Audit\. Got ndarray"):
        AuditDisplay.from_audit(audit.scores)
    with pytest.raises(ValueError, match=r"'review' or 'reliability'\. Got 'roc'"):
        AuditDisplay.from_audit(audit, kind="roc")
    with pytest.raises(ValueError, match="Got None"):
        AuditDisplay.from_audit(audit, kind=None)
