"""Stablemax and softmax cross-entropy in float32, against float64 NumPy and the published formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trm_scaling.losses import softmax_cross_entropy, stablemax_cross_entropy

V = 6
EXTREMES = [1e30, -1e30, 0.0, -0.0, 1.0, -1.0, 1e-30, -1e-30]
LARGEST = float(np.float32(1e30))
numbers = st.floats(-LARGEST, LARGEST, width=32, allow_subnormal=False) | st.sampled_from(EXTREMES)
rows = st.lists(numbers, min_size=V, max_size=V).map(lambda row: np.array(row, np.float32))
labels = st.integers(0, V - 1)

value_and_grad = jax.jit(jax.value_and_grad(stablemax_cross_entropy))


def stablemax_in_float64(logits: np.ndarray, label: int) -> tuple[float, np.ndarray]:
    """-log(s(x)_label / sum s(x)), as arXiv 2501.04697 writes it, and its derivative by hand."""
    x = logits.astype(np.float64)
    s = np.where(x < 0, 1 / (1 - np.minimum(x, 0)), x + 1)
    probabilities = s / s.sum()
    wanted = np.arange(V) == label
    return np.log(s.sum()) - np.log(s[label]), (probabilities - wanted) / (1 + np.abs(x))


@given(rows, labels)
@example(np.array(EXTREMES[:V], np.float32), 1)
@example(np.full(V, -1e30, np.float32), 0)
@example(np.full(V, 1.0, np.float32), 0)
@example(np.array([1e-30, -1e-30, 0, 0, 1, -1], np.float32), 2)
def test_stablemax_is_right_and_finite_for_every_logit(logits: np.ndarray, label: int) -> None:
    value, gradient = value_and_grad(jnp.asarray(logits), jnp.int32(label))
    expected, slope = stablemax_in_float64(logits, label)
    assert value.dtype == gradient.dtype == jnp.float32
    # log s reaches 88, and float32 carries it to 1e-7 of that.
    np.testing.assert_allclose(value, expected, rtol=2e-6, atol=2e-5)
    weight = 1 + np.abs(logits.astype(np.float64))
    np.testing.assert_allclose(np.asarray(gradient, np.float64) * weight, slope * weight, atol=5e-5)


@pytest.mark.parametrize("logit", [*EXTREMES, 3e38, -3e38])
def test_the_gradient_at_an_extreme_logit_is_a_number(logit: float) -> None:
    for row in (np.full(V, logit), np.eye(V)[0] * logit, np.eye(V)[1] * logit):
        value, gradient = value_and_grad(jnp.asarray(row, jnp.float32), jnp.int32(0))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_the_public_form_is_not_a_number_at_one() -> None:
    """Why ours is written otherwise: a `where` differentiates the branch it does not take, too."""

    def public(logits: jax.Array) -> jax.Array:
        s = jnp.where(logits < 0, 1 / (1 - logits + 1e-30), logits + 1)
        return -jnp.log(s[0] / jnp.sum(s))

    logits = jnp.array([1.0, 0.0, 0.5, -2.0, 0.0, 0.0])
    value, gradient = jax.value_and_grad(public)(logits)
    ours, finite = value_and_grad(logits, jnp.int32(0))
    np.testing.assert_allclose(ours, value, rtol=1e-6)
    assert np.isnan(gradient[0])
    assert np.isfinite(finite).all()


@given(st.lists(st.floats(-50, 50, width=32), min_size=V, max_size=V), labels)
def test_softmax_is_the_plain_formula(row: list[float], label: int) -> None:
    logits = np.array(row, np.float32)
    value, gradient = jax.value_and_grad(softmax_cross_entropy)(jnp.asarray(logits), jnp.int32(label))
    powers = np.exp(logits.astype(np.float64))
    np.testing.assert_allclose(value, -np.log(powers[label] / powers.sum()), rtol=1e-5, atol=1e-5)
    expected = powers / powers.sum() - (np.arange(V) == label)
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("cross_entropy", [stablemax_cross_entropy, softmax_cross_entropy])
def test_half_precision_logits_are_worked_on_in_float32(cross_entropy, dtype) -> None:
    logits = jnp.linspace(-3, 4, 2 * V, dtype=jnp.dtype(dtype)).reshape(2, V)
    wanted = jnp.array([1, 4])
    loss = cross_entropy(logits, wanted)
    assert loss.dtype == jnp.float32
    np.testing.assert_array_equal(loss, cross_entropy(logits.astype(jnp.float32), wanted))


def test_leading_axes_are_kept() -> None:
    logits = jax.random.normal(jax.random.key(0), (2, 3, V))
    wanted = jnp.array([[0, 1, 2], [3, 4, 5]])
    losses = stablemax_cross_entropy(logits, wanted)
    for place in np.ndindex(2, 3):
        np.testing.assert_allclose(
            losses[place], stablemax_in_float64(np.asarray(logits[place]), int(wanted[place]))[0], rtol=1e-5
        )
