"""The numbers of a run that are data to the compiled step, so that changing them compiles nothing."""

from dataclasses import dataclass
from typing import Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from trm_scaling.config import RunConfig, Schedule


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Hyper:
    """Float32 scalars, named as in the configuration; one may differ between runs of one program."""

    lr: Float[Array, ""]
    lr_min_ratio: Float[Array, ""]
    warmup_steps: Float[Array, ""]
    beta1: Float[Array, ""]
    beta2: Float[Array, ""]
    weight_decay: Float[Array, ""]
    puzzle_emb_lr: Float[Array, ""]
    puzzle_emb_weight_decay: Float[Array, ""]
    ema_rate: Float[Array, ""]
    """What one step keeps (`RunConfig.per_step`)."""
    ema_rates: tuple[Float[Array, ""], ...]
    """The same of the further averages."""
    halt_exploration_prob: Float[Array, ""]
    halt_exploration_prob_end: Float[Array, ""]
    """Equal to the one before where exploration is not annealed."""
    total_steps: Float[Array, ""]
    """Steps of the whole run: where the cosine and the annealing end."""

    @classmethod
    def of(cls, config: RunConfig, schedule: Schedule) -> Self:
        """The scalars of `config`, whose steps `schedule` says."""
        arch = config.arch
        end = arch.halt_exploration_prob_end
        scalars = {
            "lr": config.lr,
            "lr_min_ratio": config.lr_min_ratio,
            "warmup_steps": schedule.warmup_steps,
            "beta1": config.beta1,
            "beta2": config.beta2,
            "weight_decay": config.weight_decay,
            "puzzle_emb_lr": config.puzzle_emb_lr,
            "puzzle_emb_weight_decay": config.puzzle_emb_weight_decay,
            "ema_rate": config.per_step(config.ema_rate),
            "halt_exploration_prob": arch.halt_exploration_prob,
            "halt_exploration_prob_end": arch.halt_exploration_prob if end is None else end,
            "total_steps": schedule.total_steps,
        }
        rates = tuple(jnp.float32(config.per_step(rate)) for rate in config.ema_rates)
        return cls(**{name: jnp.float32(scalar) for name, scalar in scalars.items()}, ema_rates=rates)
