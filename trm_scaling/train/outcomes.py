"""What an evaluation saw, puzzle by puzzle, and the numbers drawn from it. NumPy only.

Shapes: M puzzles, N supervision steps.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from trm_scaling.models.act import wants_to_halt
from trm_scaling.tasks.scoring import interval, rating_bands


@dataclass(frozen=True)
class Outcomes:
    """The answers to M puzzles after each of N supervision steps."""

    solved: np.ndarray
    """(M, N) bool: every labelled cell right."""
    cells_right: np.ndarray
    """(M, N) int32."""
    cells: np.ndarray
    """(M,) int32: labelled cells."""
    q_halt: np.ndarray
    """(M, N) float32 halting logits."""
    loss: np.ndarray
    """(M, N) float32: mean cross-entropy over the labelled cells, in nats."""
    ratings: np.ndarray
    """(M,) int32: guesses a simple solver needs; -1 where the folder has none."""

    @property
    def halt_step(self) -> np.ndarray:
        """(M,) int32, from 1: the first step whose halting logit is above zero, else N."""
        wants = wants_to_halt(self.q_halt)
        return np.where(wants.any(1), wants.argmax(1), wants.shape[1] - 1).astype(np.int32) + 1

    def summary(self) -> dict[str, Any]:
        """Counts, rates and 95 % intervals: after each step, under the halting rule, by difficulty."""
        steps = self.solved.shape[1]
        at_halt = self.solved[np.arange(len(self.solved)), self.halt_step - 1]
        return {
            "final": self._after(steps),
            "by_step": [{"supervision_step": n, **self._after(n)} for n in range(1, steps + 1)],
            "halting_rule": {
                **_proportion(at_halt),
                "mean_steps": float(self.halt_step.mean()),
                "steps_histogram": np.bincount(self.halt_step, minlength=steps + 1)[1:].tolist(),
            },
            "by_rating": [
                {"ratings": label, **_proportion(self.solved[inside, -1])}
                for label, inside in rating_bands(self.ratings)
            ],
        }

    def _after(self, step: int) -> dict[str, Any]:
        right, total = int(self.cells_right[:, step - 1].sum()), int(self.cells.sum())
        return {
            **_proportion(self.solved[:, step - 1]),
            **{"cells_right": right, "cells": total, "cell_rate": right / total},
            "loss": float(self.loss[:, step - 1].mean(dtype=np.float64)),
        }


def _proportion(solved: np.ndarray) -> dict[str, Any]:
    right, total = int(solved.sum()), len(solved)
    bounds = interval(right, total)
    assert bounds is not None, "a band or a split without puzzles is left out before"
    return {"solved": right, "puzzles": total, "exact_rate": right / total, "interval_95": list(bounds)}
