"""Data sets and networks: Hugging Face, webdataset, timm."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
import torch
from _trial import ESTIMATORS, GIVEN, MILD, TRUE, X, client, every_estimator
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


@client("webdataset")
def test_webdataset(refused, tmp_path):
    """`est.fit(WebDataset("rows.tar").decode().to_tuple("npy", "cls"))`."""
    webdataset = pytest.importorskip("webdataset")
    with tarfile.open(tmp_path / "rows.tar", "w") as tar:
        for i, (row, label) in enumerate(zip(SCALED, GIVEN, strict=True)):
            values = io.BytesIO()
            np.save(values, row)
            for name, content in ((f"{i}.npy", values.getvalue()), (f"{i}.cls", b"%d" % label)):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    rows = webdataset.WebDataset(str(tmp_path / "rows.tar"), shardshuffle=False)
    with refused(TypeError, match="map-style"):
        clone(MILD).fit(rows.decode().to_tuple("npy", "cls"))


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
