"""Lists of puzzles: csv or text files (.gz too), and the public list on the Hugging Face hub.

A list is read twice and never held: once to learn which lines qualify, once to fetch the lines
that were chosen. So the hub's 3.8 million puzzles cost seconds, not gigabytes.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from trm_scaling.errors import UserError
from trm_scaling.puzzles.progress import Progress
from trm_scaling.puzzles.sudoku.board import Digits, Shape, cell_name, parse_digits
from trm_scaling.puzzles.sudoku.search import solve, solve_many
from trm_scaling.puzzles.sudoku.splits import Puzzles

HUB_REPOSITORY = "sapientinc/sudoku-extreme"

_PUBLIC_COLUMNS = ["source", "question", "answer", "rating"]
_PROGRESS_LINES = 100_000
_SOLVE_BLOCK = 500
_LONGEST_RECORD = 65_536
"""Characters: a board of 100 by 100, its answer and a long name of its source take a third of that."""
_LARGEST_RATING = 2**31 - 1
_BROKEN = (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error, csv.Error)


@dataclass(frozen=True)
class PuzzleList:
    """One file, and where its columns stand. Column None: the file has none."""

    path: Path
    has_header: bool
    question: int
    answer: int | None
    rating: int | None

    def scan(self, progress: Progress) -> tuple[int, NDArray[np.int64] | None]:
        """The number of puzzles, and their ratings [N] where the file has them.

        Raises:
            UserError: a rating is no whole number, or the file cannot be read.
        """
        ratings: list[int] = []
        count = 0
        for line, row in self._rows():
            count += 1
            if self.rating is not None:
                try:
                    ratings.append(_rating(row[self.rating]))
                except (ValueError, IndexError):
                    raise UserError(
                        f"{self.path}, line {line}: no whole number in the rating column, from 0 to 2^31 - 1 "
                        f"({','.join(row)[:120]!r}); correct the line, or remove the column from the file"
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
            if len(row) <= max(self.question, self.answer or 0, self.rating or 0):
                raise UserError(
                    f"{self.path}, line {line}: {len(row)} columns ({','.join(row)[:120]!r}) are too few"
                )
            puzzles[index] = parse_digits(
                row[self.question].strip(), shape, f"{self.path}, line {line}, puzzle"
            )
            if self.answer is not None:
                answers[index] = parse_digits(
                    row[self.answer].strip(), shape, f"{self.path}, line {line}, answer"
                )
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
        if self.answer is not None:
            rows, cells = np.nonzero(solutions != answers)
            if rows.size:
                row, cell = int(rows[0]), int(cells[0])
                raise UserError(
                    f"{self.path}, line {lines[row]}: answer {answers[row, cell]} at {cell_name(cell, shape)}"
                    f" where the only solution has {solutions[row, cell]}; correct the answer or the puzzle"
                )
        return solutions, ratings

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line number and columns of every puzzle; blank lines and # comments are skipped."""
        for line, row in _records(self.path):
            if not (self.has_header and line == 1):
                yield line, row


class _Lines:
    """The lines of a list, none of them read further than a puzzle can be long.

    A small `.gz` may unpack to a line that fills the memory.
    """

    def __init__(self, path: Path, file: io.TextIOWrapper) -> None:
        self._path = path
        self._file = file
        self._number = 0
        self._left = _LONGEST_RECORD

    def next_record(self) -> None:
        """What is read from here on is another record: a quoted column may go on over several lines."""
        self._left = _LONGEST_RECORD

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._file.readline(self._left + 1)
        if not line:
            raise StopIteration
        self._number += 1
        self._left -= len(line)
        if self._left < 0:
            raise UserError(
                f"{self._path}, line {self._number}: more than {_LONGEST_RECORD:,} characters, which no "
                f"puzzle has ({line[:40]!r}...); put each puzzle on a line of its own, or name another list"
            )
        return line


def _records(path: Path) -> Generator[tuple[int, list[str]], None, None]:
    """Line number and columns of every record; blank lines and # comments are skipped."""
    with _open_text(path) as file:
        lines = _Lines(path, file)
        reader = csv.reader(lines)
        try:
            for row in reader:
                if row and not row[0].startswith("#"):
                    yield reader.line_num, row
                lines.next_record()
        except _BROKEN as error:
            raise _unreadable(path, error) from error


def _file_ratings(
    found: dict[int, tuple[int, list[str]]], numbers: NDArray[np.int64], column: int
) -> NDArray[np.int32]:
    return np.array([_rating(found[number][1][column]) for number in numbers.tolist()], dtype=np.int32)


def _rating(text: str) -> int:
    """Raises ValueError for what is no whole number, or one that no count of guesses is."""
    rating = int(text)
    if not 0 <= rating <= _LARGEST_RATING:
        raise ValueError(f"{text:.40} is out of range")
    return rating


def open_list(path: Path) -> PuzzleList:
    """Find out what a file holds from its first line.

    Known: a csv with the header `source,question,answer,rating` (at least `question`), the same
    four columns or `question,answer` without header, or one puzzle a line.

    Raises:
        UserError: no such file, unreadable, empty, or columns that mean nothing.
    """
    if not path.is_file():
        raise UserError(
            f"no puzzle list at {path}; name a csv or text file (.gz too), or take source generated or hub"
        )
    with closing(_records(path)) as records:
        _, first = next(records, (0, None))
    if first is None:
        raise UserError(f"{path} holds no puzzle: it is empty")
    names = [name.strip().lower() for name in first]
    if "question" in names:
        answer, rating = (names.index(name) if name in names else None for name in ("answer", "rating"))
        return PuzzleList(path, True, names.index("question"), answer, rating)
    match len(first):
        case 1:
            return PuzzleList(path, False, 0, None, None)
        case 2:
            return PuzzleList(path, False, 0, 1, None)
        case 4:
            return PuzzleList(path, False, *(_PUBLIC_COLUMNS.index(name) for name in _PUBLIC_COLUMNS[1:]))
    raise UserError(
        f"{path}: its first line does not tell the columns ({','.join(first)[:120]!r}); give it the header "
        f"{','.join(_PUBLIC_COLUMNS)} (only question is needed), or write one puzzle a line"
    )


def _open_text(path: Path) -> io.TextIOWrapper:
    try:
        if path.suffix == ".gz":
            return io.TextIOWrapper(gzip.open(path), encoding="utf-8", newline="")
        return path.open(encoding="utf-8", newline="")
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} cannot be read as a puzzle list ({error}); it must be utf-8 text or csv, plain or .gz"
    )


class HubUnavailableError(UserError):
    """The hub's lists cannot be had; the caller knows which command to propose instead."""


def fetch_hub() -> tuple[PuzzleList, PuzzleList]:
    """The public training and test lists, from the hub's local cache or the network.

    Raises:
        HubUnavailableError: the hub is out of reach.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        paths = [
            Path(hf_hub_download(HUB_REPOSITORY, f"{name}.csv", repo_type="dataset"))
            for name in ("train", "test")
        ]
    # Out of reach shows as an OSError (no cached file, no route) or as the hub's own refusal.
    except (OSError, HfHubHTTPError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise HubUnavailableError(f"{HUB_REPOSITORY} could not be downloaded ({reason})") from error
    train, test = map(open_list, paths)
    return train, test
