"""One optimiser step: p -= lr * (decay * p + direction) for the network, sign-SGD for puzzle embeddings.

With AdamATan2 (Adam whose ratio is an arctangent, so that there is no epsilon: arXiv 2407.05872), the moving
average of the parameters, and the loss scale that keeps gradients inside float16's narrow range.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from trm_scaling.config import OptimizerName
from trm_scaling.optim.hparams import TracedHparams


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


Params = dict[str, Any]


def direction_rule(
    name: OptimizerName, b1: float | Float[Array, ""], b2: float | Float[Array, ""]
) -> optax.GradientTransformation:
    """The rule that turns gradients into directions. `adam` is `adamw` whose decay the schema holds at 0."""
    match name:
        case "adam_atan2":
            return scale_by_adam_atan2(jnp.asarray(b1), jnp.asarray(b2))
        case "adamw" | "adam":
            return optax.scale_by_adam(b1, b2)
        case "lion":
            return optax.scale_by_lion(b1, b2)


def init_optimizer(name: OptimizerName, network: Params) -> optax.OptState:
    """Moments of the network's parameters (without puzzle embeddings, which need none)."""
    return direction_rule(name, 0.0, 0.0).init(network)


def update_params(
    name: OptimizerName,
    network: Params,
    grads: Params,
    state: optax.OptState,
    hyper: TracedHparams,
    lr_factor: Float[Array, ""],
) -> tuple[Params, optax.OptState]:
    """The network's parameters and the optimiser's state after one step; gradients are batch means."""
    # optax multiplies Python scalars and int32 counts into float32 arrays: standard promotion, here alone.
    with jax.numpy_dtype_promotion("standard"):
        directions, state = direction_rule(name, hyper.beta1, hyper.beta2).update(grads, state, network)
    lr = hyper.lr * lr_factor
    network = jax.tree.map(lambda p, d: p * (1 - lr * hyper.weight_decay) - lr * d, network, directions)
    return network, state


def signed_step(
    rows: Float[Array, "N E"], grads: Float[Array, "N E"], hyper: TracedHparams, lr_factor: Float[Array, ""]
) -> Float[Array, "N E"]:
    """Puzzle embeddings after a step of sign-SGD with decoupled decay.

    `grads` are sums over all appearances of a row in a batch, as the public code's distributed rule adds
    them.
    """
    lr = hyper.puzzle_emb_lr * lr_factor
    return rows * (1 - lr * hyper.puzzle_emb_weight_decay) - lr * jnp.sign(grads)


def update_ema(ema: Any, params: Any, rate: Float[Array, ""]) -> Any:
    """`rate` of the old average plus the rest of `params`, leaf by leaf."""
    return jax.tree.map(lambda old, new: rate * old + (1 - rate) * new, ema, params)


FIRST_SCALE = 2.0**15
GROW_AFTER = 2000
"""Finite steps in a row before the scale doubles (as PyTorch's GradScaler does)."""
LARGEST_SCALE = 2.0**24


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
        return cls(jnp.float32(FIRST_SCALE), jnp.int32(0))

    def adjusted(self, finite: Bool[Array, ""]) -> "LossScale":
        """Halved after a step whose gradients overflowed; doubled after 2,000 finite ones in a row."""
        steps = jnp.where(finite, self.finite_steps + 1, 0)
        grow = steps >= GROW_AFTER
        scale = jnp.where(finite, jnp.where(grow, self.scale * 2, self.scale), self.scale / 2)
        return LossScale(jnp.clip(scale, 1.0, LARGEST_SCALE), jnp.where(grow, 0, steps))


def all_finite(tree: Any) -> Bool[Array, ""]:
    """Whether every number of every leaf is finite."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))
