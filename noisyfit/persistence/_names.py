"""The names that classes of noisyfit have in files, and where the classes are today.

A name in a file is an identifier: it says what a thing is, in the words of the version that wrote
it first, and stays when the code moves. Nothing else of noisyfit may be named in a file. A class
that moves changes its place here; a new one that files shall hold gets a line.
"""

from __future__ import annotations

CLASSES = {
    "noisyfit.mild:MILDSelector": "noisyfit.methods.mild._selector",
    "noisyfit.dlt:DLTClassifier": "noisyfit.methods.dlt._classifier",
    "noisyfit.dividemix:DivideMixClassifier": "noisyfit.methods.dividemix._classifier",
    "noisyfit.dynamics_lstm:DynamicsLSTMDetector": "noisyfit.methods.dynamics_lstm._estimator",
    "noisyfit.meta_relabel:MetaRelabelClassifier": "noisyfit.methods.meta_relabel._classifier",
    "noisyfit.ensemble:ConsensusClassifier": "noisyfit.ensemble._consensus",
    "noisyfit.ensemble:SoftLabelNet": "noisyfit.ensemble._net",
    "noisyfit.engine:NoisyNet": "noisyfit.training._net",
    "noisyfit.training:EarlyLearningNet": "noisyfit.training._early_learning",
    "noisyfit.training:StepSchedule": "noisyfit.training._schedule",
    "noisyfit.threshold_net:ThresholdNet": "noisyfit.methods.dlt._net",
    "noisyfit.dividemix:DivideNet": "noisyfit.methods.dividemix._net",
    "noisyfit.meta_net:MetaNet": "noisyfit.methods.meta_relabel._net",
    "noisyfit.mild:MixMatchNet": "noisyfit.methods.mild._final_nets",
    "noisyfit.mild:MixupContrastiveNet": "noisyfit.methods.mild._final_nets",
    "noisyfit.mild:Round": "noisyfit.methods.mild._rounds",
    "noisyfit.audit:AppliedAudit": "noisyfit.audit._applied",
    "noisyfit.audit:Estimate": "noisyfit.audit._intervals",
    "noisyfit.base:Comparison": "noisyfit.base._guard",
    "noisyfit.noise_rate:NoiseRateEstimate": "noisyfit.label_quality._noise_rate",
    "noisyfit.label_quality:HeldOutNoiseRate": "noisyfit.label_quality._held_out",
    "noisyfit.threshold_net:ThresholdSettings": "noisyfit.methods.dlt._net",
    "noisyfit._meta_settings:MetaSettings": "noisyfit.methods.meta_relabel._settings",
    "noisyfit.modules:MLP": "noisyfit.modules._default",
    "noisyfit.modules:ConvNet": "noisyfit.modules._default",
    "noisyfit.modules:SequenceLSTM": "noisyfit.modules._default",
    "noisyfit.resnets:CIFARResNet18": "noisyfit.modules._resnets",
    "noisyfit.resnets:CIFARResNet34": "noisyfit.modules._resnets",
    "noisyfit.resnets:PreActResNet18": "noisyfit.modules._resnets",
    "noisyfit.resnets:ResNet32": "noisyfit.modules._resnets",
    "noisyfit.resnets:ResNet29v2": "noisyfit.modules._resnets",
    "noisyfit.resnets:WideResNet": "noisyfit.modules._resnets",
}
"""Identifier -> module, of classes that a file may hand on or call."""

STATES = {
    "noisyfit._image_augment:RandomCropFlip": "noisyfit.augment._images",
    "noisyfit._image_augment:Cutout": "noisyfit.augment._images",
    "noisyfit._image_augment:BrightnessContrast": "noisyfit.augment._images",
    "noisyfit._image_augment:PerImage": "noisyfit.augment._images",
    "noisyfit._vector_augment:FeatureJitter": "noisyfit.augment._vectors",
    "noisyfit._vector_augment:FeatureMask": "noisyfit.augment._vectors",
    "noisyfit.averaging:WeightAverage": "noisyfit.methods.meta_relabel._averaging",
    "noisyfit.detector:DynamicsLSTM": "noisyfit.methods.dynamics_lstm._detector",
    "noisyfit.dynamics:TrainingDynamics": "noisyfit.dynamics._container",
    "noisyfit.mixture:WeibullMixture": "noisyfit.mixture._mixtures",
    "noisyfit.scaling:ImageScaler": "noisyfit.data._image_scaling",
    "noisyfit.scaling:TableScaler": "noisyfit.data._scaling",
    "noisyfit.debias:MarginalDistribution": "noisyfit.methods.dlt._debias",
    "noisyfit.thresholds:LastEpoch": "noisyfit.training._loss_thresholds",
    "noisyfit.thresholds:SlidingWindow": "noisyfit.training._loss_thresholds",
}
"""Identifier -> module, of classes that hold numbers and settings only: they may be made without
``__init__`` and given attributes."""

PLACES = {name: f"{module}:{name.split(':')[1]}" for name, module in (CLASSES | STATES).items()}
"""Identifier -> place today, ``module:ClassName``; the name of a class itself never changes."""
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
