"""Votes over the augmentations of a task: the answers to each test input, their number and their certainty.

Every augmentation of a test input gives one prediction. It is cropped, brought back to the original grid,
and votes for the answer that it then is. Answers are ranked by (votes, mean halting probability), equal ones
by arrival.

A ballot holds each different answer once, and no prediction. Sums of probabilities are exact, so the ranking
does not depend on the order of batches or on how many processes the rows were shared between.

N predictions, L = 900 positions.
"""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float, Int, UInt8

from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_bytes
from trm_scaling.tasks.arc.collection import Grid
from trm_scaling.tasks.arc.dataset import ArcDataset
from trm_scaling.tasks.arc.tokens import crop, transform
from trm_scaling.tasks.grid_symmetry import INVERSES

_ONE = 2**80
"""A probability of 1 in sums: every float64 above 2^-27 is a whole number of such units."""

_LIMB = 2**64


class Candidate(NamedTuple):
    """One answer to a test input."""

    grid: Grid
    """[H, W], or [0, 0] where the predictions had no legal rectangle."""

    votes: int
    mean_q: float
    """Mean halting probability of its votes, 0..1."""


class Ballots:
    """The votes on every test input of a dataset."""

    def __init__(self, dataset: ArcDataset) -> None:
        self.evaluations = 1
        """Checkpoints whose votes are counted: more than one are an ensemble."""

        self._dataset = dataset
        self._ballot_of = _shared_ballots(dataset)
        self._colours = np.argsort(dataset.identifiers.colours, axis=1).astype(np.uint8)
        self._votes: dict[int, dict[bytes, list[int]]] = {}
        """Ballot -> answer (rows, columns, cells) -> votes, sum of probabilities, first arrival."""

    def add(
        self,
        rows: Int[np.ndarray, " N"],
        predictions: UInt8[np.ndarray, "N L"],
        q_logits: Float[np.ndarray, " N"],
        arrival: Int[np.ndarray, " N"] | None = None,
    ) -> None:
        """Count predictions.

        Args:
            rows: of the test split; -1 is padding and does not vote. A row that is given twice votes twice.
            predictions: tokens.
            q_logits: halting logits.
            arrival: order among equal answers; the row itself by default.

        Raises `UserError` for halting logits that are NaN.
        """
        voting = rows >= 0
        rows, predictions = rows[voting], predictions[voting]
        arrival = rows if arrival is None else arrival[voting]
        identifiers, pairs = self._dataset.test_pairs(rows)
        grids, shapes = crop(predictions)
        undo = np.array(INVERSES, dtype=np.int32)[self._dataset.identifiers.symmetry[identifiers]]
        grids, shapes = transform(grids, shapes, undo, self._colours[identifiers])
        if np.isnan(q_logits).any():
            raise UserError(
                "the halting logits of a batch hold NaN: the model has diverged, so evaluate an earlier "
                "checkpoint"
            )
        with np.errstate(over="ignore"):  # the exponential of 1,000 is infinite, and its reciprocal 0
            q = 1 / (1 + np.exp(-q_logits[voting].astype(np.float64)))
        for grid, (height, width), pair, each_q, place in zip(
            grids, shapes.tolist(), pairs.tolist(), q.tolist(), arrival.tolist(), strict=True
        ):
            key = bytes((height, width)) + grid[:height, :width].tobytes()
            self._count(self._ballot_of[pair], key, 1, int(each_q * _ONE), place)

    def merge(self, other: "Ballots", *, later: bool = False) -> None:
        """Add the votes of another process, or of a `later` evaluation: its answers then arrive after ours.

        Raises `UserError` when the other ballots are of another dataset.
        """
        if other._dataset.fingerprint != self._dataset.fingerprint:
            raise UserError("these votes are of two datasets; evaluate both checkpoints on one dataset")
        shift = 0
        if later:
            self.evaluations += other.evaluations
            shift = 1 + max((c[2] for ballot in self._votes.values() for c in ballot.values()), default=-1)
        for ballot, candidates in other._votes.items():
            for key, (votes, total, first) in candidates.items():
                self._count(ballot, key, votes, total, first + shift)

    def ranked(self, pair: int) -> list[Candidate]:
        """The answers to the test input of a pair (a place among all pairs), best first."""
        candidates = self._votes.get(self._ballot_of[pair], {})
        order = sorted(candidates.items(), key=lambda each: _rank(*each[1]))
        return [Candidate(_grid(key), votes, total / votes / _ONE) for key, (votes, total, _) in order]

    @property
    def num_votes(self) -> int:
        return sum(candidate[0] for ballot in self._votes.values() for candidate in ballot.values())

    def save(self, path: Path, state: Mapping[str, Any]) -> None:
        """Write the votes, and JSON values that belong with them, in one step.

        Raises `UserError` when the disk refuses.
        """
        flat = [
            (ballot, key, counts)
            for ballot, candidates in self._votes.items()
            for key, counts in candidates.items()
        ]
        buffer = io.BytesIO()
        np.savez(
            buffer,
            dataset=np.frombuffer(bytes.fromhex(self._dataset.fingerprint), dtype=np.uint8),
            evaluations=np.int64(self.evaluations),
            state=np.frombuffer(json.dumps(state).encode(), dtype=np.uint8),
            ballot=np.array([each[0] for each in flat], dtype=np.int32),
            length=np.array([len(each[1]) for each in flat], dtype=np.int32),
            answers=np.frombuffer(b"".join(each[1] for each in flat), dtype=np.uint8),
            votes=np.array([each[2][0] for each in flat], dtype=np.int64),
            total=np.array([divmod(each[2][1], _LIMB) for each in flat], dtype=np.uint64).reshape(-1, 2),
            first=np.array([each[2][2] for each in flat], dtype=np.int64),
        )
        write_bytes(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path, dataset: ArcDataset) -> tuple["Ballots", dict[str, Any]]:
        """What `save` wrote: the votes and the values beside them.

        Raises `UserError` when the file is damaged or belongs to another dataset.
        """
        ballots = cls(dataset)
        try:
            # NumPy leaves a file open that it fails to read, so it gets the bytes.
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            fingerprint, state = arrays["dataset"].tobytes().hex(), json.loads(arrays["state"].tobytes())
            ballots.evaluations = int(arrays["evaluations"])
            answers, ends = arrays["answers"].tobytes(), np.cumsum(arrays["length"]).tolist()
            columns: tuple[Sequence[Any], ...] = tuple(
                arrays[name].tolist() for name in ("ballot", "length", "votes", "total", "first")
            )
        except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
            raise UserError(
                f"{path} holds no readable votes ({error}); delete it and evaluate again"
            ) from error
        if fingerprint != dataset.fingerprint:
            raise UserError(
                f"{path} holds votes on another dataset (fingerprint {fingerprint[:12]}, this one has "
                f"{dataset.fingerprint[:12]}); name another file, or delete it"
            )
        for end, ballot, length, votes, (high, low), first in zip(ends, *columns, strict=True):
            ballots._count(ballot, answers[end - length : end], votes, high * _LIMB + low, first)
        return ballots, state

    def _count(self, ballot: int, key: bytes, votes: int, total: int, first: int) -> None:
        candidates = self._votes.setdefault(ballot, {})
        if (candidate := candidates.get(key)) is None:
            candidates[key] = [votes, total, first]
        else:
            candidate[0] += votes
            candidate[1] += total
            candidate[2] = min(candidate[2], first)


def _rank(votes: int, total: int, first: int) -> tuple[int, float, int]:
    # The mean as a float: the public code compares float64 means, and votes of one probability are to tie.
    return -votes, -(total / votes / _ONE), first


def _grid(key: bytes) -> Grid:
    return np.frombuffer(key, dtype=np.uint8, offset=2).reshape(key[0], key[1])


def _shared_ballots(dataset: ArcDataset) -> list[int]:
    """[E] the ballot of each pair: equal test inputs of one task share the first one's."""
    ballot = list(range(dataset.num_pairs))
    for start, end in zip(dataset.test.start[:-1], dataset.test.start[1:], strict=True):
        seen: dict[bytes, int] = {}
        for pair in dataset.test.pair[start:end].tolist():
            height, width = dataset.inputs.shapes[pair].tolist()
            key = bytes((height, width)) + dataset.inputs.cells[pair, :height, :width].tobytes()
            ballot[pair] = seen.setdefault(key, pair)
    return ballot
