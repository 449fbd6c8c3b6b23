"""The gradients that are written out, against automatic differentiation of the plain formula, in float64."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Array

from trm_scaling.losses.trm import symmetric_log
from trm_scaling.models.layers import gated, rms_norm

FEW = settings(max_examples=8)
SEEDS = st.integers(0, 2**32 - 1)
SCALES = st.sampled_from([1e-3, 1.0, 30.0])


def assert_same_slopes(
    written: Callable[..., Array], plain: Callable[..., Array], *inputs: np.ndarray, seed: int
) -> None:
    """Values and pulled-back gradients, to 1e-12 of what is pulled back."""
    with jax.enable_x64(True):
        arrays = [jnp.asarray(each, jnp.float64) for each in inputs]
        (ours, back), (theirs, plain_back) = jax.vjp(written, *arrays), jax.vjp(plain, *arrays)
        pulled = jnp.asarray(np.random.default_rng(seed).normal(size=ours.shape))
        pairs = [(ours, theirs), *zip(back(pulled), plain_back(pulled), strict=True)]
        for one, other in pairs:
            assert one.dtype == jnp.float64
            assert float(jnp.abs(one - other).max()) <= 1e-12 * max(float(jnp.abs(other).max()), 1.0)


@FEW
@given(SEEDS, SCALES, st.sampled_from([0, -1]), st.sampled_from([1e-5, 1.0]))
def test_of_the_norm(seed: int, scale: float, axis: int, eps: float) -> None:
    x = np.random.default_rng(seed).normal(size=(3, 2, 4)) * scale
    assert_same_slopes(
        lambda x: rms_norm(x, axis, eps),
        lambda x: x / jnp.sqrt(jnp.mean(x**2, axis=axis, keepdims=True) + eps),
        x,
        seed=seed,
    )


@FEW
@given(SEEDS, SCALES)
def test_of_the_gate(seed: int, scale: float) -> None:
    gate, up = np.random.default_rng(seed).normal(size=(2, 5, 3)) * scale
    assert_same_slopes(gated, lambda gate, up: gate / (1 + jnp.exp(-gate)) * up, gate, up, seed=seed)


@FEW
@given(SEEDS, SCALES)
def test_of_the_symmetric_logarithm(seed: int, scale: float) -> None:
    x = np.random.default_rng(seed).normal(size=7) * scale
    positive, negative = np.abs(x) + 1e-9, -np.abs(x) - 1e-9
    assert_same_slopes(symmetric_log, lambda x: jnp.log(1 + x), positive, seed=seed)
    assert_same_slopes(symmetric_log, lambda x: -jnp.log(1 - x), negative, seed=seed)
