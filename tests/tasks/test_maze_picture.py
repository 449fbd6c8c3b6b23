"""Mazes drawn for the terminal and as SVG."""

import xml.etree.ElementTree as ElementTree

import numpy as np

from trm_scaling.tasks.maze.board import GOAL, PAD, PATH, START, WALL, parse_maze
from trm_scaling.tasks.maze.generate import MazeWish, make_mazes
from trm_scaling.tasks.maze.picture import Mark, marks, render, svg

MAZE = parse_maze("S   #" + "### #" + "    #" + " ####" + "    G", "q")
LABEL = parse_maze("Sooo#" + "###o#" + "oooo#" + "o####" + "ooooG", "a")


def answer_with(**tokens: int) -> np.ndarray:
    answer = LABEL.copy()
    for cell, token in tokens.items():
        answer[int(cell.removeprefix("c"))] = token
    return answer


def test_a_right_answer_has_no_wrong_marks() -> None:
    shown = marks(MAZE, LABEL, LABEL)
    assert set(shown.tolist()) == {Mark.WALL, Mark.START, Mark.GOAL, Mark.PATH}
    assert (shown == Mark.PATH).sum() == (LABEL == PATH).sum()


def test_what_an_answer_breaks_is_marked() -> None:
    answer = answer_with(c0=GOAL, c1=WALL, c4=PATH, c24=PAD)
    shown = marks(MAZE, answer, LABEL)
    assert np.flatnonzero(shown == Mark.BROKEN).tolist() == [0, 1, 4, 24]
    assert shown[5] == Mark.WALL


def test_a_path_beside_the_label_is_off_it_and_without_a_label_it_is_not() -> None:
    maze = np.full(25, 2, dtype=np.uint8)
    maze[0], maze[24] = START, GOAL
    answer = maze.copy()
    answer[1] = PATH
    assert marks(maze, answer, maze)[1] == Mark.OFF_PATH
    assert marks(maze, answer)[1] == Mark.PATH


def test_the_terminal_shows_two_characters_a_cell() -> None:
    lines = render(MAZE, LABEL, LABEL).splitlines()
    assert len(lines) == 7
    assert {len(line) for line in lines} == {12}
    assert lines[1] == "│S • • • ██│"
    assert lines[5] == "│• • • • G │"
    assert "•" not in render(MAZE)
    assert "x " in render(MAZE, np.where(MAZE == 2, PATH, MAZE), MAZE)


def test_colour_adds_nothing_but_colour() -> None:
    plain, coloured = render(MAZE, LABEL, LABEL), render(MAZE, LABEL, LABEL, color=True)
    assert "\x1b[32m• \x1b[0m" in coloured
    assert coloured.replace("\x1b[32m", "").replace("\x1b[1m", "").replace("\x1b[0m", "") == plain


def test_the_svg_is_well_formed_and_small() -> None:
    made = make_mazes(MazeWish(30, min_moves=100), 0, 0, 1)
    drawn = svg(made.inputs[0], made.labels[0], made.labels[0], title="<a & b>")
    root = ElementTree.fromstring(drawn)
    space = "{http://www.w3.org/2000/svg}"
    assert root.find(f"{space}title").text == "<a & b>"  # type: ignore[union-attr]
    assert [text.text for text in root.iter(f"{space}text")] == ["S", "G"]
    assert len(drawn) < 15_000
    assert "#c2410c" not in drawn
    assert "#c2410c" in svg(made.inputs[0], np.full(900, WALL, dtype=np.uint8))
    assert "#0b7a53" not in svg(made.inputs[0])
