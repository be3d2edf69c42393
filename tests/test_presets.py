"""Presets: the numbers of the papers' fact sheets, and that they are settings of the estimators."""

import inspect

import numpy as np
import pytest
from sklearn.base import clone

from noisyfit import (
    DivideMixClassifier,
    DLTClassifier,
    DynamicsLSTMDetector,
    MetaRelabelClassifier,
    MILDSelector,
    presets,
)
from noisyfit.augment import RandomCropFlip
from noisyfit.modules import CIFARResNet34, ConvNet, PreActResNet18, ResNet32, WideResNet
from noisyfit.training import StepSchedule

ESTIMATORS = {
    "mild": MILDSelector,
    "dlt": DLTClassifier,
    "dividemix": DivideMixClassifier,
    "dynamics_lstm": DynamicsLSTMDetector,
    "meta_relabel": MetaRelabelClassifier,
    "learning_to_reweight": MetaRelabelClassifier,
}


def method_of(name):
    return name.rsplit("_", 1)[0]


def estimator_of(name, **options):
    return ESTIMATORS[method_of(name)](**getattr(presets, name)(**options))


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        (
            "mild_cifar10",
            {"rate": 0.2},
            {
                "module": CIFARResNet34,
                "rounds": 27,
                "first_epochs": 70,
                "max_epochs": 20,
                "lr": 0.01,
                "batch_size": 128,
                "optimizer__weight_decay": 5e-3,
            },
        ),
        ("mild_cifar10", {"rate": 0.5}, {"first_epochs": 10}),
        ("mild_cifar10", {"noise": "asymmetric", "rate": 0.5}, {"first_epochs": 70}),
        ("mild_cifar100", {}, {"first_epochs": 70, "max_epochs": 50}),
        (
            "dlt_cifar10",
            {"rate": 0.4},
            {
                "module": PreActResNet18,
                "max_epochs": 300,
                "warmup_epochs": 10,
                "lr": 0.02,
                "batch_size": 128,
                "window": 200,
                "temperature": 0.5,
                "n_views": 2,
                "noise_rate": 0.4,
                "lambda_noisy": 25,
                "class_prior": "uniform",
                "optimizer__weight_decay": 5e-4,
            },
        ),
        ("dlt_cifar10", {"rate": 0.2}, {"lambda_noisy": 0}),
        ("dlt_cifar10", {"noise": "asymmetric", "rate": 0.4}, {"lambda_noisy": 0}),
        ("dlt_cifar100", {"rate": 0.2}, {"lambda_noisy": 25, "warmup_epochs": 30}),
        ("dlt_cifar100", {"rate": 0.6}, {"lambda_noisy": 150}),
        (
            "dividemix_cifar10",
            {"rate": 0.8},
            {"lambda_noisy": 25, "mixup_alpha": 4, "warmup_epochs": 10, "lambda_ramp_epochs": 16},
        ),
        ("dividemix_cifar100", {"rate": 0.5}, {"lambda_noisy": 150, "warmup_epochs": 30}),
        (
            "dynamics_lstm_cifar10",
            {"rate": 0.4},
            {
                "module": ResNet32,
                "max_epochs": 200,
                "lr": 0.1,
                "batch_size": 128,
                "optimizer__nesterov": True,
                "optimizer__weight_decay": 1e-4,
                "recording": "evaluation_augmented",
                "remove": 0.4,
            },
        ),
        (
            "learning_to_reweight_cifar10",
            {},
            {
                "module": WideResNet,
                "max_epochs": 120,
                "lr": 0.1,
                "batch_size": 100,
                "optimizer__weight_decay": 2e-4,
                "relabel": False,
                "weigh_equally": False,
                "look_ahead_momentum": False,
                "ema_decay": 0,
            },
        ),
        (
            "meta_relabel_cifar10",
            {},
            {
                "module": WideResNet,
                "max_epochs": 200,
                "lr": 0.1,
                "meta_lr": 0.1,
                "batch_size": 100,
                "pool_weight": 5,
                "consistency": 20,
                "trust_given": 0.9,
                "optimizer__weight_decay": 5e-4,
            },
        ),
    ],
)
def test_the_numbers_of_the_fact_sheets(name, options, expected):
    est = estimator_of(name, **options)
    params = est.get_params(deep=False)
    assert {key: params[key] for key in expected} == expected
    assert (est.judge_epochs, est.min_share_of_class) == (0, 0), "no paper has these"
    clone(est)._validate_params()  # `fit` takes all of them


@pytest.mark.parametrize(
    ("name", "milestones"),
    [
        ("learning_to_reweight_cifar10", [80, 100]),
        ("dlt_cifar10", [150]),
        ("dividemix_cifar10", [150]),
        ("dynamics_lstm_cifar10", [100, 150]),
    ],
)
def test_the_learning_rate_falls_in_steps(name, milestones):
    preset = getattr(presets, name)()
    steps = preset["schedule"]
    steps = StepSchedule() if steps == "step" else steps
    assert (steps.first_epochs(preset["max_epochs"]), steps.factor) == (milestones, 0.1)


def test_crops_are_of_four_pixels_and_of_two_in_meta_relabelling():
    for name in presets.__all__:
        crop = getattr(presets, name)()["augment"]
        assert isinstance(crop, RandomCropFlip)
        assert crop.padding == (2 if name == "meta_relabel_cifar10" else 4)


@pytest.mark.parametrize("name", presets.__all__)
def test_each_is_a_setting_that_trains(name):
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    X = (rng.random((40, 3, 16, 16)) * 100 + 100 * y[:, None, None, None]).astype(np.uint8)
    few = {"rounds": 1, "first_epochs": 2, "warmup_epochs": 1, "ramp_epochs": 0, "window": 2}
    few["max_epochs"] = 2
    est = estimator_of(name)
    few = {key: value for key, value in few.items() if key in est.get_params()}
    est.set_params(module=ConvNet, module__width=4, batch_size=10, **few, random_state=0)
    has_trusted = isinstance(est, MetaRelabelClassifier)
    trusted = {"trusted": np.arange(40) < 10} if has_trusted else {}
    est.fit(X, y, **trusted)
    assert est.predict(X).shape == (40,)


@pytest.mark.parametrize("name", presets.__all__)
def test_what_is_no_setting_of_a_paper_is_refused(name):
    make = getattr(presets, name)
    if "rate" in inspect.signature(make).parameters:
        with pytest.raises(ValueError, match=f"'rate' parameter of {name}"):
            make(rate=1.5)
    if "noise" in inspect.signature(make).parameters:
        with pytest.raises(ValueError, match=f"'noise' parameter of {name}"):
            make(noise="pair")
