"""Saving and loading without pickle: the same estimator comes back, and nothing else gets in."""

import contextlib
import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from _estimators import QUICK
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save
from scipy import sparse
from sklearn.datasets import make_blobs
from torch import nn

import noisyfit
from noisyfit import DynamicsLSTM, DynamicsLSTMDetector, MILDSelector
from noisyfit.augment import RandomCropFlip
from noisyfit.dynamics import SelectionQuality
from noisyfit.modules import MLP, ConvNet
from noisyfit.persistence._estimator_file import FORMAT, VERSION
from noisyfit.persistence._names import PLACES
from noisyfit.persistence._object_tree import Decoder, Encoder, import_name, import_value
from noisyfit.persistence._tensor_file import read_tensors, write_tensors

METHODS = [type(est) for est in QUICK]
OLD = Path(__file__).parents[1] / "stored" / "estimator_version_1.safetensors"
X, CODES = make_blobs(120, centers=3, random_state=0)
Y = np.array(["ant", "bee", "cow"])[CODES]
TRUSTED = np.arange(120) < 30


class UserNet(nn.Module):
    """A network that is not noisyfit's."""

    def __init__(self, n_features, n_classes, width=4):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, width), nn.BatchNorm1d(width), nn.Linear(width, n_classes)
        )

    def forward(self, x):
        return self.layers(x)


def assert_same(a, b):
    """Compare two values of any kind, down to the arrays and their types."""
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert set(a) == set(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    elif isinstance(a, nn.Module):
        assert_same(dict(a.state_dict()), dict(b.state_dict()))
    elif type(a).__module__.startswith(("noisyfit", "sklearn")):
        assert_same(dict(a.__getstate__()), dict(b.__getstate__()))
    elif isinstance(a, float) and np.isnan(a):
        assert np.isnan(b)
    else:
        assert a == b


def round_trip(est, tmp_path, **kwargs):
    path = tmp_path / "est.safetensors"
    est.save(path)
    return noisyfit.load(path, **kwargs)


@pytest.mark.parametrize("method", METHODS)
def test_everything_comes_back(method, tmp_path):
    record = ("correct", "given_prob", "margin", "loss")
    est = method(max_epochs=4, record=record, random_state=0).fit(X, Y, trusted=TRUSTED)
    again = round_trip(est, tmp_path)
    assert type(again) is method
    before, after = dict(est.__dict__), dict(again.__dict__)
    net, other = before.pop("net_"), after.pop("net_")
    assert_same(before, after)
    assert type(net) is type(other)
    assert_same(dict(net.module_.state_dict()), dict(other.module_.state_dict()))
    assert_same(list(net.history), list(other.history))
    np.testing.assert_array_equal(est.predict_proba(X), again.predict_proba(X))
    np.testing.assert_array_equal(est.score_labels(X, Y), again.score_labels(X, Y))
    assert est.summary() == again.summary()
    np.testing.assert_array_equal(est.transition_matrix_, again.transition_matrix_)
    assert len(pickle.dumps(again)) < 1.1 * len(pickle.dumps(est))
    again.fit(X, Y, trusted=TRUSTED)
    np.testing.assert_array_equal(est.noise_scores_, again.noise_scores_)


@pytest.mark.parametrize("kind", ["frame", "csr", "uint8 images", "float images"])
def test_kinds_of_rows(kind, tmp_path):
    module = MLP
    rows = {
        "frame": lambda: pd.DataFrame(X, columns=["a", "b"]),
        "csr": lambda: sparse.csr_matrix(np.maximum(X, 0)),
        "uint8 images": lambda: np.random.default_rng(0).integers(0, 256, (120, 3, 8, 8), np.uint8),
        "float images": lambda: np.random.default_rng(0).random((120, 1, 8, 8), np.float32),
    }[kind]()
    if "images" in kind:
        module = ConvNet
    est = MILDSelector(module, rounds=1, max_epochs=2, random_state=0).fit(rows, Y)
    again = round_trip(est, tmp_path)
    np.testing.assert_array_equal(est.predict_proba(rows), again.predict_proba(rows))
    if kind == "frame":
        assert again.feature_names_in_.tolist() == ["a", "b"]
        with pytest.raises(ValueError, match="feature names"):
            again.predict(rows[["b", "a"]])


def test_parameters_of_many_kinds(tmp_path):
    est = MILDSelector(
        MLP,
        module__hidden=(8,),
        optimizer=torch.optim.AdamW,
        optimizer__betas=(0.8, 0.99),
        lr=np.float64(0.01),
        device=torch.device("cpu"),
        record_folder=tmp_path,
        max_epochs=2,
        rounds=1,
        random_state=np.random.RandomState(3),
    ).fit(X, CODES > 0)
    again = round_trip(est, tmp_path)
    params = again.get_params()
    assert params.pop("random_state").random() == est.random_state.random()
    for name, value in params.items():
        assert_same(est.get_params()[name], value)
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8), np.uint8)
    view = RandomCropFlip(padding=1)
    est = MILDSelector(augment=view, rounds=1, max_epochs=1).fit(images, CODES[:60])
    assert_same(round_trip(est, tmp_path).augment, view)
    own = DynamicsLSTM.pretrained()
    est = DynamicsLSTMDetector(detector=own, max_epochs=4).fit(X, Y)
    assert_same(round_trip(est, tmp_path).detector, own)


