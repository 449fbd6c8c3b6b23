"""Where the puzzles stand in a list: its delimiter, its header, its columns, or boards in rows.

A board is recognised by its cells alone: as many characters as the board has cells, each a digit of it or a
blank. So every list is read in which a line has a board in one of its columns, whatever stands before or
after it, and every list of boards in rows.
"""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, Self

from trm_scaling.errors import UserError
from trm_scaling.tasks.sudoku.board import BLANKS, Shape

QUESTIONS = ("question", "questions", "quizzes", "quiz", "puzzles", "puzzle", "sudokus", "sudoku", "board")
ANSWERS = ("answer", "answers", "solutions", "solution")
"""Names of columns in lists that people share, in lower case; the first that is there counts."""

Delimiter = Literal[",", ";", "\t", " ", "line", "rows"]
"""What parts the columns of a line; `line`: a line is one column; `rows`: a board is lines of its own."""

_SAMPLE = 100
"""Records by which a file is recognised."""
_LONGEST_RECORD = 65_536
"""Characters: a board of 100 by 100, its answer and a long name of its source take a third of that."""
_BROKEN = (UnicodeError, EOFError, gzip.BadGzipFile, zlib.error, csv.Error)
_PARTS = re.compile(r"[\s;,/|]+")
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class Layout:
    """Where the columns stand. None: the file has no such column."""

    delimiter: Delimiter
    has_header: bool = False
    """Whether the first record names the columns."""
    question: int = 0
    answer: int | None = None
    rating: int | None = None


def board_in(cell: str, shape: Shape) -> str:
    """The board that `cell` begins with, as one character a cell: what follows a space, `;`, `,` or `#` is
    left out, and rows that these or `/` or `|` part are put together.

    Where there is none, the text before the first of these, for a message.
    """
    parts = [part for part in _PARTS.split(cell.partition("#")[0]) if part]
    if parts and len(parts[0]) in (shape.side, shape.box_cols, 1):
        joined = ""
        for part in parts:
            joined += part
            if len(joined) >= shape.cells:
                break
        if _is_board(joined, shape):
            return joined
    return parts[0] if parts else ""


def find_layout(path: Path, shape: Shape) -> Layout:
    """Recognise a list from its first lines.

    A first line without a board is a header; its names count where they are known (`QUESTIONS`, `ANSWERS`,
    `rating`), else the columns that hold boards do: the first with blanks is the puzzle, the first without is
    its answer. Four columns without header are `source,question,answer,rating`.

    Raises:
        UserError: unreadable, empty, or no board of `shape` in the first lines.
    """
    delimiters: tuple[Delimiter, ...] = (",", ";", "\t", " ", "line")
    layouts = [found for each in delimiters if (found := _columns(path, each, shape))]
    # Of two that find the puzzles the one that finds the answers too.
    layouts.sort(key=lambda layout: layout.answer is None)
    if layout := next(iter(layouts), None) or _columns(path, "rows", shape):
        return layout
    with closing(records(path, Layout("line"), shape)) as every:
        lines = list(islice(every, _SAMPLE))
    if not lines:
        what = "no lines but blank ones, # comments and [headings]" if path.stat().st_size else "nothing"
        raise UserError(f"{path} holds no puzzle: there is {what} in it")
    number, (text, *_) = lines[min(1, len(lines) - 1)]
    raise UserError(
        f"{path}: none of its first {len(lines)} lines holds a {shape}, which is {shape.cells} characters: "
        f"1-{shape.side} for a digit, . or 0 for a blank. Line {number} is {text[:120]!r}; write one board a "
        "line (with source,question,answer,rating as columns if you like), or say the shape of the boards"
    )


def _columns(path: Path, delimiter: Delimiter, shape: Shape) -> Layout | None:
    """Where `delimiter` parts the lines: the columns; None where no record holds a board."""
    with closing(records(path, Layout(delimiter), shape)) as found:
        sample = [row for _, row in islice(found, _SAMPLE)]
    names = [name.strip().lower() for name in sample[0]] if sample else []
    boards = Counter(
        index for row in sample for index, cell in enumerate(row) if _is_board(board_in(cell, shape), shape)
    )
    given = [names.index(name) for name in QUESTIONS if name in names]
    if given:
        question = max(given, key=lambda index: boards[index])
        answer = next((names.index(name) for name in ANSWERS if name in names), None)
        return Layout(delimiter, True, question, answer, names.index("rating") if "rating" in names else None)
    if not boards:
        return None
    full = Counter(
        index
        for row in sample
        for index in boards
        if index < len(row) and not set(board_in(row[index], shape)) & set(BLANKS)
    )
    # As many as half: one odd line is no column.
    columns = sorted(index for index, count in boards.items() if 2 * count >= max(boards.values()))
    answers = [index for index in columns if 2 * full[index] > boards[index]]
    question = next((index for index in columns if index not in answers), columns[0])
    answer = next((index for index in answers if index != question), None)
    is_public = len(sample[-1]) == 4 and (question, answer) == (1, 2) and delimiter == ","
    return Layout(delimiter, _names_columns(names, question), question, answer, 3 if is_public else None)


