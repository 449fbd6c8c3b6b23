"""When a network chooses to stop thinking: the distribution of its halting steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trm_scaling.errors import UserError

QUANTILES = (0.1, 0.5, 0.9)

KEPT = 0.95
"""Share of the accuracy of all steps that halting must keep for the steps it saves to mean anything."""


@dataclass(frozen=True)
class HaltingSummary:
    """Over the puzzles of one evaluation."""

    most_steps: int
    """Supervision steps allowed."""
    mean: float
    quantiles: tuple[int, ...]
    """Steps by which a tenth, half and nine tenths of the puzzles had halted."""
    at_limit: float
    """Share that used every step: halted at the last, or never."""
    saved: float
    """Share of the supervision steps that halting would save; see `saving`."""


def summarise_halting(histogram: Sequence[int]) -> HaltingSummary:
    """`histogram` counts the puzzles that halted at step 1, 2, ..., the last one allowed.

    Raises UserError when it counts no puzzle.
    """
    counts = np.asarray(histogram, dtype=float)
    total = counts.sum()
    if counts.size == 0 or total <= 0:
        raise UserError("the histogram of halting steps counts no puzzle")
    steps = np.arange(1, counts.size + 1)
    mean = float(counts @ steps / total)
    reached = counts.cumsum() / total
    return HaltingSummary(
        most_steps=counts.size,
        mean=mean,
        quantiles=tuple(int(steps[np.searchsorted(reached, q - 1e-12)]) for q in QUANTILES),
        at_limit=float(counts[-1] / total),
        saved=1 - mean / counts.size,
    )


def saving(saved: float | None, halting_accuracy: float | None, full_accuracy: float | None) -> float | None:
    """`saved`, where answers at the halting step keep `KEPT` of the accuracy of all steps.

    None below that, and where an accuracy is unknown: a network that stops at once saves nearly all of its
    steps, and its answers with them.
    """
    return saved if keeps(halting_accuracy, full_accuracy) else None


def keeps(halting_accuracy: float | None, full_accuracy: float | None) -> bool:
    """Whether answers at the halting step keep `KEPT` of the accuracy of all steps.

    False where one is unknown.
    """
    if halting_accuracy is None or not full_accuracy:
        return False
    return halting_accuracy >= KEPT * full_accuracy