def test_a_network_of_the_user_needs_consent(tmp_path):
    est = MILDSelector(UserNet, module__width=6, rounds=1, max_epochs=2).fit(X, Y)
    path = tmp_path / "est.safetensors"
    est.save(path)
    name = f"{UserNet.__module__}.UserNet"
    with pytest.raises(ValueError, match=rf"trusted=\['{name}'\]"):
        noisyfit.load(path)
    for trusted in ([name], [UserNet.__module__]):
        again = noisyfit.load(path, trusted=trusted)
        np.testing.assert_array_equal(est.predict_proba(X), again.predict_proba(X))
    with pytest.raises(ValueError, match="trusted"):
        noisyfit.load(path, trusted=[name[:-1]])
    with pytest.raises(TypeError, match="trusted must be a list"):
        noisyfit.load(path, trusted=name)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"module": UserNet(2, 3)}, "module is an instance of UserNet.*module__<name>"),
        ({"augment": lambda x: x}, "augment.*cannot be imported by name"),
        ({"callbacks": [("mine", SelectionQuality(Y == "ant"))]}, "callbacks"),
    ],
)
def test_what_cannot_be_stored_is_named(params, message, tmp_path):
    est = MILDSelector(**{"rounds": 1, "max_epochs": 2, **params})
    est.fit(X, Y)
    path = tmp_path / "est.safetensors"
    path.write_text("here before")
    with pytest.raises(TypeError, match=message):
        est.save(path)
    assert path.read_text() == "here before"
    assert [p.name for p in tmp_path.iterdir()] == ["est.safetensors"]


def test_files_that_are_not_there_or_not_ours(tmp_path):
    est = MILDSelector(rounds=1, max_epochs=2).fit(X, Y)
    with pytest.raises(FileNotFoundError, match="no folder"):
        est.save(tmp_path / "no" / "est")
    with pytest.raises(FileNotFoundError, match="no file"):
        noisyfit.load(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="no file of safetensors"):
        noisyfit.load(tmp_path / "text")
    DynamicsLSTM.pretrained().save(tmp_path / "detector")
    with pytest.raises(ValueError, match=r"holds no noisyfit\.estimator"):
        noisyfit.load(tmp_path / "detector")
    write_tensors(tmp_path / "later", FORMAT, VERSION + 1, {}, {})
    with pytest.raises(ValueError, match="Update noisyfit"):
        noisyfit.load(tmp_path / "later")


