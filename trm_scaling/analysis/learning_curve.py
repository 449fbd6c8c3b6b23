"""What a learning curve says: how fast, how high, and whether it fell afterwards.

Shapes: e evaluations, in the order of training.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from trm_scaling.errors import UserError

LANDMARKS = (0.80, 0.95)
"""Shares of the final accuracy."""


@dataclass(frozen=True)
class LearningCurve:
    """Validation accuracy of one run."""

    step: Float[np.ndarray, " e"]
    """Training steps, increasing."""
    accuracy: Float[np.ndarray, " e"]
    """A fraction."""
    seconds: Float[np.ndarray, " e"] | None = None
    """Of training, up to each evaluation."""

    @classmethod
    def of(cls, step: ArrayLike, accuracy: ArrayLike, seconds: ArrayLike | None = None) -> Self:
        """Seconds that are missing anywhere are missing as a whole.

        Raises UserError for columns of unequal length, no evaluation, steps that do not increase, or
        accuracies that are no numbers.
        """
        steps, rates = np.asarray(step, dtype=float), np.asarray(accuracy, dtype=float)
        clock = None if seconds is None else np.asarray(seconds, dtype=float)
        lengths = {each.size for each in (steps, rates, clock) if each is not None}
        if len(lengths) > 1 or steps.size == 0:
            raise UserError(
                "a learning curve needs at least one evaluation, and as many values of each column"
            )
        if (np.diff(steps) <= 0).any():
            raise UserError(
                "the evaluations of a learning curve must be in the order of their steps, each once"
            )
        if not np.isfinite(rates).all():
            raise UserError("the learning curve has evaluations without accuracy: leave those out")
        return cls(steps, rates, clock if clock is not None and np.isfinite(clock).all() else None)


@dataclass(frozen=True)
class Landmark:
    """When a share of the final accuracy was first reached, between evaluations by a straight line."""

    share: float
    accuracy: float
    step: float
    seconds: float | None


@dataclass(frozen=True)
class CurveSummary:
    """One run."""

    final: float
    """Accuracy at the last evaluation."""
    peak: float
    peak_step: float
    """The first evaluation at the peak."""
    decline: float
    """Peak less final: what training on cost."""
    landmarks: tuple[Landmark, ...]
    """Empty where the final accuracy is 0: nothing was learned, so nothing was reached."""


def summarise_curve(curve: LearningCurve) -> CurveSummary:
    """The landmarks, peak and decline of one run."""
    final, top = float(curve.accuracy[-1]), int(curve.accuracy.argmax())
    return CurveSummary(
        final=final,
        peak=float(curve.accuracy[top]),
        peak_step=float(curve.step[top]),
        decline=float(curve.accuracy[top]) - final,
        landmarks=tuple(_landmark(curve, share, share * final) for share in LANDMARKS) if final > 0 else (),
    )


def steps_to(curve: LearningCurve, accuracy: float) -> float | None:
    """Steps until `accuracy` was first reached; None where it never was.

    Before the first evaluation the curve is taken to rise from 0 at step 0.
    """
    return _first(curve.step, curve.accuracy, accuracy)


def _landmark(curve: LearningCurve, share: float, accuracy: float) -> Landmark:
    step = steps_to(curve, accuracy)
    assert step is not None, "the last evaluation is above every share of itself"
    seconds = None if curve.seconds is None else _first(curve.seconds, curve.accuracy, accuracy)
    return Landmark(share, accuracy, step, seconds)


def _first(clock: np.ndarray, accuracy: np.ndarray, level: float) -> float | None:
    reached = np.flatnonzero(accuracy >= level)
    if reached.size == 0:
        return None
    index = int(reached[0])
    before, rate = (float(clock[index - 1]), float(accuracy[index - 1])) if index else (0.0, 0.0)
    rise = float(accuracy[index]) - rate
    share = (level - rate) / rise if rise > 0 else 1.0
    return before + share * (float(clock[index]) - before)
