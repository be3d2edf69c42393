"""Faults that were found by trying, each by its name: the right value, or a clear error."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from _estimators import QUICK, QUICKER
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs, make_classification
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer
from skorch.callbacks import Callback, EpochScoring, InputShapeSetter, LRScheduler, TensorBoard
from test_common import assert_same_fit, fit_once, run_python
from torch import nn
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset

from noisyfit import (
    ConsensusClassifier,
    DivideMixClassifier,
    DLTClassifier,
    DynamicsLSTMDetector,
    MetaRelabelClassifier,
    MILDSelector,
    debug_labels,
    load,
)
from noisyfit.data import SliceableDataset
from noisyfit.modules import MLP
from noisyfit.noise import corrupt_labels, transition_matrix
from noisyfit.review import apply_review, label_report, review_page

# MetaRelabelClassifier says so; its own tests check that.
pytestmark = pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning")

BRIEF = MILDSelector(rounds=1, max_epochs=3, random_state=0)
X = np.random.default_rng(0).normal(size=(60, 3))
Y = np.arange(60) % 2


def by_name(estimators):
    return pytest.mark.parametrize("est", estimators, ids=lambda est: type(est).__name__)


NAMES = [type(est).__name__ for est in QUICK]
FEW_EPOCHS = {"max_epochs": 2, "lr": 0.05}


def blobs(n=120):
    """Three classes; every sixth label is wrong."""
    X, y = make_blobs(n, centers=3, random_state=0, cluster_std=0.7)
    given = y.copy()
    given[::6] = (y[::6] + 1) % 3
    return X, y, given


def fit_all(X, y, **params):
    """Fit every estimator, all rows of which stand in for trusted ones where they are needed."""
    for est in QUICK:
        trusted = (
            np.arange(len(y)) < len(y) // 4 if isinstance(est, MetaRelabelClassifier) else None
        )
        yield clone(est).set_params(**params).fit(X, y, trusted=trusted)


# --- C01 output of transformers ---


@by_name(QUICKER)
@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_c01_a_global_output_of_transformers(est, output):
    if output == "polars":
        pytest.importorskip("polars")
    expected = fit_once(est, rows=X, y=Y)
    with config_context(transform_output=output, assume_finite=True):
        fitted = clone(est).fit(X, Y)
        assert_same_fit(fitted, expected)
        np.testing.assert_array_equal(fitted.predict_proba(X), expected.predict_proba(X))


def test_c01_assume_finite_does_not_let_nan_in():
    spoilt = X.copy()
    spoilt[3, 1] = np.nan
    with config_context(assume_finite=True):
        fitted = clone(BRIEF).fit(X, Y)
        for use in (lambda: clone(BRIEF).fit(spoilt, Y), lambda: fitted.predict(spoilt)):
            with pytest.raises(ValueError, match=r"NaN in the columns \[1\]"):
                use()


def test_c01_array_api_dispatch():
    code = (
        "import numpy as np, sklearn, torch\n"
        "from noisyfit import MILDSelector\n"
        "X, y = torch.randn(60, 3), torch.arange(60) % 2\n"
        "est = MILDSelector(rounds=1, max_epochs=3, judge_epochs=0, random_state=0)\n"
        "expected = est.fit(X, y).predict(X)\n"
        "sklearn.set_config(array_api_dispatch=True)\n"
        "for rows, labels in ((X, y), (X.numpy(), y.numpy()), (X, y.tolist())):\n"
        "    est.fit(rows, labels)\n"
        "    assert type(est.classes_) is np.ndarray\n"
        "    assert (est.predict(rows) == expected).all()\n"
        "    assert est.score(rows, labels) == (expected == y.numpy()).mean()\n"
    )
    result = run_python(code, SCIPY_ARRAY_API="1")
    assert result.returncode == 0, result.stderr


# --- C02 softmax at the end ---


class Soft(MLP):
    def forward(self, x):
        return super().forward(x).softmax(1)


class LogSoft(MLP):
    def forward(self, x):
        return super().forward(x).log_softmax(1)


@pytest.mark.parametrize("est", QUICK, ids=NAMES)
@pytest.mark.filterwarnings("ignore:No trusted rows")
def test_c02_a_network_with_softmax_is_refused_before_the_training(est):
    X, _, given = blobs()
    with pytest.raises(ValueError, match=r"must return logits.*Leave out the softmax"):
        clone(est).set_params(module=Soft).fit(X, given)


def test_c02_the_logarithm_of_a_softmax_does_no_harm():
    X, y = load_digits(return_X_y=True)
    given = y.copy()
    given[::5] = (y[::5] + 1) % 10
    scores = [
        MILDSelector(module, rounds=1, random_state=0).fit(X[:600], given[:600]).score(X, y)
        for module in (MLP, LogSoft)
    ]
    assert scores[1] > 0.8
    assert scores[1] == pytest.approx(scores[0], abs=0.02)


# --- C03 labels of a data set ---


class _Pictures(Dataset):
    """As torchvision's: targets, and a transform of theirs that only items show."""

    def __init__(self, target_transform=None):
        self.targets, self.target_transform, self.n_read = [0, 1, 2, 3] * 25, target_transform, 0

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, i):
        self.n_read += 1
        x, label = torch.eye(4)[self.targets[i]], self.targets[i]
        return x, label if self.target_transform is None else self.target_transform(label)


