"""Keep a fit on disk while it runs, so that it can go on where it was stopped.

A fit is a chain of stages, each a training of one net (`NoisyNet.train_stage`), with work between
them that depends on nothing but what came before. Going on therefore means to run `fit` once more:
what lies between the stages is done again, a stage that was completed takes its end from its file,
and the one that was stopped goes on after its last epoch.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback
from skorch.history import History

from noisyfit._random import (
    fresh_seed,
    global_generator,
    set_states_beside_torch,
    states_beside_torch,
)
from noisyfit._ranks import leads, sharing
from noisyfit.dynamics import DynamicsRecorder, TrainingDynamics
from noisyfit.persistence._fit_identity import identity_of_fit
from noisyfit.persistence._object_tree import Decoder, Encoder
from noisyfit.persistence._tensor_file import read_tensors, write_tensors

FORMAT, VERSION = "noisyfit.checkpoint", 1
_IDENTITY, _CURRENT, _PREVIOUS = "fit.json", "current.safetensors", "previous.safetensors"


class FitCheckpoint:
    """The folder of one fit: what it is a fit of, and the state after its last epochs.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there.

    Notes
    -----
    ``fit.json`` says of what it is the fit. ``stage-001.safetensors`` and so on are the ends of
    completed stages. ``current.safetensors`` is the state after the last epoch of the stage that
    runs, ``previous.safetensors`` that after the epoch before, should the other one be damaged.
    ``lock`` is held by the fit that runs, by `held_folder`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.stage = 0
        self.epochs = 0
        self._restored: tuple[dict[str, torch.Tensor], Any] | None = None
        self._source = ""

    def open(self, est: Any, X: Any, y: np.ndarray, **beside: Any) -> int:
        """Begin the fit, or go on with it if it is the same one.

        Of processes that share a fit, the first one writes, and all others read.

        Parameters
        ----------
        est : noisyfit estimator
            The estimator that is fitted.
        X : ndarray, CSR matrix or torch Dataset
            Its checked inputs.
        y : ndarray of shape (n_samples,)
            Its checked labels.
        **beside : array-like of shape (n_samples,) or None
            What else ``fit`` was given, by name.

        Returns
        -------
        int
            Seed of the fit: an integer `random_state` itself, otherwise one drawn when it began.

        Raises
        ------
        ValueError
            If the folder holds another fit; the message says what differs.
        """
        seed = self._open(est, X, y, beside) if leads() else 0
        ranks = sharing()
        if ranks is None:
            return seed
        seed = int(ranks.exchange("the seed of the checkpoint", str(seed))[0])
        if not (self.folder / _IDENTITY).exists():
            raise ValueError(
                f"Rank {ranks.rank} does not see what rank 0 wrote to "
                f"checkpoint={str(self.folder)!r}. The folder has to be on a file system that all "
                "processes of the fit share."
            )
        return seed

    def _open(self, est: Any, X: Any, y: np.ndarray, beside: dict[str, Any]) -> int:
        self.folder.mkdir(parents=True, exist_ok=True)
        path, now = self.folder / _IDENTITY, identity_of_fit(est, X, y, beside)
        has_states = any(self.folder.glob("*.safetensors"))
        if has_states and not path.exists():
            raise ValueError(
                f"checkpoint={str(self.folder)!r} holds files but no {_IDENTITY}. Give a folder of "
                "its own."
            )
        if not has_states:  # also where a fit failed before its first epoch: nothing is lost
            given = est.random_state
            seed = int(given) if isinstance(given, (int, np.integer)) else fresh_seed(given)
            part = path.with_suffix(".partial")
            part.write_text(json.dumps(now | {"seed": seed}, indent=1), encoding="utf-8")
            part.replace(path)
            return seed
        then = _read_identity(path)
        differ = [
            name for name in {**then, **now} if name != "seed" and then.get(name) != now.get(name)
        ]
        if differ:
            told = ", ".join(
                f"{name} (now {now.get(name)}, then {then.get(name)})" for name in differ
            )
            raise ValueError(
                f"checkpoint={str(self.folder)!r} is of another fit, which differs in: {told}. "
                "Give another folder, or delete this one."
            )
        return then["seed"]

    def begin_stage(self, epochs: int) -> int:
        """Begin the next stage; return how many of its epochs are done."""
        ranks = sharing()
        if ranks is not None:
            ranks.exchange("end of a stage")  # what rank 0 has to write at it is written
        self.stage, self.epochs = self.stage + 1, epochs
        self._restored, self._source = None, ""
        for name in (self._completed(), _CURRENT, _PREVIOUS):
            with suppress(FileNotFoundError, ValueError):  # a damaged file: take the one before
                tensors, header = read_tensors(self.folder / name, FORMAT, VERSION)
                if header["stage"] == self.stage and header["epochs"] == epochs:
                    self._restored, self._source = (tensors, header), name
                    return epochs if header["ended"] else int(header["done"])
        return 0

    def end_stage(self) -> None:
        """Keep the last state as the end of the stage, unless it is kept already."""
        # If it is, the current state may be of a later stage.
        if leads() and self._source != self._completed():
            (self.folder / _CURRENT).replace(self.folder / self._completed())

    def _completed(self) -> str:
        return f"stage-{self.stage:03d}.safetensors"

    def restore(self, net: Any) -> None:
        """Bring a net to the state of the epoch after which it goes on."""
        if self._restored is None:
            return
        tensors, header = self._restored
        decoder = Decoder(tensors, (), torch.device(net.device))
        _restore(net, decoder.decode(header["state"]), header["done"])
        self._restored = None

    def save(self, net: Any, done: int, n_recorded: dict[str, int]) -> None:
        """Write the state after an epoch.

        Parameters
        ----------
        net : NoisyNet
            The net that trains.
        done : int
            Epochs of this stage that are done.
        n_recorded : dict of str to int
            Epochs that each recorder had when the stage began.
        """
        if not leads():
            return
        encoder = Encoder()
        state = encoder.encode(_state(net, n_recorded), "the net")
        ended = net.stops_ or done == self.epochs
        header = {"stage": self.stage, "epochs": self.epochs, "done": done, "ended": ended}
        header["state"] = state
        with suppress(FileNotFoundError):
            (self.folder / _CURRENT).replace(self.folder / _PREVIOUS)
        write_tensors(self.folder / _CURRENT, FORMAT, VERSION, encoder.tensors, header)


