"""The interval of a count."""

import pytest

from trm_scaling.tasks.scoring import interval


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    # Newcombe 1998, table I, and the closed form at the ends.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (29, 29, 0.8830, 1.0)],
)
def test_the_interval_is_wilsons(successes: int, total: int, low: float, high: float) -> None:
    assert interval(successes, total) == pytest.approx((low, high), abs=5e-5)


def test_no_puzzles_give_no_interval() -> None:
    assert interval(0, 0) is None
