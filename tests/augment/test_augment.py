"""Tests of the batched transforms."""

import copy
import pickle

import numpy as np
import pytest
import torch
from _cuda import without_waiting
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.transforms.v2 import (
    AugMix,
    AutoAugment,
    AutoAugmentPolicy,
    Compose,
    RandAugment,
    Resize,
    ToDtype,
    TrivialAugmentWide,
)

from noisyfit import MILDSelector
from noisyfit.augment import (
    BrightnessContrast,
    Cutout,
    FeatureJitter,
    FeatureMask,
    PerImage,
    RandomCropFlip,
    strong_view,
    weak_view,
)

IMAGE_TRANSFORMS = [
    RandomCropFlip(2),
    RandomCropFlip(2, flip=False),
    RandomCropFlip(0),
    Cutout(4),
    BrightnessContrast(),
    strong_view((3, 8, 8)),
]
VECTOR_TRANSFORMS = [
    FeatureJitter(torch.ones(5)),
    FeatureMask(0.5),
    strong_view((5,), feature_std=torch.ones(5)),
]
PER_IMAGE_TRANSFORMS = [
    PerImage(RandAugment()),
    PerImage(AutoAugment(AutoAugmentPolicy.CIFAR10)),
    strong_view((3, 8, 8), policy="randaugment"),
    strong_view((3, 8, 8), policy="autoaugment"),
]
BATCHED_TRANSFORMS = IMAGE_TRANSFORMS + VECTOR_TRANSFORMS
TRANSFORMS = BATCHED_TRANSFORMS + PER_IMAGE_TRANSFORMS
POLICIES = [RandAugment(), AutoAugment(), TrivialAugmentWide(), AugMix()]


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def images(n=6, channels=3, height=8, width=8, dtype=torch.uint8):
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 256, (n, channels, height, width), generator=generator)
    return x.to(dtype)


def rows_for(transform, n=6):
    if any(transform is vector for vector in VECTOR_TRANSFORMS):
        return torch.randn(n, 5, generator=torch.Generator().manual_seed(1))
    return images(n)


def all_crops(image, padding, flip):
    """Every crop of one image (channels, height, width), made by plain numpy slicing."""
    _, height, width = image.shape
    padded = np.pad(image.numpy(), ((0, 0), (padding, padding), (padding, padding)))
    crops = [
        padded[:, i : i + height, j : j + width]
        for i in range(2 * padding + 1)
        for j in range(2 * padding + 1)
    ]
    if flip:
        crops += [crop[:, :, ::-1] for crop in crops]
    return np.stack(crops)


def crop_numbers(x, out, padding, flip):
    """For every row the number of the crop that it equals, of which there must be exactly one."""
    numbers = []
    for image, row in zip(x, out, strict=True):
        equal = (all_crops(image, padding, flip) == row.numpy()).all((1, 2, 3))
        assert equal.sum() == 1
        numbers.append(int(equal.argmax()))
    return np.array(numbers)


@settings(max_examples=60)
@given(
    n=st.integers(1, 4),
    channels=st.integers(1, 4),
    height=st.integers(3, 9),
    width=st.integers(3, 9),
    padding=st.integers(0, 2),
    flip=st.booleans(),
    dtype=st.sampled_from([torch.uint8, torch.float32, torch.bfloat16, torch.float64]),
    channels_last=st.booleans(),
)
def test_every_row_is_one_of_its_crops(
    n, channels, height, width, padding, flip, dtype, channels_last
):
    x = images(n, channels, height, width, dtype)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    before = x.clone()
    out = RandomCropFlip(padding, flip)(x)
    assert out.dtype == dtype
    assert out.stride() == x.stride()
    assert torch.equal(x, before)
    crop_numbers(x.float(), out.float(), padding, flip)


def test_crops_and_flips_are_uniform_and_independent():
    padding, n = 1, 3600
    x = images(1, 1, 5, 4).expand(n, 1, 5, 4)
    numbers = crop_numbers(x, RandomCropFlip(padding)(x), padding, flip=True)
    counts = np.bincount(numbers, minlength=18)
    # 18 crops of chance 1/18: mean 200, standard deviation 13.7.
    assert counts.min() > 200 - 5 * 13.7
    assert counts.max() < 200 + 5 * 13.7


