"""Fitted objects as JSON and tensors, and back, without pickle: nothing that is read can run code.

A value becomes plain JSON where it can, and otherwise an object of one entry whose name says what
it is (``{"tuple": [...]}``, ``{"array": ...}``). Classes and functions are stored by their import
name, those of noisyfit by the identifiers of `_names`. Only these, and classes of torch and
scikit-learn's scalers are imported when they are read; any other name has to be trusted by who
reads, and no other one of noisyfit is read at all.
"""

from __future__ import annotations

import importlib
import math
from collections import Counter
from pathlib import Path, PurePath
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from noisyfit.modules import SequenceLSTM
from noisyfit.persistence._names import PLACES, STATES, identifier_of, is_own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# May be imported and handed on as values, such as optimizer=torch.optim.Adam: classes only.
_KNOWN_CLASSES = ("torch.optim.", "torch.nn.modules.")
# May be made without calling __init__ and given attributes: it holds numbers and settings only.
_KNOWN_STATES = ("sklearn.preprocessing._data.StandardScaler",)
# What reading nonsense may raise besides ValueError: a stranger's file has to end in that.
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
)


def import_name(value: Any) -> str:
    """Name a class or function so that `import_value` finds it.

    Parameters
    ----------
    value : class or function
        What is to be found again.

    Returns
    -------
    str
        ``module:qualified.name``, for a class of noisyfit its identifier.

    Raises
    ------
    TypeError
        If it cannot be found by that name, as a lambda or a class inside of a function.
    """
    name = identifier_of(f"{value.__module__}:{value.__qualname__}")
    if "<" in name or value.__module__ == "__main__":
        raise TypeError(
            f"{value.__qualname__} of {value.__module__} cannot be imported by name. Define it in "
            "a module of its own"
        )
    return name


def import_value(name: str, trusted: Iterable[str], *, is_state: bool = False) -> Any:
    """Import what `import_name` has named, if it is known or trusted.

    Parameters
    ----------
    name : str
        As `import_name` has made it.
    trusted : iterable of str
        Import names with a dot or a colon, ``package.module.Name``, or of a whole package,
        ``package``. Of noisyfit itself nothing can be trusted beyond what is known.
    is_state : bool, default=False
        Whether it is to be made without ``__init__`` and given attributes, which fewer are known
        for.

    Returns
    -------
    class or function

    Raises
    ------
    ValueError
        If it is neither.
    """
    if not isinstance(name, str) or name.count(":") != 1:
        raise ValueError(f"The file holds {name!r} where the name of a class belongs.")
    dotted = name.replace(":", ".")
    if is_own(name):
        if name not in (STATES if is_state else PLACES):
            raise ValueError(
                f"The file needs {dotted!r}, which this noisyfit reads from no file. It is "
                "damaged, or comes from a later version."
            )
        return _import(PLACES[name])
    known = _KNOWN_STATES if is_state else _KNOWN_CLASSES
    is_known = any(dotted == start or dotted.startswith(start) for start in known)
    if not is_known and not any(
        dotted == t.replace(":", ".") or dotted.startswith(f"{t}.") for t in trusted
    ):
        raise ValueError(
            f"The file needs {dotted!r}. Importing it runs the code of that module: if you know "
            f"it, pass trusted=[{dotted!r}]."
        )
    value = _import(name)
    # A name may lead from a module over what it has imported to something else altogether.
    if is_known and not (isinstance(value, type) and import_name(value) == name):
        raise ValueError(f"The file holds {dotted!r} where a class of that very name belongs.")
    return value


def _import(place: str) -> Any:
    module, path = place.split(":")
    value = importlib.import_module(module)
    for part in path.split("."):
        value = getattr(value, part)
    return value


# Values that a string tells all about: the name of their entry, and how they are written.
_WRITTEN: dict[type, tuple[str, Callable[[Any], str]]] = {
    np.dtype: ("dtype", lambda value: value.str),
    torch.dtype: ("torch.dtype", lambda value: str(value).removeprefix("torch.")),
    torch.device: ("device", str),
    PurePath: ("path", str),
}


