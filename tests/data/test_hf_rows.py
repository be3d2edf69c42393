"""Data sets of Hugging Face: columns by name, items as torch's data sets have them."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from noisyfit import MILDSelector
from noisyfit.data import HFRows, SliceableDataset, StreamSource
from noisyfit.data._checks import check_X_y
from noisyfit.data._dataset_items import dataset_targets
from tests.data.test_checks import Estimator

datasets = pytest.importorskip("datasets")

N = 40
Y = np.arange(N) % 2
PIXELS = np.random.default_rng(0).integers(0, 100, (N, 6, 5, 3), dtype=np.uint8) + np.uint8(
    100
) * Y[:, None, None, None].astype(np.uint8)
CLASS = datasets.ClassLabel(names=["dark", "bright"])


def images(**further):
    columns = {"image": [Image.fromarray(p) for p in PIXELS], "label": Y.tolist(), **further}
    features = {"image": datasets.Image(), "label": CLASS}
    features |= {name: datasets.Value("int64") for name in further}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def vectors(label="label", y=Y, **further):
    columns = {"x": np.column_stack([Y, -Y]).tolist(), label: list(y), **further}
    return datasets.Dataset.from_dict(columns)


@pytest.mark.parametrize("form", [None, "numpy", "torch"])
def test_images_are_channels_first_whatever_the_format(form):
    rows = HFRows(images().with_format(form))
    assert rows[3][1] == 1
    gathered = StreamSource(rows, torch.device("cpu")).gather(torch.tensor([3]))
    assert gathered.dtype == torch.uint8
    np.testing.assert_array_equal(gathered[0], PIXELS[3].transpose(2, 0, 1))
    assert len(rows) == N


def test_a_fit_on_images_and_the_names_of_its_labels():
    rows = HFRows(images(id=list(range(N))), input="image", label="label")
    est = MILDSelector(rounds=1, max_epochs=3, random_state=0, iterator_train__num_workers=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        est.fit(rows)
    assert est.classes_.tolist() == [0, 1]
    assert est.given_labels_.tolist() == Y.tolist()
    assert rows.label_names == ["dark", "bright"]
    array = PIXELS.transpose(0, 3, 1, 2)
    same = MILDSelector(rounds=1, max_epochs=3, random_state=0).fit(array, Y)
    np.testing.assert_array_equal(est.noise_scores_, same.noise_scores_)
    assert (
        est.predict(HFRows(images().remove_columns("label"))).tolist()
        == same.predict(array).tolist()
    )


@pytest.mark.parametrize(
    ("dataset", "arguments", "chosen"),
    [
        (lambda: images(), {}, ("image", "label")),
        (lambda: images().rename_column("label", "kind"), {}, ("image", "kind")),
        (lambda: vectors(), {}, ("x", "label")),
        (lambda: vectors("target"), {}, ("x", "target")),
        (lambda: vectors("z"), {"label": "z"}, ("x", "z")),
        (lambda: vectors("z"), {"input": "x", "label": "z"}, ("x", "z")),
        (lambda: vectors(), {"input": "x"}, ("x", "label")),
        (lambda: vectors("z"), {"input": "x"}, ("x", None)),
        (lambda: vectors().remove_columns("label"), {}, ("x", None)),
        (lambda: vectors(id=list(range(N))), {"input": "x", "label": "label"}, ("x", "label")),
        (lambda: vectors(id=list(range(N))), {"input": "x"}, ("x", None)),
    ],
)
def test_columns_are_named_or_taken_of_two(dataset, arguments, chosen):
    rows = HFRows(dataset(), **arguments)
    assert (rows.input, rows.label) == chosen
    assert rows.dataset.column_names == [name for name in chosen if name]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({}, r"column of the inputs.*columns are \['x', 'label', 'id'\]"),
        ({"label": "label"}, r"column of the inputs.*more than one.*\['x', 'label', 'id'\]"),
        ({"input": "image"}, r"no column 'image'; its columns are \['x', 'label', 'id'\]"),
        ({"input": "x", "label": "y"}, r"column of the labels.*no column 'y'"),
        ({"input": "x", "label": "x"}, "both 'x'"),
    ],
)
def test_columns_that_are_not_there_are_refused_with_those_that_are(arguments, match):
    with pytest.raises(ValueError, match=match):
        HFRows(vectors(id=list(range(N))), **arguments)
    with pytest.raises(ValueError, match=r"column of the inputs.*\['x', 'z'\]"):
        HFRows(vectors("z"))


@pytest.mark.parametrize(
    "y", [Y, np.array(["a", "b"])[Y], Y == 1, (Y * 2.0)], ids=["int", "str", "bool", "float"]
)
def test_labels_of_any_type_come_from_their_column(y):
    rows = HFRows(vectors(y=y.tolist()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labels = dataset_targets(rows)
    assert labels.dtype.kind == y.dtype.kind
    assert labels.tolist() == y.tolist()
    assert rows.label_names is None
    part = SliceableDataset(rows)[[3, 8]]
    assert part.labels.tolist() == y[[3, 8]].tolist()
    assert pickle.loads(pickle.dumps(rows)).targets.tolist() == y.tolist()


def test_lists_get_the_type_of_their_column():
    features = datasets.Features(
        {"x": datasets.Array3D((3, 2, 2), "uint8"), "label": datasets.Value("int64")}
    )
    x = np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2)
    rows = HFRows(datasets.Dataset.from_dict({"x": x, "label": [0, 1]}, features=features))
    assert rows[1][0].dtype == np.uint8
    np.testing.assert_array_equal(rows[1][0], x[1])
    assert (
        HFRows(vectors().cast_column("x", datasets.Sequence(datasets.Value("float32"))))[0][0].dtype
        == np.float32
    )


def test_a_transform_of_the_data_set_makes_the_columns():
    def prepare(batch):
        tensors = [torch.tensor(np.asarray(image)).permute(2, 0, 1) for image in batch["image"]]
        return {"pixels": tensors, "kind": [f"kind {label}" for label in batch["label"]]}

    rows = HFRows(images().with_transform(prepare), input="pixels", label="kind")
    assert rows[1][0].shape == (3, 6, 5)
    assert dataset_targets(rows).tolist() == [f"kind {label}" for label in Y]
    with pytest.raises(ValueError, match=r"columns are \['pixels', 'kind'\]"):
        HFRows(images().with_transform(prepare), input="image")


def test_a_transform_of_the_inputs():
    rows = HFRows(images(), transform=lambda image: torch.ones(1) * image.size[0])
    assert rows[0][0].tolist() == [5.0]


@pytest.mark.parametrize("values", [["a text"] * N, [1.0] * N], ids=["text", "number"])
def test_inputs_without_numbers_or_a_shape_are_refused(values):
    rows = HFRows(datasets.Dataset.from_dict({"x": values, "label": Y.tolist()}))
    with pytest.raises(TypeError, match=r"in row 0 of the column 'x'\. Turn texts into"):
        check_X_y(Estimator(), rows, None)


def test_without_a_column_of_labels_a_fit_asks_for_it():
    rows = HFRows(vectors("z"), input="x")
    with pytest.raises(ValueError, match=r"label=\.\.\.\), or pass them as y\. The columns are"):
        check_X_y(Estimator(), rows, None)
    assert check_X_y(Estimator(), rows, Y)[1].tolist() == Y.tolist()


@pytest.mark.filterwarnings("ignore:The items of HFRows")  # NaN is not None: all are read
def test_missing_labels_are_refused():
    rows = HFRows(vectors(y=[None, *Y[1:].tolist()]))
    with pytest.raises(ValueError, match=r"Input y contains (NaN|None)"):
        check_X_y(Estimator(), rows, None)


def test_a_bare_data_set_is_refused_with_the_wrapping():
    bare = vectors()
    for X in (bare, bare.with_format("torch")):
        with pytest.raises(TypeError, match=r"HFRows\(X, input=.*columns are \['x', 'label'\]"):
            check_X_y(Estimator(), X, Y)
    splits = datasets.DatasetDict({"train": bare, "test": bare})
    for use in (HFRows, lambda X: check_X_y(Estimator(), X, None)):
        with pytest.raises(TypeError, match=r"splits \['train', 'test'\].*HFRows\(X\['train'\]"):
            use(splits)
        with pytest.raises(TypeError, match="without streaming=True"):
            use(bare.to_iterable_dataset())
    with pytest.raises(TypeError, match=r"must be a Hugging Face data set\. Got ndarray"):
        HFRows(np.zeros((3, 2)))
