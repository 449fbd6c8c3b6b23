"""Lists of puzzles as people have them: headers, annotations, rows, blanks, encodings."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from trm_scaling.errors import UserError
from trm_scaling.tasks.build import build_dataset
from trm_scaling.tasks.folder import silent
from trm_scaling.tasks.sudoku.board import Shape, to_text
from trm_scaling.tasks.sudoku.description import SudokuData
from trm_scaling.tasks.sudoku.generate import Wish, make_candidates
from trm_scaling.tasks.sudoku.sources import open_list

NINE = Shape(3, 3)
SIX = Shape(2, 3)
MADE = make_candidates(SIX, Wish(), 4, 0, 12)
PUZZLES = [to_text(puzzle) for puzzle in MADE.puzzles]
ANSWERS = [to_text(answer) for answer in MADE.solutions]


def read(path: Path, shape: Shape) -> tuple[list[str], list[str], bool]:
    """Puzzles and solutions as text, and whether the list rates them."""
    puzzles = open_list(path, shape)
    count, ratings = puzzles.scan(silent)
    found = puzzles.fetch(np.arange(count), shape, silent)
    return (
        [to_text(row) for row in found.puzzles],
        [to_text(row) for row in found.solutions],
        ratings is not None,
    )


@pytest.fixture
def cases(shared: Path) -> Path:
    folder = shared / "cases" / "sudoku"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


@pytest.mark.parametrize(
    "name",
    [
        *("kaggle_9m.csv", "kaggle_1m.csv", "qqwing.csv", "bom_lines.txt"),
        *("exchange_bank.txt", "trailing_comment.txt", "slash_rows.txt"),
    ],
)
def test_a_list_that_people_have_is_read(cases: Path, name: str) -> None:
    puzzles, answers, _ = read(cases / name, NINE)
    expected, solutions, _ = read(cases / "kaggle_9m.csv", NINE)
    assert len(puzzles) == 40
    assert (puzzles, answers) == (expected, solutions)


def test_boards_in_rows_are_read(cases: Path) -> None:
    assert read(cases / "rows.sdk", NINE)[0] == read(cases / "kaggle_9m.csv", NINE)[0][:3]


@pytest.mark.parametrize("seed", range(4))
def test_a_header_is_never_a_puzzle_whatever_the_seed(cases: Path, seed: int, tmp_path: Path) -> None:
    config = SudokuData(
        source=str(cases / "kaggle_9m.csv"), train_size=30, val_size=5, test_size=5, num_aug=0, seed=seed
    )
    dataset = build_dataset(config, tmp_path / "out")
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (30, 5, 5)


def test_a_rating_that_is_no_whole_number_is_named(cases: Path) -> None:
    with pytest.raises(UserError, match=r"line 2: the rating column holds '1\.5'.*round"):
        open_list(cases / "rating_float.csv", NINE).scan(silent)


def rows_of(text: str, between: str) -> str:
    return between.join(text[start : start + 6] for start in range(0, 36, 6))


def spaced(text: str) -> str:
    """As a newspaper prints it: boxes of 2x3 apart."""
    lines = [
        " | ".join(" ".join(row[start : start + 3]) for start in (0, 3))
        for row in (text[start : start + 6] for start in range(0, 36, 6))
    ]
    for place in (4, 2):
        lines.insert(place, "------+------")
    return "\n".join(lines)


BOTH = [(n, p, a) for n, (p, a) in enumerate(zip(PUZZLES, ANSWERS, strict=True))]
MADE_UP = {
    "quizzes": "\n".join(["Quizzes,Solutions", *(f"{p},{a}" for _, p, a in BOTH)]),
    "sudoku column": "\n".join(["id,sudoku,solution", *(f"{n},{p},{a}" for n, p, a in BOTH)]),
    "kaggle 3m": "\n".join(
        ["id,puzzle,solution,clues,difficulty", *(f"{n},{p},{a},12,2.2" for n, p, a in BOTH)]
    ),
    "names that are not known": "\n".join(["givens grid,full grid", *(f"{p},{a}" for _, p, a in BOTH)]),
    "answers first": "\n".join(["loesung;raetsel", *(f"{a};{p}" for _, p, a in BOTH)]),
    "semicolons": "\n".join(["puzzle;solution", *(f"{p};{a}" for _, p, a in BOTH)]),
    "tabs": "\n".join(["puzzle\tsolution", *(f"{p}\t{a}" for _, p, a in BOTH)]),
    "a comment above the header": "\n".join(["# mine", "puzzle", *PUZZLES]),
    "a header alone": "\n".join(["My puzzles", *PUZZLES]),
    "hash marks": "\n".join(f"{p} # a hard one, they say" for p in PUZZLES),
    "semicolon notes": "\n".join(f"{p}; ED=7.1" for p in PUZZLES),
    "comma notes": "\n".join(f"{p}, mine, 2006" for p in PUZZLES),
    "number first": "\n".join(f"{n}  {p}  {n / 3:.2f}" for n, p in enumerate(PUZZLES)),
    "stars": "\n".join(PUZZLES).replace(".", "*"),
    "underscores": "\n".join(PUZZLES).replace(".", "_"),
    "zeros": "\n".join(PUZZLES).replace(".", "0"),
    "slashes": "\n".join(rows_of(p, "/") for p in PUZZLES),
    "spaces between rows": "\n".join(rows_of(p, " ") for p in PUZZLES),
    "bars between rows": "\n".join(rows_of(p, "|") for p in PUZZLES),
    "commas between cells": "\n".join(",".join(p) for p in PUZZLES),
    "rows": "\n\n".join(rows_of(p, "\n") for p in PUZZLES),
    "rows under titles": "\n".join(f"Grid {n:02}\n{rows_of(p, chr(10))}" for n, p in enumerate(PUZZLES)),
    "rows without a gap": "\n".join(rows_of(p, "\n") for p in PUZZLES),
    "rows with a state": "\n".join(
        f"[Puzzle]\n{rows_of(p, chr(10))}\n[State]\n{rows_of(a, chr(10))}" for _, p, a in BOTH
    ),
    "rows with boxes": "\n\n".join(map(spaced, PUZZLES)),
    "sections": "\n".join(f"[Puzzle]\n{p}" for p in PUZZLES),
    "Windows": "\r\n".join(["puzzle,solution", *(f"{p},{a}" for _, p, a in BOTH)]) + "\r\n",
}


@pytest.mark.parametrize("content", MADE_UP.values(), ids=MADE_UP)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_other_lists_of_each_kind_are_read(tmp_path: Path, content: str, encoding: str) -> None:
    (tmp_path / "list.txt.gz").write_bytes(gzip.compress(content.encode(encoding)))
    assert read(tmp_path / "list.txt.gz", SIX) == (PUZZLES, ANSWERS, False)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PUZZLES[0][:-1] + "\n" + "\n".join(PUZZLES[1:]), "line 1, puzzle: 35 characters"),
        ("\n".join(PUZZLES[:-1]) + "\n" + PUZZLES[-1] + ".", "line 12, puzzle: 37 characters"),
        ("puzzle\n" + PUZZLES[0] + "\n" + "y" + PUZZLES[1][1:], "line 3, puzzle: 'y' at character 1"),
        (
            rows_of(PUZZLES[0], "\n") + "\n\n" + rows_of(PUZZLES[1], "\n")[:20] + "\nend",
            "line 8, puzzle: 1.? ch",
        ),
    ],
)
def test_a_board_with_a_fault_is_named_and_no_header(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "list.txt").write_text(content)
    with pytest.raises(UserError, match=said):
        read(tmp_path / "list.txt", SIX)


def test_a_list_of_other_boards_is_said_once_with_one_line(cases: Path) -> None:
    with pytest.raises(UserError) as caught:
        open_list(cases / "bom_lines.txt", SIX)
    said = str(caught.value)
    assert "none of its first 40 lines" in said
    assert "4.8.6..1.....1.4.3317.249...8...2..7.....52...2.98" in said


def test_a_whole_number_may_be_written_as_a_float(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("puzzle,rating\n" + "\n".join(f"{p},2.0" for p in PUZZLES))
    _, ratings = open_list(tmp_path / "list.csv", SIX).scan(silent)
    assert ratings is not None
    assert ratings.tolist() == [2] * 12


@pytest.mark.parametrize(("content", "said"), [("", "nothing"), (f'["{PUZZLES[0]}"]\n# end\n', "headings")])
def test_a_file_without_a_line_of_puzzles_says_what_is_in_it(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "list.json"
    path.write_text(content)
    with pytest.raises(UserError, match=f"holds no puzzle: .*{said}"):
        read(path, SIX)
