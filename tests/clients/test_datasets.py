"""Data sets and networks: Hugging Face, webdataset, torchvision, timm."""

from __future__ import annotations

import io
import pickle
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from _processes import in_processes
from _trial import ESTIMATORS, GIVEN, MILD, TRUE, X, client, every_estimator
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from torch.utils.data import Dataset

from noisyfit import ConsensusClassifier
from noisyfit.data import HFRows, SliceableDataset

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning"),
]

ENSEMBLE = next(est for est in ESTIMATORS if isinstance(est, ConsensusClassifier))
ESTIMATORS_ALONE = [est for est in ESTIMATORS if est is not ENSEMBLE]
"""All but the ensemble, whose neighbors have a say in an array and none in streamed rows."""
HERE = {"iterator_train__num_workers": 0}  # no worker processes for so few rows
SCALED = ((X - X.mean(0)) / X.std(0)).astype(np.float32)


def hugging_face(form=None):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict(
        {"x": SCALED.tolist(), "label": GIVEN.tolist()},
        features=datasets.Features(
            x=datasets.Sequence(datasets.Value("float32")),
            label=datasets.ClassLabel(names=["cat", "dog", "owl"]),
        ),
    )
    return rows.with_format(form)


def pictures(n=48):
    """Three kinds of small pictures, all labels right."""
    y = np.arange(n) % 3
    values = np.random.default_rng(0).integers(0, 60, (n, 3, 32, 32))
    values[np.arange(n), y] += 150
    return values.astype(np.uint8), y


def fitted_on_hf_rows(est):
    est = clone(est).set_params(standardize=False, **HERE)
    est.fit(HFRows(hugging_face(), input="x", label="label"))
    assert np.mean(est.predict(HFRows(hugging_face())) == TRUE) > 0.8
    return est


@client("datasets")
@pytest.mark.parametrize("est", ESTIMATORS_ALONE, ids=lambda est: type(est).__name__)
def test_hf_rows(est):
    """`est.fit(HFRows(dataset, input="x", label="label"))`: the scores of an array."""
    alone = clone(est).set_params(standardize=False).fit(SCALED, GIVEN)
    np.testing.assert_array_equal(fitted_on_hf_rows(est).noise_scores_, alone.noise_scores_)


@client("datasets")
@pytest.mark.parametrize("est", [ENSEMBLE], ids=["ConsensusClassifier"])
def test_hf_rows_of_an_ensemble(est):
    """`est.fit(HFRows(dataset, input="x", label="label"))`: the scores of any streamed rows."""

    class Items(Dataset):
        def __len__(self):
            return len(SCALED)

        def __getitem__(self, i):
            return torch.from_numpy(SCALED[i]), int(GIVEN[i])

    alone = clone(est).set_params(standardize=False, **HERE).fit(Items())
    np.testing.assert_array_equal(fitted_on_hf_rows(est).noise_scores_, alone.noise_scores_)


@client("datasets")
@pytest.mark.parametrize("form", [None, "numpy", "torch", "arrow"])
def test_formats(form):
    """`HFRows(dataset.with_format({form!r}))`."""
    value, label = HFRows(hugging_face(form))[3]
    np.testing.assert_array_equal(np.asarray(value, dtype=np.float32), SCALED[3])
    assert int(label) == GIVEN[3]


@client("datasets")
def test_folds_of_hf_rows():
    """`cross_val_score(est, SliceableDataset(HFRows(dataset)), labels)`."""
    data = SliceableDataset(HFRows(hugging_face()))
    est = clone(MILD).set_params(**HERE, standardize=False)
    found = cross_val_score(est, data, data.labels, cv=2, error_score="raise")
    np.testing.assert_array_equal(found, cross_val_score(est, SCALED, GIVEN, cv=2))


@client("datasets")
def test_dataset_as_it_is(refused):
    """`est.fit(dataset)` without `HFRows`."""
    with refused((TypeError, ValueError), match="HFRows"):
        clone(MILD).fit(hugging_face())


@client("datasets")
def test_streaming(refused):
    """`HFRows` of a data set in streaming mode."""
    with refused(TypeError, match="streaming"):
        HFRows(hugging_face().to_iterable_dataset())


