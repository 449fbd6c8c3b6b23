"""The numbers of a run that are data to the compiled step, so that changing them compiles nothing."""

from dataclasses import dataclass, fields
from typing import Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from trm_scaling.config import RunConfig


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Hyper:
    """Float32 scalars, named as in the configuration; one may differ between runs of one program."""

    lr: Float[Array, ""]
    lr_min_ratio: Float[Array, ""]
    lr_warmup_steps: Float[Array, ""]
    beta1: Float[Array, ""]
    beta2: Float[Array, ""]
    weight_decay: Float[Array, ""]
    puzzle_emb_lr: Float[Array, ""]
    puzzle_emb_weight_decay: Float[Array, ""]
    ema_rate: Float[Array, ""]
    halt_exploration_prob: Float[Array, ""]
    total_steps: Float[Array, ""]
    """Steps of the whole run: where the cosine ends."""

    @classmethod
    def of(cls, config: RunConfig, total_steps: int) -> Self:
        """The scalars of `config`; `total_steps` comes from `Schedule`."""
        source = {
            **config.model_dump(),
            "halt_exploration_prob": config.arch.halt_exploration_prob,
            "total_steps": total_steps,
        }
        return cls(**{field.name: jnp.float32(source[field.name]) for field in fields(cls)})