def test_without_flip_all_offsets_occur_and_no_mirror_image():
    x = images(1, 1, 5, 4).expand(900, 1, 5, 4)
    numbers = crop_numbers(x, RandomCropFlip(1, flip=False)(x), 1, flip=False)
    assert set(numbers) == set(range(9))


def test_padding_zero_only_flips():
    x = images(2000, 2, 3, 4)
    out = RandomCropFlip(0)(x)
    kept = (out == x).all((1, 2, 3))
    flipped = (out == x.flip(-1)).all((1, 2, 3))
    assert bool((kept ^ flipped).all())
    assert 890 < int(flipped.sum()) < 1110  # 1000 expected, standard deviation 22


def test_crop_of_non_contiguous_images():
    x = images(12, 3, 6, 5)[::2]
    crop_numbers(x, RandomCropFlip(1)(x), 1, flip=True)
    x = images(4, 3, 6, 5).transpose(2, 3)
    crop_numbers(x, RandomCropFlip(1)(x), 1, flip=True)


def test_crop_passes_the_gradient_to_the_pixels_shown():
    x = images(4, 2, 5, 5, torch.float64).requires_grad_()
    out = RandomCropFlip(2)(x)
    out.sum().backward()
    # A pixel is shown once or not at all; those not shown are as many as the zeros let in.
    assert set(x.grad.unique().tolist()) <= {0.0, 1.0}
    torch.testing.assert_close((x * x.grad).sum(), out.sum())


def test_cutout_blanks_one_square_with_the_channel_means():
    x = images(300, 2, 9, 7, torch.float32) + torch.rand(300, 2, 9, 7)
    out = Cutout(4)(x)
    hole = (out != x).all(1)
    assert torch.equal((out != x).any(1), hole)
    sizes = set()
    for i in range(len(x)):
        rows, columns = hole[i].any(1), hole[i].any(0)
        assert torch.equal(hole[i], rows[:, None] & columns)
        sizes.add((int(rows.sum()), int(columns.sum())))
        for channel in range(2):
            expected = x[i, channel].mean().expand(int(hole[i].sum()))
            torch.testing.assert_close(out[i, channel][hole[i]], expected)
    # Two to four lines: from a centre on the border to one well inside.
    assert sizes == {(rows, columns) for rows in (2, 3, 4) for columns in (2, 3, 4)}


def test_cutout_rounds_the_mean_of_bytes():
    x = torch.tensor([[[[0, 1], [1, 1]]]], dtype=torch.uint8)  # mean .75
    assert torch.equal(Cutout(4)(x), torch.ones_like(x))


def test_brightness_contrast_is_affine_per_row_within_its_range():
    x = images(400, 3, 6, 6, torch.float64)
    out = BrightnessContrast(brightness=0.3, contrast=0.5)(x)
    m = x.mean((1, 2, 3), keepdim=True)
    # The mean is scaled by b, the deviations from it by c * b, alike in every pixel.
    b = (out.mean((1, 2, 3), keepdim=True) / m).flatten()
    before, after = (x - m).flatten(1), (out - b.view(-1, 1, 1, 1) * m).flatten(1)
    slope = (before * after).sum(1) / before.square().sum(1)
    c = slope / b
    torch.testing.assert_close(after, slope[:, None] * before)
    for factor, largest in ((b, 0.3), (c, 0.5)):
        assert 1 - largest <= factor.min() < 1 - 0.9 * largest
        assert 1 + 0.9 * largest < factor.max() <= 1 + largest
    assert abs(np.corrcoef(b, c)[0, 1]) < 0.25  # standard error .05


def test_brightness_contrast_rounds_and_cuts_bytes():
    x = images(50, 3, 6, 6)
    with torch.random.fork_rng():
        out = BrightnessContrast()(x)
    expected = BrightnessContrast()(x.float())
    assert expected.min() < 0
    assert expected.max() > 255
    assert torch.equal(out, expected.round().clamp(0, 255).to(torch.uint8))


