"""What an audit changes: scores, the labels of the next fit, and an estimator."""

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_audit import TRUTH
from test_sampling import SCORES, estimator

from noisyfit import MILDSelector, load
from noisyfit.audit import Audit, sample
from noisyfit.label_quality import review_length
from noisyfit.metrics import expected_calibration_error
from noisyfit.review import label_report

DRAWN = sample(SCORES, 300, random_state=0)


def audit_of(scores, n=300, seed=0):
    drawn = sample(scores, n, random_state=seed)
    return Audit(scores, None, TRUTH[drawn.rows], drawn)


def test_the_map_is_the_penalised_logistic_regression():
    scores = expit(0.3 * logit(SCORES))
    audit = audit_of(scores)
    design = audit._design
    features = np.stack([logit(np.clip(scores, 1e-4, 1 - 1e-4)), scores], axis=1)
    weights = design.weights / design.weights.mean()
    centre = np.average(features[design.rows], axis=0, weights=weights)
    spread = np.sqrt(np.average((features[design.rows] - centre) ** 2, axis=0, weights=weights))
    U = (features - centre) / spread
    free = LogisticRegression(C=10, tol=1e-8, max_iter=1000)
    free.fit(U[design.rows], design.wrong, sample_weight=weights)
    assert (free.coef_ >= 0).all(), "else the bounds would matter"
    unseen = np.setdiff1d(np.arange(len(SCORES)), design.rows)
    # scikit-learn leaves the intercept alone, for which the penalty here is next to nothing.
    expected = free.predict_proba(U[unseen])[:, 1]
    np.testing.assert_allclose(audit.recalibrated_scores()[unseen], expected, atol=2e-3)


def uneven(n=2_000, n_classes=4, of_first=0.9, seed=0):
    """Return given labels, which are wrong, and scores; of the first class most are."""
    rng = np.random.default_rng(seed)
    given = rng.integers(n_classes, size=n)
    wrong = rng.random(n) < np.where(given == 0, of_first, 0.1)
    return given, wrong, np.clip(rng.beta(2, 5, n) + 0.2 * wrong, 0, 1)


def test_a_class_has_an_effect_of_its_own_by_the_penalised_logistic_regression():
    given, wrong, scores = uneven()
    scores = expit(0.3 * logit(scores))
    drawn = sample(scores, 400, random_state=0)
    audit = Audit(scores, given, wrong[drawn.rows], drawn)
    design, unseen = audit._design, np.setdiff1d(np.arange(len(given)), drawn.rows)
    features = np.stack([logit(np.clip(scores, 1e-4, 1 - 1e-4)), scores], axis=1)
    weights = design.weights / design.weights.mean()
    centre = np.average(features[design.rows], axis=0, weights=weights)
    spread = np.sqrt(np.average((features[design.rows] - centre) ** 2, axis=0, weights=weights))
    # A column in other units has another penalty: 3 for a class, .1 for a score.
    U = np.c_[(features - centre) / spread, np.sqrt(0.1 / 3) * np.eye(4)[given]]
    free = LogisticRegression(C=10, tol=1e-8, max_iter=5000)
    free.fit(U[design.rows], design.wrong, sample_weight=weights)
    assert (free.coef_[0, :2] >= 0).all(), "else the bounds would matter"
    better = audit.recalibrated_scores()
    np.testing.assert_allclose(better[unseen], free.predict_proba(U[unseen])[:, 1], atol=5e-3)
    for c in range(4):
        of_class = unseen[given[unseen] == c]
        order = of_class[np.argsort(scores[of_class])]
        assert (np.diff(better[order]) >= 0).all(), "the order of a class stays"


def test_verified_rows_tell_classes_apart_where_scores_tell_nothing():
    """A class of 2 % to which a fifth of the rows is assigned by mistake: all scores are 0."""
    rng = np.random.default_rng(0)
    right = (rng.random(3_000) < 0.02).astype(int)
    given = np.where(rng.random(3_000) < 0.2, 1 - right, right)
    scores = np.zeros(3_000)
    drawn = sample(scores, 200, random_state=0)
    audit = Audit(scores, given, right[drawn.rows], drawn)
    better, unseen = audit.recalibrated_scores(), np.setdiff1d(np.arange(3_000), drawn.rows)
    means = [better[unseen][given[unseen] == c].mean() for c in (0, 1)]
    assert means[0] < 0.1
    assert means[1] > 0.6
    error = audit.calibration_error()
    assert error.after < 0.1


