"""Pictures on the review page: found without being asked for, read only if shown, and small."""

import base64
import io
import os

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from test_page import data_of
from torch.utils.data import Dataset, TensorDataset
from torchvision.datasets import ImageFolder

from noisyfit import MILDSelector
from noisyfit.data import SliceableDataset
from noisyfit.features import ImageFeatures
from noisyfit.review import review_page

Y = np.arange(40) % 2
PIXELS = np.random.default_rng(0).integers(0, 100, (40, 3, 12, 16), dtype=np.uint8)
PIXELS[Y == 1] += 100
QUICK = MILDSelector(rounds=1, max_epochs=2, judge_epochs=0, random_state=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures")
    (path / "all").mkdir()  # one subfolder, so that ImageFolder has the pictures in this order
    for row, picture in enumerate(PIXELS):
        Image.fromarray(picture.transpose(1, 2, 0)).save(path / "all" / f"{row:02d}.png")
    return path


@pytest.fixture(scope="module")
def pipeline():
    network = torch.nn.Conv2d(3, 4, 3)
    return make_pipeline(ImageFeatures(network, precision="float32"), clone(QUICK)).fit(PIXELS, Y)


def paths(folder):
    return sorted((folder / "all").iterdir())


KINDS = {
    "array": lambda folder: PIXELS,
    "tensor": lambda folder: torch.from_numpy(PIXELS),
    "list of arrays": lambda folder: list(PIXELS),
    "PIL pictures": lambda folder: [Image.open(path).copy() for path in paths(folder)],
    "paths": paths,
    "strings": lambda folder: [str(path) for path in paths(folder)],
    "column": lambda folder: pd.Series(list(map(str, paths(folder))), index=np.arange(40)[::-1]),
    "folder": ImageFolder,
    "sliceable": lambda folder: SliceableDataset(ImageFolder(folder)),
    "Dataset of tensors": lambda folder: TensorDataset(torch.from_numpy(PIXELS)),
}


def pixels(row, kind="png"):
    start = f"data:image/{kind};base64,"
    assert row["image"].startswith(start)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(row["image"][len(start) :]))))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_asked_for", [False, True])
def test_pictures_of_all_kinds_are_shown(kind, is_asked_for, pipeline, folder, tmp_path):
    given = KINDS[kind](folder)
    passed = (PIXELS, {"images": given}) if is_asked_for else (given, {})
    review_page(pipeline, passed[0], Y, tmp_path / "a.html", max_rows=3, **passed[1])
    rows = data_of(tmp_path / "a.html")["rows"]
    assert len(rows) == 3
    for row in rows:
        assert "text" not in row  # a path would be one, with the label in it
        np.testing.assert_array_equal(pixels(row), PIXELS[row["row"]].transpose(1, 2, 0))


def test_only_pictures_on_the_page_are_read(pipeline, folder, tmp_path):
    class Counted(Dataset):
        read: list = []  # noqa: RUF012

        def __len__(self):
            return 40

        def __getitem__(self, row):
            self.read.append(row)
            return PIXELS[row]

    review_page(pipeline, PIXELS, Y, tmp_path / "a.html", images=Counted(), max_rows=4)
    rows = [row["row"] for row in data_of(tmp_path / "a.html")["rows"]]
    assert Counted.read == rows
    elsewhere = [path if row in rows else "not there" for row, path in enumerate(paths(folder))]
    review_page(pipeline, PIXELS, Y, tmp_path / "a.html", images=elsewhere, max_rows=4)
    with pytest.raises(FileNotFoundError, match="not there cannot be read as a picture"):
        review_page(pipeline, PIXELS, Y, tmp_path / "a.html", images=elsewhere)


def test_photographs_of_many_sizes_are_made_small(pipeline, tmp_path):
    """A page of 600 pictures of up to 420 pixels: smooth, with the grain of a camera."""
    rng = np.random.default_rng(0)
    photos = []
    for height, width in rng.integers(250, 421, size=(10, 2)):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((int(width), int(height)), Image.Resampling.BICUBIC))
        noisy = smooth + rng.normal(0, 4, smooth.shape)
        photos.append(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)))
    review_page(pipeline, PIXELS, Y, tmp_path / "a.html", images=photos * 4)
    for row in data_of(tmp_path / "a.html")["rows"]:
        shown, (width, height) = pixels(row, "jpeg"), photos[row["row"] % 10].size
        assert max(shown.shape) == 192
        assert shown.shape[1] / shown.shape[0] == pytest.approx(width / height, rel=0.01)
    assert 15 * os.path.getsize(tmp_path / "a.html") < 5e6


def test_a_data_set_that_was_fitted_is_shown_whatever_its_scale(tmp_path):
    standardised = (torch.from_numpy(PIXELS).float() - 100) / 50
    data = TensorDataset(standardised, torch.from_numpy(Y))
    est = MILDSelector(rounds=1, max_epochs=1, judge_epochs=0, module__width=4, random_state=0)
    review_page(est.fit(data), data, None, tmp_path / "a.html", max_rows=2)
    for row in data_of(tmp_path / "a.html")["rows"]:
        picture = PIXELS[row["row"]].astype(float)
        low, high = picture.min(), picture.max()
        expected = (picture - low) * 255 / (high - low)
        np.testing.assert_allclose(pixels(row), expected.transpose(1, 2, 0), atol=1.01)


def test_steps_of_others_may_read_the_files(folder, tmp_path):
    def brightness(X):
        return np.array([[np.asarray(Image.open(path)).mean() / 99] for path in X])

    names = [str(path) for path in paths(folder)]
    pipeline = make_pipeline(FunctionTransformer(brightness), clone(QUICK)).fit(names, Y)
    review_page(pipeline, names, Y, tmp_path / "a.html", max_rows=1)
    (row,) = data_of(tmp_path / "a.html")["rows"]
    np.testing.assert_array_equal(pixels(row), PIXELS[row["row"]].transpose(1, 2, 0))


def test_names_that_are_no_files_are_texts(tmp_path):
    def last(X):
        return np.array([[float(name.split(".")[0])] for name in X])

    names = [f"{label}.png" for label in Y]
    pipeline = make_pipeline(FunctionTransformer(last), clone(QUICK)).fit(names, Y)
    review_page(pipeline, names, Y, tmp_path / "a.html", max_rows=1)
    (row,) = data_of(tmp_path / "a.html")["rows"]
    assert "image" not in row
    assert row["text"] == names[row["row"]]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (["a.png"] * 39 + [None], r"images\[0\] is a str, images\[39\] a NoneType"),
        ([Image.new("F", (4, 4))] * 40, r"images\[\d+\] is a picture of mode 'F'"),
    ],
)
def test_what_is_no_picture_is_named(images, message, pipeline, tmp_path):
    with pytest.raises((TypeError, ValueError), match=message):
        review_page(pipeline, PIXELS, Y, tmp_path / "a.html", images=images)
