"""A truncated checkpoint costs the steps after the one before it, and never more."""

from pathlib import Path

import pytest

from tests.faults.kill_and_resume import differences
from tests.run.tiny import copy_of, run_command, tiny_folder, trm
from trm_scaling.checkpoint.folder import finished_steps, step_folder
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study


def unfinished(study: Study, folder: Path) -> tuple[Study, RunFolder]:
    """A copy of a finished study as it was just before its record was written."""
    copy = copy_of(study, folder)
    run = tiny_folder(copy)
    run.result.unlink()
    run.test_outcomes.unlink()
    return copy, run


def truncate(run: RunFolder, step: int) -> None:
    """Cut the largest file of a checkpoint in half."""
    files = [path for path in step_folder(run.checkpoints, step).rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])


def test_the_newest_truncated_is_said_in_a_line_and_the_one_before_it_is_used(
    trained: Study, tmp_path: Path
) -> None:
    copy, run = unfinished(trained, tmp_path / "copy")
    *_, before, newest = finished_steps(run.checkpoints)
    truncate(run, newest)
    done = trm(copy.data_root, run_command())
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        f"warning: checkpoint {step_folder(run.checkpoints, newest)} is damaged and not used: "
    )
    assert line.endswith(f"it is kept as {newest:08d}.damaged-1")
    assert f"resuming after step {before}" in done.stdout
    assert differences(tiny_folder(trained), run) == []


@pytest.mark.e2e
def test_all_truncated_is_one_message_and_then_it_starts_anew(trained: Study, tmp_path: Path) -> None:
    copy, run = unfinished(trained, tmp_path / "copy")
    steps = finished_steps(run.checkpoints)
    for step in steps:
        truncate(run, step)
    done = trm(copy.data_root, run_command())
    assert done.returncode == 2
    *warnings, error = done.stderr.splitlines()
    assert all(line.startswith("warning: checkpoint ") for line in warnings)
    assert len(warnings) == len(steps)
    assert error.startswith(
        f"error: None of the checkpoints in {run.checkpoints} can be used: {len(steps)} found"
    )
    assert "run the training command again to start anew" in error
    assert {path.name for path in run.checkpoints.iterdir()} == {f"{step:08d}.damaged-1" for step in steps}
    again = trm(copy.data_root, run_command())
    assert again.returncode == 0, again.stderr
    assert "training from step 0 to 60" in again.stdout
    assert differences(tiny_folder(trained), run) == []
