"""Pictures: what they store, what they draw, and what they refuse."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch.utils.data import TensorDataset

from noisyfit import DLTClassifier, MetaRelabelClassifier, MILDSelector
from noisyfit.display import (
    LossThresholdDisplay,
    MixtureDisplay,
    NoiseScoreDisplay,
    RoundsDisplay,
    SuspiciousImagesDisplay,
    TrainingDynamicsDisplay,
    TransitionMatrixDisplay,
)
from noisyfit.noise import corrupt_labels, transition_matrix

DIGITS = load_digits()
IMAGES = (DIGITS.images[:600, None] * 15).astype(np.uint8)
X, TRUE = IMAGES.reshape(600, 64), DIGITS.target[:600]
GIVEN, WRONG = corrupt_labels(TRUE, transition_matrix("pair", 10, 0.2), random_state=0)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def mild():
    quantities = ("correct", "given_prob")
    return MILDSelector(max_epochs=15, record=quantities, random_state=0).fit(X, GIVEN)


@pytest.fixture(scope="module")
def dlt():
    return DLTClassifier(max_epochs=15, random_state=0).fit(X, GIVEN)


def heights(ax):
    return sum(patch.get_height() for patch in ax.patches)


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_scores_are_counted_once_each(mild):
    display = NoiseScoreDisplay.from_estimator(mild)
    assert heights(display.ax_) == 600
    kept = mild.clean_mask_.sum()
    assert labels(display.ax_) == [f"kept ({kept})", f"rejected ({600 - kept})", "one half"]
    assert display.figure_ is display.ax_.figure
    known = NoiseScoreDisplay.from_estimator(mild, is_noisy=WRONG)
    assert labels(known.ax_) == [
        f"right ({(~WRONG).sum()})",
        f"wrong ({WRONG.sum()})",
        "one half",
    ]


def test_a_display_draws_where_it_is_told_and_again(mild):
    _, (left, right) = plt.subplots(1, 2)
    elsewhere = NoiseScoreDisplay.from_predictions([0.1, 0.9], [True, False], ax=right)
    assert (elsewhere.ax_ is right, heights(right)) == (True, 2)
    right.clear()
    display = NoiseScoreDisplay.from_estimator(mild, ax=left)
    assert display.ax_ is left
    assert display.plot(right).ax_ is right
    assert heights(right) == heights(left) == 600


def test_dynamics_are_means_of_the_groups(mild):
    display = TrainingDynamicsDisplay.from_estimator(mild, quantity="given_prob", rows=[3, 5])
    kept, rejected, *single = display.ax_.lines
    values = mild.dynamics_.given_prob
    np.testing.assert_allclose(kept.get_ydata(), np.nanmean(values[mild.clean_mask_], axis=0))
    seen = ~np.isnan(values[~mild.clean_mask_]).all(axis=0)
    expected = np.nanmean(values[~mild.clean_mask_][:, seen], axis=0)
    np.testing.assert_allclose(rejected.get_ydata(), expected)
    for row, line in zip((3, 5), single, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), values[row])
    assert len(display.ax_.collections) == 2
    assert TrainingDynamicsDisplay.from_estimator(mild).quantity == "correct"


def test_rows_of_one_kind_only(mild):
    display = TrainingDynamicsDisplay(mild.dynamics_.correct, np.ones(600, dtype=bool), "correct")
    assert labels(display.plot().ax_) == ["kept (600)"]


def test_rounds(mild):
    display = RoundsDisplay.from_estimator(mild, is_noisy=WRONG)
    n_rows = [summary.n_rows for summary in mild.rounds_]
    assert display.n_rows[:-1].tolist() == n_rows
    assert display.n_rows[-1] == mild.clean_mask_.sum()
    assert display.precision[0] == pytest.approx((~WRONG).mean())
    assert display.precision[-1] == pytest.approx((~WRONG)[mild.clean_mask_].mean())
    assert display.recall[-1] == pytest.approx(mild.clean_mask_[~WRONG].mean())
    assert len(display.ax_.lines) == 3
    assert len(RoundsDisplay.from_estimator(mild).ax_.lines) == 1


def test_mixture(mild):
    first = MixtureDisplay.from_estimator(mild, is_noisy=WRONG)
    correct = mild.dynamics_.correct[:, :15].astype(bool)
    np.testing.assert_array_equal(first.metric, (~correct).sum(axis=1) - correct.sum(axis=1))
    assert first.mixture is mild.mixtures_[0]
    noisy, clean = (first.ax_.lines[i].get_ydata() for i in (1, 0))
    bin_width = first.ax_.patches[0].get_width()
    x = first.ax_.lines[0].get_xdata()
    expected = 600 * bin_width * mild.mixtures_[0].pdf(x - first.metric.min())
    np.testing.assert_allclose(clean, expected[:, 0] * mild.mixtures_[0].weights_[0])
    np.testing.assert_allclose(noisy, expected[:, 1] * mild.mixtures_[0].weights_[1])
    assert first.ax_.lines[2].get_xdata()[0] == mild.rounds_[0].threshold
    last = MixtureDisplay.from_estimator(mild, round=mild.n_rounds_)
    assert len(last.metric) == mild.rounds_[-1].n_rows
    assert labels(last.ax_)[0] == f"rows ({mild.rounds_[-1].n_rows})"
    none = MixtureDisplay(np.array([-2.0, 2.0]), None, np.nan).plot()
    assert len(none.ax_.lines) == 0
    with pytest.raises(ValueError, match=r"from 1\. Got 0"):
        MixtureDisplay.from_estimator(mild, round=0)


@pytest.mark.parametrize("strategy", ["sliding_window", "last_epoch"])
def test_thresholds(strategy):
    est = DLTClassifier(
        strategy=strategy, noise_rate=0.2, warmup_epochs=4, max_epochs=10, random_state=0
    ).fit(X, GIVEN)
    display = LossThresholdDisplay.from_estimator(est, is_noisy=WRONG)
    assert np.isnan(display.thresholds).tolist() == [True] * 4 + [False] * 6
    means = est.thresholds_ if strategy == "last_epoch" else est.thresholds_.mean(axis=1)
    np.testing.assert_allclose(display.thresholds[4:], means)
    n_wrong = WRONG.sum()
    assert labels(display.ax_) == [f"right ({600 - n_wrong})", f"wrong ({n_wrong})", "threshold"]
    kept = LossThresholdDisplay.from_estimator(est)
    assert labels(kept.ax_)[0] == f"kept ({est.clean_mask_.sum()})"


def test_images_of_a_data_set_and_of_any_size():
    data = TensorDataset(torch.tensor(IMAGES[:60]), torch.tensor(GIVEN[:60]))
    est = MILDSelector(rounds=1, max_epochs=2, random_state=0).fit(data)
    order = np.argsort(-est.noise_scores_, kind="stable")[:5]
    display = SuspiciousImagesDisplay.from_estimator(est, data, n_images=5)
    np.testing.assert_array_equal(display.images, IMAGES[order, 0])
    sizes = [np.zeros((4 + i % 3, 5, 3), np.uint8) for i in range(60)]
    display = SuspiciousImagesDisplay.from_estimator(est, data, images=sizes, n_images=5)
    assert [image.shape[0] for image in display.images] == [4 + row % 3 for row in order]


def _mean_colours(pictures):
    return np.stack([np.asarray(Image.open(p) if isinstance(p, Path) else p) for p in pictures])[
        :, ::2, ::2, 0
    ].reshape(len(pictures), -1)


@pytest.mark.parametrize("kind", ["pictures", "paths", "arrays"])
def test_a_pipeline_shows_the_pictures_that_it_reads(kind, tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (40, 6, 6, 3), dtype=np.uint8)
    pixels[::2] //= 4
    pictures = [Image.fromarray(p) for p in pixels]
    y = np.where(np.arange(40) % 2, "light", "dark")
    y[0] = "light"
    if kind == "paths":
        for i, picture in enumerate(pictures):
            picture.save(tmp_path / f"{i}.png")
    rows = {
        "pictures": pictures,
        "paths": [tmp_path / f"{i}.png" for i in range(40)],
        "arrays": pixels.transpose(0, 3, 1, 2),
    }[kind]
    read = _mean_colours if kind != "arrays" else lambda X: X[:, 0, ::2, ::2].reshape(len(X), -1)
    model = make_pipeline(FunctionTransformer(read), MILDSelector(max_epochs=4, random_state=0))
    model.fit(rows, y)
    display = SuspiciousImagesDisplay.from_estimator(model, rows, y, n_images=3)
    order = np.argsort(-model[-1].noise_scores_, kind="stable")[:3]
    np.testing.assert_array_equal(display.images, pixels[order])
    assert all(
        title.startswith(given) for title, given in zip(display.titles, y[order], strict=True)
    )
    with pytest.raises(ValueError, match="X is not what est was fitted on"):
        SuspiciousImagesDisplay.from_estimator(model, rows[::-1], y)


def test_matrix(mild):
    display = TransitionMatrixDisplay.from_estimator(mild)
    np.testing.assert_array_equal(display.ax_.images[0].get_array(), mild.transition_matrix_)
    written = {(t.get_position()[1], t.get_position()[0]): t.get_text() for t in display.ax_.texts}
    for (i, j), share in np.ndenumerate(mild.transition_matrix_):
        assert written.get((i, j)) == (f"{100 * share:.0f}" if share >= 0.005 else None)


def test_matrix_of_labels_from_elsewhere():
    display = TransitionMatrixDisplay.from_predictions(["a", "b", "b"], ["a", "a", "b"])
    assert display.matrix.tolist() == [[0.5, 0.5], [0, 1]]
    assert list(display.classes) == ["a", "b"]
    assert len(display.ax_.texts) == 3
    many = TransitionMatrixDisplay(np.eye(40), np.arange(40)).plot()
    assert not many.ax_.texts


@pytest.mark.parametrize("kind", ["uint8", "float, three channels"])
def test_the_most_suspicious_images_come_first(mild, dlt, kind):
    images = IMAGES
    if kind != "uint8":
        images = np.repeat(IMAGES / 255.0 - 0.5, 3, axis=1).astype(np.float32)
    est = MILDSelector(max_epochs=3, rounds=1, module__width=4, random_state=0).fit(images, GIVEN)
    display = SuspiciousImagesDisplay.from_estimator(est, images, GIVEN, n_images=10)
    order = np.argsort(-est.noise_scores_, kind="stable")[:10]
    predicted = est.predict(images[order])
    assert display.titles == [f"{GIVEN[i]} -> {p}" for i, p in zip(order, predicted, strict=True)]
    assert display.ax_.shape == (2, 8)
    drawn = [ax.images[0].get_array() for ax in display.ax_.flat if ax.images]
    assert len(drawn) == 10
    assert drawn[0].shape == ((8, 8) if kind == "uint8" else (8, 8, 3))


def test_a_training_without_thresholds_is_drawn_without_a_line():
    est = DLTClassifier(noise_rate=0.0, warmup_epochs=4, max_epochs=4, random_state=0)
    display = LossThresholdDisplay.from_estimator(est.fit(X, GIVEN))
    assert np.isnan(display.thresholds).all()


def test_what_cannot_be_drawn_is_refused(mild, dlt):
    unrecorded = MetaRelabelClassifier(max_epochs=2, record=(), random_state=0)
    with pytest.raises(ValueError, match="est has recorded nothing"):
        TrainingDynamicsDisplay.from_estimator(unrecorded.fit(X, GIVEN, trusted=~WRONG))
    with pytest.raises(NotFittedError):
        NoiseScoreDisplay.from_estimator(MILDSelector())
    with pytest.raises(TypeError, match=r"fitted MILDSelector\. Got DLTClassifier"):
        RoundsDisplay.from_estimator(dlt)
    with pytest.raises(TypeError, match=r"fitted DLTClassifier\. Got MILDSelector"):
        LossThresholdDisplay.from_estimator(mild)
    with pytest.raises(ValueError, match="'loss' was not recorded"):
        TrainingDynamicsDisplay.from_estimator(mild, quantity="loss")
    with pytest.raises(ValueError, match="is_noisy must be a boolean mask"):
        NoiseScoreDisplay.from_estimator(mild, is_noisy=np.flatnonzero(WRONG))
    with pytest.raises(ValueError, match=r"is_noisy has shape \(599,\)"):
        NoiseScoreDisplay.from_estimator(mild, is_noisy=WRONG[1:])
    with pytest.raises(ValueError, match="images of one or three channels"):
        SuspiciousImagesDisplay.from_estimator(mild, X, GIVEN)
