"""Choosing puzzles from lists: a seeded order, the rating range, and the claims of earlier splits."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trm_scaling.errors import UserError
from trm_scaling.tasks.folder import Progress
from trm_scaling.tasks.sudoku.board import Shape
from trm_scaling.tasks.sudoku.classes import puzzle_keys
from trm_scaling.tasks.sudoku.description import SudokuData
from trm_scaling.tasks.sudoku.sources import PuzzleList
from trm_scaling.tasks.sudoku.splits import Puzzles, join


@dataclass
class Claims:
    """Which split owns each symmetry class, and which puzzles are taken already."""

    class_owner: dict[int, str] = field(default_factory=dict)
    taken: set[bytes] = field(default_factory=set)

    def admit(self, split: str, batch: Puzzles, shape: Shape) -> Puzzles:
        """The part of a batch that may join `split`: new puzzles whose class no other split owns."""
        keep: list[int] = []
        for index, key in enumerate(puzzle_keys(batch.puzzles, batch.solutions, shape).tolist()):
            puzzle = batch.puzzles[index].tobytes()
            if self.class_owner.get(key, split) == split and puzzle not in self.taken:
                self.taken.add(puzzle)
                self.class_owner[key] = split
                keep.append(index)
        return batch.take(keep)


class Supply:
    """The qualifying puzzles of one list in seeded order, each handed out once."""

    def __init__(self, puzzles: PuzzleList, config: SudokuData, progress: Progress) -> None:
        self._list = puzzles
        self._shape = Shape(config.box_rows, config.box_cols)
        self._low, self._high = config.min_rating, config.max_rating
        self._progress = progress
        self._count, ratings = puzzles.scan(progress)
        numbers = np.arange(self._count)
        if ratings is not None:
            numbers = numbers[self._in_range(ratings)]
        words = np.random.Philox(key=[config.seed, len(numbers)]).random_raw(len(numbers))
        self._order = numbers[np.argsort(words, kind="stable")]
        self._fetched = 0
        self._buffer = join([], self._shape)

    def fill(self, sizes: dict[str, int | None], claims: Claims) -> dict[str, Puzzles]:
        """Fill the splits in turn; a size of None takes all that is left.

        Raises:
            UserError: the list has too few puzzles, or a chosen one is invalid.
        """
        parts: dict[str, list[Puzzles]] = {split: [] for split in sizes}
        for split, size in sizes.items():
            while size is None or _count(parts[split]) < size:
                missing = None if size is None else size - _count(parts[split])
                rest = [later for name, later in sizes.items() if not parts[name] and name != split]
                ahead = (
                    None if None in (missing, *rest) else sum(n for n in (missing, *rest) if n is not None)
                )
                batch = self._draw(missing, ahead)
                if not len(batch):
                    # All that is left may be less than hoped for, but an empty split is no split.
                    if size is None and _count(parts[split]):
                        break
                    raise self._too_few(sizes, parts)
                parts[split].append(claims.admit(split, batch, self._shape))
        return {split: join(batches, self._shape) for split, batches in parts.items()}

    def _draw(self, count: int | None, ahead: int | None) -> Puzzles:
        """The next `count` puzzles; where the file must be read for them, `ahead` are read at once."""
        while (count is None or len(self._buffer) < count) and self._fetched < len(self._order):
            numbers = self._order[self._fetched :][:ahead]
            self._fetched += len(numbers)
            batch = self._list.fetch(numbers, self._shape, self._progress)
            if self._list.rating is None:
                batch = batch.take(np.flatnonzero(self._in_range(batch.ratings)))
            self._buffer = join([self._buffer, batch], self._shape)
        end = len(self._buffer) if count is None else count
        drawn, self._buffer = self._buffer.take(slice(end)), self._buffer.take(slice(end, None))
        return drawn

    def _in_range(self, ratings: NDArray[np.integer]) -> NDArray[np.bool_]:
        keep = np.ones(len(ratings), dtype=bool)
        if self._low is not None:
            keep &= ratings >= self._low
        if self._high is not None:
            keep &= ratings <= self._high
        return keep

    def _too_few(self, sizes: dict[str, int | None], parts: dict[str, list[Puzzles]]) -> UserError:
        have = ", ".join(
            f"{split} {_count(parts[split])} of {'all' if size is None else size}"
            for split, size in sizes.items()
        )
        return UserError(
            f"{self._list.path} has too few puzzles: {have}. It holds {self._count:,}, of which "
            f"{len(self._order):,} could be chosen. Left out: puzzles beyond the rating range, doubles, and "
            "augmentation images of puzzles in another split. Ask for fewer, or widen the range"
        )


def _count(parts: list[Puzzles]) -> int:
    return sum(map(len, parts))


def select_splits(
    source: PuzzleList,
    test_source: PuzzleList | None,
    config: SudokuData,
    progress: Progress,
) -> dict[str, Puzzles]:
    """Train, val and test puzzles from one list, or test from a list of its own.

    Raises:
        UserError: too few puzzles, or an invalid one among those chosen.
    """
    claims = Claims()
    # Held-out puzzles first: they are the same whatever the size of the training set, and fewer
    # training puzzles are the first of more.
    sizes: dict[str, int | None] = {"val": config.val_size}
    if test_source is None and config.test_size is not None:
        sizes["test"] = config.test_size
    sizes["train"] = config.train_size
    if test_source is None and config.test_size is None:
        sizes["test"] = None
    chosen = Supply(source, config, progress).fill(sizes, claims)
    if test_source is not None:
        chosen |= Supply(test_source, config, progress).fill({"test": config.test_size}, claims)
    return {split: chosen[split] for split in ("train", "val", "test")}