class _Relabelled(_Pictures):
    def __getitem__(self, i):
        x, label = super().__getitem__(i)
        return x, label % 2


@pytest.mark.parametrize("part", [False, True], ids=["whole", "Subset"])
@pytest.mark.parametrize("kind", ["target_transform", "subclass"])
def test_c03_labels_are_those_of_the_items(kind, part):
    dataset = _Pictures(lambda t: t % 2) if kind == "target_transform" else _Relabelled()
    dataset = Subset(dataset, range(10, 90)) if part else dataset
    est = MILDSelector(rounds=1, max_epochs=1, random_state=0, iterator_train__num_workers=0)
    with warnings.catch_warnings():
        if kind == "target_transform":
            warnings.simplefilter("error")
        else:
            warnings.filterwarnings("ignore", "The items of")
        est.fit(dataset)
        assert est.given_labels_.tolist() == [label for _, label in dataset]
        assert est.classes_.tolist() == [0, 1]
        assert est.score(dataset) == np.mean(est.predict(dataset) == est.given_labels_)


# --- C04 callbacks ---


class Seen(Callback):
    """What a user's callback sees; it cannot be copied, as a writer of logs cannot."""

    def __init__(self):
        self.stages = []

    def __deepcopy__(self, memo):
        raise TypeError("cannot pickle '_thread.lock' object")

    def on_epoch_end(self, net, **kwargs):
        self.stages.append(net.stage_)


@pytest.mark.parametrize(
    ("est", "stages"),
    [
        (MILDSelector(rounds=2, max_epochs=2), ["round 1"] * 2 + ["round 2"] * 2),
        (DLTClassifier(max_epochs=3, estimation_epochs=2), ["noise rate"] * 2 + ["training"] * 3),
        (DynamicsLSTMDetector(max_epochs=2), ["recording"] * 2 + ["retraining"] * 2),
        (MetaRelabelClassifier(max_epochs=3, warmup_epochs=1), ["warm-up"] + ["training"] * 3),
        (ConsensusClassifier(max_epochs=2), ["in sample"] * 2 + ["last training"] * 2),
        (
            DivideMixClassifier(max_epochs=3, estimation_epochs=2),
            ["noise rate"] * 2 + ["training"] * 3,
        ),
    ],
    ids=NAMES,
)
@pytest.mark.filterwarnings("ignore:No trusted rows")
def test_c04_the_users_object_sees_every_epoch_of_every_stage(est, stages):
    X, _, given = blobs()
    seen = Seen()
    est.set_params(callbacks=[("mine", seen)], random_state=0).fit(X, given)
    assert seen.stages == stages
    n_own = len(est.history_)
    assert [epoch["stage"] for epoch in est.history_] == stages[-n_own:]


def test_c04_folds_are_stages_of_their_own():
    X, _, given = blobs()
    seen = Seen()
    MILDSelector(rounds=1, max_epochs=2, recording="held_out", callbacks=[seen]).fit(X, given)
    folds = [f"round 1, fold {k}" for k in range(1, 6)]
    assert seen.stages == [name for name in [*folds, "round 1"] for _ in range(2)]


@pytest.mark.parametrize("callback", [1, "EpochScoring", nn.Linear, ("a", 2)])
def test_c04_what_is_no_callback_is_named(callback):
    X, _, given = blobs()
    with pytest.raises(TypeError, match="callbacks must be a list of skorch callbacks"):
        MILDSelector(callbacks=[callback]).fit(X, given)


class FakeWriter:
    """A writer of logs that takes numbers, as TensorBoard's and MLflow's do."""

    def __init__(self):
        self.tags = set()

    def add_scalar(self, tag, scalar_value, global_step):
        float(scalar_value)
        self.tags.add(tag)

    def close(self):
        self.closed = True


@pytest.mark.parametrize("est", QUICKER, ids=NAMES)
def test_c04_loggers_of_numbers_are_not_given_the_name_of_the_stage(est):
    X, _, given = blobs()
    writer = FakeWriter()
    est = clone(est).set_params(callbacks=[TensorBoard(writer)]).fit(X, given)
    assert writer.closed
    assert "Loss/train_loss" in writer.tags
    assert "stage" not in writer.tags


def test_c04_what_has_nothing_to_do_is_refused():
    X, _, given = blobs()
    for setter in (InputShapeSetter, InputShapeSetter(), ("width", InputShapeSetter())):
        with pytest.raises(TypeError, match="InputShapeSetter is not needed"):
            MILDSelector(callbacks=[setter]).fit(X, given)


# --- C05 imbalanced-learn ---


@by_name(QUICKER)
def test_c05_trusted_reaches_a_step_that_resamples(est):
    pipeline = pytest.importorskip("imblearn.pipeline", reason="imbalanced-learn is not installed")
    X, y, given = blobs()
    trusted = (np.arange(len(y)) % 4 == 1) & (given == y)
    with config_context(enable_metadata_routing=True):
        model = pipeline.make_pipeline(clone(est), LogisticRegression())
        model.fit(X, given, trusted=trusted)
    np.testing.assert_array_equal(model[0].trusted_mask_, trusted)