def test_brightness_contrast_zero_changes_nothing():
    x = images()
    assert torch.equal(BrightnessContrast(0.0, 0.0)(x), x)


def test_jitter_has_the_spread_asked_for():
    X = torch.randn(4000, 3) * torch.tensor([1.0, 10.0, 0.0]) + 5
    jitter = FeatureJitter.from_data(X, scale=0.5)
    torch.testing.assert_close(jitter.std, X.std(0, correction=0))
    noise = jitter(X) - X
    torch.testing.assert_close(noise.std(0), 0.5 * jitter.std, rtol=0.06, atol=0)
    assert noise.mean(0).abs().div(jitter.std.clamp(min=1)).max() < 0.04
    assert not torch.equal(noise[0], noise[1])


def test_jitter_takes_arrays_and_keeps_half_precision():
    jitter = FeatureJitter.from_data(np.array([[0, 2], [2, 8]]))
    assert jitter.std.tolist() == [1.0, 3.0]
    assert jitter(torch.zeros(4, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_mask_draws_from_the_column_at_the_rate_asked_for():
    n, d = 500, 8
    # Every value names its row and column.
    x = torch.arange(n * d).view(n, d)
    out = FeatureMask(0.4)(x)
    assert torch.equal(out % d, x % d)
    changed = out != x
    # 4000 cells of chance .4 * (1 - 1/500): standard deviation .0077.
    assert abs(changed.float().mean().item() - 0.4 * (1 - 1 / n)) < 0.04
    donors = (out // d)[changed]
    assert abs(donors.float().mean().item() - (n - 1) / 2) < 20  # standard error 3.6
    # Donor and mask are drawn for each cell: no column follows its neighbour.
    assert not torch.equal(changed[:, 0], changed[:, 1])
    both = changed[:, 0] & changed[:, 1]
    assert ((out[:, 0] // d)[both] != (out[:, 1] // d)[both]).float().mean() > 0.9


def test_mask_of_zero_and_one():
    x = torch.randn(50, 4)
    assert torch.equal(FeatureMask(0.0)(x), x)
    assert (FeatureMask(1.0)(x) != x).float().mean() > 0.9
    assert torch.equal(FeatureMask(1.0)(x[:1]), x[:1])


@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
class TestEveryTransform:
    def test_keeps_shape_dtype_layout_and_its_input(self, transform):
        x = rows_for(transform)
        layouts = [x, x.contiguous(memory_format=torch.channels_last)] if x.ndim == 4 else [x]
        for rows in layouts:
            before = rows.clone()
            out = transform(rows)
            assert (out.shape, out.dtype, out.stride()) == (rows.shape, rows.dtype, rows.stride())
            assert torch.equal(rows, before)

    def test_global_seed_decides_and_is_advanced(self, transform):
        x = rows_for(transform, 64)
        results = []
        for seed in (7, 7, 8):
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                results += [transform(x), transform(x)]
        assert torch.equal(results[0], results[2])
        assert torch.equal(results[1], results[3])
        assert not torch.equal(results[0], results[1])
        assert not torch.equal(results[0], results[4])

    def test_equal_rows_get_different_draws(self, transform):
        x = rows_for(transform, 40)
        if not isinstance(transform, FeatureMask):
            x = x[:1].expand(x.shape)
        change = (transform(x).double() - x.double()).flatten(1)
        assert len(torch.unique(change, dim=0)) > 1

    def test_pickles_and_copies(self, transform):
        x = rows_for(transform)
        for other in (pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform)):
            assert repr(other) == repr(transform)
            with torch.random.fork_rng():
                expected = transform(x)
            with torch.random.fork_rng():
                assert torch.equal(other(x), expected)

    def test_no_rows(self, transform):
        x = rows_for(transform)[:0]
        assert transform(x).shape == x.shape


@pytest.mark.gpu
@pytest.mark.parametrize("transform", BATCHED_TRANSFORMS, ids=str)
def test_on_the_gpu_without_waiting_for_it(transform):
    x = rows_for(transform, 64).cuda()
    layouts = [x, x.contiguous(memory_format=torch.channels_last)] if x.ndim == 4 else [x]
    for rows in layouts:
        with without_waiting():
            out = transform(rows)
        assert (out.device, out.dtype) == (rows.device, rows.dtype)
        assert out.stride() == rows.stride()


@pytest.mark.gpu
@pytest.mark.parametrize("transform", PER_IMAGE_TRANSFORMS, ids=str)
def test_per_image_on_the_gpu(transform):
    x = rows_for(transform).cuda().contiguous(memory_format=torch.channels_last)
    out = transform(x)
    assert (out.device, out.dtype, out.stride()) == (x.device, x.dtype, x.stride())


@pytest.mark.gpu
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_crops_on_the_gpu(memory_format):
    x = images(20, 3, 6, 5).contiguous(memory_format=memory_format)
    crop_numbers(x, RandomCropFlip(2)(x.cuda()).cpu(), 2, flip=True)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
@pytest.mark.parametrize("channels", [1, 3])
def test_per_image_calls_the_transform_for_one_image_after_the_other(policy, channels):
    x = images(1, channels, 12, 10).expand(60, channels, 12, 10)
    with torch.random.fork_rng():
        expected = torch.stack([policy(image) for image in x])
    out = PerImage(policy)(x)
    assert torch.equal(out, expected)
    assert len(out.unique(dim=0)) > 10


def test_torchvision_draws_once_per_batch():
    # Why PerImage exists: should this fail one day, it is no longer needed.
    x = images(1).expand(60, 3, 8, 8)
    assert all(len(policy(x).unique(dim=0)) == 1 for policy in (RandAugment(), AutoAugment()))


def test_per_image_takes_any_transform_and_keeps_its_input():
    x = images(5, 4, 6, 5, torch.float64).transpose(2, 3)
    before = x.clone()
    out = PerImage(lambda image: image - image.min())(x)
    torch.testing.assert_close(out, x - x.amin((1, 2, 3), keepdim=True))
    assert out.stride() == x.stride()
    same = PerImage(nn.Identity())(x)
    assert torch.equal(same, before)
    assert same.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 3, 8, 8), r"needs uint8 images, .* Got torch\.float32 of shape \(2, 3"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.int64), r"Got torch\.int64"),
        (torch.zeros(2, 4, 8, 8, dtype=torch.uint8), r"1 or 3 channels\. .* \(2, 4, 8, 8\)"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"needs shape \(n, channels, height, width\)"),
    ],
)
def test_per_image_refuses_images_that_a_policy_is_not_made_for(policy, x, message):
    with pytest.raises(ValueError, match=message):
        PerImage(policy)(x)


