"""The architecture as a test: imports run only downwards, and methods never import each other."""

import ast
from pathlib import Path

import pytest

import noisyfit

PACKAGE = Path(noisyfit.__file__).parent
FLOORS = {
    "noise": 0,
    "mixture": 0,
    "_location_scale": 0,
    "losses": 0,
    "augment": 0,
    "modules": 0,
    "resnets": 0,
    "metrics": 0,
    "progress": 0,
    "_params": 0,
    "_weighted": 0,
    "_vector_augment": 0,
    "_image_augment": 0,
    "_mixture_base": 0,
    "scaling": 0,
    "calibration": 0,
    "label_quality": 0,
    "selection": 0,
    "thresholds": 0,
    "sequences": 0,
    "schedule": 0,
    "averaging": 0,
    "_meta_settings": 0,
    "_batch_norm_jvp": 0,
    "meta_gradient": 0,
    "_tensor_file": 0,
    "_names": 0,
    "_detector_file": 0.5,
    "_object_tree": 0.5,
    "persistence": 2.8,
    "_checkpoint": 1.8,
    "_grouped_loss": 0,
    "_seeding": 0,
    "_column_file": 0,
    "_over_classes": 0,
    "device": 0,
    "data": 1,
    "dynamics": 1,
    "recorder": 1.5,
    "_building": 1.5,
    "inputs": 1.5,
    "_array_checks": 0,
    "_dataset_items": 1.2,
    "noise_rate": 1.5,
    "engine": 2,
    "probe": 1.5,
    "threshold_net": 2.5,
    "meta_net": 2.5,
    "_detector_training": 2.5,
    "detector": 2.6,
    "recorded_run": 2.5,
    "debugging": 5,
    "fit_task": 2.7,
    "net_maker": 2.8,
    "base": 3,
    "_fitted_on": 3.5,
    "mild": 4,
    "dlt": 4,
    "dynamics_lstm": 4,
    "meta_relabel": 4,
    "model_selection": 5,
    "display": 5,
    "report": 5,
    "_review_page": 4.5,
    "_training_display": 4.5,
    "_mild_display": 4.6,
    "datasets": 5,
    "open_set": 5,
    "__init__": 6,
}
SAME_FLOOR = {
    ("losses", "_over_classes"),
    ("augment", "_image_augment"),
    ("augment", "_vector_augment"),
    ("resnets", "modules"),
    ("_image_augment", "_vector_augment"),
    ("mixture", "_location_scale"),
    ("mixture", "_mixture_base"),
    ("mixture", "_weighted"),
    ("_mixture_base", "_location_scale"),
    ("_mixture_base", "_weighted"),
    ("_location_scale", "_weighted"),
}
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))


def imported(module):
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("noisyfit"):
            assert node.level == 0
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("noisyfit."):
                    yield alias.name.split(".")[1]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_floor(module):
    assert module in FLOORS


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_downwards(module):
    for other in imported(module):
        lower = FLOORS[other] < FLOORS[module]
        assert lower or (module, other) in SAME_FLOOR, f"{module} imports {other}"


@pytest.mark.parametrize("module", MODULES)
def test_importing_needs_no_optional_package(module):
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    top_level = {
        alias.name.split(".")[0]
        for node in tree.body
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        (node.module or "").split(".")[0] for node in tree.body if isinstance(node, ast.ImportFrom)
    }
    assert not top_level & {"matplotlib", "pandas", "cleanlab", "PIL"}
