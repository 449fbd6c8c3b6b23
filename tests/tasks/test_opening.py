"""A folder that a configuration names is fitted to it, or refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from trm_scaling.errors import UserError
from trm_scaling.tasks.build import build_dataset
from trm_scaling.tasks.opening import open_named
from trm_scaling.tasks.sudoku.description import SudokuData

DATA = SudokuData(
    source="generated", box_rows=2, box_cols=2, train_size=20, num_aug=3, val_size=6, test_size=6
)


def named(path: str, **changes: object) -> SudokuData:
    return SudokuData.model_validate({**DATA.model_dump(), "path": path, **changes})


def test_other_boards_are_refused_with_both_shapes(tmp_path: Path) -> None:
    build_dataset(DATA, tmp_path / "x")
    with pytest.raises(
        UserError,
        match=r"holds 4x4 Sudoku \(box_rows=2, box_cols=2\), but .* data.box_rows=2, data.box_cols=3",
    ):
        open_named(named("x", box_cols=3), tmp_path)


@pytest.mark.parametrize("layout", ["compact", "public"])
def test_a_folder_without_validation_gives_up_its_last_puzzles(tmp_path: Path, layout: str) -> None:
    whole = build_dataset(DATA.model_copy(update={"val_size": 0}), tmp_path / "x", layout=layout)  # type: ignore[arg-type]
    if layout == "public":
        shutil.rmtree(tmp_path / "x" / "val")
        (tmp_path / "x" / "manifest.json").unlink()
    dataset = open_named(named("x", val_size=5), tmp_path)
    assert (dataset.num_puzzles, len(dataset.val)) == (15, 5)
    starts = np.arange(20) if whole.group_start is None else whole.group_start[:-1]
    np.testing.assert_array_equal(dataset.val.inputs, whole.train.inputs[starts[15:]])
    np.testing.assert_array_equal(dataset.val.labels, whole.train.labels[starts[15:]])


def test_more_validation_than_there_is_is_refused(tmp_path: Path) -> None:
    build_dataset(DATA.model_copy(update={"val_size": 0}), tmp_path / "x")
    with pytest.raises(UserError, match=r"20 training puzzles, of which data.val_size=20 cannot"):
        open_named(named("x", val_size=20), tmp_path)
