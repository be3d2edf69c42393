"""The names that classes of noisyfit have in files, and where the classes are today.

A name in a file is an identifier: it says what a thing is, in the words of the version that wrote
it first, and stays when the code moves. Nothing else of noisyfit may be named in a file. A class
that moves changes its place here; a new one that files shall hold gets a line.
"""

from __future__ import annotations

CLASSES = {
    "noisyfit.mild:MILDSelector": "noisyfit.methods.mild._selector:MILDSelector",
    "noisyfit.dlt:DLTClassifier": "noisyfit.methods.dlt._classifier:DLTClassifier",
    "noisyfit.dynamics_lstm:DynamicsLSTMDetector": "noisyfit.methods.dynamics_lstm._estimator:DynamicsLSTMDetector",
    "noisyfit.meta_relabel:MetaRelabelClassifier": "noisyfit.methods.meta_relabel._classifier:MetaRelabelClassifier",
    "noisyfit.engine:NoisyNet": "noisyfit.training._net:NoisyNet",
    "noisyfit.threshold_net:ThresholdNet": "noisyfit.methods.dlt._net:ThresholdNet",
    "noisyfit.meta_net:MetaNet": "noisyfit.methods.meta_relabel._net:MetaNet",
    "noisyfit.mild:Round": "noisyfit.methods.mild._selector:Round",
    "noisyfit.noise_rate:NoiseRateEstimate": "noisyfit.label_quality._noise_rate:NoiseRateEstimate",
    "noisyfit.threshold_net:ThresholdSettings": "noisyfit.methods.dlt._net:ThresholdSettings",
    "noisyfit._meta_settings:MetaSettings": "noisyfit.methods.meta_relabel._settings:MetaSettings",
    "noisyfit.modules:MLP": "noisyfit.modules._default:MLP",
    "noisyfit.modules:ConvNet": "noisyfit.modules._default:ConvNet",
    "noisyfit.modules:SequenceLSTM": "noisyfit.modules._default:SequenceLSTM",
    "noisyfit.resnets:CIFARResNet18": "noisyfit.modules._resnets:CIFARResNet18",
    "noisyfit.resnets:CIFARResNet34": "noisyfit.modules._resnets:CIFARResNet34",
    "noisyfit.resnets:PreActResNet18": "noisyfit.modules._resnets:PreActResNet18",
    "noisyfit.resnets:ResNet32": "noisyfit.modules._resnets:ResNet32",
    "noisyfit.resnets:ResNet29v2": "noisyfit.modules._resnets:ResNet29v2",
    "noisyfit.resnets:WideResNet": "noisyfit.modules._resnets:WideResNet",
}
"""Identifier -> place, of classes that a file may hand on or call."""

STATES = {
    "noisyfit._image_augment:RandomCropFlip": "noisyfit.augment._images:RandomCropFlip",
    "noisyfit._image_augment:Cutout": "noisyfit.augment._images:Cutout",
    "noisyfit._image_augment:BrightnessContrast": "noisyfit.augment._images:BrightnessContrast",
    "noisyfit._image_augment:PerImage": "noisyfit.augment._images:PerImage",
    "noisyfit._vector_augment:FeatureJitter": "noisyfit.augment._vectors:FeatureJitter",
    "noisyfit._vector_augment:FeatureMask": "noisyfit.augment._vectors:FeatureMask",
    "noisyfit.averaging:WeightAverage": "noisyfit.methods.meta_relabel._averaging:WeightAverage",
    "noisyfit.detector:DynamicsLSTM": "noisyfit.methods.dynamics_lstm._detector:DynamicsLSTM",
    "noisyfit.dynamics:TrainingDynamics": "noisyfit.dynamics._container:TrainingDynamics",
    "noisyfit.mixture:WeibullMixture": "noisyfit.mixture._mixtures:WeibullMixture",
    "noisyfit.scaling:ImageScaler": "noisyfit.data._scaling:ImageScaler",
    "noisyfit.scaling:TableScaler": "noisyfit.data._scaling:TableScaler",
    "noisyfit.thresholds:LastEpoch": "noisyfit.methods.dlt._thresholds:LastEpoch",
    "noisyfit.thresholds:SlidingWindow": "noisyfit.methods.dlt._thresholds:SlidingWindow",
}
"""Identifier -> place, of classes that hold numbers and settings only: they may be made without
``__init__`` and given attributes."""

PLACES = CLASSES | STATES
_IDENTIFIERS = {place: identifier for identifier, place in PLACES.items()}


def is_own(name: str) -> bool:
    """Whether a name is one of noisyfit's, known or not.

    Parameters
    ----------
    name : str
        ``module:qualified.name``.
    """
    return name.split(":")[0].split(".")[0] == "noisyfit"


def identifier_of(place: str) -> str:
    """Return what a class or function is called in files.

    Parameters
    ----------
    place : str
        ``module:qualified.name``.

    Returns
    -------
    str
        Of another package, and of a class of noisyfit that no file holds, the place itself.
    """
    return _IDENTIFIERS.get(place, place)
