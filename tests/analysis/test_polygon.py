"""Least squares inside a polygon, against the polygon's points one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trm_scaling.analysis.fits import polygon
from trm_scaling.analysis.fits.forms import vertices

FORMS = ("saturating_power", "log_linear", "error_power", "constant", "logit_linear")
NUMBERS = st.floats(-3, 3)


def points_inside(corners: np.ndarray) -> np.ndarray:
    """A dense sample of a polygon: mixtures of its corners."""
    if len(corners) == 1:
        return corners
    if len(corners) == 2:
        t = np.linspace(0, 1, 2001)[:, None]
        return np.asarray(corners[0] * (1 - t) + corners[1] * t)
    side = np.linspace(0, 1, 101)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    return grid if len(corners) == 4 else grid[grid[:, 0] <= grid[:, 1]]


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=40)
@given(columns=st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), target=st.tuples(NUMBERS, NUMBERS))
def test_nothing_in_the_polygon_is_better(form, columns, target) -> None:
    root = np.array(columns).reshape(2, 2)
    H, g = root.T @ root + 1e-3 * np.eye(2), np.array(target)
    corners = vertices(form, 0.0)
    sample = points_inside(corners)
    found = polygon.minimum(H, g, corners)
    values = polygon.objective(H, g, sample)
    assert polygon.objective(H, g, found) <= values.min() + 1e-9
    assert np.linalg.norm(sample - found, axis=1).min() < 0.02  # and it is inside


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=40)
@given(
    columns=st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    target=st.tuples(NUMBERS, NUMBERS),
    slack=st.floats(1e-3, 2),
    direction=st.tuples(NUMBERS, NUMBERS),
)
def test_reach_is_that_of_the_points_that_qualify(form, columns, target, slack, direction) -> None:
    root = np.array(columns).reshape(2, 2)
    H, g, way = root.T @ root + 0.05 * np.eye(2), np.array(target), np.array(direction)
    corners = vertices(form, 0.0)
    limit = np.asarray(polygon.objective(H, g, polygon.minimum(H, g, corners)) + slack)
    low, high = polygon.reach(H, g, limit, way, corners)
    sample = points_inside(corners)
    values = polygon.objective(H, g, sample)
    reached = (sample @ way)[values <= limit]
    coarse = 0.02 * np.abs(way).sum() + 1e-9
    if reached.size:
        assert low <= reached.min() + 1e-9
        assert high >= reached.max() - 1e-9
        # The sample is a grid, and a region thinner than it may be missed: the reach is not far beyond.
        assert low >= (sample @ way).min() - coarse
        assert high <= (sample @ way).max() + coarse
        if slack > 0.1:
            assert low >= reached.min() - 12 * coarse
            assert high <= reached.max() + 12 * coarse


def test_no_point_qualifies() -> None:
    corners = vertices("saturating_power", 0.0)
    low, high = polygon.reach(np.eye(2), np.array([0.2, 0.5]), np.array(-1.0), np.array([1.0, 0.0]), corners)
    assert float(low) == np.inf
    assert float(high) == -np.inf
