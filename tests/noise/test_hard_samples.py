"""Hard samples: Eq. 9 on linear models whose gradient is known, and what is done to an image."""

import numpy as np
import pandas as pd
import pytest
import torch
from _estimators import QUICK
from _generators import global_states
from scipy import sparse
from scipy.special import softmax
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from torch import nn

from noisyfit import MILDSelector
from noisyfit.modules import ConvNet
from noisyfit.noise import hard_samples


class Linear(nn.Module):
    """Softmax regression on the flattened inputs."""

    def __init__(self, n_inputs, n_classes):
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_classes)

    def forward(self, x):
        return self.linear(x.flatten(1))


def linear_model(X, y, weight, **params):
    """Fit an estimator, and put known weights into its network; the biases are 0."""
    weight = torch.tensor(np.array(weight), dtype=torch.float32)
    est = MILDSelector(
        Linear, module__n_inputs=weight.shape[1], rounds=1, max_epochs=1, random_state=0, **params
    ).fit(X, y)
    linear = est.net_.module_.linear
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.zero_()
    return est


def table(n=40, n_features=3, n_classes=2):
    rng = np.random.default_rng(0)
    X = rng.normal([5, -1, 0][:n_features], [4, 0.5, 1][:n_features], size=(n, n_features))
    return X.astype(np.float32), np.arange(n) % n_classes


def images(n=40, dtype=np.uint8):
    X = np.random.default_rng(0).integers(0, 256, size=(n, 2, 3, 3), dtype=np.uint8)
    X[0], X[1] = 0, 255
    return X if dtype == np.uint8 else (X / 255).astype(dtype), np.arange(n) % 2


# -- adversarial ---------------------------------------------------------------------------------


def test_two_classes_move_against_the_difference_of_their_weights():
    # grad J = (p_0 - 1) (w_0 - w_1) for class 0, and -p_0 times minus that for class 1
    X, y = table()
    est = linear_model(X, y, [[1.0, -2.0, 3.0], [0.0, 0.0, 3.0]], standardize=False)
    hard = hard_samples(X, y, "adversarial", model=est, epsilon=0.25)
    towards_1 = np.array([-1, 1, 0])
    expected = X + 0.25 * np.where(y == 0, 1, -1)[:, None] * towards_1
    np.testing.assert_allclose(hard, expected, atol=1e-6)


def test_three_classes_move_along_the_closed_form():
    X, y = table(n=300, n_classes=3)  # more than one batch
    W = np.random.default_rng(1).normal(size=(3, 3))
    est = linear_model(X, y, W, standardize=False)
    hard = hard_samples(X, y, "adversarial", model=est, epsilon=0.5)
    gradient = (softmax(X.astype(np.float64) @ W.T, axis=1) - np.eye(3)[y]) @ W
    np.testing.assert_allclose(hard, X + 0.5 * np.sign(gradient), atol=1e-6)
    # neither the predicted class's gradient nor a single direction for all
    assert len(np.unique(np.sign(gradient), axis=0)) > 2
    assert not np.allclose(hard, hard_samples(X, (y + 1) % 3, "adversarial", model=est))


def test_a_standardised_column_moves_by_its_own_standard_deviation():
    X, y = table()
    X[:, 2] = 7  # constant in training: a network's weights for it mean nothing
    est = linear_model(X, y, [[1.0, -2.0, 5.0], [0.0, 0.0, 0.0]])
    hard = hard_samples(X[:1], y[:1], "adversarial", model=est, epsilon=0.5)
    step = 0.5 * X.astype(np.float64).std(axis=0) * [-1, 1, 0]
    np.testing.assert_allclose(hard - X[:1], [step], rtol=1e-4)
    assert hard[0, 2] == 7


def test_rows_that_the_network_is_sure_of_move_as_well():
    # logits 4000 apart: the probabilities are exactly 0 and 1, and so is J's gradient in float32
    X, y = np.array([[2.0, -2.0], [-2.0, 2.0]], dtype=np.float32), np.array([0, 1])
    est = linear_model(X, y, [[1000.0, 0.0], [0.0, 1000.0]], standardize=False)
    assert est.predict_proba(X).tolist() == [[1, 0], [0, 1]]
    hard = hard_samples(X, y, "adversarial", model=est, epsilon=1)
    np.testing.assert_array_equal(hard, [[1, -1], [-1, 1]])


