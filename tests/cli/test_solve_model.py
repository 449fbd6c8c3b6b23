"""`trm solve` with a model file, from a folder without a study; `trm export`; pictures."""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.run.tiny import tiny_folder, trm
from trm_scaling.cli.app import app
from trm_scaling.errors import UserError
from trm_scaling.io.study import Study
from trm_scaling.results.record import read_record
from trm_scaling.shipped.model_file import read_model
from trm_scaling.tasks.choose import choose_puzzle
from trm_scaling.tasks.sudoku.description import SudokuData

SMALL = SudokuData(source="generated", box_rows=2, box_cols=2, givens=8)


def invoke(*arguments: str, study: Study | None = None) -> str:
    done = CliRunner().invoke(app, arguments, env={"TRM_STUDY": str(study.path) if study else None})
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_a_shipped_model_answers_where_there_is_no_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = invoke("solve", "4x4", "1... ..3. .4.. ...2", "--steps", "2")
    assert shown.startswith("your puzzle\n1 . | . .\n")
    assert "after supervision step 1: " in shown
    assert invoke("solve", "4x4", "new:3") == invoke("solve", "4x4", "new:3")
    assert invoke("solve", "4x4").startswith("new puzzle new:")


def test_it_says_the_same_with_nothing_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own the small boards' search is plain Python, from the same numbers."""
    monkeypatch.delenv("NUMBA_DISABLE_JIT")
    done = trm(tmp_path, ["solve", "6x6", "new:5"], {"NUMBA_CACHE_DIR": str(tmp_path / "numba")})
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "0")
    assert done.stderr == "loading 6x6 ...\n"
    assert done.stdout == invoke("solve", "6x6", "new:5")
    assert not (tmp_path / "numba").exists()


def test_a_finished_run_becomes_a_file_that_answers_alike(trained: Study, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    said = invoke("export", "baseline", str(file), "--profile", "smoke", study=trained)
    model = read_model(file)
    record = read_record(tiny_folder(trained).result)
    assert model.origin.identity == record.identity
    assert model.origin.step == record.best_step
    assert f"it solves {model.origin.solved} of 32" in said
    # Rounding may turn a cell, not the picture.
    assert abs(model.origin.solved - record.headline().summary["final"]["solved"]) <= 2
    puzzle = "1... ..3. .4.. ...2"
    ours = invoke("solve", str(file), puzzle)
    assert (
        ours.splitlines()[:7]
        == invoke("solve", "baseline", puzzle, "--profile", "smoke", study=trained).splitlines()[:7]
    )


def test_only_finished_runs_and_named_files_are_exported(trained: Study, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in \.safetensors"):
        invoke("export", "baseline", "mine.npz", "--profile", "smoke", study=trained)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("test:3", "a model file has none: write new:0"),
        ("new:", "no new puzzle: write new:0 to new:99999"),
        ("new:100000", "no new puzzle"),
    ],
)
def test_puzzles_that_a_file_does_not_have(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        choose_puzzle(text, SMALL, None)


def test_pictures_have_the_puzzle_and_each_step_to_the_first_that_stays_solved(tmp_path: Path) -> None:
    said = invoke("solve", "6x6", "new:33", "--save", str(tmp_path / "t.gif"))
    assert "after supervision step 2: solved" in said
    with Image.open(tmp_path / "t.gif") as picture:
        assert picture.n_frames == 3  # type: ignore[attr-defined]
        assert picture.info["loop"] == 0
    invoke("solve", "6x6", "new:33", "--save", str(tmp_path / "t.svg"))
    texts = [each.text or "" for each in ElementTree.parse(tmp_path / "t.svg").getroot().iter()]
    captions = [text for text in texts if text == "the puzzle" or re.fullmatch(r"step \d: .*", text)]
    assert len(captions) == 3
    assert captions[0] == "the puzzle"
    assert captions[1].endswith(" wrong")
    assert captions[2] == "step 2: solved"


def test_a_picture_of_another_kind_is_refused_before_anything_is_solved() -> None:
    with pytest.raises(UserError, match=r"ends in \.svg, or in \.gif"):
        invoke("solve", "4x4", "--save", "thinking.png")


def test_a_small_board_is_searched_uncompiled() -> None:
    program = (
        "import sys; from trm_scaling.cli.app import app\n"
        "try: app(['solve', '4x4', 'new:0'])\n"
        "except SystemExit: pass\n"
        "import numba; print(numba.config.DISABLE_JIT)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_DISABLE_JIT"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == "1"
