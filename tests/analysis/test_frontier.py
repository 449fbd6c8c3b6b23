"""Pareto frontiers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analysis.studies import accuracy_runs
from trm_scaling.analysis import AccuracyRuns, knee, non_dominated, pareto_frontier
from trm_scaling.analysis.runs import Configurations

SMALL = st.integers(0, 5).map(float)


@given(st.lists(st.tuples(SMALL, SMALL), min_size=1, max_size=12))
def test_the_frontier_is_what_no_other_beats(points: list[tuple[float, float]]) -> None:
    cost, accuracy = np.array(points).T
    beaten = [
        any(c <= mine and a >= ours and (c, a) != (mine, ours) for c, a in points) for mine, ours in points
    ]
    assert non_dominated(cost, accuracy).tolist() == [not each for each in beaten]


def test_the_knee_is_where_returns_diminish() -> None:
    cost = np.array([1.0, 10.0, 100.0, 1000.0, 5.0])
    accuracy = np.array([0.2, 0.8, 0.85, 0.9, 0.1])
    assert knee(cost, accuracy) == 1
    assert knee(cost * 7.0, accuracy) == 1
    assert knee(cost[:2], accuracy[:2]) is None
    assert knee(np.array([1.0, 10.0, 100.0]), np.array([0.1, 0.2, 0.9])) is None


def test_probabilities_follow_the_seeds() -> None:
    scatter = np.array([-0.03, -0.01, 0.01, 0.03])
    accuracy = (np.array([0.3, 0.7, 0.5, 0.72])[:, None] + scatter).ravel()
    cost = np.repeat([1.0, 2.0, 4.0, 8.0], 4)
    runs = AccuracyRuns(Configurations.of(np.repeat(["a", "b", "c", "d"], 4)), cost, accuracy, None)
    found = pareto_frontier(runs)
    chances = {point.cost: point.probability for point in found.points}
    assert chances[1.0] == 1.0  # nothing is cheaper
    assert chances[4.0] is not None
    assert chances[4.0] < 0.01
    assert chances[8.0] is not None
    assert 0.7 < chances[8.0] < 0.99
    best = [point.probability_best for point in found.points]
    assert sum(p for p in best if p is not None) == pytest.approx(1.0)
    assert found.knee == "b"


def test_single_seeds_give_a_frontier_without_probabilities() -> None:
    found = pareto_frontier(
        accuracy_runs(np.array([0.3, 0.2]), np.array([1.0, 2.0]), np.random.default_rng(0))
    )
    assert [point.on_frontier for point in found.points] == [True, False]
    assert all(point.probability is None for point in found.points)
    assert "no configuration has two seeds" in found.noise
