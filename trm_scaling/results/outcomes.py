"""`test_outcomes.npz`: what became of each test puzzle, for comparisons on the same puzzles.

Shapes: S runs, M puzzles, N supervision steps.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trm_scaling.errors import UserError
from trm_scaling.io.disk_errors import ARRAY_ERRORS
from trm_scaling.io.run_folder import RunFolder

_ARRAYS = ("solved", "halt_step", "rating", "data_fingerprint")
TEST_FINGERPRINT = "test_fingerprint"
"""Younger than the others."""


@dataclass(frozen=True)
class TestOutcomes:
    """The answers of one run's headline weights to M test puzzles, in the order of the test split."""

    __test__ = False  # not a test class, whatever its name makes pytest think

    solved: np.ndarray
    """(M, N) bool: every cell right after each supervision step."""
    halt_step: np.ndarray
    """(M,) int, from 1: the step at which the halting logit would stop it."""
    rating: np.ndarray
    """(M,) int: guesses that a simple solver needs; -1 where nobody rated it."""
    test_fingerprint: str
    """Of the test puzzles: runs with the same one answered the same puzzles in the same order, whatever they
    were trained on. Of the whole dataset where the file is older than this."""

    @property
    def solved_at_last(self) -> np.ndarray:
        """(M,) bool: solved after the last step, which is what the headline counts."""
        return np.asarray(self.solved[:, -1])


def read_outcomes(folder: Path) -> TestOutcomes:
    """The outcomes in the run folder `folder`.

    Raises UserError when there are none, or the file is damaged or of another format.
    """
    path = RunFolder(folder).test_outcomes
    try:
        # Opened here: numpy leaves the file of a broken archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            solved, halt_step, rating, fingerprint = (arrays[name] for name in _ARRAYS)
            if TEST_FINGERPRINT in arrays:
                fingerprint = arrays[TEST_FINGERPRINT]
    except FileNotFoundError:
        raise UserError(f"{path} is not there: the run has no record of its single answers") from None
    except ARRAY_ERRORS as error:
        raise UserError(
            f"{path} cannot be read ({error}); move the run folder away and run the same command again"
        ) from None
    puzzles = len(solved) if solved.ndim == 2 else -1
    if solved.dtype != bool or halt_step.shape != (puzzles,) or rating.shape != (puzzles,) or not solved.size:
        raise UserError(f"{path} holds no outcomes: solved is {solved.dtype} of shape {solved.shape}")
    return TestOutcomes(solved, halt_step, rating, str(fingerprint))