@pytest.mark.parametrize("standardize", [True, False])
def test_uint8_images_move_by_grey_levels_and_stay_in_range(standardize):
    X, y = images()
    w = np.random.default_rng(1).normal(size=18)
    w[4] = 0
    est = linear_model(X, y, [w, np.zeros(18)], standardize=standardize)
    hard = hard_samples(X, y, "adversarial", model=est, epsilon=20 / 255)
    direction = -np.sign(w).reshape(2, 3, 3) * np.where(y == 0, 1, -1)[:, None, None, None]
    expected = np.clip(X.astype(int) + 20 * direction, 0, 255)
    assert hard.dtype == np.uint8
    np.testing.assert_array_equal(hard, expected)
    assert {0, 20} <= set(hard[0].ravel()) | set(hard[1].ravel())
    rounded = hard_samples(X, y, "adversarial", model=est, epsilon=20.4 / 255)
    np.testing.assert_array_equal(rounded, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_images_keep_their_dtype_and_are_not_clipped(dtype):
    X, y = images(dtype=dtype)
    est = linear_model(X, y, [np.ones(18), np.zeros(18)])
    hard = hard_samples(X, y, "adversarial", model=est)
    assert hard.dtype == dtype
    np.testing.assert_allclose(
        hard, X + np.where(y == 0, -0.1, 0.1)[:, None, None, None], atol=1e-6
    )
    assert hard.min() == pytest.approx(-0.1)
    assert hard.max() == pytest.approx(1.1)


def test_it_hurts_far_more_than_noise_of_the_same_size():
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    X = rng.integers(0, 150, size=(120, 1, 8, 8), dtype=np.uint8)
    X[y == 1, :, :4] += 30
    # In float32: what bfloat16 rounds to differs between processors.
    params = {"module__width": 4, "rounds": 1, "max_epochs": 8, "precision": "float32"}
    est = MILDSelector(ConvNet, random_state=0, **params).fit(X, y)
    noise = np.where(rng.random(X.shape) < 0.5, -16, 16)
    noisy = np.clip(X.astype(int) + noise, 0, 255).astype(np.uint8)
    before = est.predict_proba(X)[np.arange(120), y].mean()
    by_chance = est.predict_proba(noisy)[np.arange(120), y].mean()
    hard = hard_samples(X, y, "adversarial", model=est, epsilon=16 / 255)
    attacked = est.predict_proba(hard)[np.arange(120), y].mean()
    assert np.abs(hard.astype(int) - X).max() == 16
    assert before > 0.7
    assert by_chance > before - 0.1
    assert attacked < before - 0.4


def test_the_model_is_left_as_it_is_and_rows_do_not_depend_on_each_other():
    X, y = table(n=400)
    params = {"module__batch_norm": True, "module__dropout": 0.5, "module__hidden": (8,)}
    est = MILDSelector(rounds=1, max_epochs=1, random_state=0, **params).fit(X, y)
    est.net_.module_.zero_grad()
    weights = {name: value.clone() for name, value in est.net_.module_.state_dict().items()}
    states = global_states()
    est.net_.module_.train()  # batch statistics and dropout, if it were used like this
    with torch.no_grad():
        hard = hard_samples(X, y, "adversarial", model=est)
    one_by_one = [
        hard_samples(X[i : i + 1], y[i : i + 1], "adversarial", model=est)[0] for i in (0, 7, 399)
    ]
    np.testing.assert_array_equal(hard[[0, 7, 399]], one_by_one)
    assert global_states() == states
    assert all(p.grad is None and p.requires_grad for p in est.net_.module_.parameters())
    for name, value in est.net_.module_.state_dict().items():
        assert torch.equal(value, weights[name])


def test_sequences_move_in_their_own_units():
    X = np.random.default_rng(0).normal(size=(20, 3, 2)).astype(np.float32)
    y = np.arange(20) % 2
    est = linear_model(X, y, [np.ones(6), np.zeros(6)])
    hard = hard_samples(X, y, "adversarial", model=est, epsilon=0.5)
    np.testing.assert_allclose(hard, X + np.where(y == 0, -0.5, 0.5)[:, None, None], rtol=1e-6)


def test_labels_may_be_strings_and_rows_a_data_frame():
    X, y = table()
    frame, names = pd.DataFrame(X, columns=["a", "b", "c"]), np.array(["no", "yes"])[y]
    est = linear_model(frame, names, [[1.0, -2.0, 3.0], [0.0, 0.0, 3.0]], standardize=False)
    hard = hard_samples(frame, list(names), "adversarial", model=est, epsilon=0.25)
    assert isinstance(hard, np.ndarray)
    np.testing.assert_allclose(hard[y == 0], X[y == 0] + [[-0.25, 0.25, 0]], atol=1e-6)


@pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning")
@pytest.mark.parametrize("est", QUICK, ids=lambda est: type(est).__name__)
def test_every_estimator_can_be_attacked(est):
    X, y = make_blobs(120, centers=[[-2, 0], [2, 0]], random_state=0)
    est = clone(est).fit(X, y)
    hard = hard_samples(X, y, "adversarial", model=est, epsilon=0.5)
    assert hard.dtype == X.dtype
    assert est.predict_proba(hard)[np.arange(120), y].mean() < (
        est.predict_proba(X)[np.arange(120), y].mean() - 0.03
    )


@pytest.mark.gpu
def test_a_network_on_a_cuda_device_is_attacked_there():
    X, y = images()
    est = linear_model(X, y, [np.ones(18), np.zeros(18)], device="cuda")
    hard = hard_samples(X, y, "adversarial", model=est, epsilon=20 / 255)
    direction = np.where(y == 0, -20, 20)[:, None, None, None]
    np.testing.assert_array_equal(hard, np.clip(X.astype(int) + direction, 0, 255))


# -- incomplete ----------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_incomplete_images_keep_shape_dtype_and_range(dtype, channels):
    X = np.random.default_rng(0).integers(1, 201, size=(8, channels, 8, 12), dtype=np.uint8)
    X = X if dtype == np.uint8 else (X / 200).astype(dtype)
    before = X.copy()
    hard = hard_samples(X, np.zeros(8), random_state=0)
    assert hard.shape == X.shape
    assert hard.dtype == dtype
    assert hard.min() >= 0
    assert hard.max() <= X.max()
    assert (hard != X).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(X, before)


def test_each_image_gets_its_own_draw():
    image = np.random.default_rng(0).integers(0, 256, size=(1, 1, 8, 8), dtype=np.uint8)
    hard = hard_samples(np.repeat(image, 30, axis=0), np.zeros(30), random_state=0)
    assert len(np.unique(hard.reshape(30, -1), axis=0)) == 30


def test_incomplete_is_repeatable_and_leaves_the_global_generators_alone():
    X, y = images()
    states = global_states()
    first = hard_samples(X, y, random_state=3)
    assert (hard_samples(X, y, random_state=4) != first).any()
    assert (hard_samples(X, y) != hard_samples(X, y)).any()
    assert global_states() == states
    torch.rand(3)
    np.testing.assert_array_equal(hard_samples(X, y, random_state=3), first)
    state = np.random.RandomState(3)
    second = hard_samples(X, y, random_state=state)
    assert (hard_samples(X, y, random_state=state) != second).any()
    np.testing.assert_array_equal(hard_samples(X, y, random_state=np.random.RandomState(3)), second)


def test_images_are_cropped_resized_turned_and_sheared():
    # Two ramps, 6 a pixel, along the columns and along the rows. What is not erased in the middle
    # are ramps again: flatter as the crop was enlarged, turned, and no longer at right angles.
    n, side, middle = 60, 32, slice(8, 24)
    ramps = 20 + 6 * np.indices((side, side), dtype=np.float32)[::-1]
    hard = hard_samples(np.repeat(ramps[None], n, axis=0), np.zeros(n), random_state=0)
    places = np.stack([*np.mgrid[middle, middle], np.ones((16, 16))], axis=-1)
    slopes = []
    for image in hard[:, :, middle, middle]:
        there = image[0] > 0
        if there.sum() < 30:
            continue
        fit, *_ = np.linalg.lstsq(places[there], image[:, there].T, rcond=None)
        np.testing.assert_allclose(places[there] @ fit, image[:, there].T, atol=0.5)
        slopes.append(fit[:2])
    along_row, along_column = np.moveaxis(slopes, 0, -1)  # (2 ramps, n) each
    angle = np.degrees(np.arctan2(along_row, along_column))
    assert angle.shape[1] > 50
    turned, sheared = angle[0], angle[1] - angle[0] - 90
    assert turned.min() < -10 < 10 < turned.max()
    assert np.abs(turned).max() < 46  # 30 degrees by the turn, 15 by the shear
    assert 5 < sheared.std() < np.abs(sheared).max() < 16
    enlarged = 6 / np.hypot(along_row, along_column)[1]
    assert 1.05 < np.median(enlarged) < 1.6
    assert enlarged.std() > 0.05


def test_a_rectangle_of_each_image_is_erased():
    # White images: zeros in the middle, where no turn brings in the border, were erased.
    white = np.full((60, 1, 32, 32), 255, dtype=np.uint8)
    hard = hard_samples(white, np.zeros(60), random_state=0)[:, 0, 8:24, 8:24]
    holed = [image == 0 for image in hard if (image == 0).any()]
    assert len(holed) > 40
    for hole in holed:
        np.testing.assert_array_equal(hole, np.outer(hole.any(axis=1), hole.any(axis=0)))
    assert len({tuple(np.flatnonzero(hole)) for hole in holed}) > 30


def test_strength_is_how_much_is_missing():
    white = np.full((40, 1, 16, 16), 255, dtype=np.uint8)
    left = [
        hard_samples(white, np.zeros(40), strength=strength, random_state=0).mean() / 255
        for strength in (0.05, 0.3, 0.6, 1)
    ]
    assert left[0] > 0.95
    assert (np.diff(left) < -0.05).all()


# -- errors --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    X, y = table()
    return X, y, linear_model(X, y, [[1.0, -2.0, 3.0], [0.0, 0.0, 3.0]])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"kind": "blurred"}, "'kind' parameter of hard_samples must be a str among"),
        ({"strength": 0}, "'strength' parameter of hard_samples must be a float in the range"),
        ({"strength": 1.5}, "'strength' parameter"),
        ({"epsilon": 0}, "'epsilon' parameter"),
        ({"random_state": "0"}, "'random_state' parameter"),
    ],
)
def test_parameters_are_checked(params, message):
    X, y = images()
    with pytest.raises(ValueError, match=message):
        hard_samples(X, y, **params)


