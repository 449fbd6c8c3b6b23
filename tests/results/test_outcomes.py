"""Single answers, and pairs of runs on the same puzzles."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trm_scaling.errors import UserError
from trm_scaling.results.outcomes import paired_outcomes, read_outcomes


@pytest.fixture
def runs(table: pd.DataFrame, tmp_path: Path) -> pd.DataFrame:
    """The finished runs of two experiments, in folders that a test may change."""
    chosen = table[table["experiment"].isin(["exp01a", "exp01b"])].copy()
    for index, folder in chosen["folder"].items():
        copy = shutil.copytree(folder, tmp_path / f"run{index}")
        chosen.loc[index, "folder"] = str(copy)
    return chosen


def side(runs: pd.DataFrame, name: str) -> pd.DataFrame:
    return runs[runs["experiment"] == name]


def rewrite(folder: str, **changes: np.ndarray) -> None:
    path = Path(folder) / "test_outcomes.npz"
    with np.load(path) as file:
        arrays = dict(file) | changes
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def test_outcomes_are_those_of_the_headline(table: pd.DataFrame) -> None:
    row = table[table["experiment"] == "exp01a"].iloc[0]
    outcomes = read_outcomes(Path(row["folder"]))
    assert outcomes.solved_at_last.sum() == row["test_solved"]
    assert outcomes.halt_step.mean() == pytest.approx(row["halting_mean_steps"])
    assert outcomes.test_fingerprint == row["data_fingerprint"]
    assert len(outcomes.rating) == row["test_total"]


def test_runs_are_paired_by_seed(runs: pd.DataFrame) -> None:
    one, other = side(runs, "exp01a"), side(runs, "exp01b").iloc[::-1]
    pairs = paired_outcomes(one, other)
    assert pairs.seeds == (0, 1)
    assert pairs.solved_a.sum(1).tolist() == one["test_solved"].tolist()
    assert pairs.solved_b.sum(1).tolist() == other["test_solved"].tolist()[::-1]
    assert pairs.unpaired == ()


def test_a_seed_of_one_side_alone_is_said_to_be_left_out(runs: pd.DataFrame) -> None:
    one, other = side(runs, "exp01a"), side(runs, "exp01b").iloc[:1]
    pairs = paired_outcomes(one, other)
    assert pairs.seeds == (0,)
    assert pairs.unpaired == (f"{one['folder'].iloc[1]}: no run of the other with its seed",)


def test_runs_on_other_puzzles_are_no_pair(runs: pd.DataFrame) -> None:
    one, other = side(runs, "exp01a"), side(runs, "exp01b")
    rewrite(other["folder"].iloc[0], data_fingerprint=np.array("another"))
    pairs = paired_outcomes(one, other)
    assert pairs.seeds == (1,)
    assert "test splits differ" in pairs.unpaired[0]
    rewrite(other["folder"].iloc[1], data_fingerprint=np.array("another"))
    with pytest.raises(UserError, match="test splits differ"):
        paired_outcomes(one, other)


def test_the_same_test_puzzles_pair_runs_of_other_training_puzzles(runs: pd.DataFrame) -> None:
    one, other = side(runs, "exp01a"), side(runs, "exp01b")
    for each in (one, other):
        rewrite(each["folder"].iloc[0], test_fingerprint=np.array("test"))
    rewrite(other["folder"].iloc[0], data_fingerprint=np.array("another"))
    assert paired_outcomes(one, other).seeds == (0, 1)
    rewrite(other["folder"].iloc[0], test_fingerprint=np.array("other"))
    assert paired_outcomes(one, other).seeds == (1,)


def test_without_folders_there_is_nothing_to_pair(runs: pd.DataFrame) -> None:
    one = side(runs, "exp01a")
    with pytest.raises(UserError, match="no finished runs in folders here"):
        paired_outcomes(one[["experiment"]], one[["experiment"]])


def test_outcomes_that_cannot_be_read_are_refused(runs: pd.DataFrame) -> None:
    folder = runs["folder"].iloc[0]
    path = Path(folder) / "test_outcomes.npz"
    whole = path.read_bytes()
    half = len(whole) // 2
    flipped = bytes(255 - each for each in whole[half : half + 500])
    rewrite(folder, halt_step=np.array([1]))
    with pytest.raises(UserError, match="holds no outcomes"):
        read_outcomes(Path(folder))
    for broken in (whole[:200], b"", b"text", whole[:half] + flipped + whole[half + 500 :]):
        path.write_bytes(broken)
        with pytest.raises(UserError, match="cannot be read"):
            read_outcomes(Path(folder))
    path.unlink()
    with pytest.raises(UserError, match="is not there"):
        read_outcomes(Path(folder))