def write_tar(path, samples):
    """Write a shard: a dict of the contents by their endings for each sample."""
    with tarfile.open(path, "w") as tar:
        for key, contents in samples.items():
            for ending, content in contents.items():
                entry = tarfile.TarInfo(f"{key}.{ending}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))


@client("webdataset")
def test_webdataset(refused, tmp_path):
    """`est.fit(WebDataset("rows.tar").decode().to_tuple("npy", "cls"))`."""
    webdataset = pytest.importorskip("webdataset")
    samples = {}
    for i, (row, label) in enumerate(zip(SCALED, GIVEN, strict=True)):
        values = io.BytesIO()
        np.save(values, row)
        samples[i] = {"npy": values.getvalue(), "cls": b"%d" % label}
    write_tar(tmp_path / "rows.tar", samples)
    rows = webdataset.WebDataset(str(tmp_path / "rows.tar"), shardshuffle=False)
    with refused(TypeError, match="HFRows"):
        clone(MILD).fit(rows.decode().to_tuple("npy", "cls"))


def given_pictures():
    """Return pictures, some of which have a wrong label."""
    images, y = pictures()
    return images, np.where(np.arange(len(y)) % 8 == 5, (y + 1) % 3, y)


def as_png(image):
    content = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(content, "png")
    return content.getvalue()


def tar_shards(folder):
    """Write three shards of pictures if they are not there; return their rows."""
    datasets = pytest.importorskip("datasets")
    images, given = given_pictures()
    for shard, rows in enumerate(np.array_split(np.arange(len(given)), 3)):
        path = folder / f"shard-{shard}.tar"
        if not path.exists():
            samples = {
                f"{i:03d}": {"png": as_png(images[i]), "cls": b"%d" % given[i]} for i in rows
            }
            write_tar(path, samples)
    shards = datasets.load_dataset(
        "webdataset", data_files=str(folder / "*.tar"), split="train", cache_dir=folder / "cache"
    )
    return HFRows(shards, input="png", label="cls")


def image_folder(folder):
    """Write files of half the height and width, in a folder for each class; return their rows."""
    torchvision = pytest.importorskip("torchvision")
    images, given = given_pictures()
    for i, label in enumerate(given):
        (folder / str(label)).mkdir(exist_ok=True)
        path = folder / str(label) / f"{i:03d}.png"
        if not path.exists():
            path.write_bytes(as_png(images[i, :, ::2, ::2]))
    nearest = torchvision.transforms.InterpolationMode.NEAREST
    return torchvision.datasets.ImageFolder(
        folder, torchvision.transforms.Resize((32, 32), interpolation=nearest)
    )


def numbers_of_files(folder):
    """Return for each row of an ImageFolder the number of the picture."""
    return np.array([int(Path(path).stem) for path, _ in folder.imgs])


def assert_fitted_as_an_array(rows, images, given, num_workers):
    alone = clone(MILD).fit(images, given)
    est = clone(MILD).set_params(iterator_train__num_workers=num_workers)
    est.fit(pickle.loads(pickle.dumps(rows)))
    np.testing.assert_array_equal(est.given_labels_, given)
    np.testing.assert_array_equal(est.noise_scores_, alone.noise_scores_)
    np.testing.assert_array_equal(est.predict_proba(rows), alone.predict_proba(images))


@client("webdataset", "datasets")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_tar_shards(num_workers, tmp_path):
    """Tar shards: `HFRows(load_dataset("webdataset", data_files="*.tar", split="train"))`."""
    assert_fitted_as_an_array(tar_shards(tmp_path), *given_pictures(), num_workers)


@client("torchvision")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_image_folder(num_workers, tmp_path):
    """`est.fit(ImageFolder(folder, transform))`: the scores of an array."""
    images, given = given_pictures()
    rows = image_folder(tmp_path)
    order = numbers_of_files(rows)
    images = images[order, :, ::2, ::2].repeat(2, axis=2).repeat(2, axis=3)
    assert_fitted_as_an_array(rows, images, given[order], num_workers)


class Plain(torch.nn.Module):
    """A network without batch normalisation, which takes the rows of its own process."""

    def __init__(self):
        super().__init__()
        layers = torch.nn.Conv2d(3, 4, 3, stride=2), torch.nn.ReLU(), torch.nn.Flatten()
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(900, 3))

    def forward(self, x):
        return self.layers(x)


def scores_of(make_rows, folder):
    est = clone(MILD).set_params(module=Plain, precision="float32", **HERE)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No trusted rows were given")
        return est.fit(make_rows(folder)).noise_scores_


def scores_of_rank(rank, make_rows, folder):
    return scores_of(make_rows, folder)


def assert_shared(make_rows, folder):
    alone = scores_of(make_rows, folder)
    for of_rank in in_processes(scores_of_rank, 2, folder, make_rows, folder):
        assert isinstance(of_rank, np.ndarray), of_rank
        np.testing.assert_allclose(of_rank, alone, rtol=0, atol=1e-5)


@client("webdataset", "datasets")
def test_tar_shards_in_two_processes(tmp_path):
    """Tar shards in two processes of `torch.distributed`: the scores of one."""
    assert_shared(tar_shards, tmp_path)


@client("torchvision")
def test_image_folder_in_two_processes(tmp_path):
    """`ImageFolder` in two processes of `torch.distributed`: the scores of one."""
    assert_shared(image_folder, tmp_path)


def backbone(**settings):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    return timm.create_model("test_resnet", pretrained=False, **settings)


@client("timm")
@every_estimator
def test_frozen_backbone(est):
    """A model of `timm` as `module=`, frozen but for its classifier: nothing else changes."""
    images, y = pictures()
    model = backbone(num_classes=3).requires_grad_(False)
    model.get_classifier().requires_grad_(True)
    est = clone(est).set_params(module=model, lr=0.01, augment=None).fit(images, y)
    after = est.net_.module_.state_dict()
    changed = {name for name, value in model.state_dict().items() if not value.equal(after[name])}
    assert changed == {"fc.weight", "fc.bias"}, "statistics of batch normalisation included"


@client("timm")
@every_estimator
def test_features(est):
    """Features of a model of `timm` (`num_classes=0`) as a table."""
    images, y = pictures()
    with torch.no_grad():
        table = backbone(num_classes=0).eval()(torch.from_numpy(images) / 255).numpy()
    assert clone(est).fit(table, y).score(table, y) > 0.8


@client("timm")
def test_all_of_a_model():
    """A model of `timm` as `module=`, trained as a whole, after `clone`."""
    images, y = pictures()
    est = clone(MILD).set_params(module=backbone(num_classes=3), rounds=1, lr=0.01)
    assert clone(est).fit(images, y).predict_proba(images).shape == (len(y), 3)