class Encoder:
    """Turns values into JSON, and collects their arrays as tensors.

    Attributes
    ----------
    tensors : dict of str to tensor
        What the JSON refers to.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}

    def encode(self, value: Any, path: str) -> Any:
        """Turn a value into JSON.

        Parameters
        ----------
        value : object
            What is to be stored.
        path : str
            What the value is, for messages.

        Returns
        -------
        object
            Of dicts, lists, strings, finite numbers, booleans and None.

        Raises
        ------
        TypeError
            If it, or something in it, cannot be stored without pickle; the message names it.
        """
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if type(value) is list:
            return [self.encode(item, f"{path}[{i}]") for i, item in enumerate(value)]
        if type(value) in (dict, Counter):
            pairs = [
                [self.encode(k, f"a key of {path}"), self.encode(v, f"{path}[{k!r}]")]
                for k, v in value.items()
            ]
            return {type(value).__name__: pairs}
        if isinstance(value, tuple):
            items = [self.encode(item, f"{path}[{i}]") for i, item in enumerate(value)]
            if type(value) is tuple:
                return {"tuple": items}
            return {"namedtuple": [import_name(type(value)), items]}
        return self._encode_object(value, path)

    def _encode_object(self, value: Any, path: str) -> Any:
        if isinstance(value, np.ndarray):
            return self._encode_array(value, path)
        if isinstance(value, np.generic):
            return {"scalar": self._encode_array(np.asarray(value), path)}
        for kind, (entry, written) in _WRITTEN.items():
            if isinstance(value, kind):
                return {entry: written(value)}
        if isinstance(value, nn.Module):
            if type(value) is SequenceLSTM:
                return self.encode_module(value, SequenceLSTM, {}, path)
            raise TypeError(
                f"{path} is an instance of {type(value).__name__}, and what it was built with is "
                "not known. Pass the class, and its parameters as module__<name>; or pickle the "
                "estimator instead."
            )
        if isinstance(value, torch.Tensor):
            key = f"t{len(self.tensors)}"
            self.tensors[key] = value.detach().cpu().contiguous().clone()
            return {"tensor": key}
        if isinstance(value, np.random.RandomState):
            return {"RandomState": self.encode(value.get_state(legacy=False), path)}
        if isinstance(value, np.random.Generator):
            return {"Generator": self.encode(value.bit_generator.state, path)}
        return self._encode_by_name(value, path)

    def _encode_by_name(self, value: Any, path: str) -> Any:
        try:
            if isinstance(value, (type, FunctionType, BuiltinFunctionType)):
                return {"import": import_name(value)}
            name = import_name(type(value))
        except TypeError as error:
            raise TypeError(f"{path}: {error}, or pickle the estimator instead.") from error
        if name not in STATES and name.replace(":", ".") not in _KNOWN_STATES:
            raise TypeError(
                f"{path} is a {name.replace(':', '.')}, which cannot be stored without pickle. Set "
                "it to something else before saving, or pickle the estimator instead."
            )
        state = value.__getstate__() or {}
        state.pop("_sklearn_version", None)  # this format has a version of its own
        pairs = {key: self.encode(item, f"{path}.{key}") for key, item in state.items()}
        return {"object": [name, pairs]}

    def encode_module(self, module: nn.Module, factory: Any, arguments: dict, path: str) -> Any:
        """Turn a network into the call that builds it, and its weights.

        Parameters
        ----------
        module : torch.nn.Module
            The network.
        factory : class or function
            What builds it.
        arguments : dict
            What the factory is called with.
        path : str
            What the network is, for messages.

        Returns
        -------
        object
        """
        call = {"name": import_name(factory), "arguments": self.encode(arguments, path)}
        weights = {name: self.encode(value, path) for name, value in module.state_dict().items()}
        return {"network": [call, weights]}

    def _encode_array(self, array: np.ndarray, path: str) -> Any:
        if array.dtype.hasobject:
            items = [self.encode(item, f"{path}[{i}]") for i, item in enumerate(array.ravel())]
            return {"objects": [items, list(array.shape)]}
        key = f"t{len(self.tensors)}"
        raw = np.frombuffer(np.ascontiguousarray(array).tobytes(), dtype=np.uint8)
        self.tensors[key] = torch.from_numpy(raw.copy())
        return {"array": [key, array.dtype.str, list(array.shape)]}


class Decoder:
    """Turns JSON of an `Encoder` back into values.

    Parameters
    ----------
    tensors : dict of str to tensor
        What the JSON refers to by name.
    trusted : iterable of str
        Import names beyond noisyfit's own that may be imported.
    device : torch.device or None, default=None
        Where tensors, but not arrays, are put; None: on the CPU.
    """

    def __init__(
        self,
        tensors: dict[str, torch.Tensor],
        trusted: Iterable[str],
        device: torch.device | None = None,
    ) -> None:
        self.tensors = tensors
        self.trusted = list(trusted)
        self.device = device

    def decode(self, node: Any) -> Any:
        """Turn JSON back into a value.

        Parameters
        ----------
        node : object
            What an `Encoder` made of a value.

        Returns
        -------
        object

        Raises
        ------
        ValueError
            For what no `Encoder` writes, or a name that is not trusted.
        """
        if node is None or isinstance(node, (bool, int, float, str)):
            return node
        if isinstance(node, list):
            return [self.decode(item) for item in node]
        if isinstance(node, dict) and len(node) == 1:
            kind, value = next(iter(node.items()))
            read = getattr(self, f"_read_{kind.replace('.', '_')}", None)
            if read is not None:
                try:
                    return read(value)
                except _DAMAGE as error:
                    raise ValueError(f"The file holds a damaged {kind}: {error!r}.") from error
        raise ValueError(f"The file holds {str(node)[:60]!r}, which is no stored value.")

    def _read_float(self, value: str) -> float:
        return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[value]

    def _read_dict(self, pairs: list) -> dict:
        return {self.decode(key): self.decode(value) for key, value in pairs}

    def _read_Counter(self, pairs: list) -> Counter:
        return Counter(self._read_dict(pairs))

    def _read_tuple(self, items: list) -> tuple:
        return tuple(self.decode(item) for item in items)

    def _read_namedtuple(self, value: list) -> Any:
        name, items = value
        cls = import_value(name, self.trusted)
        if not (issubclass(cls, tuple) and hasattr(cls, "_fields")):
            raise ValueError(f"The file holds {name!r} where a named tuple belongs.")
        return cls(*(self.decode(item) for item in items))

    def _read_array(self, value: list) -> np.ndarray:
        key, dtype, shape = value
        kind = np.dtype(dtype)
        if kind.hasobject:
            raise ValueError(f"The file holds an array of {dtype}.")
        raw = self.tensors[key].numpy().tobytes()
        return np.frombuffer(raw, dtype=kind).reshape(shape).copy()

    def _read_objects(self, value: list) -> np.ndarray:
        items, shape = value
        array = np.empty(len(items), dtype=object)
        array[:] = [self.decode(item) for item in items]
        return array.reshape(shape)

    def _read_scalar(self, value: dict) -> Any:
        return self.decode(value)[()]

    def _read_dtype(self, value: str) -> np.dtype:
        return np.dtype(value)

    def _read_tensor(self, key: str) -> torch.Tensor:
        return self.tensors[key] if self.device is None else self.tensors[key].to(self.device)

    def _read_torch_dtype(self, name: str) -> torch.dtype:
        dtype = getattr(torch, name)
        if not isinstance(dtype, torch.dtype):
            raise TypeError(name)
        return dtype

    def _read_device(self, name: str) -> torch.device:
        return torch.device(name)

    def _read_path(self, value: str) -> Path:
        return Path(value)

    def _read_RandomState(self, state: Any) -> np.random.RandomState:
        random_state = np.random.RandomState()
        random_state.set_state(self.decode(state))
        return random_state

    def _read_Generator(self, state: Any) -> np.random.Generator:
        state = self.decode(state)
        families: dict[str, Callable] = {
            "PCG64": np.random.PCG64,
            "PCG64DXSM": np.random.PCG64DXSM,
            "MT19937": np.random.MT19937,
            "Philox": np.random.Philox,
            "SFC64": np.random.SFC64,
        }
        bits = families[state["bit_generator"]]()
        bits.state = state
        return np.random.Generator(bits)

    def _read_import(self, name: str) -> Any:
        return import_value(name, self.trusted)

    def _read_object(self, value: list) -> Any:
        name, pairs = value
        cls = import_value(name, self.trusted, is_state=True)
        if not isinstance(cls, type):
            raise ValueError(f"The file holds {name!r} where a class belongs.")
        made: Any = object.__new__(cls)
        state = {str(key): self.decode(item) for key, item in pairs.items()}
        if "__setstate__" in vars(cls):
            made.__setstate__(state)
        else:
            made.__dict__.update(state)
        return made

    def _read_network(self, value: list) -> nn.Module:
        call, weights = value
        factory = import_value(call["name"], self.trusted)
        if isinstance(factory, type) and not issubclass(factory, nn.Module):
            raise ValueError(f"The file holds {call['name']!r} where a network belongs.")
        module = factory(**self.decode(call["arguments"]))
        try:
            module.load_state_dict({name: self.decode(item) for name, item in weights.items()})
        except RuntimeError as error:
            raise ValueError(
                f"The weights in the file do not fit {call['name']!r}; has it changed? {error}"
            ) from error
        return module
