"""The public list of mazes: `train.csv` and `test.csv` with the columns `source,q,a,rating`.

`q` is a maze and `a` the maze with its path, as text (`board`). `rating` is the number of moves.
"""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_text
from trm_scaling.tasks.maze.board import FREE, MAX_SIDE, PATH, Tokens, maze_text, parse_maze
from trm_scaling.tasks.maze.splits import MazeSplit, split_of
from trm_scaling.tasks.task import hub_lists

HUB_REPOSITORY = "sapientinc/maze-30x30-hard-1k"
COLUMNS = ("source", "q", "a", "rating")

_LONGEST_LINE = 4 * MAX_SIDE**2
"""Characters: two mazes of the largest side take half of that."""
_WHOLE = re.compile(r"\d{1,9}")


def read_csv(path: Path) -> MazeSplit:
    """The mazes of a list, in its order, each checked.

    Raises:
        UserError: naming file and line: unreadable, other columns, a text that is no maze (`parse_maze`), an
            answer that changes its maze, a rating that is not a whole number, or mazes of several sizes.
    """
    inputs: list[Tokens] = []
    labels: list[Tokens] = []
    ratings: list[int] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(_short_lines(path, file), strict=True)
            header = next(reader, [])
            if tuple(header) != COLUMNS:
                raise UserError(
                    f"{path}, line 1: the columns are {','.join(header)[:80]!r}, not {','.join(COLUMNS)}; "
                    "add that header, or name a list of mazes"
                )
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if len(row) != len(COLUMNS):
                    raise UserError(f"{where}: {len(row)} columns, not {len(COLUMNS)}; mend the line")
                maze, answer = parse_maze(row[1], f"{where}, q"), parse_maze(row[2], f"{where}, a")
                if (maze == PATH).any():
                    raise UserError(f"{where}, q: a maze without its path holds no o; write it in a")
                if len(answer) != len(maze) or (np.where(answer == PATH, FREE, answer) != maze).any():
                    raise UserError(f"{where}: a is not the maze in q with a path in free cells; correct one")
                if inputs and len(maze) != len(inputs[0]):
                    raise UserError(
                        f"{where}: a maze of {len(maze)} cells among mazes of {len(inputs[0])}; "
                        "put each size in a list of its own"
                    )
                if not _WHOLE.fullmatch(row[3]):
                    raise UserError(f"{where}: rating {row[3][:40]!r} is not a whole number of moves")
                inputs.append(maze)
                labels.append(answer)
                ratings.append(int(row[3]))
    except (OSError, UnicodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a list of mazes ({error})") from error
    if not inputs:
        raise UserError(f"{path} holds no maze; name another list")
    return split_of(np.stack(inputs), np.stack(labels), np.array(ratings, dtype=np.int32))


def _short_lines(path: Path, file: TextIO) -> Iterator[str]:
    """The lines of a file, none of which is read further than two mazes can be long."""
    number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise UserError(f"{path}, line {number}: more than {_LONGEST_LINE:,} characters are no maze")
        yield line


def csv_text(split: MazeSplit, source: str) -> str:
    """The mazes of `split` as a public list; `source` goes in the column of that name."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for maze, label, moves in zip(split.inputs, split.labels, split.difficulty.tolist(), strict=True):
        writer.writerow((source, maze_text(maze), maze_text(label), moves))
    return file.getvalue()


def write_csv(path: Path, split: MazeSplit, source: str) -> None:
    """Write `csv_text` to `path`, atomically. Raises UserError when the disk refuses."""
    write_text(path, csv_text(split, source))


def fetch_hub() -> tuple[Path, Path]:
    """Local copies of the public `train.csv` and `test.csv`, from the hub's cache or the network.

    Raises:
        HubUnavailable: the hub is out of reach.
    """
    return hub_lists(
        HUB_REPOSITORY,
        wish_in_fields="data.min_moves=111 data.test_size=1000",
        wish_in_options="--size 30 --min-moves 111",
        own_list="a folder of your own lists (train.csv and test.csv with the columns source,q,a,rating)",
        own_list_name="lists",
    )
