"""Single answers, and pairs of runs on the same puzzles."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trm_scaling.errors import UserError
from trm_scaling.results.outcomes import read_outcomes


@pytest.fixture
def runs(table: pd.DataFrame, tmp_path: Path) -> pd.DataFrame:
    """The finished runs of two experiments, in folders that a test may change."""
    chosen = table[table["experiment"].isin(["exp01a", "exp01b"])].copy()
    for index, folder in chosen["folder"].items():
        copy = shutil.copytree(folder, tmp_path / f"run{index}")
        chosen.loc[index, "folder"] = str(copy)
    return chosen


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
