"""Save a fitted estimator without pickle, and load it again.

The file is safetensors: arrays and weights, a JSON header that says what they are, and a SHA-256
over both. Reading it runs no code but noisyfit's, torch's and that of modules whose names the
reader trusts.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from skorch.history import History
from torch import nn

from noisyfit._nested_params import NestedParams, nested_params
from noisyfit.modules import MeanNetwork, module_call
from noisyfit.persistence._object_tree import Decoder, Encoder, import_name, import_value
from noisyfit.persistence._replace import check_replaceable, is_tensor_file
from noisyfit.persistence._tensor_file import read_tensors, write_tensors
from noisyfit.training import NoisyNet, resolve_device

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FORMAT, VERSION = "noisyfit.estimator", 1
_ASIDE = ("module", "iterator_valid")  # of the net: stored beside its settings


def save_estimator(est: Any, path: str | Path) -> None:
    """Write a fitted estimator to a file; see `BaseNoisyClassifier.save`."""
    encoder, state = Encoder(), dict(est.__dict__)
    net = state.pop("net_")
    if isinstance(est.module, nn.Module):
        encoder.encode(est.module, "module")  # says why not
    module_params = nested_params(est.get_params(deep=False), "module")
    row_shape, n_classes = state["_row_shape"], len(est.classes_)
    factory, arguments = module_call(est.module, module_params, row_shape, n_classes)
    left_out = ("_", *net.training_only, *_ASIDE)
    settings = {
        name: value
        for name, value in net.get_params(deep=False).items()
        if not name.startswith(left_out) or name.startswith("iterator_valid__")
    }
    header = {
        "estimator": import_name(type(est)),
        "state": encoder.encode(state, type(est).__name__),
        "net": {
            "class": import_name(type(net)),
            "settings": encoder.encode(settings, "net_"),
            "history": encoder.encode(list(net.history), "net_.history"),
            "module": _encoded_module(net.module_, encoder, factory, arguments),
        },
    }
    check_replaceable(path, is_tensor_file, "an estimator")
    write_tensors(path, FORMAT, VERSION, encoder.tensors, header)


def _encoded_module(module: nn.Module, encoder: Encoder, factory: Any, arguments: dict) -> Any:
    """Encode a network, or each of those whose mean predicts."""
    if not isinstance(module, MeanNetwork):
        return encoder.encode_module(module, factory, arguments, "module")
    return [encoder.encode_module(one, factory, arguments, "module") for one in module.networks]


def load(path: str | Path, *, trusted: Iterable[str] = ()) -> Any:
    """Read a fitted estimator from a file that its ``save`` has written.

    Parameters
    ----------
    path : str or Path
        File that ``save`` has written.
    trusted : sequence of str, default=()
        Import names of networks, augmentations and estimators that are not noisyfit's own, such as
        ``["my_package.networks.MyNet"]``, or of whole packages, ``["my_package"]``. Importing them
        runs their code, so that this is for the reader to allow and not for the file.

    Returns
    -------
    noisyfit estimator
        Fitted. Where the device of its training is not there, its network is on the CPU.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If the file is damaged, holds something else, comes from a later version, or names something
        to import that is not trusted.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import noisyfit
    >>> from sklearn.datasets import make_blobs
    >>> X, y = make_blobs(100, centers=2, random_state=0)
    >>> est = noisyfit.MILDSelector(max_epochs=3, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     est.save(Path(folder) / "est.safetensors")
    ...     again = noisyfit.load(Path(folder) / "est.safetensors")
    >>> bool((again.predict(X) == est.predict(X)).all())
    True
    """
    if isinstance(trusted, str):
        raise TypeError(f"trusted must be a list of import names, such as [{trusted!r}].")
    tensors, header = read_tensors(path, FORMAT, VERSION)
    decoder = Decoder(tensors, trusted)
    try:
        cls = import_value(header["estimator"], decoder.trusted)
        if not (isinstance(cls, type) and issubclass(cls, NestedParams)):
            raise ValueError(f"It holds {header['estimator']!r} where an estimator belongs.")
        est: Any = cls()  # with the defaults of parameters that came after the file
        est.__setstate__(decoder.decode(header["state"]))
        est.net_ = _load_net(header["net"], decoder, len(est.classes_))
    except (ArithmeticError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{str(path)!r} holds no whole estimator: {error!r}.") from error
    except ValueError as error:
        raise ValueError(f"{str(path)!r} cannot be loaded. {error}") from error
    return est


def _load_net(stored: dict[str, Any], decoder: Decoder, n_classes: int) -> NoisyNet:
    """Build the net that predicts, as `NoisyNet.release` leaves it."""
    settings = decoder.decode(stored["settings"])
    try:
        settings["device"] = resolve_device(settings["device"])
    except ValueError:
        settings["device"] = torch.device("cpu")
    cls = import_value(stored["class"], decoder.trusted)
    if not (isinstance(cls, type) and issubclass(cls, NoisyNet)):
        raise ValueError(f"It holds {stored['class']!r} where a net belongs.")
    module = decoder.decode(stored["module"])
    module = MeanNetwork(module) if isinstance(module, list) else module
    settings["n_classes"] = n_classes  # files of the first version do not say it
    # What a net cannot be made without, though only its training needs it.
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in cls.training_only and parameter.default is inspect.Parameter.empty:
            settings[name] = None
    net = cls(module, **settings).initialize()
    net.history_ = History(decoder.decode(stored["history"]))
    return net.release()