class StageCheckpoint(Callback):
    """skorch callback that saves a net after each epoch; it has to be the last one.

    Parameters
    ----------
    checkpoint : FitCheckpoint
        Where the states are kept.
    """

    def __init__(self, checkpoint: FitCheckpoint) -> None:
        self.checkpoint = checkpoint

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Go on from what was saved, after all others have begun anew."""
        self._n_recorded = {
            name: recorder.dynamics_.n_epochs if hasattr(recorder, "dynamics_") else 0
            for name, recorder in _recorders(net).items()
        }
        self._n_before = len(net.history)
        self.checkpoint.restore(net)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Save."""
        self.checkpoint.save(net, len(net.history) - self._n_before, self._n_recorded)


def _recorders(net: Any) -> dict[str, DynamicsRecorder]:
    """List the recorders by name; the user may have added some to the method's own."""
    return {name: c for name, c in net.callbacks_ if isinstance(c, DynamicsRecorder)}


def _with_state(net: Any) -> dict[str, Any]:
    """List the callbacks that can say what they remember, as torch's objects do."""
    return {name: c for name, c in net.callbacks_ if hasattr(c, "load_state_dict")}


def _memory(callback: Any) -> dict[str, Any]:
    """Collect what skorch's callbacks remember: they cannot say so themselves."""
    memory: dict[str, Any] = {}
    for name, value in vars(callback).items():
        if isinstance(value, type):  # the class of a scheduler, which has the methods as well
            continue
        if name.endswith("_") and hasattr(value, "load_state_dict"):
            memory[name] = value.state_dict()
        elif name.endswith("_") and (
            isinstance(value, (bool, int, float, str, np.generic)) or _is_state_of_module(value)
        ):
            value = dict(value) if isinstance(value, dict) else value
            memory[name] = value.item() if isinstance(value, np.generic) else value
    return memory