def test_per_image_refuses_a_transform_that_changes_shape_or_dtype():
    with pytest.raises(ValueError, match=r"Resize.* must keep .* of shape \(3, 4, 4\) for"):
        PerImage(Resize((4, 4)))(images())
    with pytest.raises(ValueError, match=r"Got torch\.float32 of .* for torch\.uint8 of"):
        PerImage(ToDtype(torch.float32))(images())


@pytest.mark.parametrize(
    ("shape", "padding", "flip"),
    [
        ((3, 32, 32), 4, True),
        ((1, 28, 28), 3, False),
        ((1, 8, 8), 1, False),
        ((3, 15, 15), 1, True),
        ((3, 48, 64), 6, True),
        ((4, 32, 32), 4, False),
    ],
)
def test_weak_view_of_images(shape, padding, flip):
    assert weak_view(shape) == RandomCropFlip(padding, flip)


@pytest.mark.parametrize("shape", [(20,), (100, 1), ()])
def test_weak_view_of_other_rows_is_none(shape):
    assert weak_view(shape) is None


def test_strong_view_is_weak_view_and_more():
    view = strong_view((1, 28, 20))
    assert view.transforms == [weak_view((1, 28, 20)), BrightnessContrast(), Cutout(10)]


@pytest.mark.parametrize(
    "view",
    [
        weak_view((5,), torch.ones(5)),
        strong_view((5,), torch.ones(5)),
        strong_view((3, 8, 8)),
        strong_view((3, 8, 8), policy="randaugment"),
    ],
)
def test_a_chain_is_what_compose_makes_of_its_transforms(view):
    x = images() if len(view.transforms) == 3 else torch.randn(6, 5)
    torch.manual_seed(1)
    expected = Compose(view.transforms)(x)
    torch.manual_seed(1)
    assert torch.equal(pickle.loads(pickle.dumps(view))(x), expected)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 20)])