@by_name(QUICKER)
def test_c05_the_rows_that_were_kept_are_numbered(est):
    X, _, given = blobs()
    est = clone(est)
    assert not hasattr(est, "sample_indices_")
    X_kept, y_kept = est.fit_resample(X, given)
    np.testing.assert_array_equal(X[est.sample_indices_], X_kept)
    np.testing.assert_array_equal(given[est.sample_indices_], y_kept)


# --- C06 review, decisions of a frame ---


def test_c06_a_frame_of_decisions_is_as_good_as_its_file(tmp_path):
    frame = pd.DataFrame(
        [{"row": 0, "decision": "relabel", "label": 1}, {"row": 1, "decision": "drop"}]
    )
    frame.to_csv(tmp_path / "decisions.csv", index=False)
    for decisions in (frame, frame.to_dict("records"), tmp_path / "decisions.csv"):
        review = apply_review([0, 1, 2], decisions)
        assert review.labels.tolist() == [1, 1, 2]
        assert review.kept.tolist() == [True, False, True]


# --- C07 images ---


def test_c07_a_list_of_images():
    images = [np.full((3, 8, 8), 9 * (i % 2), np.uint8) for i in range(20)]
    est = clone(BRIEF).set_params(module__width=4)
    fitted = clone(est).fit(images, np.arange(20) % 2)
    assert_same_fit(fitted, clone(est).fit(np.stack(images), np.arange(20) % 2))
    assert fitted.predict(images).tolist() == fitted.predict(np.stack(images)).tolist()


def test_c07_grey_images_need_a_channel_and_sequences_a_network():
    grey = np.zeros((20, 8, 8), np.uint8)
    with pytest.raises(ValueError, match=r"Grey images need a channel.*X\[:, None\].*module="):
        clone(BRIEF).fit(grey, np.arange(20) % 2)
    clone(BRIEF).set_params(module__width=4).fit(grey[:, None], np.arange(20) % 2)

    class LastStep(torch.nn.Module):
        def __init__(self, n_classes):
            super().__init__()
            self.linear = torch.nn.Linear(4, n_classes)

        def forward(self, x):
            return self.linear(x[:, -1])

    sequences = np.random.default_rng(0).normal(size=(20, 7, 4))
    fitted = clone(BRIEF).set_params(module=LastStep).fit(sequences, np.arange(20) % 2)
    with pytest.raises(ValueError, match=r"rows of the shape \(7, 4\)\. Got \(7,\) instead"):
        fitted.predict(sequences[:, :, 0])


# --- C08 sparse and dense ---


@by_name(QUICKER)
def test_c08_sparse_and_dense_rows_are_mixed(est):
    rows = np.where(X > 0, X, 0).astype(np.float32)
    table = sparse.csr_matrix(rows)
    for fitted in (clone(est).fit(rows, Y), clone(est).fit(table, Y)):
        np.testing.assert_allclose(
            fitted.predict_proba(table), fitted.predict_proba(rows), atol=1e-6
        )


@pytest.mark.parametrize("form", ["coo", "bsr", "dia"])
def test_c08_fit_resample_of_formats_that_cannot_be_sliced(form):
    table = sparse.csr_matrix(X).asformat(form)
    est = clone(BRIEF)
    kept, y = est.fit_resample(table, Y)
    assert type(kept) is type(table)
    np.testing.assert_array_equal(kept.toarray(), X[est.clean_mask_])
    np.testing.assert_array_equal(y, Y[est.clean_mask_])


def test_c08_what_cannot_be_sliced_is_refused_before_the_training():
    class OnlyAnArray:
        shape = X.shape

        def __array__(self, dtype=None, copy=None):
            return X

    est = clone(BRIEF)
    with pytest.raises(TypeError, match="fit_resample returns X as it was passed"):
        est.fit_resample(OnlyAnArray(), Y)
    assert not hasattr(est, "noise_scores_")


# --- C09 frames ---


@pytest.mark.parametrize("package", ["pandas", "polars", "pyarrow", "narwhals"])
def test_c09_frames_of_every_package(package):
    pytest.importorskip(package)
    columns = {name: X[:, i] for i, name in enumerate("abc")}
    if package == "pandas":
        frame = pd.DataFrame(columns)
    elif package == "narwhals":
        frame = pytest.importorskip("narwhals").from_native(pd.DataFrame(columns))
    else:
        module = pytest.importorskip(package)
        frame = (module.DataFrame if package == "polars" else module.table)(columns)
    fitted, then = clone(BRIEF).fit(frame, Y), LogisticRegression().fit(frame, Y)
    assert_same_fit(fitted, clone(BRIEF).fit(X, Y))
    names = [getattr(e, "feature_names_in_", np.array([])).tolist() for e in (fitted, then)]
    assert names[0] == names[1]
    np.testing.assert_array_equal(fitted.classes_, then.classes_)


def test_c09_dates_of_polars_are_no_numbers():
    polars = pytest.importorskip("polars")
    days = pd.date_range("2024", periods=59).to_pydatetime()
    for values in ([*days, days[0]], [None, *days], [None, *(days - days[0])]):
        frame = polars.DataFrame({"x": X[:, 0], "when": values})
        with pytest.raises(ValueError, match=r"dates or durations in the columns \['when'\]"):
            clone(BRIEF).fit(frame, Y)


