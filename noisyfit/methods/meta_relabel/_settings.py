"""What the step of meta re-labelling is set to."""

from __future__ import annotations

from typing import NamedTuple

PAPER_RULES = ("weights", "sum", "raw_logits", "mixup_factor", "two_way_consistency")


class MetaSettings(NamedTuple):
    """What meta re-labelling is set to; symbols of the paper, all numbers settled."""

    reweight: bool = True
    r"""Whether :math:`L_{\omega^*}` is there."""
    relabel: bool = True
    r"""Whether :math:`L_{\lambda^*}` is there."""
    consistency: float = 20.0
    """k, weight of the consistency loss."""
    pool_loss: bool = True
    r"""Whether :math:`L_\beta` is there."""
    pool_weight: float = 5.0
    r"""p, weight of :math:`L_\beta^u`."""
    mixup_alpha: float = 0.5
    r"""Of the distribution of :math:`\beta`; 0: the pool is not mixed."""
    temperature: float = 0.5
    r""":math:`\tau` of sharpening."""
    trust_given: float = 0.9
    r""":math:`\lambda_0`."""
    clean_threshold: float = 1.0
    """T."""
    weigh_equally: bool = True
    r"""Whether :math:`\omega_0` is 1/B; else 0."""
    meta_lr: float = 0.1
    r""":math:`\alpha`, the fixed step of the look-ahead."""
    look_ahead_momentum: bool = True
    """Whether the look-ahead goes on with the optimizer's momentum."""
    pseudo_gradient: bool = False
    """Whether the look-ahead's gradient also runs through the pseudo-labels."""
    meta_gradient: str = "auto"
    ramp_epochs: int = 0
    """Epochs over which k and p rise from 0, step by step."""
    n_cycles: int = 1
    ema_decay: float = 0.999
    """Largest decay of the average of the weights; 0: none."""
    paper_rules: tuple[str, ...] = ()
    """Names of `PAPER_RULES` that are followed to the letter."""

    @property
    def learns_from_labels(self) -> bool:
        """Whether the given labels are used at all."""
        return self.reweight or self.relabel

    @property
    def through_pseudo_labels(self) -> bool:
        """Whether the look-ahead's gradient runs through the pseudo-labels."""
        return self.pseudo_gradient and self.relabel

    @property
    def needs_pseudo_labels(self) -> bool:
        """Whether anything is learned from the pseudo-labels."""
        return self.relabel or self.pool_loss
