r"""`MetaRelabelClassifier`: a few trusted rows teach weights and labels (Zhang et al. 2020)."""

from __future__ import annotations

import warnings
from contextlib import closing
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import softmax
from sklearn.utils._param_validation import Interval, StrOptions

from noisyfit.augment import strong_view
from noisyfit.base import BaseNoisyClassifier, FitResult, FitTask
from noisyfit.data import View
from noisyfit.meta_gradient import META_GRADIENTS, check_look_ahead_optimizer
from noisyfit.meta_net import PAPER_RULES, MetaNet, MetaSettings
from noisyfit.probe import lowest_loss_rows
from noisyfit.progress import EpochProgress
from noisyfit.recorder import DynamicsRecorder
from noisyfit.schedule import n_cosine_cycles


class MetaRelabelClassifier(BaseNoisyClassifier):
    """DOC"""

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **BaseNoisyClassifier._parameter_constraints,
        "reweight": ["boolean"],
        "relabel": ["boolean"],
        "consistency": [Interval(Real, 0, None, closed="left")],
        "pool_loss": ["boolean"],
        "pool_weight": [Interval(Real, 0, None, closed="left")],
        "mixup_alpha": [Interval(Real, 0, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "trust_given": [Interval(Real, 0, 1, closed="both")],
        "clean_threshold": [Interval(Real, 0, None, closed="left")],
        "weigh_equally": ["boolean"],
        "meta_lr": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "look_ahead_momentum": ["boolean"],
        "pseudo_gradient": ["boolean"],
        "meta_gradient": [StrOptions({"auto", *META_GRADIENTS})],
        "n_cycles": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "ema_decay": [Interval(Real, 0, 1, closed="left")],
        "paper_rules": [list, tuple],
        "probe_per_class": [Interval(Integral, 1, None, closed="left")],
        "warmup_epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "strong_augment": [StrOptions({"auto", "randaugment", "autoaugment"}), callable, None],
        "record": ["array-like"],
    }
    _optimizer_defaults: ClassVar[dict[str, Any]] = {"momentum": 0.9, "weight_decay": 5e-4}
    _auto_lr: ClassVar[dict[str, float]] = {"table": 0.03, "other": 0.02}

    def __init__(
        self,
        module: Any = None,
        *,
        reweight: bool = True,
        relabel: bool = True,
        consistency: float = 20.0,
        pool_loss: bool = True,
        pool_weight: float = 5.0,
        mixup_alpha: float = 0.5,
        temperature: float = 0.5,
        trust_given: float = 0.9,
        clean_threshold: float = 1.0,
        weigh_equally: bool = True,
        meta_lr: float | str = "auto",
        look_ahead_momentum: bool = True,
        pseudo_gradient: bool = False,
        meta_gradient: str = "auto",
        n_cycles: int | str = "auto",
        ema_decay: float = 0.999,
        paper_rules: Any = (),
        probe_per_class: int = 10,
        warmup_epochs: int | str = "auto",
        strong_augment: Any = "auto",
        record: Any = ("given_prob",),
        optimizer: Any = torch.optim.SGD,
        lr: float | str = "auto",
        max_epochs: int = 50,
        batch_size: int | str = "auto",
        standardize: bool = True,
        augment: Any = "auto",
        precision: str = "auto",
        device: str | torch.device = "auto",
        callbacks: list | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        **net_params: Any,
    ) -> None:
        self.module = module
        self.reweight = reweight
        self.relabel = relabel
        self.consistency = consistency
        self.pool_loss = pool_loss
        self.pool_weight = pool_weight
        self.mixup_alpha = mixup_alpha
        self.temperature = temperature
        self.trust_given = trust_given
        self.clean_threshold = clean_threshold
        self.weigh_equally = weigh_equally
        self.meta_lr = meta_lr
        self.look_ahead_momentum = look_ahead_momentum
        self.pseudo_gradient = pseudo_gradient
        self.meta_gradient = meta_gradient
        self.n_cycles = n_cycles
        self.ema_decay = ema_decay
        self.paper_rules = paper_rules
        self.probe_per_class = probe_per_class
        self.warmup_epochs = warmup_epochs
        self.strong_augment = strong_augment
        self.record = record
        self.optimizer = optimizer
        self.lr = lr
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.standardize = standardize
        self.augment = augment
        self.precision = precision
        self.device = device
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose
        self._net_params = net_params

    def _fit(self, task: FitTask) -> FitResult:
        settings = self._settings(task)
        views = self._views(task)
        quantities = tuple(dict.fromkeys([*self.record, "given_prob"]))
        recorder = DynamicsRecorder(task.n_samples, quantities).initialize()
        callbacks = self._user_callbacks()
        warmup = 0 if task.has_trusted else self._warmup_epochs()
        progress = self._progress(warmup + self.max_epochs)
        with closing(progress):
            probe = self._probe(task, warmup, progress)
            progress.stage(type(self).__name__)
            net = self._make_net(
                task,
                [*callbacks, ("dynamics", recorder), ("progress", progress)],
                MetaNet,
                settings=settings,
                probe=task.rows.subset(probe),
                iterator_train__views=views,
            )
            others = ~task.trusted
            # Rows that are all trusted are learned from as if they were not.
            learned = others if others.sum() > 1 else np.ones(task.n_samples, dtype=bool)
            net.train_stage(task.rows.subset(learned), self.max_epochs)
        return self._judge(task, net, recorder, probe)

    def _judge(
        self, task: FitTask, net: MetaNet, recorder: DynamicsRecorder, probe: np.ndarray
    ) -> FitResult:
        dynamics = recorder.dynamics_
        logits = net.logits(task.rows)
        predicted = softmax(logits.astype(np.float64), axis=1)
        rows = np.arange(task.n_samples)
        p_given = predicted[rows, task.y]
        judged = ~task.trusted
        noise_rate = float(((predicted.argmax(1) != task.y) & judged).mean())
        weights, trust = net.row_means()
        evidence = -(p_given + dynamics.mean("given_prob")) / 2
        scores = self._calibrated_scores(net, task, evidence, noise_rate)
        clean = task.trusted | (scores <= 0.5)
        kept = np.where(clean, 1 - np.where(task.trusted, 0, scores), 0.0)[:, None]
        soft = (1 - kept) * predicted
        soft[rows, task.y] += kept[:, 0]
        return FitResult(
            net=net,
            noise_scores=scores,
            clean_mask=clean,
            noise_rate=noise_rate,
            dynamics=dynamics.select(tuple(self.record)),
            history=net.epoch_history(),
            attributes={
                "weights_": weights if self.reweight else None,
                "trust_": np.where(task.trusted, 1.0, trust) if self.relabel else None,
                "corrected_proba_": soft,
                "probe_": probe,
                "meta_gradient_": net.meta_gradient_,
            },
        )

    def _settings(self, task: FitTask) -> MetaSettings:
        unknown = sorted(set(self.paper_rules) - set(PAPER_RULES))
        if unknown:
            raise ValueError(f"paper_rules must be some of {PAPER_RULES}. Got {unknown}.")
        if "views" in self._nested_kwargs("iterator_train"):
            raise ValueError(
                "iterator_train__views is set by the method itself: one weak and one strong view. "
                "Use augment and strong_augment to say how they are made."
            )
        learns = self.reweight or self.relabel
        if learns:
            check_look_ahead_optimizer(self.optimizer)
        elif not (self.pool_loss or self.consistency):
            raise ValueError(
                "Nothing is left to learn from: switch on reweight, relabel or pool_loss."
            )
        return MetaSettings(
            reweight=self.reweight,
            relabel=self.relabel,
            consistency=self.consistency,
            pool_loss=self.pool_loss,
            pool_weight=self.pool_weight,
            mixup_alpha=self.mixup_alpha,
            temperature=self.temperature,
            trust_given=self.trust_given,
            clean_threshold=self.clean_threshold,
            weigh_equally=self.weigh_equally,
            meta_lr=self._lr(task) if self.meta_lr == "auto" else self.meta_lr,
            look_ahead_momentum=self.look_ahead_momentum,
            pseudo_gradient=self.pseudo_gradient,
            meta_gradient=self.meta_gradient,
            n_cycles=n_cosine_cycles(self.max_epochs) if self.n_cycles == "auto" else self.n_cycles,
            ema_decay=self.ema_decay,
            paper_rules=tuple(self.paper_rules),
        )

    def _warmup_epochs(self) -> int:
        auto = self.warmup_epochs == "auto"
        return max(1, round(self.max_epochs / 5)) if auto else int(self.warmup_epochs)

    def _probe(self, task: FitTask, warmup: int, progress: EpochProgress) -> np.ndarray:
        """Return which rows are trusted, by the user or by their loss."""
        if task.has_trusted:
            counts = np.bincount(task.y[task.trusted], minlength=task.n_classes)
            missing = task.classes[counts == 0].tolist()
            if missing:
                raise ValueError(
                    f"trusted must mark at least one row of each class. It marks {counts.sum()} of "
                    f"{task.n_samples} rows, none of the classes {missing}. Verify a row of each, or "
                    "leave trusted out: rows of low loss then stand in. In cross-validation, "
                    "noisyfit.model_selection.TrustedFold leaves trusted rows in each training part."
                )
            return task.trusted
        warnings.warn(
            f"No trusted rows were given: the {self.probe_per_class} rows of lowest loss of each "
            "class stand in for them, and some of their labels may be wrong. Verify a few rows of "
            "each class and pass fit(..., trusted=mask).",
            UserWarning,
            stacklevel=5,
        )
        progress.stage(f"{type(self).__name__} warm-up")
        recorder = DynamicsRecorder(task.n_samples, ("loss",))
        net = self._make_net(task, [("dynamics", recorder), ("progress", progress)])
        net.train_stage(task.rows, warmup)
        return lowest_loss_rows(recorder.dynamics_.mean("loss"), task.y, self.probe_per_class)

    def _views(self, task: FitTask) -> tuple[View | None, ...]:
        """Return the weak and the strong view."""
        weak, strong = self._standard_view(task), self.strong_augment
        shape = tuple(self._example(task.rows).shape[1:])
        if strong == "auto":
            strong = strong_view(shape, self._feature_std(task))
        elif isinstance(strong, str):
            strong = strong_view(shape, policy=strong)
        return (weak, strong)