@pytest.mark.parametrize("unpredicted", [False, True])
def test_what_is_said_of_the_rejected_holds_where_classes_count(unpredicted):
    """Verified rows of a class that is kept in part, or whole, stand for such rows."""
    held = []
    for seed in range(40):
        given, wrong, scores = uneven(3_000, seed=seed)
        scores = np.where(given == 0, 0.2 * scores, scores)
        hard = given == 0 if unpredicted else None
        est = SimpleNamespace(min_share_of_class=0.1, _unpredicted=hard)
        drawn = sample(scores, 300, random_state=seed)
        audit = Audit(scores, given, wrong[drawn.rows], drawn)
        rejected = audit._rejected(audit.recalibrated_scores(), est)
        precision, recall = audit._of_rejected(rejected, audit._as_if_unseen(), est)
        right = wrong[rejected].mean(), wrong[rejected].sum() / wrong.sum()
        held += [[e.low <= t <= e.high for e, t in zip((precision, recall), right, strict=True)]]
    assert (np.mean(held, axis=0) >= 0.9).all()


@pytest.mark.parametrize("n", [2, 3, 12])
def test_few_verified_rows_of_known_labels(n):
    y = np.array(list("ab") * 10)
    audit = Audit(np.linspace(0, 1, 20), y, np.arange(n) % 2 == 1, rows=np.arange(n))
    assert np.isfinite(audit.recalibrated_scores()).all()
    assert np.isfinite(audit.calibration_error()).all()


def test_classes_in_turn_are_not_dealt_to_folds_of_their_own():
    y = np.tile(list("abcde"), 100)
    audit = Audit(np.full(500, 0.3), y, y == "a", rows=np.arange(500))
    assert audit.calibration_error().after < 0.08


def test_classes_that_tell_nothing_cost_next_to_nothing():
    losses = []
    for seed in range(20):
        given, wrong, scores = uneven(of_first=0.1, seed=seed)
        drawn = sample(scores, 200, random_state=seed)
        unseen = np.setdiff1d(np.arange(len(given)), drawn.rows)
        audits = (Audit(scores, y, wrong[drawn.rows], drawn) for y in (None, given))
        alone, better = (audit.recalibrated_scores()[unseen] for audit in audits)
        losses.append([log_loss(wrong[unseen], p) for p in (alone, better)])
    alone, better = np.mean(losses, axis=0)
    assert better < 1.01 * alone
    assert np.equal(*np.transpose(losses)).sum() >= 8, "mostly they are left out"


@pytest.mark.parametrize("change", ["too sure", "too unsure", "too high", "turned round"])
def test_bad_scores_become_probabilities(change):
    odds = logit(SCORES)
    turned = {
        "too sure": expit(4 * odds),
        "too unsure": expit(0.2 * odds),
        "too high": expit(odds + 2),
        "turned round": 1 - SCORES,
    }
    scores = turned[change]
    audit = audit_of(scores)
    better = audit.recalibrated_scores()
    before, after = (expected_calibration_error(TRUTH, s) for s in (scores, better))
    assert after < min(before / 2, 0.06)
    unseen = np.setdiff1d(np.arange(len(SCORES)), audit._design.rows)
    order = unseen[np.argsort(scores[unseen])]
    assert (np.diff(better[order]) >= 0).all(), "the order stays"
    error = audit.calibration_error()
    assert error.before == pytest.approx(before, abs=0.06)
    assert error.after < error.before - 0.02


def test_verified_rows_have_what_was_found_and_others_what_they_had():
    audit = audit_of(SCORES)
    rows = audit._design.rows
    assert (audit.recalibrated_scores()[rows] == TRUTH[rows]).all()
    X, y = np.tile(np.eye(2), (20, 1)), np.array([0, 1] * 20)
    trusted = np.arange(40) < 4
    est = MILDSelector(max_epochs=2, judge_epochs=0, random_state=0).fit(X, y, trusted=trusted)
    drawn = sample(est, 10, random_state=0)
    scores = Audit(est, y, y[drawn.rows], drawn).recalibrated_scores()
    assert (scores[trusted] == est.noise_scores_[trusted]).all()


