"""Exponential moving average of parameters, and the weights an evaluation uses."""

from typing import Any

import jax
from jaxtyping import Array, Float


def update_ema(ema: Any, params: Any, rate: Float[Array, ""]) -> Any:
    """`rate` of the old average plus the rest of `params`, leaf by leaf."""
    return jax.tree.map(lambda old, new: rate * old + (1 - rate) * new, ema, params)
