"""The learning-rate schedule: linear warm-up, then a cosine to `lr_min_ratio` (1: constant)."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from trm_scaling.optim.hyper import Hyper


def learning_rate_factor(step: Int[Array, ""], hyper: Hyper) -> Float[Array, ""]:
    """What both learning rates are multiplied by in step number `step`, counted from 1 (public code)."""
    now = step.astype(jnp.float32)
    warmup = now / jnp.maximum(hyper.lr_warmup_steps, 1.0)
    span = jnp.maximum(hyper.total_steps - hyper.lr_warmup_steps, 1.0)
    progress = (now - hyper.lr_warmup_steps) / span
    cosine = 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
    after = hyper.lr_min_ratio + (1.0 - hyper.lr_min_ratio) * jnp.maximum(cosine, 0.0)
    return jnp.where(now < hyper.lr_warmup_steps, warmup, after)