def test_calibration_is_measured_on_rows_that_the_map_has_not_seen():
    # Scores that tell nothing: in sample a map would seem to know something of each row.
    noise = np.random.default_rng(0).random(len(SCORES))
    errors = [audit_of(noise, 60, seed).calibration_error() for seed in range(30)]
    after, chance = np.mean([(e.after, e.by_chance) for e in errors], axis=0)
    assert after == pytest.approx(chance, rel=0.5)


@pytest.mark.parametrize("scores", [np.full(300, 0.3), np.repeat([0.0, 1.0], 150)])
@pytest.mark.parametrize("wrong", [np.zeros(300, bool), np.ones(300, bool), np.arange(300) > 200])
def test_extreme_scores_and_findings_leave_probabilities(scores, wrong):
    drawn = sample(scores, 40, random_state=0)
    audit = Audit(scores, None, wrong[drawn.rows], drawn)
    better = audit.recalibrated_scores()
    assert np.isfinite(better).all()
    assert better.min() >= 0
    assert better.max() <= 1
    assert np.isfinite(audit.calibration_error()).all()


def test_labels_of_the_next_fit():
    y = np.array(["a", "b", "a", "b"])
    audit = Audit([0.1, 0.9, 0.2, 0.8], y, ["a", "a", "a"], rows=[0, 1, 2])
    assert audit.labels.tolist() == ["a", "a", "a", "b"]
    assert audit.trusted.tolist() == [True, True, True, False]
    assert audit.kept.all()
    assert y.tolist() == ["a", "b", "a", "b"], "the given labels are left alone"


def test_a_wrong_label_without_a_right_one_is_left_out_of_the_next_fit():
    audit = Audit([0.1, 0.9, 0.2, 0.8], ["a", "b", "a", "b"], [False, True], rows=[0, 1])
    assert audit.trusted.tolist() == [True, False, False, False]
    assert audit.kept.tolist() == [True, False, True, True]
    assert audit.labels.tolist() == ["a", "b", "a", "b"]
    with pytest.raises(AttributeError, match="as y"):
        _ = Audit([0.1, 0.9], None, [True, False], rows=[0, 1]).labels


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 300)
    X = np.eye(3)[true] * 4 + rng.normal(size=(300, 3))
    given = np.where(rng.random(300) < 0.3, (true + 1) % 3, true)
    names = np.array(["ant", "bee", "cat"])
    est = MILDSelector(max_epochs=10, judge_epochs=5, random_state=0).fit(X, names[given])
    return est, X, names[given], names[true]


@pytest.fixture(scope="module")
def audited(fitted):
    est, _, given, true = fitted
    drawn = sample(est, 80, random_state=0)
    audit = Audit(est, given, true[drawn.rows], drawn)
    return audit.apply(est), audit


def test_verified_rows_decide_what_is_replaced(fitted, audited):
    (est, _, given, true), (after, audit) = fitted, audited
    unsure = copy.copy(est)  # as if the interval went down to nothing: no label is replaced
    unsure._relabeled = np.zeros(300, dtype=bool)
    assert (unsure.corrected_labels_ == given).all()
    corrected = audit.apply(unsure).corrected_labels_
    assert (corrected == after.corrected_labels_).all()
    assert np.mean(corrected == true) > np.mean(given == true) + 0.2


def test_an_estimator_speaks_from_the_audit(fitted, audited):
    (est, X, given, true), (after, audit) = fitted, audited
    before = est.noise_rate_, est.noise_scores_.copy(), est.summary()
    np.testing.assert_array_equal(after.noise_scores_, audit.recalibrated_scores())
    assert (after.noise_rate_, after.noise_rate_interval_) == (
        audit.noise_rate.value,
        audit.noise_rate[1:],
    )
    rows = audit._verified.rows
    assert (after.clean_mask_[rows] == (given == true)[rows]).all()
    assert (after.corrected_labels_[rows] == true[rows]).all()
    others = np.setdiff1d(np.arange(300), rows)
    rejected = ~after.clean_mask_[others]
    assert (rejected == (after.noise_scores_[others] > 0.5)).all()
    kept = others[~rejected]
    assert (after.corrected_labels_[kept] == given[kept]).all()
    gone = others[rejected]
    replaced = after.noise_scores_[gone] > est._worth_from[gone]
    expected = np.where(replaced, est.predicted_labels_[gone], given[gone])
    assert (after.corrected_labels_[gone] == expected).all()
    assert (after.predict(X) == est.predict(X)).all()
    summary = after.summary()
    assert "From an audit: 80 of 300 labels were verified" in summary
    assert "Wrong by the audit: about" in summary
    unseen = np.setdiff1d(np.arange(300), audit.rows)
    to_review = review_length(after.noise_scores_[unseen], 0.9)
    assert f"Review the {to_review} most suspicious rows" in summary, "nobody looks twice"
    table = after.class_report()
    counted = [np.sum(after.corrected_labels_ == name) for name in after.classes_]
    assert table.corrected.tolist() == counted
    assert (est.noise_rate_, est.summary()) == (before[0], before[2]), "it is left as it is"
    np.testing.assert_array_equal(est.noise_scores_, before[1])
    assert not hasattr(est, "audit_")


