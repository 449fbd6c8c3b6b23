"""Many small minimisations inside one box, side by side: starts of a search, or a whole bootstrap.

Damped Newton steps (Levenberg-Marquardt): a step that gains nothing is taken back and the damping grows.
A thousand replicates of thirty runs take a fraction of a second, where an optimiser called a thousand
times takes a minute.

Shapes: P problems, q numbers in theta.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

Value = Float[np.ndarray, " P"]
Gradient = Float[np.ndarray, "P q"]
Curvature = Float[np.ndarray, "P q q"]
Look = Callable[[Float[np.ndarray, "P q"], Int[np.ndarray, " P"]], tuple[Value, Gradient, Curvature]]
"""What is minimised, its gradient, and a positive semi-definite curvature, at a theta for each of the
problems that the second argument numbers."""

_MOST_STEPS = 400
ENOUGH = 1e-8
"""Share of the value that a step must gain to be worth another."""
_FIRST, _LEAST, _MOST = 1e-3, 1e-9, 1e9
"""Damping; at the most, a problem is done: no step gains anything."""


def descend(
    look: Look, starts: Float[np.ndarray, "P q"], bounds: Float[np.ndarray, "q 2"], enough: float = ENOUGH
) -> tuple[Float[np.ndarray, "P q"], Float[np.ndarray, " P"]]:
    """The theta of each problem that its start leads down to, and the value there (at least 0)."""
    theta, problems = starts.copy(), np.arange(len(starts))
    value, gradient, curvature = look(theta, problems)
    least = value.copy()
    damping = np.full(len(starts), _FIRST)
    for _ in range(_MOST_STEPS):
        step = _step(theta[problems], gradient, curvature, damping, bounds)
        moved = np.clip(theta[problems] + step, *bounds.T)
        reached, new_gradient, new_curvature = look(moved, problems)
        gain = least[problems] - reached
        better = gain >= 0
        theta[problems[better]], least[problems[better]] = moved[better], reached[better]
        gradient = np.where(better[:, None], new_gradient, gradient)
        curvature = np.where(better[:, None, None], new_curvature, curvature)
        damping = np.clip(np.where(better, damping / 5, damping * 5), _LEAST, _MOST)
        going = np.where(better, gain > enough * least[problems], damping < _MOST)
        if not going.any():
            break
        problems, gradient, curvature, damping = (
            each[going] for each in (problems, gradient, curvature, damping)
        )
    return theta, least


def _step(
    theta: np.ndarray, gradient: np.ndarray, curvature: np.ndarray, damping: np.ndarray, bounds: np.ndarray
) -> np.ndarray:
    """(P, q); numbers that are pressed against their bounds stay there."""
    low, high = bounds.T
    free = ~(((theta <= low) & (gradient > 0)) | ((theta >= high) & (gradient < 0)))
    system = curvature * (free[:, :, None] & free[:, None, :])
    diagonal = np.einsum("pii->pi", system).copy()
    # A number that changes nothing is given a curvature, so that the system stays regular.
    raised = damping[:, None] * diagonal + np.where(diagonal > 0, 0.0, 1.0)
    raised += 1e-12 * diagonal.max(-1, keepdims=True)
    every = np.arange(theta.shape[1])
    system[:, every, every] += raised
    return -np.linalg.solve(system, (gradient * free)[..., None])[..., 0]
