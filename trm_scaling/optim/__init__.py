"""Optimisers, the average of parameters, schedules and loss scaling, over optax."""

from trm_scaling.optim.ema import update_ema
from trm_scaling.optim.hparams import TracedHparams
from trm_scaling.optim.loss_scale import LossScale
from trm_scaling.optim.schedule import exploration_probability, learning_rate_factor
from trm_scaling.optim.update import init_optimizer, signed_step, update_params

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
