"""The numbers of a run that are data to the compiled step, so that changing them compiles nothing;
and what changes with the step: the learning rate and the exploration of halting.
"""

from dataclasses import dataclass
from typing import Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from trm_scaling.config import RunConfig, Schedule
from trm_scaling.config.fields import value_of
from trm_scaling.config.traced_fields import TRACED_FIELDS


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TracedHparams:
    """Float32 scalars, named as in the configuration; one may differ between runs of one program.

    They are the fields marked `Traced`, with the warm-up as the schedule has it and the averages as a step
    keeps them, and the schedule's length.
    """

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
        # A field that is marked `Traced` and has no place above is refused here by its name.
        scalars = {field.rpartition(".")[2]: value_of(config, field) for field in TRACED_FIELDS}
        del scalars["lr_warmup_steps"]
        scalars |= {"warmup_steps": schedule.warmup_steps, "total_steps": schedule.total_steps}
        scalars["ema_rate"] = config.per_step(config.ema_rate)
        if scalars["halt_exploration_prob_end"] is None:
            scalars["halt_exploration_prob_end"] = scalars["halt_exploration_prob"]
        rates = tuple(jnp.float32(config.per_step(rate)) for rate in config.ema_rates)
        return cls(**{name: jnp.float32(scalar) for name, scalar in scalars.items()}, ema_rates=rates)


def learning_rate_factor(step: Int[Array, ""], hyper: TracedHparams) -> Float[Array, ""]:
    """What both learning rates are multiplied by in step number `step`, counted from 1 (public code)."""
    now = step.astype(jnp.float32)
    warmup = now / jnp.maximum(hyper.warmup_steps, 1.0)
    span = jnp.maximum(hyper.total_steps - hyper.warmup_steps, 1.0)
    progress = (now - hyper.warmup_steps) / span
    cosine = 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
    after = hyper.lr_min_ratio + (1.0 - hyper.lr_min_ratio) * jnp.maximum(cosine, 0.0)
    return jnp.where(now < hyper.warmup_steps, warmup, after)


def exploration_probability(step: Int[Array, ""], hyper: TracedHparams) -> Float[Array, ""]:
    """The chance in step number `step`, counted from 1: a straight line from the first step to the last."""
    progress = (step.astype(jnp.float32) - 1.0) / jnp.maximum(hyper.total_steps - 1.0, 1.0)
    start, end = hyper.halt_exploration_prob, hyper.halt_exploration_prob_end
    return start + (end - start) * jnp.clip(progress, 0.0, 1.0)