def test_incomplete_needs_images(fitted):
    X, y, _ = fitted
    with pytest.raises(ValueError, match=r"needs images .* Got rows of shape \(40, 3\)"):
        hard_samples(X, y)
    with pytest.raises(ValueError, match="looks channels-last"):
        hard_samples(np.zeros((2, 8, 8, 3), dtype=np.uint8), [0, 1])


def test_rows_that_cannot_be_moved_are_refused(fitted):
    X, y, est = fitted
    for bad, message in [
        (X.astype(int), "must be float, or uint8 images. Got int64"),
        (X.astype(np.uint8), "must be float, or uint8 images. Got uint8 of shape"),
        (np.where(X > 9, np.nan, X), "NaN"),
        (X[0], "Expected 2D array, got 1D array"),
        (X[:, :2], "has 2 features, but MILDSelector is expecting 3"),
        (X[:0], "0 sample"),
    ]:
        with pytest.raises(ValueError, match=message):
            hard_samples(bad, y[: len(bad)], "adversarial", model=est)
    with pytest.raises(TypeError, match="dense data is required"):
        hard_samples(sparse.csr_array(X), y, "adversarial", model=est)
    with pytest.raises(ValueError, match=r"must be float, or uint8 images\. Got int64"):
        hard_samples(images()[0].astype(int), y)


