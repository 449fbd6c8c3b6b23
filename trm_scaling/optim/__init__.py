"""Optimisers, the average of parameters, schedules and loss scaling, over optax."""

from trm_scaling.optim.hparams import TracedHparams, exploration_probability, learning_rate_factor
from trm_scaling.optim.update import LossScale, init_optimizer, signed_step, update_ema, update_params

__all__ = [
    "LossScale",
    "TracedHparams",
    "exploration_probability",
    "init_optimizer",
    "learning_rate_factor",
    "signed_step",
    "update_ema",
    "update_params",
]