def _recall(callback: Any, memory: dict[str, Any]) -> None:
    for name, value in memory.items():
        if hasattr(getattr(callback, name, None), "load_state_dict"):
            getattr(callback, name).load_state_dict(value)
        else:
            setattr(callback, name, value)


def _is_state_of_module(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(part, torch.Tensor) for part in value.values())
    )


def _without_state(net: Any) -> dict[str, Any]:
    """List the other callbacks, except for those that belong to the fit as a whole."""
    others = {name: c for name, c in net.callbacks_ if not hasattr(c, "load_state_dict")}
    of_fit = (*_recorders(net), "progress", "checkpoint")
    return {name: c for name, c in others.items() if name not in of_fit}


def _state(net: Any, n_recorded: dict[str, int]) -> dict[str, Any]:
    """Collect what the rest of a stage depends on, and what it has to show at its end."""
    return {
        "module": dict(net.module_.state_dict()),
        "optimizer": net.optimizer_.state_dict(),
        "scaler": None if net.scaler_ is None else net.scaler_.state_dict(),
        "net": net.stage_state(),
        "history": net.epoch_history(),
        "memory": {name: _memory(c) for name, c in _without_state(net).items()},
        "callbacks": {name: c.state_dict() for name, c in _with_state(net).items()},
        "recorded": {
            name: recorder.dynamics_.epochs(start=n_recorded[name])
            for name, recorder in _recorders(net).items()
        },
        "draws": [generator.get_state().numpy() for generator in _generators(net)],
        "draws beside torch": states_beside_torch(),
    }


def _restore(net: Any, state: dict[str, Any], done: int) -> None:
    net.module_.load_state_dict(state["module"])
    net.optimizer_.load_state_dict(state["optimizer"])
    _lay_out_like_weights(net.optimizer_)
    if net.scaler_ is not None:
        net.scaler_.load_state_dict(state["scaler"])
    net.load_stage_state(state["net"])
    net.history_ = History({"batches": [], **epoch} for epoch in state["history"])
    for name, callback in net.callbacks_:
        if name in state["memory"]:
            _recall(callback, state["memory"][name])
        if hasattr(callback, "skip"):
            callback.skip(done)
    for name, callback in _with_state(net).items():
        callback.load_state_dict(state["callbacks"][name])
    for name, recorder in _recorders(net).items():
        part: TrainingDynamics = state["recorded"][name]
        if not hasattr(recorder, "dynamics_"):
            recorder.dynamics_ = TrainingDynamics(part.n_samples, part.quantities, recorder.folder)
        recorder.dynamics_.extend(part)
    for generator, drawn in zip(_generators(net), state["draws"], strict=True):
        generator.set_state(torch.from_numpy(drawn))
    set_states_beside_torch(state["draws beside torch"])


def _lay_out_like_weights(optimizer: torch.optim.Optimizer) -> None:
    """Give momentum and its kin the strides of their weights, which files do not keep.

    Fused steps walk through the memory of both side by side.
    """
    for weight, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == weight.shape:
                state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def _generators(net: Any) -> list[torch.Generator]:
    """List what is drawn from while training: torch's own generators, and that of the row order."""
    own = global_generator(net.device)
    return [own, torch.default_generator, net.iterator_train__generator]


def _read_identity(path: Path) -> dict[str, Any]:
    try:
        then = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        then = None
    if not isinstance(then, dict) or type(then.get("seed")) is not int:
        raise ValueError(f"{str(path)!r} is damaged. Delete the folder.")
    return then
