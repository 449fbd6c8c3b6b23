"""TRM's loss on a batch: what counts, how much, and that padding never does.

B batch, C cells, V vocabulary.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trm_scaling.losses import Losses, softmax_cross_entropy, stablemax_cross_entropy, trm_losses

B, C, V = 4, 5, 6
LABELS = np.array([[1, 2, 3, 4, 5], [2, 0, 0, 5, 0], [0, 0, 0, 0, 0], [3, 3, 3, 3, 0]], np.uint8)
"""A whole row, one with three unlabelled cells, padding, and one more."""
PADDING = 2


def logits_for(labels: np.ndarray, seed: int = 0) -> jax.Array:
    """Logits whose largest is the label's, and noise."""
    noise = jax.random.uniform(jax.random.key(seed), (*labels.shape, V))
    return noise + 2.0 * jax.nn.one_hot(jnp.asarray(labels), V)


def losses(logits: jax.Array, q_halt: jax.Array | None = None, labels: np.ndarray = LABELS) -> Losses:
    q_halt = jnp.zeros(len(labels)) if q_halt is None else q_halt
    return trm_losses(logits, q_halt, jnp.asarray(labels), stablemax_cross_entropy)


def test_cells_are_a_mean_over_the_labelled_ones() -> None:
    logits = logits_for(LABELS)
    per_cell = np.asarray(stablemax_cross_entropy(logits, jnp.asarray(LABELS, jnp.int32)))
    expected = [per_cell[0].mean(), per_cell[1, [0, 3]].mean(), 0.0, per_cell[3, :4].mean()]
    np.testing.assert_allclose(losses(logits).cells, expected, rtol=1e-6)


def test_the_cross_entropy_asked_for_is_used() -> None:
    logits = logits_for(LABELS)
    soft = trm_losses(logits, jnp.zeros(B), jnp.asarray(LABELS), softmax_cross_entropy)
    expected = np.asarray(softmax_cross_entropy(logits, jnp.asarray(LABELS, jnp.int32)))[0].mean()
    np.testing.assert_allclose(soft.cells[0], expected, rtol=1e-6)


def test_an_unlabelled_cell_changes_nothing() -> None:
    logits = logits_for(LABELS)
    other = jnp.where((jnp.asarray(LABELS) == 0)[..., None], -7.0 * logits, logits)
    for before, after in zip(losses(logits), losses(other), strict=True):
        np.testing.assert_array_equal(before, after)


def test_solved_means_every_labelled_cell() -> None:
    logits = logits_for(LABELS)
    wrong_at_0_4 = logits.at[0, 4].set(jnp.eye(V)[1])
    np.testing.assert_array_equal(losses(logits).solved, [True, True, False, True])
    np.testing.assert_array_equal(losses(wrong_at_0_4).solved, [False, True, False, True])
    np.testing.assert_allclose(losses(wrong_at_0_4).accuracy, [0.8, 1, 0, 1])
    np.testing.assert_array_equal(losses(logits).counted, [True, True, False, True])


def test_the_halting_logit_is_held_to_solved() -> None:
    logits = logits_for(LABELS).at[0, 4].set(jnp.eye(V)[1])
    q_halt = jnp.array([1.5, 1.5, 1.5, -0.5])
    p = 1 / (1 + np.exp(-np.asarray(q_halt, np.float64)))
    expected = [-np.log(1 - p[0]), -np.log(p[1]), 0, -np.log(p[3])]
    np.testing.assert_allclose(losses(logits, q_halt).halting, expected, rtol=1e-5)


def test_the_total_is_a_sum_with_half_the_halting_loss() -> None:
    found = losses(logits_for(LABELS), jnp.array([1.0, -2.0, 3.0, 0.0]))
    expected = np.sum(np.asarray(found.cells) + 0.5 * np.asarray(found.halting))
    np.testing.assert_allclose(found.total, expected, rtol=1e-6)


def test_padding_contributes_nothing_anywhere() -> None:
    logits, q_halt = logits_for(LABELS), jnp.array([1.0, -2.0, 3.0, 0.0])
    whole = losses(logits, q_halt)
    kept = np.delete(np.arange(B), PADDING)
    without = losses(logits[kept], q_halt[kept], LABELS[kept])
    for name, field in whole._asdict().items():
        assert not np.asarray(field)[PADDING], name
        np.testing.assert_array_equal(np.asarray(field)[kept], getattr(without, name))
    np.testing.assert_allclose(whole.total, without.total, rtol=1e-6)

    def total(logits: jax.Array, q_halt: jax.Array) -> jax.Array:
        return losses(logits, q_halt).total

    for gradient in jax.grad(total, argnums=(0, 1))(logits, q_halt):
        assert not np.asarray(gradient)[PADDING].any()
        assert np.asarray(gradient)[kept].any()


@pytest.mark.parametrize("q", [1e30, -1e30, 1e38, -1e38, 88.0, -104.0, 0.0])
def test_a_huge_halting_logit_stays_finite(q: float) -> None:
    logits = logits_for(LABELS).at[0, 4].set(jnp.eye(V)[1])  # one unsolved, two solved

    def halting(q_halt: jax.Array) -> jax.Array:
        return jnp.sum(losses(logits, q_halt).halting)

    value, gradient = jax.value_and_grad(halting)(jnp.full(B, q, jnp.float32))
    assert np.isfinite(value)
    assert value >= 0
    assert np.isfinite(gradient).all()
