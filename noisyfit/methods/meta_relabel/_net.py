"""`MetaNet`: the training step of meta re-labelling (Zhang et al. 2020)."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.autograd.forward_ad import make_dual
from torch.distributions import Beta
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import one_hot

from noisyfit._random import global_generator
from noisyfit.data import Rows, batch_sizes
from noisyfit.methods.meta_relabel._averaging import WeightAverage
from noisyfit.methods.meta_relabel._batch_norm_jvp import quick_batch_norm_jvp
from noisyfit.methods.meta_relabel._gradient import (
    MetaGradient,
    choose_meta_gradient,
    example_weights,
    literal_example_weights,
    meta_gradient,
)
from noisyfit.methods.meta_relabel._look_ahead import (
    check_look_ahead_optimizer,
    look_ahead_parameters,
    weight_penalty,
)
from noisyfit.methods.meta_relabel._probe import ProbeBatches
from noisyfit.methods.meta_relabel._schedule import CosineCycles
from noisyfit.training import (
    NoisyNet,
    class_softmax,
    consistency,
    dominant_factor,
    frozen_batch_statistics,
    mixup,
    normalize_logits,
    row_weighted,
    sharpen,
    soft_cross_entropy,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np

    from noisyfit.methods.meta_relabel._settings import MetaSettings

_TRIAL_ROWS = 8

_REMEMBERED = ("meta_gradient_", "n_steps_")


class MetaNet(NoisyNet):
    """Net that asks trusted rows, in every step, which rows to weigh and which labels to believe.

    Parameters
    ----------
    module : torch.nn.Module, class or instance
        Returns logits of shape (n_rows, n_classes).
    settings : MetaSettings
        All numbers of the method, resolved.
    probe : Rows
        The trusted rows.
    unlabeled : ndarray of shape (n_samples,), bool, or None, default=None
        Rows without a label, for which the guesses stand in. None: there are none.
    **kwargs
        Parameters of `NoisyNet`.

    Attributes
    ----------
    meta_gradient_ : {"jvp", "double_backward"} or None
        How the gradient of the meta step was computed; None if no step was made.

    Notes
    -----
    Beside the loss it replaces the schedule, which goes by steps, and what predicts: after the
    training the average of the weights. The batches of trusted rows are drawn in the step.

    Forwards of a step: (a) the weak view, (b) the strong one, (c) the probe, at the look-ahead
    parameters, (d) the weak view once more in forward mode, unless by double backward, and (e) the
    mixed pool of three times as many rows. Only (a) adds to batch normalisation's running
    statistics.
    """

    training_only: ClassVar[tuple[str, ...]] = (*NoisyNet.training_only, "probe", "unlabeled")

    def __init__(
        self,
        module: Any,
        *,
        settings: MetaSettings,
        probe: Rows,
        unlabeled: np.ndarray | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, **kwargs)
        self.unlabeled: Any = unlabeled
        self.settings = settings
        self.probe: Any = probe

    def make_schedule(self) -> CosineCycles:
        """Return cosine cycles, step by step."""
        return CosineCycles(self.settings.n_cycles)

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Start with empty memories."""
        super().on_train_begin(net, X=X, y=y, **kwargs)
        if self.settings.learns_from_labels:
            check_look_ahead_optimizer(self.optimizer_)
        views = dict(self.get_params_for("iterator_train")).get("views") or (None,)
        self.probe_batches_ = ProbeBatches(self.probe, views[0])
        marks = self.unlabeled
        self.unlabeled_ = None if marks is None else torch.tensor(marks).to(self.device)
        chosen = self.settings.meta_gradient
        fixed = chosen != "auto" and self.settings.learns_from_labels
        self.meta_gradient_: str | None = chosen if fixed else None
        decay = self.settings.ema_decay
        parameters = dict(self.module_.named_parameters())
        self.ema_ = WeightAverage(parameters, decay) if decay else None
        self.n_steps_ = 0
        n_batches = len(batch_sizes(len(X), self.batch_size))
        self.n_ramp_steps_ = self.settings.ramp_epochs * n_batches

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, **step: Any
    ) -> None:
        """Follow the weights with their average."""
        super().on_batch_end(net, training=training, batch=batch, **step)
        if not training:
            return
        if self.ema_ is not None:
            self.ema_.update(dict(self.module_.named_parameters()))
        self.n_steps_ += 1

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Predict with the averaged weights from now on."""
        super().on_train_end(net, **kwargs)
        if self.ema_ is not None:
            self.ema_.copy_to(dict(self.module_.named_parameters()))
            self.ema_ = None

    def predicting_state(self) -> dict[str, torch.Tensor]:
        """Return a copy of the averaged weights, and of what else the module remembers."""
        averaged = {} if self.ema_ is None else self.ema_.params
        return super().predicting_state() | {
            name: t.detach().clone() for name, t in averaged.items()
        }

    def stage_state(self) -> dict[str, Any]:
        """Return the averaged weights, and the place in the trusted rows."""
        state = {name: getattr(self, name) for name in _REMEMBERED}
        state |= {"ema": self.ema_, "probe_place": self.probe_batches_.place}
        return {**super().stage_state(), **state}

    def load_stage_state(self, state: dict[str, Any]) -> None:
        """Take back what `stage_state` returned."""
        super().load_stage_state(state)
        for name in _REMEMBERED:
            setattr(self, name, state[name])
        self.probe_batches_.place, self.ema_ = state["probe_place"], state["ema"]

    def infer(self, x: Any, *, params: Any = None, **fit_params: Any) -> torch.Tensor:
        """Compute logits, in evaluation mode with the averaged weights."""
        ema = getattr(self, "ema_", None)
        if params is None and ema is not None and not self.module_.training:
            params = ema.params
        return super().infer(x, params=params, **fit_params)

    def training_loss(self, X: dict[str, Any], y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Loss of one batch: lines 1 to 6 of Algorithm 1."""
        # The attention kernels that torch prefers have a first derivative only.
        with sdpa_kernel(SDPBackend.MATH):
            return self._training_loss(X, y)

    def _training_loss(self, X: dict[str, Any], y: torch.Tensor) -> dict[str, torch.Tensor]:
        at = self.settings
        # A callback may have frozen some parameters, or freed them.
        named = self.module_.named_parameters()
        self.params_ = {name: param for name, param in named if param.requires_grad}
        probe = self.probe_batches_.draw(max(len(y), self.probe_batches_.n_classes))
        draws = global_generator(self.device).get_state()
        two_way = bool(at.consistency) and "two_way_consistency" in at.paper_rules
        with torch.set_grad_enabled(at.learns_from_labels or two_way):
            weak = self.infer(X)
        step = {"y_pred": weak, "sample_loss": self.criterion_(weak, y)}
        losses: list[torch.Tensor] = []
        risen = min(1.0, self.n_steps_ / self.n_ramp_steps_) if self.n_ramp_steps_ else 1.0
        with frozen_batch_statistics(self.module_):
            strong = self._strong_logits(X)
            given = one_hot(y, weak.shape[1]).to(weak.dtype)
            pseudo = given if strong is None else self.pseudo_labels(weak, strong)
            target = pseudo.detach()
            if self.unlabeled_ is not None:
                without = self.unlabeled_[X["index"]].unsqueeze(1)
                given = torch.where(without, target, given)
            if at.learns_from_labels:
                meta = self.coefficients(X, probe, weak, given, pseudo, draws)
                step |= meta
                losses.append(self.supervised_loss(X, weak, given, target, meta))
            if at.consistency and strong is not None:
                fixed = weak if two_way else weak.detach()
                of_rows = row_weighted(consistency(fixed, strong), X)
                losses.append(risen * at.consistency * of_rows.mean())
            if at.pool_loss:
                kept = step["weight"] >= at.clean_threshold if "weight" in step else None
                of_probe, of_others = self.pool_losses(X, probe, given, target, kept)
                losses.append(of_probe + risen * at.pool_weight * of_others)
        return {"loss": torch.stack(losses).sum(), **step}

    def pseudo_labels(self, weak: torch.Tensor, strong: torch.Tensor) -> torch.Tensor:
        r"""Guess the labels of a batch from the logits of two views of it, Eq. 3.

        Parameters
        ----------
        weak, strong : tensor of shape (n_rows, n_classes)
            Logits of the two views.

        Returns
        -------
        tensor of shape (n_rows, n_classes)
            :math:`g`, the sharpened mean of both predictions.
        """
        mean = (class_softmax(self._scaled(weak)) + class_softmax(self._scaled(strong))) / 2
        return sharpen(mean, self.settings.temperature)

    def coefficients(
        self,
        X: dict[str, Any],
        probe: tuple[torch.Tensor, torch.Tensor],
        weak: torch.Tensor,
        given: torch.Tensor,
        pseudo: torch.Tensor,
        draws: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        r"""Find weight and label of each row: the meta step, Eqs. 5 to 7.

        Parameters
        ----------
        X : dict
            A batch.
        probe : tuple of two tensors
            Inputs and labels of as many trusted rows.
        weak : tensor of shape (n_rows, n_classes)
            Logits of the weak view, with their graph.
        given, pseudo : tensor of shape (n_rows, n_classes)
            Given labels, one-hot, and pseudo-labels.
        draws : tensor
            State of torch's generator before the forward pass of `weak`.

        Returns
        -------
        dict
            ``"weight"``, :math:`\omega^*`, and ``"given_preferred"``, :math:`\lambda^*` in {0, 1},
            both (n_rows,); ``"probe_loss"``, :math:`L^p`.
        """
        at = self.settings
        omega = 1 / len(given) if at.weigh_equally else 0.0
        target = pseudo if at.through_pseudo_labels else pseudo.detach()
        row_losses = partial(self._row_losses, X, given, target, draws)
        if self.meta_gradient_ is None:
            few = slice(_TRIAL_ROWS)
            views = tuple(view[few] for view in X.get("views", ()))
            part = {name: X[name][few] for name in X if name != "views"} | {"views": views}
            trial = partial(self._row_losses, part, given[few], target[few].detach(), draws)
            self.meta_gradient_ = choose_meta_gradient(trial, self.params_)
        gradient: MetaGradient = meta_gradient(
            self.meta_gradient_,
            self.params_,
            (
                row_weighted(soft_cross_entropy(weak, given), X),
                row_weighted(soft_cross_entropy(weak, target), X),
            ),
            row_losses,
            partial(
                look_ahead_parameters,
                self.optimizer_,
                self.params_,
                lr=at.meta_lr,
                momentum=at.look_ahead_momentum,
            ),
            partial(self._probe_loss, *probe),
            omega=omega,
            lam=self._trust_given,
        )
        if "weights" in at.paper_rules:
            weight = literal_example_weights(gradient.omega, omega)
        else:
            weight = example_weights(gradient.omega)
        return {
            "weight": weight,
            "given_preferred": (gradient.lam < 0).to(weight.dtype),
            "probe_loss": gradient.probe_loss,
        }

    def supervised_loss(
        self,
        X: dict[str, Any],
        weak: torch.Tensor,
        given: torch.Tensor,
        pseudo: torch.Tensor,
        meta: Mapping[str, torch.Tensor],
    ) -> torch.Tensor:
        r"""Loss on the re-weighted and on the re-labelled rows, Eq. 8.

        Parameters
        ----------
        X : dict
            A batch.
        weak : tensor of shape (n_rows, n_classes)
            Logits.
        given, pseudo : tensor of shape (n_rows, n_classes)
            Given labels, one-hot, and pseudo-labels.
        meta : dict
            What `coefficients` found.

        Returns
        -------
        tensor of shape ()
            :math:`(L_{\omega^*} + L_{\lambda^*}) / 2`, or the only one of them that is there.
        """
        at, losses = self.settings, []
        if at.relabel:
            preferred = meta["given_preferred"].bool().unsqueeze(1)
            label = torch.where(preferred, given, pseudo)
            losses.append(row_weighted(soft_cross_entropy(weak, label), X).mean())
        if at.reweight:
            mixed = torch.lerp(pseudo, given, self._trust_given)
            of_rows = row_weighted(soft_cross_entropy(weak, mixed), X)
            losses.append((meta["weight"] * of_rows).sum())
        total = torch.stack(losses)
        return total.sum() if "sum" in at.paper_rules else total.mean()

    def pool_losses(
        self,
        X: dict[str, Any],
        probe: tuple[torch.Tensor, torch.Tensor],
        given: torch.Tensor,
        pseudo: torch.Tensor,
        kept: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        r"""Losses on the mixture of trusted rows and both views of all others, Section 4.4.

        Parameters
        ----------
        X : dict
            A batch.
        probe : tuple of two tensors
            Inputs and labels of as many trusted rows; the pool's are drawn from them.
        given, pseudo : tensor of shape (n_rows, n_classes)
            Given labels, one-hot, and pseudo-labels.
        kept : tensor of shape (n_rows,), bool, or None
            Rows that go by their given label; None: none does.

        Returns
        -------
        of_probe, of_others : tensor of shape ()
            :math:`L_\beta^p`, where the larger part is a trusted row, and :math:`L_\beta^u`.
        """
        at, n_rows = self.settings, len(pseudo)
        drawn = torch.randint(len(probe[1]), (n_rows,), device=pseudo.device)
        probe_x, probe_y = (part[drawn] for part in probe)
        anchors = one_hot(probe_y, pseudo.shape[1]).to(pseudo.dtype)
        label = pseudo if kept is None else torch.where(kept.unsqueeze(1), given, pseudo)
        inputs = torch.cat([probe_x, X["x"], X["views"][0]])
        target = torch.cat([anchors, label, label])
        if at.mixup_alpha:
            partner = torch.randperm(len(inputs), device=inputs.device)
            inputs, target = mixup(inputs, target, partner, self._mixup_factor(inputs))
        blocks = zip(self.infer(inputs).split(n_rows), target.split(n_rows), strict=True)
        of_probe, *of_views = (
            soft_cross_entropy(self._scaled(logits), labels) for logits, labels in blocks
        )
        of_weak, of_strong = (row_weighted(of_rows, X).mean() for of_rows in of_views)
        return of_probe.mean(), (of_weak + of_strong) / 2

    @property
    def _trust_given(self) -> float:
        # Without re-labelling there is no choice: the target is the given label.
        return self.settings.trust_given if self.settings.relabel else 1.0

    def _strong_logits(self, X: dict[str, Any]) -> torch.Tensor | None:
        at = self.settings
        if not (at.needs_pseudo_labels or at.consistency):
            return None
        with torch.set_grad_enabled(bool(at.consistency) or at.through_pseudo_labels):
            return self.infer(X["views"][0])

    def _row_losses(
        self,
        X: dict[str, Any],
        given: torch.Tensor,
        pseudo: torch.Tensor,
        draws: torch.Tensor,
        params: Mapping[str, torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Losses of the rows against both labels, with the dropout of the step's own forwards."""
        quick: Any = nullcontext()
        if not torch.is_grad_enabled():  # forward mode: there is no graph to go back
            quick = quick_batch_norm_jvp(self.module_)
            # For a constant torch makes up a tangent in Python, slower than the product itself.
            given, pseudo = (make_dual(t, torch.zeros_like(t)) for t in (given, pseudo))
        with self._repeated(draws), quick:
            weak = self.infer(X, params=params)
            if self.settings.through_pseudo_labels:
                pseudo = self.pseudo_labels(weak, self.infer(X["views"][0], params=params))
        of_given, of_pseudo = (
            row_weighted(soft_cross_entropy(weak, label), X) for label in (given, pseudo)
        )
        return of_given, of_pseudo

    def _probe_loss(
        self, x: torch.Tensor, y: torch.Tensor, ahead: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        loss = self.criterion_(self.infer(x, params=ahead), y).mean()
        return loss + weight_penalty(self.optimizer_, self.params_, ahead)

    def _scaled(self, logits: torch.Tensor) -> torch.Tensor:
        return logits if "raw_logits" in self.settings.paper_rules else normalize_logits(logits)

    def _mixup_factor(self, inputs: torch.Tensor) -> torch.Tensor:
        alpha = self.settings.mixup_alpha
        if "mixup_factor" in self.settings.paper_rules:
            concentration = torch.full((len(inputs),), alpha, device=inputs.device)
            return Beta(concentration, concentration, validate_args=False).sample()
        return dominant_factor(len(inputs), alpha, inputs.device)

    @contextmanager
    def _repeated(self, draws: torch.Tensor) -> Iterator[None]:
        """Draw once more what was drawn from a state on."""
        generator = global_generator(self.device)
        now = generator.get_state()
        generator.set_state(draws)
        try:
            yield
        finally:
            generator.set_state(now)

    def release(self) -> MetaNet:
        """Drop what only training needs."""
        for name in (
            "params_",
            "probe_batches_",
            "unlabeled_",
            "ema_",
            "n_steps_",
            "n_ramp_steps_",
        ):
            self.__dict__.pop(name, None)
        self.probe = self.unlabeled = None
        super().release()
        return self