def test_strong_view_by_policy(shape):
    for name in ("randaugment", "autoaugment"):
        first, *others = strong_view(shape, policy=name).transforms
        assert isinstance(first, PerImage)
        if name == "randaugment":
            assert isinstance(first.transform, RandAugment)
            assert first.transform.num_ops == 2
        else:
            assert isinstance(first.transform, AutoAugment)
            assert first.transform.policy is AutoAugmentPolicy.CIFAR10
        assert others == [weak_view(shape), Cutout(min(shape[1:]) // 2)]


@pytest.mark.parametrize("name", ["randaugment", "autoaugment"])
def test_a_policy_in_training(name):
    X, y = images(40, 1).numpy(), np.arange(40) % 2
    view = strong_view((1, 8, 8), policy=name)
    est = MILDSelector(augment=view, rounds=1, max_epochs=1, module__width=4)
    first, again, plain = (
        est.set_params(augment=augment, random_state=0).fit(X, y).noise_scores_
        for augment in (view, view, "auto")
    )
    np.testing.assert_array_equal(first, again)
    assert (first != plain).any()
    with pytest.raises(ValueError, match="needs uint8 images, 0 to 255"):
        est.set_params(augment=view).fit(X / np.float32(255), y)


@pytest.mark.parametrize(
    ("shape", "policy", "message"),
    [
        ((3, 8, 8), "trivialaugment", r"one of \('randaugment', 'autoaugment'\), or None\. Got"),
        ((4, 8, 8), "randaugment", r"policy='randaugment' needs images of 1 or 3 .* \(4, 8, 8\)"),
        ((5,), "autoaugment", r"policy='autoaugment' needs .* Got shape \(5,\); leave policy out"),
        ((100, 1), "autoaugment", r"Got shape \(100, 1\)"),
    ],
)
def test_strong_view_refuses_a_policy_that_does_not_fit(shape, policy, message):
    with pytest.raises(ValueError, match=message):
        strong_view(shape, torch.ones(5), policy)


@pytest.mark.parametrize("shape", [(5,), (100, 1)])
def test_strong_view_says_what_is_missing(shape):
    with pytest.raises(ValueError, match=r"needs shape .* feature_std=None"):
        strong_view(shape)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomCropFlip(-1), r"padding must be in the range \[0, inf\]. Got -1"),
        (lambda: Cutout(0), r"size must be in the range \[1, inf\]. Got 0"),
        (lambda: BrightnessContrast(1.5), r"brightness must be in the range \[0, 1\]. Got 1.5"),
        (lambda: BrightnessContrast(0, -0.1), "contrast must be in the range"),
        (lambda: FeatureMask(float("nan")), "p must be in the range"),
        (lambda: FeatureJitter(torch.ones(2), -1), "scale must be in the range"),
        (lambda: FeatureJitter(torch.tensor([1.0, float("nan")])), "finite and at least 0"),
        (lambda: FeatureJitter(torch.ones(2, 2)), "std must be a vector"),
    ],
)
def test_bad_parameters(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("transform", IMAGE_TRANSFORMS, ids=str)
def test_images_must_have_four_axes(transform):
    with pytest.raises(ValueError, match=r"needs shape \(n, channels, height, width\). Got \(3, 5"):
        transform(torch.zeros(3, 5, 5))


def test_jitter_refuses_rows_that_do_not_fit():
    jitter = FeatureJitter(torch.ones(2))
    with pytest.raises(ValueError, match=r"shape \(2,\). Got torch.float32 rows of shape \(3,\)"):
        jitter(torch.zeros(4, 3))
    with pytest.raises(ValueError, match=r"Got torch\.int64 rows"):
        jitter(torch.zeros(4, 2, dtype=torch.int64))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 6), (1, 6, 1)])
def test_a_side_of_one_pixel_stays_where_it_is(shape):
    images = torch.rand(20, *shape) + 1
    assert torch.equal(weak_view(shape)(images), images)