@pytest.mark.parametrize(
    "content",
    [
        b"my own notes",
        b"a",
        b"PK\x03\x04" + bytes(100),
        save({"weight": torch.ones(2)}),
        save({"weight": torch.ones(2)}, {"format": "pt"}),
        (2).to_bytes(8, "little") + b"[]",
        None,
    ],
)
@pytest.mark.parametrize("what", ["estimator", "detector"])
def test_a_file_of_something_else_is_not_replaced(what, content, tmp_path):
    path = tmp_path / "est"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    kept = (
        MILDSelector(rounds=1, max_epochs=1).fit(X, Y)
        if what == "estimator"
        else DynamicsLSTM.pretrained()
    )
    kind = "a folder" if content is None else f"a file of {len(content)} bytes"
    with pytest.raises(FileExistsError, match=f"is {kind} that noisyfit did not write"):
        kept.save(path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.is_dir() if content is None else path.read_bytes() == content


def test_an_empty_file_and_files_of_noisyfit_are_replaced(tmp_path):
    path = tmp_path / "est"
    path.touch()
    est = MILDSelector(rounds=1, max_epochs=1).fit(X, Y)
    est.save(path)
    path.write_bytes(path.read_bytes()[:-1])  # damaged, but one of ours
    est.save(path)
    assert noisyfit.load(path).rounds == 1
    DynamicsLSTM.pretrained().save(path)
    est.save(path)
    assert noisyfit.load(path).rounds == 1


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    est = MILDSelector(rounds=1, max_epochs=2).fit(X, Y)
    path = tmp_path / "est"
    est.save(path)
    before = path.read_bytes()

    def full(tensors, target, metadata):
        Path(target).write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("noisyfit.persistence._tensor_file.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        est.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_trained_on_cuda_loads_without_it(tmp_path):
    est = MILDSelector(rounds=1, max_epochs=2, random_state=0).fit(X, Y)
    path = tmp_path / "est"
    est.save(path)
    tensors, header = read_tensors(path, FORMAT, VERSION)
    text = json.dumps(header)
    assert text.count('{"device": "cpu"}') == 1
    header = json.loads(text.replace('{"device": "cpu"}', '{"device": "cuda:7"}'))
    write_tensors(path, FORMAT, VERSION, tensors, header)
    if not torch.cuda.is_available():
        again = noisyfit.load(path)
        assert again.net_.device == torch.device("cpu")
        np.testing.assert_array_equal(est.predict_proba(X), again.predict_proba(X))


def test_a_file_of_the_first_version_stays_readable():
    # Written by 0.1.0.dev0: MILDSelector(MLP, module__hidden=(4,), rounds=2, max_epochs=6,
    # random_state=0).fit(X, Y).save(OLD). Never write it anew: add a second one.
    est = noisyfit.load(OLD)
    assert isinstance(est, MILDSelector)
    assert est.get_params()["module__hidden"] == (4,)
    assert est.noise_scores_.shape == (120,)
    assert (est.predict(X) == Y).mean() == 0.9
    assert est.dynamics_.n_epochs == 6 * est.n_rounds_
    # The mixture in it still has the parameters `solver` and `init`, which are no more.
    assert repr(est.mixtures_[0]) == "WeibullMixture()"
    assert "solver" not in est.mixtures_[0].get_params()
    est.fit(X, Y)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "est"
    MILDSelector(rounds=1, max_epochs=2, random_state=0).fit(X, Y).save(path)
    return path


@given(st.data())
def test_damaged_bytes_are_refused(stored, data):
    raw = bytearray(stored.read_bytes())
    action = data.draw(st.sampled_from(["flip", "cut", "insert"]))
    at = data.draw(st.integers(0, len(raw) - 1))
    if action == "flip":
        raw[at] ^= data.draw(st.integers(1, 255))
    elif action == "cut":
        del raw[at:]
    else:
        raw[at:at] = data.draw(st.binary(min_size=1, max_size=20))
    path = stored.with_name("damaged")
    path.write_bytes(bytes(raw))
    with pytest.raises(ValueError, match=r"damaged|holds no|version"):
        noisyfit.load(path)


def nodes(tree, path=()):
    """List the places of all nodes of a JSON tree."""
    yield path
    children = tree.items() if isinstance(tree, dict) else ()
    children = enumerate(tree) if isinstance(tree, list) else children
    for key, child in children:
        yield from nodes(child, (*path, key))


JUNK = st.one_of(
    st.none(),
    st.integers(-3, 2**70),
    st.text(max_size=5),
    st.just({"import": "os:system"}),
    st.just({"object": ["noisyfit._column_file:ColumnFile", {"folder": "x"}]}),
    st.just({"network": [{"name": "noisyfit.base:torch.multiprocessing.Process"}, {}]}),
    st.just({"array": ["t0", "O", [1]]}),
    st.just({"array": ["t0", "<f8", [10**9]]}),
    st.just({"dict": [[[1], 2]]}),
    st.just({"no such kind": 1}),
    st.just([[]] * 3),
)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")  # of a net without inputs
@given(st.data())
def test_a_header_of_a_stranger_is_refused_or_read_as_data(stored, data):
    tensors, header = read_tensors(stored, FORMAT, VERSION)
    place = data.draw(st.sampled_from(list(nodes(header))[1:]))
    parent = header
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = data.draw(JUNK)
    path = stored.with_name("strange")
    write_tensors(path, FORMAT, VERSION, tensors, header)
    with contextlib.suppress(ValueError):  # of another value for a setting nobody can know
        assert isinstance(noisyfit.load(path), MILDSelector)


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "builtins:eval",
        "subprocess:Popen",
        "noisyfit.base:torch.multiprocessing.Process",
        "noisyfit.persistence:Path",
        "noisyfit:load",
        "torch.optim.sgd:_use_grad_for_differentiable",
        "torch.nn.modules.module:torch.Tensor",
        "noisyfitted:Thing",
        "no colon",
        None,
    ],
)
def test_names_that_need_trust(name):
    for node in ({"import": name}, {"network": [{"name": name, "arguments": {"dict": []}}, {}]}):
        with pytest.raises(ValueError, match=r"trusted=|belongs|damaged|reads from no file"):
            Decoder({}, []).decode(node)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("noisyfit._column_file:ColumnFile", "reads from no file"),
        ("noisyfit.engine:NoisyNet", "reads from no file"),
        ("sklearn.svm:SVC", "trusted="),
    ],
)
def test_objects_of_other_classes_are_not_made(name, message):
    with pytest.raises(ValueError, match=message):
        Decoder({}, []).decode({"object": [name, {}]})