# --- C10 words ---


@pytest.mark.parametrize("est", QUICK, ids=NAMES)
@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("criterion", "class_weight="),
        ("criterion__weight", "class_weight="),
        ("train_split", "validation_fraction="),
        ("warm_start", "checkpoint="),
        ("iterator_valid__num_workers", "iterator_train__"),
        ("learning_rate", "it is lr="),
        ("epochs", "max_epochs="),
    ],
)
def test_c10_parameters_of_others_say_what_to_do(est, name, advice):
    X, _, given = blobs()
    with pytest.raises(TypeError, match=f"{name}.*{advice}"):
        type(est)(**{name: 1}).fit(X, given)


@pytest.mark.parametrize("est", QUICK, ids=NAMES)
@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("optimizer", "adam", "pass torch.optim.Adam"),
        ("optimizer", "rmsprop", "pass torch.optim.RMSprop"),
        ("optimizer", "lion", "such as torch.optim.AdamW"),
        ("module", "mlp", "such as noisyfit.modules.MLP"),
        ("module", "resnet18", "such as torchvision.models.resnet18"),
    ],
)
def test_c10_names_of_classes_are_refused_with_the_class(est, name, value, advice):
    X, _, given = blobs()
    with pytest.raises(ValueError, match=f"'{name}' parameter.*{value}.*{advice}"):
        clone(est).set_params(**{name: value}).fit(X, given)


@pytest.mark.parametrize("size", [-1, 1, 2.5, "large"])
def test_c10_a_nested_batch_size_is_checked(size):
    X, _, given = blobs()
    with pytest.raises(ValueError, match="iterator_train__batch_size must be a whole number"):
        MILDSelector(iterator_train__batch_size=size).fit(X, given)
    est = MILDSelector(rounds=1, max_epochs=1, iterator_train__batch_size="auto", batch_size=7)
    assert est.fit(X, given).net_.batch_size == 16


def test_c10_trusted_with_a_gap():
    mask = pd.array([pd.NA, *(Y[1:] > 0)], dtype="boolean")
    with pytest.raises(ValueError, match=r"trusted .* missing values in the rows \[0\]"):
        clone(BRIEF).fit(X, Y, trusted=mask)


def test_c10_rows_and_columns_of_nothing_but_nan():
    spoilt = X.copy()
    spoilt[[2, 5]] = np.nan
    with pytest.raises(ValueError, match=r"nothing else in the rows \[2, 5\]: drop these and"):
        clone(BRIEF).fit(spoilt, Y)
    spoilt = X.copy()
    spoilt[:, 1] = np.nan
    with pytest.raises(ValueError, match=r"nothing else in the columns \[1\]: drop these"):
        clone(BRIEF).fit(spoilt, Y)


