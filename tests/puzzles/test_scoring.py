"""Counts that never count padding, and the interval of a count."""

import numpy as np
import pytest

from trm_scaling.puzzles.scoring import Counts, count, interval, solved

LABELS = np.array([[2, 3, 4], [2, 3, 4], [2, 0, 4], [0, 0, 0]], dtype=np.uint8)
PREDICTIONS = np.array([[2, 3, 4], [2, 3, 3], [2, 9, 4], [0, 0, 0]], dtype=np.uint8)


def test_padding_and_ignored_cells_are_never_counted() -> None:
    assert count(PREDICTIONS, LABELS) == Counts(exact=2, puzzles=3, cells_right=7, cells=8)


def test_a_padded_row_is_not_solved_by_predicting_padding() -> None:
    assert count(np.zeros((5, 4), np.int32), np.zeros((5, 4), np.int32)) == Counts(0, 0, 0, 0)


def test_solved_is_the_same_for_numpy_and_jax() -> None:
    import jax.numpy as jnp

    expected = [True, False, True, True]
    assert solved(PREDICTIONS, LABELS).tolist() == expected
    assert solved(jnp.asarray(PREDICTIONS), jnp.asarray(LABELS)).tolist() == expected


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    # Newcombe 1998, table I, and the closed form at the ends.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (29, 29, 0.8830, 1.0)],
)
def test_the_interval_is_wilsons(successes: int, total: int, low: float, high: float) -> None:
    assert interval(successes, total) == pytest.approx((low, high), abs=5e-5)


def test_no_puzzles_give_no_interval() -> None:
    assert interval(0, 0) is None