def test_labels_are_checked(fitted):
    X, y, est = fitted
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        hard_samples(X, y[:-1], "adversarial", model=est)
    with pytest.raises(ValueError, match=r"labels \[5\], which were not seen in fit.* \[0, 1\]"):
        hard_samples(X, np.where(y == 1, 5, y), "adversarial", model=est)
    with pytest.raises(ValueError, match=r"labels \['0', '1'\]"):
        hard_samples(X, y.astype(str), "adversarial", model=est)


def test_adversarial_needs_a_fitted_noisyfit_estimator(fitted):
    X, y, _ = fitted
    with pytest.raises(ValueError, match="needs model, a fitted noisyfit estimator"):
        hard_samples(X, y, "adversarial")
    with pytest.raises(ValueError, match="not fitted yet"):
        hard_samples(X, y, "adversarial", model=MILDSelector())
    with pytest.raises(TypeError, match="Got LogisticRegression instead"):
        hard_samples(X, y, "adversarial", model=LogisticRegression().fit(X, y))


def test_less_than_half_a_grey_level_is_refused():
    X, y = images()
    est = linear_model(X, y, [np.ones(18), np.zeros(18)])
    with pytest.raises(ValueError, match=r"epsilon=0\.001 is less than half a grey level"):
        hard_samples(X, y, "adversarial", model=est, epsilon=0.001)
    with pytest.raises(ValueError, match=r"fit was given images of uint8\. Got float32"):
        hard_samples(X / np.float32(255), y, "adversarial", model=est)
