"""`test_outcomes.npz`: what became of each test puzzle, for comparisons on the same puzzles.

Shapes: S runs, M puzzles, N supervision steps.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from trm_scaling.errors import UserError
from trm_scaling.io.foreign import BROKEN_ARRAYS
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


@dataclass(frozen=True)
class PairedOutcomes:
    """Two experiments on the same M puzzles with the same S seeds, in the same order."""

    seeds: tuple[int, ...]
    solved_a: np.ndarray
    """(S, M) bool, after the last supervision step."""
    solved_b: np.ndarray
    """(S, M) bool."""
    unpaired: tuple[str, ...]
    """Finished runs of either side without a partner, each with the reason."""


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
    except BROKEN_ARRAYS as error:
        raise UserError(
            f"{path} cannot be read ({error}); move the run folder away and run the same command again"
        ) from None
    puzzles = len(solved) if solved.ndim == 2 else -1
    if solved.dtype != bool or halt_step.shape != (puzzles,) or rating.shape != (puzzles,) or not solved.size:
        raise UserError(f"{path} holds no outcomes: solved is {solved.dtype} of shape {solved.shape}")
    return TestOutcomes(solved, halt_step, rating, str(fingerprint))


def paired_outcomes(a: pd.DataFrame, b: pd.DataFrame) -> PairedOutcomes:
    """The outcomes of the finished runs `a` and `b` of two experiments, paired by seed.

    Raises UserError, with the reason, when no pair answered the same puzzles.
    """
    runs_a, runs_b = _by_seed(a), _by_seed(b)
    unpaired = [f"{name}: no run of the other with its seed" for name in _without_partner(runs_a, runs_b)]
    pairs: list[tuple[int, np.ndarray, np.ndarray]] = []
    for seed in sorted(runs_a.keys() & runs_b.keys()):
        try:
            one, other = (read_outcomes(Path(runs[seed])) for runs in (runs_a, runs_b))
        except UserError as error:
            unpaired.append(f"seed {seed}: {error}")
            continue
        if one.test_fingerprint != other.test_fingerprint or len(one.solved) != len(other.solved):
            unpaired.append(f"seed {seed}: the two answered other puzzles (their test splits differ)")
        elif pairs and len(pairs[0][1]) != len(one.solved):
            unpaired.append(f"seed {seed}: it answered other puzzles than seed {pairs[0][0]}")
        else:
            pairs.append((seed, one.solved_at_last, other.solved_at_last))
    if not pairs:
        why = "; ".join(unpaired) if unpaired else "one of them has no finished runs in folders here"
        raise UserError(f"the two cannot be compared puzzle by puzzle: {why}")
    seeds, solved_a, solved_b = zip(*pairs, strict=True)
    return PairedOutcomes(tuple(seeds), np.stack(solved_a), np.stack(solved_b), tuple(unpaired))


def _by_seed(table: pd.DataFrame) -> dict[int, str]:
    """Seed -> run folder of the finished runs."""
    if not {"folder", "state", "seed"} <= set(table.columns):
        return {}
    rows = table[(table["state"] == "finished") & table["folder"].notna() & table["seed"].notna()]
    return {int(seed): folder for seed, folder in zip(rows["seed"], rows["folder"], strict=True)}


def _without_partner(a: dict[int, str], b: dict[int, str]) -> list[str]:
    return [folder for own, other in ((a, b), (b, a)) for seed, folder in own.items() if seed not in other]
