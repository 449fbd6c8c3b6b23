"""One optimiser step: p -= lr * (decay * p + direction) for the network, sign-SGD for puzzle embeddings."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from trm_scaling.config import OptimizerName
from trm_scaling.optim.adam_atan2 import scale_by_adam_atan2
from trm_scaling.optim.hparams import TracedHparams

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