@pytest.mark.parametrize(
    ("X", "match"),
    [
        (
            [(np.zeros(3), i % 2) for i in range(60)],
            "list of pairs.*Sliceable.*take them apart",
        ),
        ((np.zeros(3) for _ in range(60)), "generator, which can be gone through once"),
        (torch.utils.data.DataLoader(TensorDataset(torch.zeros(6, 3))), "Pass its data set"),
        ([({"tokens": [1, 2]}, 0)] * 60, "list of pairs"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_c10_what_cannot_be_rows_is_named(X, match):
    with pytest.raises(TypeError, match=match):
        MILDSelector(max_epochs=2).fit(X, np.arange(60) % 2)


class _Tokens(Dataset):
    """Items with a dict: tokens, of which a mask leaves some, and their scale."""

    def __init__(self, n_rows=120):
        rng = np.random.default_rng(0)
        self.labels = np.arange(n_rows) % 2
        self.tokens = rng.integers(0, 25, (n_rows, 6)) + 25 * self.labels[:, None]
        self.mask = np.arange(6) < rng.integers(1, 7, (n_rows, 1))

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        x = {"tokens": self.tokens[i], "mask": torch.tensor(self.mask[i]), "scale": 1.0}
        return x, self.labels[i]


class _OfTokens(torch.nn.Module):
    """Mean of the embeddings of the tokens that the mask leaves."""

    def __init__(self, n_classes):
        super().__init__()
        self.embed, self.head = torch.nn.Embedding(50, 8), torch.nn.Linear(8, n_classes)

    def forward(self, *, mask, tokens, scale):
        assert tokens.dtype == torch.int64
        assert mask.dtype == torch.bool
        assert scale.dtype == torch.float32
        assert len(scale) == len(tokens)
        total = (self.embed(tokens) * mask[..., None]).sum(1)
        return self.head(total / mask.sum(1)[:, None] * scale[:, None])


class _Packed(_OfTokens):
    """The same network on one tensor."""

    def forward(self, x):
        tokens, mask, scale = x.unbind(1)
        return super().forward(mask=mask.bool(), tokens=tokens.long(), scale=scale[:, 0])


@pytest.mark.parametrize(
    ("est", "num_workers"),
    [
        (MILDSelector(_OfTokens, rounds=1), 0),
        (MILDSelector(_OfTokens, rounds=1), 1),
        (MILDSelector(_OfTokens(2), rounds=2, augment=None), 0),
        (DynamicsLSTMDetector(_OfTokens), 1),
        (DynamicsLSTMDetector(_OfTokens, recording="held_out"), 0),
        pytest.param(
            DynamicsLSTMDetector(_OfTokens, recording="held_out"), 1, marks=pytest.mark.slow
        ),
    ],
    ids=["class", "class, worker", "instance", "LSTM", "held out", "held out, worker"],
)
def test_c10_dicts_reach_the_network_as_keywords(est, num_workers, tmp_path):
    items = _Tokens()
    wrong = items.labels.copy()
    wrong[:6] = 1 - wrong[:6]
    est = clone(est).set_params(
        max_epochs=10, lr=1.0, random_state=0, iterator_train__num_workers=num_workers
    )
    est.fit(Subset(items, range(80)), wrong[:80])
    rest = SliceableDataset(items)[80:]
    assert est.score(rest, rest.labels) > 0.9
    packed = np.stack([items.tokens, items.mask, np.ones((120, 6))], axis=1)
    module = _Packed(2) if isinstance(est.module, torch.nn.Module) else _Packed
    if module is not _Packed:
        module.load_state_dict(est.module.state_dict())
    same = clone(est).set_params(module=module).fit(packed[:80], wrong[:80])
    np.testing.assert_array_equal(est.noise_scores_, same.noise_scores_)
    one_by_one = [est.predict_proba(rest[i : i + 1])[0] for i in range(3)]
    np.testing.assert_array_equal(est.predict_proba(rest)[:3], one_by_one)
    if not isinstance(est.module, torch.nn.Module):
        est.save(tmp_path / "est")
        again = load(tmp_path / "est", trusted=[__name__])
        np.testing.assert_array_equal(again.predict_proba(rest), est.predict_proba(rest))


def test_c10_dicts_as_rows_of_what_cannot_take_them():
    for method in (DLTClassifier, MetaRelabelClassifier):
        with pytest.raises(TypeError, match=r"a dict with the keys \['tokens', 'mask', 'scale'\]"):
            method(_OfTokens, max_epochs=2).fit(_Tokens())
    with pytest.raises(ValueError, match="dicts, need a network: pass module"):
        MILDSelector(max_epochs=2).fit(_Tokens())
    with pytest.raises(ValueError, match=r"failed: MLP on a batch of shape {'tokens': \(2, 6\)"):
        MILDSelector(MLP(6, 2), max_epochs=2).fit(_Tokens())

    class Ragged(_Tokens):
        def __getitem__(self, i):
            x, label = super().__getitem__(i)
            return {**x, "tokens": x["tokens"][: 3 + label]}, label

    with pytest.raises(ValueError, match=r"one shape\. Row 1 has {'tokens': \(4,\).*pad texts"):
        MILDSelector(_OfTokens, max_epochs=2).fit(Ragged())


def test_c10_a_row_of_one_number_is_refused():
    numbers = TensorDataset(torch.arange(60.0), torch.arange(60) % 2)
    with pytest.raises(ValueError, match=r"must be a vector or more\. Got 0\.0, a single number"):
        MILDSelector(max_epochs=2).fit(numbers)


# --- C11 notebooks ---


def notebook(namespace=None):
    """Define a network where no other process can import it from, as a notebook does."""
    namespace = {"__name__": "__main__"} if namespace is None else namespace
    source = "from noisyfit.modules import MLP\nclass NetOfTheNotebook(MLP): pass\n"
    exec(source, namespace)
    return namespace["NetOfTheNotebook"]


@pytest.mark.parametrize("est", QUICK, ids=NAMES)
@pytest.mark.filterwarnings("ignore:No trusted rows")
def test_c11_networks_of_a_notebook_come_back_from_other_processes(est):
    X, y, given = blobs()
    est = clone(est).set_params(module=notebook(), **FEW_EPOCHS)
    bag = BaggingClassifier(est, n_estimators=2, n_jobs=2, random_state=0).fit(X, given)
    assert bag.score(X, y) > 0.6
    found = cross_validate(est, X, given, cv=2, n_jobs=2, return_estimator=True)
    assert [fitted.predict(X).shape for fitted in found["estimator"]] == [y.shape, y.shape]


# --- C12 others ---


def test_c12_libraries_with_threads_are_looked_for_once(monkeypatch):
    import threadpoolctl

    X, _, given = blobs()
    DLTClassifier(max_epochs=2, estimation_epochs=6, random_state=0).fit(X, given)
    looked = []
    found = threadpoolctl.ThreadpoolController._load_libraries
    monkeypatch.setattr(
        threadpoolctl.ThreadpoolController,
        "_load_libraries",
        lambda self: looked.append(1) or found(self),
    )
    DLTClassifier(max_epochs=2, estimation_epochs=6, random_state=0).fit(X, given)
    assert looked == []


class Words(nn.Module):
    """Looks numbers of words up; there are ten."""

    def __init__(self, n_classes):
        super().__init__()
        self.words, self.head = nn.Embedding(10, 8), nn.Linear(8, n_classes)

    def forward(self, x):
        return self.head(self.words(x.long()).mean(1))


def test_c12_numbers_of_words_stay_numbers_of_words():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 160)
    tokens = rng.integers(0, 5, (160, 6)) + 5 * y[:, None]
    for est in fit_all(tokens, y, module=Words, standardize=False):
        assert est.score(tokens, y) > 0.95


def test_c12_skops_dumps_every_estimator(tmp_path):
    io = pytest.importorskip("skops.io")
    X, _, given = blobs()
    for est in fit_all(X, given, **FEW_EPOCHS):
        path = tmp_path / "est.skops"
        io.dump(est, path)
        again = io.load(path, trusted=io.get_untrusted_types(file=path))
        np.testing.assert_array_equal(again.predict(X), est.predict(X))


def test_c12_nothing_is_printed_where_print_was_replaced(monkeypatch, capsys):
    import builtins

    plain = builtins.print
    monkeypatch.setattr(builtins, "print", lambda *args, **kwargs: plain(*args, **kwargs))
    X, _, given = blobs()
    MILDSelector(rounds=1, max_epochs=2).fit(X, given)
    assert capsys.readouterr().out == ""


def test_c12_targets_of_the_parts_of_a_concat_dataset_spare_the_reading():
    parts = [_Pictures() for _ in range(3)]
    for part in parts:
        part.targets = [0, 1] * 1000
    assert SliceableDataset(ConcatDataset(parts)).labels.tolist() == [0, 1] * 3000
    assert max(part.n_read for part in parts) < 300


# --- B01 offsets ---


def test_b01_a_unix_time_tells_as_much_as_its_difference():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    t = 1.75e9 + 40 * y + rng.normal(0, 8, 400)
    seconds, differences = t[:, None], (t - 1.75e9)[:, None]
    est = MILDSelector(rounds=1, random_state=0)
    expected = clone(est).fit(differences, y)
    fitted = clone(est).fit(seconds, y)
    assert fitted.score(seconds, y) == expected.score(differences, y) > 0.98
    assert (~fitted.clean_mask_).sum() == (~expected.clean_mask_).sum() < 20
    np.testing.assert_allclose(fitted.noise_scores_, expected.noise_scores_, atol=1e-3)
    nanoseconds = (1e9 * seconds).astype(np.int64)
    assert clone(est).fit(nanoseconds, y).score(nanoseconds, y) > 0.98


def test_b01_what_float32_has_lost_is_said():
    t = np.float32(1.75e9) + np.float32(128) * Y
    with pytest.warns(UserWarning, match=r"\[0\] vary by no more than float32 can tell apart"):
        clone(BRIEF).fit(t[:, None].astype(np.float32), Y)


# --- B02 other rows ---


def test_b02_rows_that_are_not_those_of_the_fit_are_refused(tmp_path):
    X, y = load_digits(n_class=3, return_X_y=True)
    given = np.where(np.arange(len(y)) < 60, (y + 1) % 3, y)
    pipe = make_pipeline(
        PowerTransformer(), MILDSelector(rounds=1, max_epochs=8, random_state=0)
    ).fit(X, given)
    est, Z = pipe[-1], pipe[:-1].transform(X)
    shuffled = Z[np.random.default_rng(0).permutation(len(Z))]
    report = label_report(est, Z, given).set_index("row").sort_index()
    assert (report.suggested == y).mean() > 0.9
    assert (debug_labels(est, Z, given, share=0.12).labels == y).mean() > 0.9
    for rows in (X, shuffled):
        for ask in (label_report, debug_labels):
            with pytest.raises(ValueError, match=r"X is not what est was fitted on: row \d+ diff"):
                ask(est, rows, given)
        with pytest.raises(ValueError, match=r"pipeline\[:-1\]\.transform\(X\)"):
            review_page(est, rows, given, tmp_path / "review.html")


# --- B03 a class lost ---


@by_name(
    [
        DLTClassifier(max_epochs=15, estimation_epochs=8, random_state=0),
        DivideMixClassifier(max_epochs=15, estimation_epochs=8, random_state=0),
        MetaRelabelClassifier(warmup_epochs=2, max_epochs=4, random_state=0),
        MILDSelector(rounds=2, max_epochs=8, random_state=0),
    ]
)
@pytest.mark.parametrize("n_rare", [1, 2, 8])
def test_b03_no_class_vanishes(est, n_rare):
    rng = np.random.default_rng(0)
    y = (np.arange(400) < n_rare).astype(int)
    rows = rng.normal(size=(400, 8)) + 1.2 * y[:, None]
    est = clone(est)
    kept, labels = est.fit_resample(rows, y)
    assert (np.bincount(labels, minlength=2) > 0).all()
    rare = np.flatnonzero(y == 1)
    lowest = rare[np.argmin(est.noise_scores_[rare])]
    if isinstance(est, DLTClassifier):
        assert est.clean_mask_[lowest]
    LogisticRegression().fit(kept, labels)
    np.testing.assert_array_equal(est.sample_indices_, np.flatnonzero(est.clean_mask_))


# --- B04 rare class ---


def hard(n=600, n_classes=3, **settings):
    """Classes that overlap little; all labels are right."""
    settings = {"n_informative": 7, "n_redundant": 0, "class_sep": 2, **settings}
    return make_classification(
        n, 10, n_classes=n_classes, n_clusters_per_class=1, flip_y=0, random_state=0, **settings
    )


# That the numbers are wrong is not mended here; that the summary says what they cannot know is.
def test_b04_a_rejected_class_is_named():
    rows, labels = hard(2000, 2, weights=[0.99])
    est = DynamicsLSTMDetector(random_state=0).fit(rows, labels)
    n_rejected = (~est.clean_mask_)[labels == 1].sum()
    assert n_rejected > 10, "if this is mended, the test has done its work"
    assert f"Of the 20 labels 1, {n_rejected} were rejected: a rare or hard" in est.summary()
    assert est.class_report().loc[1, "rejected"] == n_rejected
    verdict, *_ = est.summary().splitlines()[1:]
    assert verdict.startswith(f"With care: {len(est.doubts_)} thing")


# --- B05 pair noise ---


def test_b05_an_estimate_far_below_what_the_network_contradicts_is_doubted():
    rows, labels = hard(800, 4)
    given = corrupt_labels(labels, transition_matrix("pair", 4, 0.4), 1).labels
    est = DynamicsLSTMDetector(random_state=0).fit(rows, given)
    contradicted = (est.predicted_labels_ != given).mean()
    assert est.noise_rate_ < contradicted - 0.1
    assert f"The network contradicts {contradicted:.1%}".replace("%", " %") in est.summary()


# --- B06 row numbers ---


def test_b06_labels_learned_by_heart_are_doubted():
    rows, labels = hard()
    given = corrupt_labels(labels, transition_matrix("symmetric", 3, 0.2), 1).labels
    numbered = sparse.hstack([sparse.csr_matrix(rows), sparse.eye(600)]).tocsr()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        est = MILDSelector(random_state=0).fit(numbered, given)
    said = est.summary()
    assert "at last 0.0 %: it has learned hard rows since, or wrong labels by heart" in said
    assert "Less than one error is expected: no number of rows to review." in said
    held_out = MILDSelector(rounds=1, random_state=0, recording="held_out").fit(rows, given)
    assert "by heart" not in held_out.summary()


# --- B08 clean digits ---


@pytest.mark.parametrize(("judge_epochs", "first"), [(0, "Unchecked: "), (20, "Believe that few ")])
def test_b08_no_review_is_asked_for_where_no_error_is_expected(judge_epochs, first):
    rows, labels = load_digits(return_X_y=True)
    est = MILDSelector(judge_epochs=judge_epochs, random_state=0).fit(rows[:900], labels[:900])
    said = est.summary()
    assert "Less than one error is expected: no number of rows to review." in said
    assert "Review the" not in said
    assert said.splitlines()[1].startswith(first)


# --- B09 X says nothing ---


@pytest.mark.parametrize("kind", [MILDSelector, DynamicsLSTMDetector, DLTClassifier])
def test_b09_rows_that_tell_nothing_are_doubted(kind):
    rows = np.random.default_rng(0).normal(size=(600, 10))
    _, labels = hard()
    said = kind(random_state=0, max_epochs=10).fit(rows, labels).summary()
    assert "right no more often than by naming the most frequent label" in said
    rows, labels = hard()
    said = kind(random_state=0, max_epochs=10).fit(rows, labels).summary()
    assert "most frequent label" not in said


# --- B10 review, labels beside gaps ---


def test_b10_labels_beside_gaps_are_those_of_the_classes():
    decisions = pd.DataFrame(
        [{"row": 0, "decision": "relabel", "label": 1}, {"row": 2, "decision": "keep"}]
    )
    assert decisions.label.tolist()[0] == 1.0  # a float, with NaN below it
    labels, _, trusted, _ = apply_review([0, 1, 0], decisions)
    assert labels.tolist() == [1, 1, 0]
    assert trusted.tolist() == [True, False, True]
    assert apply_review(["0", "1", "0"], decisions).labels.tolist() == ["1", "1", "0"]
    with pytest.raises(ValueError, match=r"may be any of \['1', '1\.0'\]"):
        apply_review(["1.0", "1", "0"], decisions)


# --- B11 nullable labels ---


@by_name(QUICKER)
@pytest.mark.parametrize("dtype", ["Int64", "int64[pyarrow]"])
def test_b11_nullable_labels_stay_integers(est, dtype):
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    codes = np.array([5, 2**60, 2**60 + 3])
    y = np.arange(90) % 3
    rows = np.random.default_rng(0).normal(3 * y[:, None], size=(90, 4))
    fitted = clone(est).fit(rows, pd.Series(codes[y], dtype=dtype))
    assert fitted.classes_.tolist() == codes.tolist()
    for labels in (fitted.classes_, fitted.predict(rows), fitted.corrected_labels_):
        assert labels.dtype == np.int64
    assert_same_fit(fitted, clone(est).fit(rows, y))


def test_b11_nullable_truth_values_stay_so():
    for dtype in ("boolean", "object"):
        fitted = clone(BRIEF).fit(X, pd.Series(Y > 0, dtype=dtype))
        assert fitted.classes_.dtype == fitted.corrected_labels_.dtype == bool


def test_b11_a_decision_on_nullable_labels():
    y = pd.Series([0, 1, 2] * 2, dtype="Int64")
    review = apply_review(y, [{"row": 0, "decision": "relabel", "label": 2}])
    assert review.labels.tolist() == [2, 1, 2, 0, 1, 2]


# --- B12 EpochScoring ---


@pytest.mark.parametrize("scoring", ["accuracy", "roc_auc_ovr"])
def test_b12_scores_of_the_epochs_are_those_of_the_logits(scoring):
    X, _, given = blobs()
    callback = EpochScoring(scoring, on_train=True, name="score", lower_is_better=False)
    for est in fit_all(X, given, callbacks=[callback], max_epochs=4):
        values = np.array([epoch["score"] for epoch in est.history_])
        assert np.isfinite(values).all()
        assert values[-1] > values[0], "the network learns"


def test_b12_the_accuracy_is_that_of_the_recorded_predictions():
    X, _, given = blobs()
    callback = EpochScoring("accuracy", on_train=True, name="right", lower_is_better=False)
    est = MILDSelector(rounds=1, max_epochs=4, callbacks=[callback], random_state=0).fit(X, given)
    recorded = est.dynamics_.correct.mean(axis=0)
    np.testing.assert_allclose([epoch["right"] for epoch in est.history_], recorded, atol=1e-6)


# --- B13 Dataset in cross-validation ---


def test_b13_a_data_set_is_cross_validated_as_arrays_are():
    y = np.arange(90) % 3
    X = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32) + 2 * np.eye(3)[y]
    data = SliceableDataset(TensorDataset(torch.tensor(X).float(), torch.tensor(y)))
    est = MILDSelector(max_epochs=2, standardize=False, random_state=0)
    scores = cross_val_score(est, data, data.labels, cv=2, error_score="raise")
    np.testing.assert_array_equal(scores, cross_val_score(est, X, y, cv=2))
    assert scores.min() > 0.4


# --- B14 IterableDataset ---


def test_b14_a_stream_is_refused_with_the_map_style_way():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(zip(torch.randn(60, 3), torch.arange(60) % 3, strict=True))

    est = MILDSelector(max_epochs=2)
    with pytest.raises(TypeError, match=r"IterableDataset.*map-style.*__len__ and a __getitem__"):
        est.fit(Stream())
    est.fit(np.eye(3).repeat(20, axis=0), np.arange(3).repeat(20))
    with pytest.raises(TypeError, match=r"IterableDataset.*map-style"):
        est.predict(Stream())


# --- B15 LRScheduler ---


def test_b15_a_users_scheduler_replaces_the_cosine():
    X, _, given = blobs()
    asked_for = [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    for est in fit_all(
        X,
        given,
        max_epochs=6,
        lr=0.1,
        callbacks=[LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=2, gamma=0.1)],
    ):
        rates = [epoch["lr"] for epoch in est.history_[-6:]]
        np.testing.assert_allclose(rates, asked_for, rtol=1e-6)


def test_b15_a_pair_with_a_name_replaces_it_as_well():
    X, _, given = blobs()
    fixed = LRScheduler(torch.optim.lr_scheduler.ConstantLR, factor=1.0)
    est = MILDSelector(rounds=2, max_epochs=2, lr=0.1, callbacks=[("rate", fixed)]).fit(X, given)
    assert [epoch["lr"] for epoch in est.history_] == [0.1] * 4


# --- NaN noise rate ---


@pytest.mark.parametrize("epochs", [1, 2, 3])
@pytest.mark.parametrize("threshold", ["scale", "crossing", 0.9])
def test_a_rate_without_two_groups_is_the_share_that_the_network_contradicts(epochs, threshold):
    X, y, given = blobs(300)
    est = MILDSelector(
        rounds=1, max_epochs=epochs, threshold=threshold, batch_size=8, random_state=0
    ).fit(X, given)
    assert est.noise_rate_ == pytest.approx(1 / 6, abs=0.07)
    assert est.noise_scores_[given != y].mean() > 0.4 > est.noise_scores_[given == y].mean()


# --- frozen BatchNorm ---


class Backbone(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_features, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
        self.head = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, n_classes))
        self.body.requires_grad_(False)

    def forward(self, x):
        return self.head(self.body(x))


@pytest.mark.parametrize("recording", ["training", "evaluation", "held_out"])
def test_the_statistics_of_a_frozen_part_stay(recording):
    X, _, given = blobs()
    torch.manual_seed(0)
    module = Backbone(2, 3)
    before = {name: t.clone() for name, t in module.body.state_dict().items()}
    for est in fit_all(X, given, module=module, **FEW_EPOCHS):
        if recording != "training" and not hasattr(est, "recording"):
            continue
        if hasattr(est, "recording"):
            est = est.set_params(recording=recording).fit(X, given)
        whole = est.net_.module_
        for network in getattr(whole, "networks", [whole]):  # one, or two that predict together
            after = network.state_dict()
            for name, value in before.items():
                torch.testing.assert_close(after[f"body.{name}"], value, rtol=0, atol=0)
            assert after["head.0.num_batches_tracked"] > 0, "the part that learns goes on counting"