@pytest.mark.parametrize("identifier", PLACES)
def test_every_name_in_files_leads_to_a_class(identifier):
    cls = import_value(identifier, [])
    assert isinstance(cls, type)
    assert f"{cls.__module__}:{cls.__qualname__}" == PLACES[identifier]
    assert import_name(cls) == identifier


@pytest.mark.parametrize(
    "trusted", [[], ["noisyfit"], ["noisyfit.dynamics._recorder.SelectionQuality"]]
)
def test_nothing_else_of_noisyfit_is_read(trusted):
    name = import_name(SelectionQuality)
    for node in ({"import": name}, {"object": [name, {}]}):
        with pytest.raises(ValueError, match=r"reads from no file.*later version"):
            Decoder({}, trusted).decode(node)


@pytest.mark.parametrize(
    "node",
    [
        {"namedtuple": ["noisyfit.modules:MLP", []]},
        {"torch_dtype": "nn"},
        {"network": [{"name": "torch.optim.sgd:SGD", "arguments": {"dict": []}}, {}]},
        {"array": ["t0", "O", [1]]},
        {"float": "one"},
        {"no such kind": 1},
        {"two": 1, "kinds": 2},
    ],
)
def test_values_of_another_kind_are_refused(node):
    with pytest.raises(ValueError, match=r"belongs|damaged|no stored value|array of O"):
        Decoder({"t0": torch.zeros(1)}, []).decode(node)


def test_weights_of_another_network_are_refused():
    arguments = {"dict": [["n_features", 2], ["n_classes", 2]]}
    node = {"network": [{"name": "noisyfit.modules:MLP", "arguments": arguments}, {}]}
    with pytest.raises(ValueError, match=r"do not fit 'noisyfit.modules:MLP'; has it changed\?"):
        Decoder({}, []).decode(node)


def test_objects_of_a_trusted_name_that_is_no_class_are_refused():
    with pytest.raises(ValueError, match="where a class belongs"):
        Decoder({}, ["json.loads"]).decode({"object": ["json:loads", {}]})


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (("estimator",), "where an estimator belongs"),
        (("net", "class"), "where a net belongs"),
    ],
)
def test_other_classes_for_the_estimator_and_the_net_are_refused(stored, place, message):
    tensors, header = read_tensors(stored, FORMAT, VERSION)
    parent = header
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = "noisyfit.modules:MLP"
    path = stored.with_name("other")
    write_tensors(path, FORMAT, VERSION, tensors, header)
    with pytest.raises(ValueError, match=message):
        noisyfit.load(path)


@pytest.mark.parametrize("part", ["estimator", "state", "net"])
def test_half_an_estimator_is_refused(stored, part):
    tensors, header = read_tensors(stored, FORMAT, VERSION)
    del header[part]
    path = stored.with_name("half")
    write_tensors(path, FORMAT, VERSION, tensors, header)
    with pytest.raises(ValueError, match=f"holds no whole estimator.*{part}"):
        noisyfit.load(path)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000], ids=["empty", "open", "deep"])
def test_a_header_that_is_no_json_is_refused(text, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("noisyfit.persistence._tensor_file.json.dumps", lambda *args, **kwargs: text)
        write_tensors(tmp_path / "est", FORMAT, VERSION, {}, None)
    with pytest.raises(ValueError, match="has a header that is no JSON"):
        noisyfit.load(tmp_path / "est")


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.sampled_from([np.float32(1.5), np.int64(3), np.dtype("<U7"), torch.float16, Path("a")]),
        st.sampled_from([np.array(["ä", "b"]), np.zeros((2, 0, 3)), np.array([1, None, "x"])]),
        st.sampled_from([torch.optim.SGD, MLP, nn.Linear, torch.device("cpu")]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.integers()), inner, max_size=3),
    ),
    max_leaves=8,
)


@given(VALUES)
def test_values_come_back(value):
    encoder = Encoder()
    node = json.loads(json.dumps(encoder.encode(value, "value")))
    assert_same(Decoder(encoder.tensors, []).decode(node), value)


def test_generators_and_deep_trees():
    rng = np.random.default_rng(5)
    rng.random(3)
    encoder = Encoder()
    again = Decoder({}, []).decode(json.loads(json.dumps(encoder.encode(rng, "rng"))))
    assert again.random() == rng.random()
    deep = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RecursionError):
        Decoder({}, []).decode(deep)
