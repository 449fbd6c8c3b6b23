"""Dynamic loss scaling for float16: keep gradients inside the format's narrow range."""

from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

FIRST = 2.0**15
GROW_AFTER = 2000
"""Finite steps in a row before the scale doubles (as PyTorch's GradScaler does)."""
LARGEST = 2.0**24


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LossScale:
    """The loss is multiplied by `scale` before differentiation and the gradients divided by it."""

    scale: Float[Array, ""]
    finite_steps: Int[Array, ""]
    """Steps since the last overflow or doubling."""

    @classmethod
    def first(cls) -> Self:
        """Where a run starts."""
        return cls(jnp.float32(FIRST), jnp.int32(0))

    def adjusted(self, finite: Bool[Array, ""]) -> "LossScale":
        """Halved after a step whose gradients overflowed; doubled after 2,000 finite ones in a row."""
        steps = jnp.where(finite, self.finite_steps + 1, 0)
        grow = steps >= GROW_AFTER
        scale = jnp.where(finite, jnp.where(grow, self.scale * 2, self.scale), self.scale / 2)
        return LossScale(jnp.clip(scale, 1.0, LARGEST), jnp.where(grow, 0, steps))


def all_finite(tree: Any) -> Bool[Array, ""]:
    """Whether every number of every leaf is finite."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))
