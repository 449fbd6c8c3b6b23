"""Text boards, their rules, and the messages that a bad one gets."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm_scaling.errors import UserError
from trm_scaling.tasks.sudoku.board import (
    Shape,
    check_rules,
    digits_to_tokens,
    parse_box,
    parse_digits,
    render,
    to_text,
    tokens_to_digits,
    units_of,
)
from trm_scaling.tasks.sudoku.picture import terminal
from trm_scaling.tasks.sudoku.search import count_solutions, solve

NINE = Shape(3, 3)
PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
ANSWER = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"


@given(st.data(), st.sampled_from([Shape(2, 2), Shape(2, 3), NINE]))
def test_text_and_tokens_round_trip(data: st.DataObject, shape: Shape) -> None:
    symbols = "." + "".join(map(str, range(1, shape.side + 1)))
    text = data.draw(st.text(symbols, min_size=shape.cells, max_size=shape.cells))
    digits = parse_digits(text, shape, "it")
    assert to_text(digits) == text
    np.testing.assert_array_equal(tokens_to_digits(digits_to_tokens(digits)), digits)


def test_units_of_a_board_with_wide_boxes() -> None:
    units = units_of(Shape(2, 3))
    assert units.shape == (18, 6)
    assert units[12 + 3].tolist() == [15, 16, 17, 21, 22, 23]  # the fourth box: rows 3-4, columns 4-6


def test_render_sets_boxes_apart() -> None:
    assert render(parse_digits("12..34..........", Shape(2, 2), "it"), Shape(2, 2)).splitlines() == [
        "1 2 | . .",
        "3 4 | . .",
        "----+----".replace("----+----", "---" + "-+-" + "---"),
        ". . | . .",
        ". . | . .",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PUZZLE[:-1], r"it: 80 characters where a 9x9 board \(3x3 boxes\) has 81 cells"),
        (PUZZLE[:10] + "x" + PUZZLE[11:], r"it: 'x' at character 11 \(row 2 column 2\)"),
        (PUZZLE[:10] + "é" + PUZZLE[11:], r"it: 'é' at character 11"),
        ("55" + PUZZLE[2:], r"digit 5 stands twice in row 1 \(row 1 column 1 and row 1 column 2\)"),
        ("6" + PUZZLE[1:], r"digit 6 stands twice in column 1 \(row 1 column 1 and row 2 column 1\)"),
        (PUZZLE[:10] + "3" + PUZZLE[11:], r"digit 3 stands twice in column 2"),
        (PUZZLE[:11] + "8" + PUZZLE[12:], r"digit 8 stands twice in column 3|digit 8 stands twice in box 1"),
        ("." * 80 + "1", r"more than one solution \(row \d column \d can be \d or \d\)"),
        ("5168497323.76.5...8.97...65135.6.9.7472591..696837..5.253186.746842.75..791.5.6.8", "no solution"),
    ],
)
def test_a_bad_puzzle_says_what_is_wrong_and_where(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        solve(parse_digits(text, NINE, "it"), NINE, "it")


def test_a_repeated_digit_in_a_box_alone_is_found() -> None:
    with pytest.raises(
        UserError, match=r"digit 1 stands twice in box 1 \(row 1 column 1 and row 2 column 2\)"
    ):
        check_rules(parse_digits("1....1..........", Shape(2, 2), "it"), Shape(2, 2), "it")


def test_a_digit_too_large_for_the_board_is_no_cell_of_it() -> None:
    with pytest.raises(UserError, match=r"'5' at character 1 .* use 1-4 for a digit"):
        parse_digits("5" + "." * 15, Shape(2, 2), "it")


def test_solve_finds_the_known_solution() -> None:
    solved = solve(parse_digits(PUZZLE, NINE, "it"), NINE)
    assert to_text(solved.solution) == ANSWER
    assert solved.rating == 0  # a newspaper puzzle: singles alone solve it


def test_the_rating_does_not_depend_on_the_order_of_digits() -> None:
    hard = "98.7..6..7......8..54.8....8..9...3..7...5..2..5.1.....3.6...7.....2...1.....4..."
    relabelled = "".join(symbol if symbol == "." else str(10 - int(symbol)) for symbol in hard)
    ratings = [solve(parse_digits(text, NINE, "it"), NINE).rating for text in (hard, relabelled)]
    assert ratings == [88, 88]  # 88 is also what the public solver of such lists counts


@pytest.mark.parametrize(("shape", "grids"), [(Shape(2, 2), 288), (Shape(1, 4), 576), (Shape(2, 1), 2)])
def test_counting_every_grid_gives_the_known_number(shape: Shape, grids: int) -> None:
    assert count_solutions(np.zeros(shape.cells, dtype=np.uint8), shape, limit=10_000) == grids


@pytest.mark.parametrize("text", ["3", "3x", "x3", "ax3", "1x1", "4x4", "-2x3", "0x3"])
def test_a_box_that_makes_no_board_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--box"):
        parse_box(text)


def test_wrong_cells_are_marked_with_and_without_colour() -> None:
    shape = Shape(2, 2)
    inputs, labels, answer = (
        digits_to_tokens(parse_digits(text, shape, "it"))
        for text in ("1..." * 4, "1234341221434321", "1243341221434.21")
    )
    plain = terminal(shape, inputs, answer, labels, None, color=False)
    assert plain.splitlines() == ["1 2 | 4x3x", "3 4 | 1 2", "----+----", "2 1 | 4 3", "4 .x| 2 1"]
    coloured = terminal(shape, inputs, answer, labels, inputs, color=True)
    assert "\x1b[1;31m4x\x1b[0m\x1b[1;31m3x\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain
    assert "x" not in terminal(shape, inputs, None, None, None, color=True)


def test_box_is_rows_by_columns() -> None:
    assert parse_box("2x3") == Shape(box_rows=2, box_cols=3)
