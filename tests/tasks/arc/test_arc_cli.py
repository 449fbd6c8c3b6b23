"""`trm data arc`, its program in `dataset/`, and the pictures of a task."""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.tasks.arc.test_arc_dataset import write_collection
from trm_scaling.cli.app import app
from trm_scaling.errors import UserError
from trm_scaling.tasks.arc.collection import ArcTask
from trm_scaling.tasks.arc.embedded import ArcAugmentations
from trm_scaling.tasks.arc.picture import largest, side_by_side, terminal
from trm_scaling.tasks.arc.render import PALETTE, svg_task, terminal_grid, terminal_row
from trm_scaling.tasks.opening import open_dataset

ROOT = Path(__file__).resolve().parents[3]
SMALL = ["--subsets", "training,evaluation", "--num-aug", "6", "--val-size", "2"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (folder := tmp_path / "source").mkdir()
    return write_collection(folder)


def trm(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["data", "arc", *map(str, arguments)])
    if isinstance(done.exception, UserError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def stored(folder: Path) -> ArcAugmentations:
    found = open_dataset(folder).embedded
    assert isinstance(found, ArcAugmentations)
    return found


def tasks_of(folder: Path) -> dict[str, ArcTask]:
    return {task.name: task for task in stored(folder).arc.tasks}


def test_a_dataset_is_built_kept_and_shown(source: Path, tmp_path: Path) -> None:
    folder, picture = tmp_path / "data", tmp_path / "task.svg"
    output = trm("--source", source, "--output-dir", folder, *SMALL)
    assert "7 tasks" in output
    assert f"data.path={folder} data.train_size=30 data.num_aug=6 data.puzzle_ids=50" in output
    assert len(stored(folder).arc.identifiers) == 50
    with pytest.raises(UserError, match="--force"):
        trm("--source", source, "--output-dir", folder, *SMALL, "--seed", 7)
    trm("--source", source, "--output-dir", folder, *SMALL, "--seed", 7, "--force")
    assert open_dataset(folder).manifest.seed == 7
    shown = trm("--show", "e21a174a", "--output-dir", folder, "--svg", picture)
    assert "example 3 output" in shown
    assert shown.index("example 1 input") < shown.index("test 1 input")
    assert "\x1b" not in shown, "no colours outside of a terminal"
    assert picture.read_text() == svg_task(tasks_of(folder)["e21a174a"])
    with pytest.raises(UserError, match="near: b91ae062"):
        trm("--show", "b91ae063", "--output-dir", folder)


def test_a_task_is_shown_of_a_dataset_that_is_built_for_it(tmp_path: Path) -> None:
    toys = ("--source", "generated", "--tasks", 4, "--num-aug", 2, "--output-dir", tmp_path / "toys")
    first = trm(*toys, "--show", "mirror-1", "--svg", tmp_path / "mirror.svg")
    assert "4 tasks" in first
    assert "example 1 input" in first
    assert (tmp_path / "mirror.svg").exists()
    assert "4 tasks" not in trm(*toys, "--show", "mirror-1"), "what is there is not built again"


def test_options_that_do_not_fit_are_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no subset 'trainig'"):
        trm("--source", source, "--output-dir", tmp_path / "data", "--subsets", "trainig")
    with pytest.raises(UserError, match="training2"):
        trm("--source", source, "--output-dir", tmp_path / "data", "--subsets", "training2 evaluation")
    with pytest.raises(UserError, match="no --source"):
        trm("--output-dir", tmp_path / "data")
    with pytest.raises(UserError, match="--show"):
        trm("--source", source, "--output-dir", tmp_path / "data", "--svg", "a.svg")


def test_the_public_command_runs_as_written(source: Path, tmp_path: Path) -> None:
    command = [sys.executable, "dataset/build_arc_dataset.py", "--input-file-prefix", f"{source}/arc-agi"]
    command += ["--output-dir", str(tmp_path / "data"), "--subsets", "training", "evaluation"]
    command += ["--test-set-name", "evaluation", "--num-aug", "6", "--val-size", "2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    about = json.loads((tmp_path / "data" / "manifest.json").read_text())["about"]
    assert about["subsets"] == ["training", "evaluation"]
    command[command.index("evaluation")] = "evaluation2"
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr.startswith("error: ")) == (2, True)


def test_a_grid_in_colours_and_without() -> None:
    grid = np.array([[0, 1], [9, 2]], dtype=np.uint8)
    assert terminal_grid(grid, colour=False) == ["0 1 ", "9 2 "]
    first = terminal_grid(grid)[0]
    red, green, blue = PALETTE[1]
    assert f"\x1b[48;2;{red};{green};{blue}m  \x1b[0m" in first
    assert re.sub(r"\x1b\[[\d;]*m", "", first) == " " * 4
    assert terminal_grid(np.zeros((0, 0), np.uint8)) == ["(empty)"]


def test_grids_stand_side_by_side() -> None:
    small, tall = np.zeros((1, 1), np.uint8), np.ones((3, 2), np.uint8)
    row = terminal_row([("a", small), ("b", tall), ("c", np.zeros((0, 0), np.uint8))], colour=False)
    assert row.splitlines() == ["a    b      c", "0    1 1    (empty)", "     1 1", "     1 1"]


def test_an_svg_has_every_cell(source: Path, tmp_path: Path) -> None:
    trm("--source", source, "--output-dir", tmp_path / "data", *SMALL)
    task = stored(tmp_path / "data").arc.tasks[0]
    document = ElementTree.fromstring(svg_task(task))
    cells = document.findall("{http://www.w3.org/2000/svg}rect")
    assert len(cells) - 1 == sum(pair.input.size + pair.output.size for pair in task.pairs)
    width, height = float(document.attrib["width"]), float(document.attrib["height"])
    for cell in cells[1:]:
        assert float(cell.attrib["x"]) + 12 <= width
        assert float(cell.attrib["y"]) + 12 <= height


def test_answers_are_shown_as_they_stand_in_tokens() -> None:
    """Digits on their colours, wrong cells marked, what is no colour as a point; nothing beyond the label."""
    labels = np.zeros((5, 5), np.uint8)
    labels[:2, :3] = [[2, 3, 4], [5, 6, 7]]
    labels[2, :3] = labels[:2, 3] = 1
    answer = labels.copy()
    answer[0, 1], answer[1, 2], answer[4, 4] = 9, 1, 8
    plain = terminal(answer.reshape(-1), labels.reshape(-1))
    assert plain.splitlines() == ["0 7x2 ", "3 4 .x"]
    coloured = terminal(answer.reshape(-1), labels.reshape(-1), color=True)
    red, green, blue = PALETTE[7]
    assert f"\x1b[48;2;{red};{green};{blue}m\x1b[30m7x\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain
    pair = side_by_side(labels.reshape(-1), labels.reshape(-1), color=True)
    stripped = re.sub(r"\x1b\[[\d;]*m", "", pair).splitlines()
    assert [line.rstrip() for line in stripped[:2]] == ["input    output", "0 1 2    0 1 2"]
    assert terminal(np.zeros(25, np.uint8)) == "(no grid)"
    assert largest([labels.reshape(-1)]) == (2, 3)