def test_what_is_said_of_the_rejected_labels_holds_for_those_that_are():
    labels = np.arange(len(SCORES)) % 2 + 1
    est = estimator(SCORES, labels)
    held = np.zeros(2)
    for seed in range(100):
        drawn = sample(est, 80, random_state=seed)
        after = Audit(est, None, TRUTH[drawn.rows], drawn).apply(est)
        rejected, audit = ~after.clean_mask_, after.audit_
        precision, recall = TRUTH[rejected].mean(), TRUTH[rejected].sum() / TRUTH.sum()
        held += (
            audit.precision.low <= precision <= audit.precision.high,
            audit.recall.low <= recall <= audit.recall.high,
        )
    assert (held >= 90).all(), "of 95 % intervals"


def test_all_verified_is_all_known():
    est = estimator(SCORES[:300], np.arange(300) % 2 + 1)
    after = Audit(est, None, TRUTH[:300], rows=range(300)).apply(est)
    assert (after.clean_mask_ == ~TRUTH[:300]).all()
    assert after.audit_.precision == pytest.approx((1, 1, 1))
    assert after.audit_.recall == pytest.approx((1, 1, 1))


def test_it_is_stored_and_a_further_fit_forgets_it(fitted, audited, tmp_path):
    (_, X, given, _), (after, _) = fitted, audited
    after.save(tmp_path / "est.noisyfit")
    for again in (load(tmp_path / "est.noisyfit"), pickle.loads(pickle.dumps(after))):
        assert again.summary() == after.summary()
        assert again.audit_.noise_rate == after.audit_.noise_rate
        assert (again.corrected_labels_ == after.corrected_labels_).all()
    again.fit(X, given)
    assert not hasattr(again, "audit_")
    assert "audit" not in again.summary()


def test_the_last_tenth_of_a_class_is_kept(fitted):
    est, _, given, _ = fitted
    # Nobody has looked at a bee, and all others are wrong.
    verified = np.flatnonzero(given != "bee")[:60]
    wrong = np.ones(len(verified), dtype=bool)
    after = Audit(est, None, wrong, rows=verified).apply(est)
    assert after.clean_mask_[given == "bee"].mean() >= 0.1


def test_the_report_puts_verified_rows_last_and_says_what_was_found(fitted, audited):
    (_, X, given, true), (after, audit) = fitted, audited
    report = label_report(after, X, given)
    last = report.tail(80)
    assert sorted(last.row) == audit.rows.tolist()
    assert last.trusted.all()
    assert (last.suggested == true[last.row]).all()
    assert not report.head(220).trusted.any()
    wrong = last[last.given != last.suggested]
    assert wrong.reason.tolist() == [f"verified as {name}" for name in wrong.suggested]
    assert set(last.reason) - set(wrong.reason) == {"verified: taken as right"}


def test_of_a_wrong_label_without_a_right_one_the_report_claims_none(fitted):
    est, X, given, true = fitted
    rows = np.arange(60)
    after = Audit(est, None, (given != true)[rows], rows=rows).apply(est)
    report = label_report(after, X, given).set_index("row").loc[rows]
    wrong = (given != true)[rows]
    assert set(report.reason[wrong]) == {"verified: wrong, and what is right is not known"}
    assert set(report.reason[~wrong]) == {"verified: taken as right"}
    assert (report.trusted == ~wrong).all()