def _names_columns(first: Sequence[str], question: int) -> bool:
    """Whether the first record is a header: where the others have a puzzle it has a word.

    A word that is mostly digits and blanks is a puzzle with a fault, to be named when it is read.
    """
    cell = first[question] if question < len(first) else ""
    word = _PARTS.split(cell.partition("#")[0].strip())[0]
    return 2 * sum(character.isdigit() or character in BLANKS for character in word) <= len(word)


def _is_board(text: str, shape: Shape) -> bool:
    return len(text) == shape.cells and not set(text) - set(BLANKS) - set("123456789"[: shape.side])


def records(path: Path, layout: Layout, shape: Shape) -> Generator[tuple[int, list[str]], None, None]:
    """Line number and columns of every record; blank lines, # comments and [section] lines are skipped.

    Raises:
        UserError: unreadable, or a line that no puzzle is as long as.
    """
    with _open_text(path) as file:
        lines = _Lines(path, file)
        try:
            if layout.delimiter == "rows":
                yield from _in_rows(lines, shape)
                return
            for number, row in _split(lines, layout.delimiter):
                if row and not row[0].startswith(("#", "[")):
                    yield number, row
        except _BROKEN as error:
            raise _unreadable(path, error) from error


def _split(lines: "_Lines", delimiter: Delimiter) -> Iterator[tuple[int, list[str]]]:
    if delimiter == " " or delimiter == "line":
        part: Callable[[str], list[str]] = str.split if delimiter == " " else lambda line: [line.strip()]
        for line in lines:
            yield lines.number, part(line) if line.strip() else []
            lines.next_record()
        return
    reader = csv.reader(lines, delimiter=delimiter)
    for row in reader:
        yield reader.line_num, row if any(row) else []
        lines.next_record()


def _in_rows(lines: "_Lines", shape: Shape) -> Iterator[tuple[int, list[str]]]:
    """Boards whose rows are lines: `side` cells each, with or without spaces and `|` between them."""
    rows: list[str] = []
    begun = 0
    is_wanted = True
    for line in lines:
        lines.next_record()
        if line.startswith("["):
            # A .sdk file may hold the state of a game below the puzzle.
            is_wanted = line.strip().lower() != "[state]"
        row = "".join(_PARTS.split(line.partition("#")[0]))
        if is_wanted and len(row) == shape.side and _is_row(row, shape):
            begun = begun if rows else lines.number
            rows.append(row)
            if len(rows) == shape.side:
                yield begun, ["".join(rows)]
                rows = []
        elif rows and line.strip() and not set(line.strip()) <= set("-+|=: "):
            # What is neither a row nor a rule between boxes ends the board, and the record is what there is.
            yield begun, ["".join(rows)]
            rows = []
    if rows:
        yield begun, ["".join(rows)]


def _is_row(row: str, shape: Shape) -> bool:
    # A line of dashes alone is a rule.
    return set(row) != {"-"} and not set(row) - set(BLANKS) - set("123456789"[: shape.side])


class _Lines:
    """The lines of a list, none of them read further than a puzzle can be long.

    A small `.gz` may unpack to a line that fills the memory.
    """

    def __init__(self, path: Path, file: io.TextIOWrapper) -> None:
        self.number = 0
        self._path = path
        self._file = file
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
        self.number += 1
        self._left -= len(line)
        if self._left < 0:
            raise UserError(
                f"{self._path}, line {self.number}: more than {_LONGEST_RECORD:,} characters, which no "
                f"puzzle has ({line[:40]!r}...); put each puzzle on a line of its own, or name another list"
            )
        return line


def _open_text(path: Path) -> io.TextIOWrapper:
    is_compressed = path.suffix == ".gz"
    try:
        with gzip.open(path) if is_compressed else path.open("rb") as file:
            begin = file.read(3)
        encoding = next((name for mark, name in _MARKS.items() if begin.startswith(mark)), "utf-8")
        if is_compressed:
            return io.TextIOWrapper(gzip.open(path), encoding=encoding, newline="")
        return path.open(encoding=encoding, newline="")
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} cannot be read as a puzzle list ({error}); it must be utf-8 text or csv, plain or .gz"
    )
