"""What changes with the step: the learning rate and the exploration of halting."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from trm_scaling.optim.hparams import TracedHparams


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
    way = (step.astype(jnp.float32) - 1.0) / jnp.maximum(hyper.total_steps - 1.0, 1.0)
    start, end = hyper.halt_exploration_prob, hyper.halt_exploration_prob_end
    return start + (end - start) * jnp.clip(way, 0.0, 1.0)
