"""A run that no batch started keeps a log where the seed's `tail -f` and `trm logs` look for it."""

import io
import sys
from pathlib import Path

import pytest

from tests.run.tiny import environment, make_study, run_command, tiny_folder, trm
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.run.batch.logs import own_log
from trm_scaling.run.reporters import LoggingReporter, LogReporter


@pytest.mark.e2e
def test_a_single_run_keeps_a_log_that_is_found(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    done = trm(study.data_root, run_command(), {"WANDB_MODE": "disabled"})
    assert done.returncode == 0, done.stderr
    assert "Weights & Biases: off" in done.stdout
    link = study.batch_logs / "baseline_stdout.log"
    log = link.read_text()
    assert link.resolve() == tiny_folder(study).stdout.resolve()
    shown = done.stdout.splitlines()
    # The same lines: what is shown before the first step, evaluations, and the result.
    assert log.splitlines()[0].startswith("==== ")
    for line in shown:
        assert line in log
    said = trm(study.data_root, ["logs", "baseline"])
    assert said.stdout == log
    # The finished run is shown again, and nothing is added.
    again = trm(study.data_root, run_command(), {"WANDB_MODE": "disabled"})
    assert again.returncode == 0
    assert link.read_text() == log
    assert environment()


def test_an_error_is_in_the_log_too_and_nothing_before_the_first_step(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    with own_log(Study(tmp_path / "kellen"), ["mine", "mine"], 0, True) as open_log:
        reporter = LoggingReporter(LogReporter(), lambda: open_log(folder))
        reporter.note("before")
        assert not folder.stdout.exists()
        reporter.started(0, 10)
        reporter.log("UserError: the disk is full")
    lines = folder.stdout.read_text().splitlines()
    assert [line.split(" ")[0] for line in lines] == ["====", "before", "training", "UserError:"]
    assert (
        tmp_path / "kellen" / "logs" / "batch_runs" / "mine_stdout.log"
    ).resolve() == folder.stdout.resolve()


def test_a_worker_s_output_is_the_log_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path)
    with folder.stdout.open("w") as output, own_log(Study(tmp_path), ["a"], 0, True) as open_log:
        monkeypatch.setattr(sys, "stdout", output)
        assert open_log(folder) is None
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert folder.stdout.read_text() == ""


def test_a_disk_that_refuses_the_log_ends_no_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "gone")
    with (
        own_log(Study(tmp_path), ["a"], 0, True) as open_log,
        pytest.warns(UserWarning, match="is not written"),
    ):
        assert open_log(folder) is None
