"""AdamATan2: Adam whose ratio is an arctangent, so that there is no epsilon (arXiv 2407.05872)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


class AdamATan2State(NamedTuple):
    """Moments, and the number of updates so far."""

    updates: Int[Array, ""]
    m: Any
    v: Any


def scale_by_adam_atan2(b1: Float[Array, ""], b2: Float[Array, ""]) -> optax.GradientTransformation:
    """The direction atan2(m, sqrt(v) / sqrt(1 - b2^t)) / (1 - b1^t), as package adam-atan2 0.0.3 computes it.

    Bounded by pi/2 in every coordinate whatever the gradient's scale; zero where m is zero.
    """

    def init(params: optax.Params) -> AdamATan2State:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return AdamATan2State(jnp.zeros((), jnp.int32), zeros, zeros)

    def update(
        grads: optax.Updates, state: AdamATan2State, params: optax.Params | None = None
    ) -> tuple[optax.Updates, AdamATan2State]:
        updates = state.updates + 1
        t = updates.astype(jnp.float32)
        m = jax.tree.map(lambda m, g: m + (1 - b1) * (g - m), state.m, grads)
        v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, state.v, grads)
        correction = jax.lax.rsqrt(1 - b2**t)
        direction = jax.tree.map(lambda m, v: jnp.arctan2(m, jnp.sqrt(v) * correction) / (1 - b1**t), m, v)
        return direction, AdamATan2State(updates, m, v)

    return optax.GradientTransformation(init, update)
