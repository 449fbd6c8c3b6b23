"""Lists of puzzles: csv or text files (.gz too), and the public list on the Hugging Face hub.

A list is read twice and never held: once to learn which lines qualify, once to fetch the lines
that were chosen. So the hub's 3.8 million puzzles cost seconds, not gigabytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_scaling.errors import UserError
from trm_scaling.tasks.folder import Progress
from trm_scaling.tasks.sudoku.board import Digits, Shape, cell_name, parse_digits
from trm_scaling.tasks.sudoku.list_format import Layout, board_in, find_layout, records
from trm_scaling.tasks.sudoku.search import solve, solve_many
from trm_scaling.tasks.sudoku.splits import Puzzles
from trm_scaling.tasks.task import hub_lists

HUB_REPOSITORY = "sapientinc/sudoku-extreme"

_PROGRESS_LINES = 100_000
_SOLVE_BLOCK = 500
_LARGEST_RATING = 2**31 - 1
_PROPOSED_TEST_SIZE = 1000
_OWN_LIST = (
    "a list of your own (csv with columns source,question,answer,rating, or one puzzle a line; .gz too)"
)


@dataclass(frozen=True)
class PuzzleList:
    """One file, and where its columns stand."""

    path: Path
    shape: Shape
    layout: Layout

    @property
    def rating(self) -> int | None:
        """The column of ratings; None where the file has none."""
        return self.layout.rating

    def scan(self, progress: Progress) -> tuple[int, NDArray[np.int64] | None]:
        """The number of puzzles, and their ratings [N] where the file has them.

        Raises:
            UserError: a rating is not a whole number, or the file cannot be read.
        """
        ratings: list[int] = []
        count = 0
        for line, row in self._rows():
            count += 1
            if self.rating is not None:
                try:
                    ratings.append(_rating(row[self.rating]))
                except (ValueError, IndexError):
                    found = repr(row[self.rating][:40]) if self.rating < len(row) else "nothing"
                    raise UserError(
                        f"{self.path}, line {line}: the rating column holds {found}, and a rating is a whole "
                        "number from 0 to 2^31 - 1 (guesses of a simple solver); round the ratings, or "
                        "remove the column, and they are computed"
                    ) from None
            if count % _PROGRESS_LINES == 0:
                progress(f"reading {self.path.name}", count, 0)
        return count, np.array(ratings, dtype=np.int64) if self.rating is not None else None

    def fetch(self, numbers: NDArray[np.int64], shape: Shape, progress: Progress) -> Puzzles:
        """The puzzles with these numbers (0 is the first), in this order, each one verified.

        Raises:
            UserError: naming the line: not a board, a repeated digit, no or several solutions, or
                an answer that is not the solution.
        """
        wanted = set(numbers.tolist())
        found: dict[int, tuple[int, list[str]]] = {}
        for number, (line, row) in enumerate(self._rows()):
            if number in wanted:
                found[number] = (line, row)
                if len(found) == len(wanted):
                    break
        puzzles = np.empty((len(numbers), shape.cells), dtype=np.uint8)
        answers = np.zeros_like(puzzles)
        ratings = np.zeros(len(numbers), dtype=np.int32)
        lines: list[int] = []
        for index, number in enumerate(numbers.tolist()):
            line, row = found[number]
            lines.append(line)
            question, answer = self.layout.question, self.layout.answer
            if len(row) <= max(question, answer or 0, self.rating or 0):
                raise UserError(
                    f"{self.path}, line {line}: {len(row)} columns ({','.join(row)[:120]!r}) are too few"
                )
            where = f"{self.path}, line {line}"
            puzzles[index] = parse_digits(board_in(row[question], shape), shape, f"{where}, puzzle")
            if answer is not None:
                answers[index] = parse_digits(board_in(row[answer], shape), shape, f"{where}, answer")
        solutions, computed = self._verify(puzzles, answers, lines, shape, progress)
        ratings = computed if self.rating is None else _file_ratings(found, numbers, self.rating)
        return Puzzles(puzzles, solutions, ratings)

    def _verify(
        self, puzzles: Digits, answers: Digits, lines: list[int], shape: Shape, progress: Progress
    ) -> tuple[Digits, NDArray[np.int32]]:
        solutions = np.empty_like(puzzles)
        ratings = np.empty(len(puzzles), dtype=np.int32)
        for start in range(0, len(puzzles), _SOLVE_BLOCK):
            block = slice(start, start + _SOLVE_BLOCK)
            solutions[block], found, ratings[block] = solve_many(puzzles[block], shape)
            for index in np.flatnonzero(found != 1).tolist():
                # Solving it alone says what is wrong with it.
                solve(puzzles[start + index], shape, f"{self.path}, line {lines[start + index]}, puzzle")
            progress("verifying puzzles", min(start + _SOLVE_BLOCK, len(puzzles)), len(puzzles))
        if self.layout.answer is not None:
            rows, cells = np.nonzero(solutions != answers)
            if rows.size:
                row, cell = int(rows[0]), int(cells[0])
                raise UserError(
                    f"{self.path}, line {lines[row]}: answer {answers[row, cell]} at {cell_name(cell, shape)}"
                    f" where the only solution has {solutions[row, cell]}; correct the answer or the puzzle"
                )
        return solutions, ratings

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line number and columns of every puzzle."""
        rows = records(self.path, self.layout, self.shape)
        if self.layout.has_header:
            next(rows, None)
        return rows


def _file_ratings(
    found: dict[int, tuple[int, list[str]]], numbers: NDArray[np.int64], column: int
) -> NDArray[np.int32]:
    return np.array([_rating(found[number][1][column]) for number in numbers.tolist()], dtype=np.int32)


def _rating(text: str) -> int:
    """Raises ValueError for what is no whole number (`2.0` is one), or one that no count of guesses is."""
    rating = float(text) if "." in text else int(text)
    if not (0 <= rating <= _LARGEST_RATING and rating == int(rating)):
        raise ValueError(f"{text:.40} is no count")
    return int(rating)


def open_list(path: Path, shape: Shape) -> PuzzleList:
    """A list of boards of `shape`; its first lines say what its columns are (`list_format`).

    Raises:
        UserError: no such file, unreadable, empty, or no board of `shape` in it.
    """
    if not path.is_file():
        raise UserError(
            f"no puzzle list at {path}; name a csv or text file (.gz too), or take source generated or hub"
        )
    return PuzzleList(path, shape, find_layout(path, shape))


def fetch_hub() -> tuple[PuzzleList, PuzzleList]:
    """The public training and test lists, from the hub's local cache or the network.

    Raises:
        HubUnavailable: the hub is out of reach.
    """
    paths = hub_lists(
        HUB_REPOSITORY,
        wish_in_fields=f"data.test_size={_PROPOSED_TEST_SIZE}",
        wish_in_options=f"--test-size {_PROPOSED_TEST_SIZE}",
        own_list=_OWN_LIST,
        own_list_name="puzzles.csv.gz",
    )
    train, test = (open_list(path, Shape(3, 3)) for path in paths)
    return train, test
