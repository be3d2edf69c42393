"""The miniature of the papers' tables, on a few images that are made here."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[1] / "examples" / "paper_tables"
MODULES = ("cifar", "dynamics_lstm", "miniature", "miniature_methods", "miniature_tables")


@pytest.fixture
def miniature(monkeypatch):
    """Return the script; it finds pictures of ten classes, one of ten rows bright in each."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import cifar
    import miniature

    def images(folder, dataset):
        y = np.arange(6000) % 10
        x = np.random.default_rng(0).integers(0, 100, (6000, 3, 32, 32), dtype=np.uint8)
        x[np.arange(6000), :, 3 * y] += 150
        return x, y, x[:50], y[:50]

    def given_labels(config, folder, y, noise):
        return np.where(noise.random(len(y)) < 0.2, (y + 1) % 10, y)

    monkeypatch.setattr(cifar, "images", images)
    monkeypatch.setattr(cifar, "given_labels", given_labels)
    yield miniature
    for name in MODULES:
        sys.modules.pop(name, None)


def run(miniature, setting, method):
    config = {"setting": setting, "method": method, "seed": 0, "batch_size": 64}
    config |= {"precision": "float32", "n_train": 200, "n_eval": 50, "module": "ConvNet"}
    return miniature.run(config, {"data": "", "device": "cpu", "threads": 1, "jobs": 1})


def test_one_recorded_run_serves_three_methods(miniature):
    result = run(miniature, "symmetric-0.2", "recorded")
    assert 0.1 < result["noise_rate"] < 0.3
    assert set(result["measured"]) == {"plain", "aum", "lstm", "rates"}
    for name in ("plain", "aum", "lstm"):
        found = result["measured"][name]
        assert 1 <= found["epoch"] <= found["of"] == 24
        assert found["auroc"] > 0.5
    plain = result["measured"]["plain"]
    assert plain["kept"] == 200
    assert plain["kept_right"] == pytest.approx(1 - result["noise_rate"])


@pytest.mark.slow
def test_every_method_is_measured(miniature):
    pairs = {method: pair for table in miniature.TABLES.values() for *pair, method in table}
    assert set(pairs) == set(miniature.METHODS)
    results = [run(miniature, setting, method) for method, (setting,) in pairs.items()]
    text = miniature.tables(results, miniature.TABLES)
    for title in {method.title for method in miniature.METHODS.values()}:
        assert f"| {title} |" in text


def test_the_images_are_averaged(miniature):
    x = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)
    np.testing.assert_array_equal(miniature.averaged(x)[0, 0], [[2, 4], [10, 12]])


def test_a_run_is_made_once(miniature, monkeypatch):
    monkeypatch.setattr(miniature.cifar, "source", lambda folder, dataset: "made")
    args = {"tables": list(miniature.TABLES), "seeds": [0, 1], "settings": None, "methods": None}
    args |= {"precision": "auto", "limit": None, "data": ""}
    made = miniature.configurations(SimpleNamespace(**args))
    assert len(made) == len({str(config) for config in made})
    assert {config["seed"] for config in made} == {0, 1}
