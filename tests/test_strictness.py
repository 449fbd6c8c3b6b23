"""The strictness of conftest.py is really on; without these, losing it would go unseen."""

import jax.numpy as jnp
import pytest
from jax.dtypes import TypePromotionError
from jaxtyping import TypeCheckError

from trm_scaling.losses import softmax_cross_entropy, trm_losses


def test_shapes_are_held_to_the_annotations() -> None:
    logits, q_halt, labels = jnp.zeros((2, 4, 6)), jnp.zeros(1), jnp.zeros((2, 4), jnp.uint8)
    with pytest.raises(TypeCheckError, match="q_halt"):
        trm_losses(logits, q_halt, labels, softmax_cross_entropy)


def test_dtypes_do_not_mix_silently() -> None:
    with pytest.raises(TypePromotionError, match="promotion=strict"):
        jnp.zeros(3, jnp.float32) + jnp.zeros(3, jnp.bfloat16)


def test_ranks_do_not_broadcast_silently() -> None:
    with pytest.raises(ValueError, match="rank_promotion='raise'"):
        jnp.zeros((3, 1)) + jnp.zeros(3)