def test_a_class_that_nobody_predicts_is_not_rejected_by_the_scores():
    labels = np.r_[np.ones(1900, int), np.full(100, 2)]
    scores = np.r_[SCORES[:1900] / 4, np.full(100, 0.8)]
    wrong = np.r_[TRUTH[:1900], np.zeros(100, bool)]
    wrong[1900:1910] = True  # of ten in a hundred rows of the rare class it is true
    est = estimator(scores, labels)
    est.clean_mask_ = est.noise_scores_ < 2
    rows = np.r_[0:100, 1900:1905]
    audit = Audit(est, None, wrong[rows], rows=rows)
    rejected = ~audit.apply(est).clean_mask_[1900:]
    assert rejected.mean() > 0.8, "the map says so of all classes"
    est._unpredicted = np.arange(1900, 2000)
    rejected = ~audit.apply(est).clean_mask_[1900:]
    assert rejected.tolist() == [True] * 5 + [False] * 95, "but for those that were seen"


def test_what_is_not_of_the_estimator_is_refused(fitted, audited):
    (est, X, given, true), (after, audit) = fitted, audited
    other = MILDSelector(max_epochs=2, judge_epochs=0, random_state=1).fit(X, given)
    with pytest.raises(ValueError, match="of other scores than those of the MILDSelector"):
        audit.apply(other)
    for forgets in (
        lambda: audit.apply(after),
        lambda: sample(after, 10),
        lambda: Audit(after, None, given, rows=[0, 1]),
    ):
        with pytest.raises(ValueError, match="speaks from an audit already"):
            forgets()
    bare = Audit(est.noise_scores_, true, true[:30], rows=range(30))
    with pytest.raises(ValueError, match="of other given labels"):
        bare.apply(est)
    assert Audit(est.noise_scores_, given, true[:30], rows=range(30)).apply(est).audit_ is not None


def test_trusted_rows_lower_the_rate_of_all():
    labels = np.arange(100) % 2 + 1
    est = estimator(np.full(100, 0.3), labels, trusted=range(20), unlabeled=range(20, 40))
    rows = np.arange(40, 100)
    wrong = rows % 4 == 0
    after = Audit(est, None, wrong, rows=rows).apply(est)
    assert after.noise_rate_ == pytest.approx(15 / 80)
    assert after.noise_rate_interval_ == pytest.approx((15 / 80, 15 / 80))
    assert after.clean_mask_[:20].all()
    assert not after.clean_mask_[20:40].any()


def test_a_pipeline_is_asked_by_its_last_step():
    X, y = np.tile(np.eye(2), (20, 1)), np.array(["cat", "dog"] * 20)
    y[:4] = "dog"
    est = MILDSelector(rounds=1, max_epochs=5, judge_epochs=0, random_state=0)
    pipeline = make_pipeline(StandardScaler(), est).fit(X, y)
    drawn, expected = (sample(whom, 20, random_state=0) for whom in (pipeline, est))
    np.testing.assert_array_equal(drawn.rows, expected.rows)
    verified = np.array(["cat", "dog"] * 20)[drawn.rows]
    audit, same = (Audit(whom, y, verified, drawn) for whom in (pipeline, est))
    assert audit.noise_rate == same.noise_rate
    before = est.noise_scores_.copy()
    audited, of_est = audit.apply(pipeline), audit.apply(est)
    assert list(audited.named_steps) == ["standardscaler", "mildselector"]
    assert audited[0] is pipeline[0]
    assert audited[-1].audit_.noise_rate == of_est.audit_.noise_rate
    np.testing.assert_array_equal(audited[-1].noise_scores_, audit.recalibrated_scores())
    np.testing.assert_array_equal(audited.predict(X), pipeline.predict(X))
    report = label_report(audited, X, y)
    assert set(report.row[report.trusted]) == set(drawn.rows)
    assert pipeline[-1] is est
    assert not hasattr(est, "audit_")
    np.testing.assert_array_equal(est.noise_scores_, before)


def test_what_is_no_estimator_of_noisyfit_is_named():
    X, y = np.eye(4), [0, 1, 0, 1]
    other = make_pipeline(StandardScaler(), LogisticRegression())
    with pytest.raises(NotFittedError):
        sample(other, 2)
    for whom in (other.fit(X, y), other[-1]):
        with pytest.raises(TypeError, match="Got a LogisticRegression, which has no noise scores"):
            sample(whom, 2)
        with pytest.raises(TypeError, match="Got a LogisticRegression"):
            Audit(SCORES, None, TRUTH[DRAWN.rows], DRAWN).apply(whom)
