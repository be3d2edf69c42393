"""The methods of the miniature tables: what is fitted, and what is measured of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cifar
import numpy as np
from dynamics_lstm import OfRecords
from torchvision.transforms.v2 import Compose

from noisyfit import (
    DivideMixClassifier,
    DLTClassifier,
    DynamicsLSTMDetector,
    MetaRelabelClassifier,
    MILDSelector,
    debug_labels,
)
from noisyfit.augment import Cutout, RandomCropFlip
from noisyfit.dynamics._container import QUANTITIES
from noisyfit.label_quality import estimate_noise_rate, loss_gap_noise_rate
from noisyfit.metrics import auroc, average_precision
from noisyfit.modules import ConvNet
from noisyfit.training import predict_logits

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from comparison import choose_trusted

if TYPE_CHECKING:
    import torch

    from noisyfit.base import BaseNoisyClassifier


EPOCHS = 24
N_SELECTION = 2_000  # test images on which every epoch is measured
N_VALIDATION = 1_000

# What is fitted


class Method(NamedTuple):
    """An estimator, its parameters besides the common ones, and its name in the tables."""

    title: str
    kind: type[BaseNoisyClassifier]
    parameters: dict = {}  # noqa: RUF012 - nobody changes it
    told_rate: bool = False
    trusted: int = 0


STRONG = Compose([RandomCropFlip(padding=2), Cutout(8)])
MIXED = {"n_views": 1}  # without augmentation all views are the same
LAST = {"final_epochs": EPOCHS}
TO_WARM_UP = {"warmup_epochs": 5, "ramp_epochs": 4}
LITTLE = {"consistency": 2, "ramp_epochs": 5, "strong_augment": STRONG}
WITHOUT = {"pool_loss": False}
# The ablations of Table 9 of IEG, with a consistency weight of 2. There is no policy augmentation
# here: M-3 would be M-2, and M-7 the full method, M-5.
ABLATIONS = {
    "M-1": LITTLE | WITHOUT | {"relabel": False, "consistency": 0},
    "M-2": LITTLE | WITHOUT | {"consistency": 0},
    "M-4": LITTLE | {"consistency": 0},
    "M-6": LITTLE | WITHOUT,
    "M-8": LITTLE | {"relabel": False},
    "M-9": LITTLE | {"mixup_alpha": 0},
}
METHODS = {
    "recorded": Method("plain", DynamicsLSTMDetector),
    "oracle": Method("oracle", DynamicsLSTMDetector),
    "mild": Method("MILD", MILDSelector),
    "memorisation": Method(
        "M alone, R = .9", MILDSelector, {"full": True, "lam": 0, "threshold": 0.9}
    ),
    "full_ratio": Method("C^F, R = .9", MILDSelector, {"full": True, "threshold": 0.9}),
    "simple_ratio": Method("C, R = .9", MILDSelector, {"threshold": 0.9}),
    "full": Method("C^F", MILDSelector, {"full": True}),
    "small_loss": Method("small loss", MILDSelector, {"metric": "small_loss"}),
    "eigenvector": Method("eigenvector", MILDSelector, {"metric": "eigenvector"}),
    "mild_mm": Method("MILD-MM", MILDSelector, MIXED | LAST | {"semi_supervised": "mixmatch"}),
    "mild_mucl": Method("MILD-MUCL", MILDSelector, LAST | {"semi_supervised": "mixup_contrastive"}),
    "dlt": Method("DLT", DLTClassifier, MIXED | TO_WARM_UP, told_rate=True),
    "dlt_epoch": Method(
        "DLT, last epoch", DLTClassifier, MIXED | TO_WARM_UP | {"strategy": "last_epoch"}, True
    ),
    "dlt_estimated": Method(
        "DLT, rate estimated", DLTClassifier, MIXED | TO_WARM_UP | {"estimation_epochs": EPOCHS}
    ),
    "dividemix": Method("DivideMix", DivideMixClassifier, MIXED | {"warmup_epochs": 5}),
    "dividemix_dlt": Method(
        "DLT*", DivideMixClassifier, MIXED | TO_WARM_UP | {"division": "dlt"}, told_rate=True
    ),
    "dividemix_5": Method("DivideMix, 5 % put right", DivideMixClassifier),
    "dividemix_10": Method("DivideMix, 10 % put right", DivideMixClassifier),
    "meta": Method("IEG (k = 2)", MetaRelabelClassifier, LITTLE, trusted=10),
    "meta_k20": Method(
        "IEG (k = 20)",
        MetaRelabelClassifier,
        LITTLE | {"consistency": 20, "ramp_epochs": 0},
        trusted=10,
    ),
    "meta_no_labels": Method(
        "trusted labels alone",
        MetaRelabelClassifier,
        LITTLE | {"reweight": False, "relabel": False},
        trusted=10,
    ),
    **{
        name: Method(name, MetaRelabelClassifier, parameters, trusted=10)
        for name, parameters in ABLATIONS.items()
    },
    "M-10": Method("M-10", MetaRelabelClassifier, ABLATIONS["M-9"], trusted=1),
}


def shared(config: dict, device: torch.device, seed: int) -> dict:
    """Return the parameters of every fit."""
    return {
        "module": ConvNet,
        "module__width": 16,
        "judge_epochs": 0,  # the papers have none
        "min_share_of_class": 0,
        "lr": 0.05,
        "optimizer__momentum": 0.9,
        "optimizer__weight_decay": 0,
        "batch_size": config["batch_size"],
        "augment": None,
        "max_epochs": EPOCHS,
        "precision": config["precision"],
        "device": device,
        "random_state": seed,
    }


def estimator(config: dict, device: torch.device, rows: cifar.Split, **more) -> BaseNoisyClassifier:
    """Return the estimator of a run, not fitted."""
    method = METHODS[config["method"]]
    parameters = shared(config, device, rows.training_seed) | method.parameters
    if method.kind is MILDSelector:
        half, quarter = EPOCHS // 2, EPOCHS // 4
        parameters |= {"rounds": 3, "first_epochs": half, "max_epochs": quarter}
    if method.told_rate:
        parameters["noise_rate"] = float((rows.given != rows.y).mean())
    return method.kind(**parameters | more)


# What is measured


class NetScores(cifar.EpochScores):
    """Accuracies after each epoch, of each network by itself."""

    def __init__(self, data: cifar.Split, device: torch.device) -> None:
        few = data._replace(
            X_val=data.X_val[:N_VALIDATION],
            given_val=data.given_val[:N_VALIDATION],
            X_test=data.X_test[:N_SELECTION],
            y_test=data.y_test[:N_SELECTION],
        )
        super().__init__(few, device, report=lambda scores: None)
        self.of_networks: dict = {}

    def __sklearn_clone__(self):  # `record_run` clones the estimator
        return self

    def on_epoch_end(self, net, **kwargs) -> None:
        """Measure `net`."""
        self.epochs = self.of_networks.setdefault(net, [])
        super().on_epoch_end(net, **kwargs)

    def selected(self) -> dict:
        """Return the epoch of the last network that noisy validation labels choose."""
        epochs = list(self.of_networks.values())[-1]
        best = cifar.by_validation(epochs)
        return {"by_noisy_val": epochs[best]["test"], "epoch": best + 1, "of": len(epochs)}


def fit(config: dict, rows: cifar.Split, device: torch.device) -> tuple[dict, torch.dtype | None]:
    """Return what was measured, by name of the method, and the precision of the passes."""
    if config["method"] == "recorded":
        return fit_recorded(config, rows, device)
    if config["method"] == "oracle":
        right = np.flatnonzero(rows.given == rows.y)
        last, precision, selected = plainly(config, rows, device, right)
        return {"oracle": {"last": last, "kept": len(right), **selected}}, precision
    given = rows.given
    if config["method"].startswith("dividemix_") and config["method"] != "dividemix_dlt":
        given = put_right(config, rows, device)
    return fit_method(config, rows, given, device)


def fit_method(config: dict, rows: cifar.Split, given: np.ndarray, device: torch.device):
    """Fit an estimator of the library to the given labels."""
    method, scores = METHODS[config["method"]], NetScores(rows, device)
    arguments = {}
    if method.trusted:
        # The first three streams are those of the split.
        choice = np.random.default_rng(np.random.SeedSequence(config["seed"]).spawn(4)[3])
        trusted = choose_trusted(rows.y, method.trusted, choice)
        given, arguments = np.where(trusted, rows.y, given), {"trusted": trusted}
    est = estimator(config, device, rows, callbacks=[scores]).fit(rows.X, given, **arguments)
    wrong, kept = given != rows.y, est.clean_mask_
    judged = ~est.trusted_mask_
    found = {
        "last": est.score(rows.X_test, rows.y_test),
        **scores.selected(),
        "kept": int(kept.sum()),
        "kept_right": 1 - wrong[kept].mean(),
        "wrong_fitted": (est.predict(rows.X) == given)[wrong].mean(),
        "auroc": auroc(wrong[judged], est.noise_scores_[judged]),
        "average_precision": average_precision(wrong[judged], est.noise_scores_[judged]),
        "rate_found": est.noise_rate_,
    }
    if hasattr(est, "rounds_"):
        found["rounds"] = right_of_rounds(est, wrong)
    if getattr(est, "trust_", None) is not None:
        others = ~est.trusted_mask_
        found["trust"] = [float(est.trust_[others & w].mean()) for w in (~wrong, wrong)]
    found = {name: cifar.plain(value) for name, value in found.items()}
    return {config["method"]: found}, est.net_.precision


def right_of_rounds(est: MILDSelector, wrong: np.ndarray) -> list[list[float]]:
    """Return the rows that each round trained on, precision and recall of their right labels."""
    last = np.where(est.dropped_round_ == 0, np.inf, est.dropped_round_)
    found = []
    for i in range(len(est.rounds_)):
        rows = last > i
        right = (rows & ~wrong).sum()
        found.append([int(rows.sum()), right / rows.sum(), right / (~wrong).sum()])
    return found


def put_right(config: dict, rows: cifar.Split, device: torch.device) -> np.ndarray:
    """Return labels of which a detector chose 5 or 10 %, for an expert to put them right."""
    share = int(config["method"].split("_")[1]) / 100
    detector = DynamicsLSTMDetector(**shared(config, device, rows.training_seed))
    return debug_labels(detector, rows.X, rows.given, share=share, truth=rows.y).labels


# One recorded run, and what is made of its records


def fit_recorded(config: dict, rows: cifar.Split, device: torch.device):
    """Train on all rows; rank them, estimate the rate, and train on what AUM and the LSTM keep."""
    wrong, scores = rows.given != rows.y, NetScores(rows, device)
    more = {"record": QUANTITIES, "recording": "training", "loss": "cross_entropy"}
    est = estimator(config, device, rows, callbacks=[scores], **more)
    run = est.record_run(rows.X, rows.given)
    dynamics = run.dynamics
    images = cifar.make_rows(rows.X_test, None, device, cifar.fit_scaler(rows.X))
    predicted = predict_logits(run.net, images).argmax(axis=1)
    measured: dict = {
        "plain": {
            "last": float((predicted == rows.y_test).mean()),
            **scores.selected(),
            "kept": len(wrong),
            "kept_right": float(1 - wrong.mean()),
            "wrong_fitted": float(dynamics.correct[wrong, -1].mean()),
            **ranking(wrong, -dynamics.confidence()),
        }
    }
    aum = dynamics.aum()
    keep = np.sort(np.argsort(-aum, kind="stable")[: np.count_nonzero(~wrong)])
    last, _, selected = plainly(config, rows, device, keep)
    measured["aum"] = {
        "last": last,
        **selected,
        "kept": len(keep),
        "kept_right": float(1 - wrong[keep].mean()),
        **ranking(wrong, -aum),
    }
    parameters = shared(config, device, rows.training_seed) | {"record": QUANTITIES}
    lstm = OfRecords(**parameters, callbacks=[scores := NetScores(rows, device)])
    lstm.records = dynamics
    lstm.fit(rows.X, rows.given)
    measured["lstm"] = {
        "last": lstm.score(rows.X_test, rows.y_test),
        **scores.selected(),
        "kept": int(lstm.clean_mask_.sum()),
        "kept_right": float(1 - wrong[lstm.clean_mask_].mean()),
        **ranking(wrong, lstm.noise_scores_),
        "rate_found": cifar.plain(lstm.noise_rate_),
    }
    measured["rates"] = rates(dynamics)
    return measured, run.net.precision


def ranking(wrong: np.ndarray, suspicion: np.ndarray) -> dict[str, float]:
    return {
        "auroc": auroc(wrong, suspicion),
        "average_precision": average_precision(wrong, suspicion),
    }


def rates(dynamics) -> dict:
    """Estimate the noise rate: as the library does, and by Eq. 8 of DLT to the letter.

    The paper's early and late stages are the 30th and the last of 300 epochs.
    """
    early, late = dynamics.loss[:, max(1, dynamics.n_epochs // 10)], dynamics.loss[:, -1]
    return {
        "estimate_noise_rate": estimate_noise_rate(dynamics, random_state=0).rate,
        "eq_8": loss_gap_noise_rate(early, late, posterior="mixture"),
    }


def plainly(config: dict, rows: cifar.Split, device: torch.device, keep: np.ndarray):
    """Train on some rows, as for the records; accuracy, precision, and the selected epoch."""
    scores, seed = NetScores(rows, device), rows.training_seed
    est = DLTClassifier(
        **shared(config, device, seed),
        noise_rate=0.0,
        warmup_epochs=EPOCHS,
        ramp_epochs=0,
        n_views=1,
        callbacks=[scores],
    ).fit(rows.X[keep], rows.given[keep])
    return est.score(rows.X_test, rows.y_test), est.net_.precision, scores.selected()
