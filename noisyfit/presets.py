"""Settings of the papers, as keyword arguments: ``MILDSelector(**presets.mild_cifar10(rate=0.5))``.

Each number says where it is from: the paper [P], its published code [C], DivideMix's code, from
which DLT takes what its paper leaves open [D], or, where nobody says, this library [N]. Judges,
which no paper has, are left out, and a class may lose all its rows.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

from noisyfit._sklearn import Interval, StrOptions, validate_parameter_constraints
from noisyfit.augment import RandomCropFlip
from noisyfit.modules import CIFARResNet34, PreActResNet18, ResNet32, WideResNet
from noisyfit.training import StepSchedule

__all__ = [
    "dividemix_cifar10",
    "dividemix_cifar100",
    "dlt_cifar10",
    "dlt_cifar100",
    "dynamics_lstm_cifar10",
    "learning_to_reweight_cifar10",
    "meta_relabel_cifar10",
    "mild_cifar10",
    "mild_cifar100",
]


def mild_cifar10(noise: str = "symmetric", rate: float = 0.5) -> dict[str, Any]:
    """Return the setting of MILD on CIFAR-10, for `MILDSelector`.

    Parameters
    ----------
    noise : {"symmetric", "asymmetric"}, default="symmetric"
        Kind of noise.
    rate : float, default=0.5
        Nominal noise rate, in (0, 1). The first round is shorter at 50 % symmetric noise.

    Returns
    -------
    dict
        Keyword arguments.

    Raises
    ------
    ValueError
        If the noise is of another kind, or the rate out of range.

    Notes
    -----
    The code takes half the weight decay in the first round at 80 % symmetric noise, which a single
    number cannot say. It holds out a tenth of the training images with clean labels.

    Examples
    --------
    >>> from noisyfit import MILDSelector, presets
    >>> est = MILDSelector(**presets.mild_cifar10(rate=0.5), random_state=0)
    >>> est.first_epochs, est.max_epochs, est.rounds
    (10, 20, 27)
    """
    _check(noise, rate, "mild_cifar10")
    short = noise == "symmetric" and rate == 0.5
    return _mild(max_epochs=20, first_epochs=10 if short else 70)  # [P], [C]


def mild_cifar100() -> dict[str, Any]:
    """Return the setting of MILD on CIFAR-100, for `MILDSelector`.

    Returns
    -------
    dict
        Keyword arguments.

    Examples
    --------
    >>> from noisyfit import MILDSelector, presets
    >>> MILDSelector(**presets.mild_cifar100(), random_state=0).max_epochs
    50
    """
    return _mild(max_epochs=50, first_epochs=70)  # [P], [C]


def _mild(**epochs: int) -> dict[str, Any]:
    return {
        "module": CIFARResNet34,  # [P]
        **epochs,
        "rounds": 27,  # [C]
        "lr": 0.01,  # [P]
        "batch_size": 128,  # [P]
        "optimizer__weight_decay": 5e-3,  # [C]
        "augment": RandomCropFlip(padding=4),  # [P]
        **_AS_IN_THE_PAPERS,
    }


def dlt_cifar10(noise: str = "symmetric", rate: float = 0.4) -> dict[str, Any]:
    """Return the setting of DLT on CIFAR-10, for `DLTClassifier`.

    Parameters
    ----------
    noise : {"symmetric", "asymmetric"}, default="symmetric"
        Kind of noise, on which the weight of the rejected rows depends.
    rate : float, default=0.4
        Nominal noise rate, in (0, 1), which the method is told, as in Table 1.

    Returns
    -------
    dict
        Keyword arguments.

    Raises
    ------
    ValueError
        If the noise is of another kind, or the rate out of range.

    Notes
    -----
    The paper names 0, 25 and 150 for the weight of the rejected rows, without a rule; here it is 0
    at 20 % and for asymmetric noise, else 25, as in the scripts of FINE. It does not give the
    length of the ramp (here that of the warm-up) and mixup's alpha (here DivideMix's).

    Examples
    --------
    >>> from noisyfit import DLTClassifier, presets
    >>> est = DLTClassifier(**presets.dlt_cifar10("asymmetric", 0.4), random_state=0)
    >>> est.max_epochs, est.lambda_noisy
    (300, 0.0)
    """
    _check(noise, rate, "dlt_cifar10")
    weight = 0.0 if noise == "asymmetric" or rate <= 0.2 else 25.0  # values [P], rule [N]
    return _dlt(10, rate, weight)  # [P]


def dlt_cifar100(noise: str = "symmetric", rate: float = 0.4) -> dict[str, Any]:
    """Return the setting of DLT on CIFAR-100, for `DLTClassifier`.

    Parameters
    ----------
    noise : {"symmetric", "asymmetric"}, default="symmetric"
        Kind of noise.
    rate : float, default=0.4
        Nominal noise rate, in (0, 1), which the method is told.

    Returns
    -------
    dict
        Keyword arguments.

    Raises
    ------
    ValueError
        If the noise is of another kind, or the rate out of range.

    Notes
    -----
    As `dlt_cifar10`, with the weight 25 at 20 %, else 150.

    Examples
    --------
    >>> from noisyfit import DLTClassifier, presets
    >>> DLTClassifier(**presets.dlt_cifar100(), random_state=0).warmup_epochs
    30
    """
    _check(noise, rate, "dlt_cifar100")
    return _dlt(30, rate, 25.0 if rate <= 0.2 else 150.0)  # values [P], rule [N]


def _dlt(warmup_epochs: int, rate: float, weight: float) -> dict[str, Any]:
    return {
        **_dividemix(warmup_epochs, weight),
        "noise_rate": rate,  # [P]
        "window": 200,  # [P]
        "ramp_epochs": warmup_epochs,  # [N]
    }


def dividemix_cifar10(noise: str = "symmetric", rate: float = 0.5) -> dict[str, Any]:
    """Return the setting of DivideMix on CIFAR-10, for `DivideMixClassifier`.

    Parameters
    ----------
    noise : {"symmetric", "asymmetric"}, default="symmetric"
        Kind of noise, on which the weight of the rows without labels depends.
    rate : float, default=0.5
        Nominal noise rate, in (0, 1).

    Returns
    -------
    dict
        Keyword arguments.

    Raises
    ------
    ValueError
        If the noise is of another kind, or the rate out of range.

    Notes
    -----
    The code adds an entropy penalty to the warm-up at asymmetric noise, and averages losses over
    five epochs at 90 %; `DivideMixClassifier` has neither.

    Examples
    --------
    >>> from noisyfit import DivideMixClassifier, presets
    >>> DivideMixClassifier(**presets.dividemix_cifar10(), random_state=0).lambda_noisy
    25.0
    """
    _check(noise, rate, "dividemix_cifar10")
    weight = 0.0 if noise == "asymmetric" or rate <= 0.2 else 25.0  # [D]
    return _dividemix(10, weight)


def dividemix_cifar100(noise: str = "symmetric", rate: float = 0.5) -> dict[str, Any]:
    """Return the setting of DivideMix on CIFAR-100, for `DivideMixClassifier`.

    Parameters
    ----------
    noise : {"symmetric", "asymmetric"}, default="symmetric"
        Kind of noise.
    rate : float, default=0.5
        Nominal noise rate, in (0, 1).

    Returns
    -------
    dict
        Keyword arguments.

    Raises
    ------
    ValueError
        If the noise is of another kind, or the rate out of range.

    Examples
    --------
    >>> from noisyfit import DivideMixClassifier, presets
    >>> DivideMixClassifier(**presets.dividemix_cifar100(), random_state=0).warmup_epochs
    30
    """
    _check(noise, rate, "dividemix_cifar100")
    return _dividemix(30, 25.0 if rate <= 0.2 else 150.0)  # [D]


def _dividemix(warmup_epochs: int, weight: float) -> dict[str, Any]:
    return {
        "module": PreActResNet18,  # [P]
        "max_epochs": 300,  # [P]
        "warmup_epochs": warmup_epochs,  # [P]
        "mixup_alpha": 4.0,  # [D]
        "temperature": 0.5,  # [P]
        "n_views": 2,  # [P]
        "lambda_noisy": weight,
        "lambda_ramp_epochs": 16,  # [D]
        "class_prior": "uniform",  # [P]
        "lr": 0.02,  # [P]
        "batch_size": 128,  # [P]; DivideMix: 64 believed and 64 rejected rows
        "optimizer__weight_decay": 5e-4,  # [P]
        "schedule": "step",  # [P]: a tenth from epoch 150 on
        "augment": RandomCropFlip(padding=4),  # [D]
        **_AS_IN_THE_PAPERS,
    }


def dynamics_lstm_cifar10(rate: float = 0.2) -> dict[str, Any]:
    """Return the setting of the LSTM paper on CIFAR-10, for `DynamicsLSTMDetector`.

    Parameters
    ----------
    rate : float, default=0.2
        Share of the rows to remove, in (0, 1): the nominal noise rate, as in the code.

    Returns
    -------
    dict
        Keyword arguments.

    Raises
    ------
    ValueError
        If the rate is out of range.

    Notes
    -----
    The recorded training and the last one are alike here, with 200 epochs; the code trains the last
    one for 300, with batches that are smaller by the share removed and one step of the learning
    rate.

    Examples
    --------
    >>> from noisyfit import DynamicsLSTMDetector, presets
    >>> est = DynamicsLSTMDetector(**presets.dynamics_lstm_cifar10(0.4), random_state=0)
    >>> est.remove, est.recording
    (0.4, 'evaluation_augmented')
    """
    _check("symmetric", rate, "dynamics_lstm_cifar10")
    return {
        "module": ResNet32,  # [P]
        "max_epochs": 200,  # [C]
        "lr": 0.1,  # [C]
        "batch_size": 128,  # [C]
        "optimizer__momentum": 0.9,  # [C]
        "optimizer__nesterov": True,  # [C]
        "optimizer__weight_decay": 1e-4,  # [C]
        "schedule": StepSchedule((0.5, 0.75)),  # [C]: after 100 and 150 epochs
        "augment": RandomCropFlip(padding=4),  # [C]
        "recording": "evaluation_augmented",  # [C]
        "remove": rate,  # [C]
        **_AS_IN_THE_PAPERS,
    }


def meta_relabel_cifar10() -> dict[str, Any]:
    """Return the setting of the meta re-labelling paper on CIFAR-10, for `MetaRelabelClassifier`.

    Returns
    -------
    dict
        Keyword arguments.

    Examples
    --------
    >>> from noisyfit import MetaRelabelClassifier, presets
    >>> est = MetaRelabelClassifier(**presets.meta_relabel_cifar10(), random_state=0)
    >>> est.pool_weight, est.consistency, est.batch_size
    (5.0, 20.0, 100)
    """
    return {
        "module": WideResNet,  # [P]
        "max_epochs": 200,  # [C]: enough, of some 408
        "lr": 0.1,  # [P]
        "meta_lr": 0.1,  # [C]
        "batch_size": 100,  # [P]
        "optimizer__weight_decay": 5e-4,  # [C]
        "pool_weight": 5.0,  # [P], p
        "consistency": 20.0,  # [P], k
        "temperature": 0.5,  # [P]
        "trust_given": 0.9,  # [P]
        "mixup_alpha": 0.5,  # [P]
        "ramp_epochs": 0,  # [P]
        "augment": RandomCropFlip(padding=2),  # [C]
        "strong_augment": "autoaugment",  # [P]
        **_AS_IN_THE_PAPERS,
    }


def learning_to_reweight_cifar10() -> dict[str, Any]:
    """Return the setting of learning to reweight on CIFAR-10, for `MetaRelabelClassifier`.

    It is the method that meta re-labelling extends, and M-1 of its ablations (Ren et al., "Learning
    to Reweight Examples for Robust Deep Learning", ICML 2018).

    Returns
    -------
    dict
        Keyword arguments.

    Notes
    -----
    Numbers are those of the published code: 60,000 steps with 100 of 50,000 images, and a tenth of
    the learning rate from step 40,000 and again from 50,000 on. Its network also has dropout. The
    look-ahead goes from weights of 0 without momentum, so that its step size does not matter but
    for the weight decay.

    Examples
    --------
    >>> from noisyfit import MetaRelabelClassifier, presets
    >>> est = MetaRelabelClassifier(**presets.learning_to_reweight_cifar10(), random_state=0)
    >>> est.schedule.first_epochs(est.max_epochs)
    [80, 100]
    """
    return {
        "module": WideResNet,  # [C]
        "max_epochs": 120,  # [C]
        "lr": 0.1,  # [C]
        "schedule": StepSchedule((2 / 3, 5 / 6)),  # [C]
        "batch_size": 100,  # [C], and as many trusted rows
        "optimizer__weight_decay": 2e-4,  # [C]
        "relabel": False,  # [P]
        "consistency": 0.0,  # [P]
        "pool_loss": False,  # [P]
        "weigh_equally": False,  # [P]: epsilon is 0
        "look_ahead_momentum": False,  # [P]
        "ema_decay": 0.0,  # [P]
        "augment": RandomCropFlip(padding=4),  # [N]
        **_AS_IN_THE_PAPERS,
    }


_AS_IN_THE_PAPERS: dict[str, Any] = {"judge_epochs": 0, "min_share_of_class": 0.0}


def _check(noise: str, rate: float, caller: str) -> None:
    constraints: dict[str, list] = {
        "noise": [StrOptions({"symmetric", "asymmetric"})],
        "rate": [Interval(Real, 0, 1, closed="neither")],
    }
    validate_parameter_constraints(constraints, {"noise": noise, "rate": rate}, caller_name=caller)
