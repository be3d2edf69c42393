"""CIFAR as torchvision reads it, superclasses, and the labels that people gave in haste."""

import hashlib
import pickle
import zipfile

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from noisyfit import MILDSelector
from noisyfit.datasets import (
    cifar100_circle,
    cifar100_superclasses,
    load_cifar10,
    load_cifar10n,
    load_cifar100,
    load_cifar100n,
)
from noisyfit.noise import transition_matrix

# The coarse labels of the published files, by fine label.
COARSE = """
    4 1 14 8 0 6 7 7 18 3 3 14 9 18 7 11 3 9 7 11 6 11 5 10 7 6 13 15 3 15 0 11 1 10 12 14 16 9 11 5
    5 19 8 8 15 13 14 17 18 10 16 4 17 4 2 0 17 4 18 17 10 3 2 12 12 16 12 1 9 19 2 10 0 1 16 12 9
    13 15 13 16 19 2 4 6 19 5 5 8 19 18 1 2 15 6 0 17 8 14 13
"""


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Write a few images in both layouts, and let torchvision know their checksums."""
    rng = np.random.default_rng(0)
    for reader, key, n_classes in ((CIFAR10, "labels", 10), (CIFAR100, "fine_labels", 100)):
        place = tmp_path / reader.base_folder
        for part in ("train_list", "test_list"):
            known = []
            for number, (name, _) in enumerate(getattr(reader, part)):
                rows = {"data": rng.integers(0, 256, (4, 3072), dtype=np.uint8)}
                rows[key] = [(number + row) % n_classes for row in range(4)]
                known.append([name, write(place / name, rows)])
            monkeypatch.setattr(reader, part, known)
        names = {reader.meta["key"]: [f"class {i}" for i in range(n_classes)]}
        digest = write(place / reader.meta["filename"], names)
        monkeypatch.setattr(reader, "meta", reader.meta | {"md5": digest})
    return tmp_path


def test_images_are_channels_first_and_in_order(folder):
    data = load_cifar10(folder)
    assert data.X.shape == (20, 3, 32, 32)
    assert data.X_test.shape == (4, 3, 32, 32)
    assert data.y.tolist()[:8] == [0, 1, 2, 3, 1, 2, 3, 4]
    stored = pickle.loads((folder / "cifar-10-batches-py" / "data_batch_1").read_bytes())["data"]
    assert np.array_equal(data.X[2].ravel(), stored[2])  # published rows are channels first
    assert data.class_names[3] == "class 3"
    assert load_cifar100(folder).X.shape == (4, 3, 32, 32)


def test_an_estimator_fits_on_what_is_read(folder):
    data = load_cifar10(folder)
    settings = {"rounds": 1, "judge_epochs": 0, "max_epochs": 1, "module__width": 4}
    est = MILDSelector(**settings, random_state=0).fit(data.X, data.y)
    assert est.predict(data.X_test).shape == (4,)


def test_superclasses_are_the_published_ones():
    assert cifar100_superclasses().tolist() == [int(i) for i in COARSE.split()]


def test_circles_stay_within_five_classes():
    circle, groups = cifar100_circle(), cifar100_superclasses()
    assert sorted(circle) == sorted(circle.values()) == list(range(100))
    assert all(groups[a] == groups[b] and a != b for a, b in circle.items())
    # Aquatic mammals: beaver, dolphin, otter, seal, whale, and around.
    assert [circle[i] for i in (4, 30, 55, 72, 95)] == [30, 55, 72, 95, 4]
    by_number = cifar100_circle("number")
    assert [by_number[i] for i in (0, 4, 5, 99)] == [1, 0, 6, 95]
    matrix = transition_matrix("asymmetric", 100, 0.4, mapping=circle)
    assert matrix[95, 4] == 0.4
    with pytest.raises(ValueError, match="'within' parameter of cifar100_circle"):
        cifar100_circle("block")


def human(clean, given, as_file):
    columns = {"clean_label": np.array(clean), "worse_label": np.array(given)}
    columns["noisy_label"] = columns["worse_label"]
    if as_file.suffix == ".npy":
        np.save(as_file, columns, allow_pickle=True)
    else:
        torch.save(columns, as_file)
    return as_file


@pytest.mark.parametrize("name", ["CIFAR-10_human.pt", "CIFAR-10_human.npy"])
def test_human_labels_take_the_place_of_the_published_ones(folder, name):
    clean = load_cifar10(folder).y
    given = np.where(np.arange(20) < 5, (clean + 1) % 10, clean)
    data = load_cifar10n(folder, file=human(clean, given, folder / name))
    assert np.array_equal(data.y, given)
    assert np.array_equal(data.true_labels, clean)
    assert data.noise_rate == 0.25
    assert data.is_right.tolist() == [0] * 5 + [1] * 15
    assert np.array_equal(data.X, load_cifar10(folder).X)


def test_files_of_numpy_1_are_read(folder):
    """The published ones name numpy's functions as they were called then."""
    clean = load_cifar10(folder).y
    new, old = human(clean, clean, folder / "new.pt"), folder / "CIFAR-10_human.pt"
    with zipfile.ZipFile(new) as source, zipfile.ZipFile(old, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("data.pkl"):
                assert b"numpy._core.multiarray" in content
                content = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
            target.writestr(name, content)
    assert load_cifar10n(folder).noise_rate == 0


def test_human_labels_of_cifar100_have_one_column(folder):
    human(load_cifar100(folder).y, [5, 5, 5, 3], folder / "CIFAR-100_human.pt")
    assert load_cifar100n(folder).y.tolist() == [5, 5, 5, 3]


def test_labels_in_another_order_are_refused(folder):
    clean = load_cifar10(folder).y
    human(clean[::-1], clean, folder / "CIFAR-10_human.pt")
    with pytest.raises(ValueError, match="rows are in another order"):
        load_cifar10n(folder)


def test_other_files_are_refused(folder):
    torch.save({"clean_label": np.zeros(20)}, folder / "CIFAR-10_human.pt")
    with pytest.raises(ValueError, match=r"has no 'random_label2', only \['clean_label'\]"):
        load_cifar10n(folder, "random2")
    torch.save([1, 2], folder / "CIFAR-10_human.pt")
    with pytest.raises(ValueError, match="has to hold a dict of arrays"):
        load_cifar10n(folder)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pt is not there"):
        load_cifar10n(folder, file=folder / "nowhere.pt")


class Dangerous:
    def __reduce__(self):
        return (print, ("code that runs",))


@pytest.mark.parametrize("name", ["bad.pt", "bad.npy"])
def test_files_that_would_run_code_are_refused(folder, name, capsys):
    if name == "bad.pt":
        torch.save({"clean_label": Dangerous()}, folder / name)
    else:
        np.save(folder / name, {"clean_label": Dangerous()}, allow_pickle=True)
    with pytest.raises(ValueError, match="is not one of the published files"):
        load_cifar10n(folder, file=folder / name)
    assert "code that runs" not in capsys.readouterr().out


def test_missing_images_say_what_belongs_where(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cifar-100-python is not there\. Nothing is"):
        load_cifar100(tmp_path)
