"""The update rules against their formulas, in float64 NumPy over several steps."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trm_scaling.config import RunConfig, Schedule
from trm_scaling.optim import TracedHparams, init_optimizer, update_params

STEPS = 6
LR, DECAY, B1, B2, FACTOR = 3e-2, 0.7, 0.9, 0.95, 0.5
Array = np.ndarray
# (gradient, m, v, t) -> (direction, m, v)
Rule = Callable[[Array, Array, Array, int], tuple[Array, Array, Array]]


def adam_atan2(g: Array, m: Array, v: Array, t: int) -> tuple[Array, Array, Array]:
    """Package adam-atan2 0.0.3: m by lerp, no epsilon, 1 - b1^t divides the step and not m."""
    m = m + (1 - B1) * (g - m)
    v = B2 * v + (1 - B2) * g * g
    return np.arctan2(m, np.sqrt(v) / np.sqrt(1 - B2**t)) / (1 - B1**t), m, v


def adam(g: Array, m: Array, v: Array, t: int) -> tuple[Array, Array, Array]:
    """arXiv 1412.6980, epsilon 1e-8 outside the root."""
    m = B1 * m + (1 - B1) * g
    v = B2 * v + (1 - B2) * g * g
    return (m / (1 - B1**t)) / (np.sqrt(v / (1 - B2**t)) + 1e-8), m, v


def lion(g: Array, m: Array, v: Array, t: int) -> tuple[Array, Array, Array]:
    """arXiv 2302.06675: the sign of one average, another average kept."""
    return np.sign(B1 * m + (1 - B1) * g), B2 * m + (1 - B2) * g, v


RULES: dict[str, Rule] = {"adam_atan2": adam_atan2, "adamw": adam, "adam": adam, "lion": lion}


def hyper(**changes: float) -> TracedHparams:
    config = RunConfig(
        lr=LR, weight_decay=DECAY, beta1=B1, beta2=B2, puzzle_emb_lr=LR, puzzle_emb_weight_decay=DECAY
    )
    values = {name: jnp.float32(value) for name, value in changes.items()}
    return replace(TracedHparams.of(config, Schedule(100, 100, 0, ())), **values)


def leaves(seed: int, scale: float = 1.0) -> dict[str, Any]:
    """A small tree; the scales of its gradients differ by ten orders of magnitude."""
    random = np.random.default_rng(seed)
    return {
        "a": random.normal(size=(3, 4)) * scale,
        "layers": [{"b": random.normal(size=5) * scale * 1e-7}, {"b": random.normal(size=2) * scale * 1e3}],
    }


def as_float32(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree)


@pytest.mark.parametrize("name", RULES)
def test_several_steps_follow_the_formula(name) -> None:
    h = hyper(weight_decay=0.0) if name == "adam" else hyper()
    decay = float(h.weight_decay)
    params = as_float32(leaves(0))
    expected = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(params)]
    m, v = ([np.zeros_like(leaf) for leaf in expected] for _ in range(2))
    state = init_optimizer(name, params)
    step = jax.jit(update_params, static_argnums=0)
    for t in range(1, STEPS + 1):
        grads = as_float32(leaves(t))
        params, state = step(name, params, grads, state, h, jnp.float32(FACTOR))
        for i, g in enumerate(np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(grads)):
            direction, m[i], v[i] = RULES[name](g, m[i], v[i], t)
            lr = LR * FACTOR
            expected[i] = expected[i] * (1 - lr * decay) - lr * direction
        for ours, theirs in zip(jax.tree.leaves(params), expected, strict=True):
            assert ours.dtype == jnp.float32
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6 * np.abs(theirs).max())


@pytest.mark.parametrize("name", RULES)
def test_zero_gradients_give_no_nan(name) -> None:
    params = as_float32(leaves(0))
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = init_optimizer(name, params)
    for _ in range(2):
        after, state = update_params(name, params, zeros, state, hyper(weight_decay=0.0), jnp.float32(1))
        for ours, before in zip(jax.tree.leaves(after), jax.tree.leaves(params), strict=True):
            np.testing.assert_array_equal(ours, before)


@pytest.mark.parametrize("size", [1e-15, 1e-8, 1.0, 1e15])
def test_adam_atan2_knows_no_scale(size: float) -> None:
    """A first step is lr x atan(1 - b1) / (1 - b1) whatever the gradient: no epsilon swallows it."""
    params = {"a": jnp.zeros(2)}
    state = init_optimizer("adam_atan2", params)
    grads = {"a": jnp.array([size, -size], jnp.float32)}
    after, _ = update_params("adam_atan2", params, grads, state, hyper(weight_decay=0.0), jnp.float32(1))
    expected = LR * np.arctan(1 - B1) / (1 - B1)
    np.testing.assert_allclose(after["a"], [-expected, expected], rtol=1e-5)


def test_decay_is_that_of_the_learning_rate_of_the_step() -> None:
    params = {"a": jnp.array([2.0])}
    state = init_optimizer("adam_atan2", params)
    after, _ = update_params("adam_atan2", params, {"a": jnp.zeros(1)}, state, hyper(), jnp.float32(FACTOR))
    np.testing.assert_allclose(after["a"], 2 * (1 - LR * FACTOR * DECAY), rtol=1e-7)
