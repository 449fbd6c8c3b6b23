"""What is asked of Slurm, and what it says when it cannot be asked. A real one is in `test_real_slurm.py`."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.run.tiny import make_study
from trm_scaling.cli.app import app
from trm_scaling.errors import UserError
from trm_scaling.run.launch.slurm import Cluster, parameters, submit


def test_what_is_not_asked_for_is_left_to_the_cluster() -> None:
    asked = parameters(Cluster(nodes=4, gpus_per_node=8, partition="gpu"), "trm")
    assert asked == {
        "job_name": "trm",
        "nodes": 4,
        "ntasks_per_node": 1,
        "gpus_per_node": 8,
        "time": 1440,
        "partition": "gpu",
        "array_parallelism": 256,
        "signal_delay_s": 120,
        "srun_args": ["--kill-on-bad-exit=1"],
        "additional_parameters": {"requeue": True},
    }


def test_names_of_one_configuration_are_one_job(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    asked = ["launch", "slurm", "baseline", "exp02b_03", "exp02b_01", "--profile", "smoke", "--dry-run"]
    said = CliRunner().invoke(app, [*asked, "--study", str(study.path)]).stdout
    assert [line.split(" run ")[1].split()[0] for line in said.splitlines() if line.startswith("srun ")] == [
        "baseline",
        "exp02b_01",
    ]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that alone is searched for commands, but for the system's own."""
    pytest.importorskip("submitit", reason="takes the extra [slurm]")
    folder = tmp_path / "commands"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put(command: Path, script: str) -> None:
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)


def test_a_machine_without_slurm(commands: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no sbatch and no srun on this machine.*--dry-run.*Nothing was queued"
    ):
        submit([["true"]], Cluster(), "trm", tmp_path / "logs")


def test_what_slurm_refuses_is_said_once_in_its_words(
    commands: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    refusal = "sbatch: error: Job violates accounting/QOS policy (job submit limit)"
    put(commands / "srun", "")
    put(commands / "sbatch", f"echo '{refusal}' >&2; exit 1")
    with pytest.raises(UserError) as told:
        submit([["true"], ["true"]], Cluster(), "trm", tmp_path / "logs")
    assert refusal in str(told.value)
    assert str(told.value).endswith("Nothing was queued")
    assert capfd.readouterr().err == ""


def test_what_was_queued_before_the_disk_failed_can_be_found(commands: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    put(commands / "srun", "")
    # What the job is to do lies under its number only once Slurm has said that.
    put(
        commands / "sbatch",
        f"{os.path.realpath('/bin/mkdir')} {logs}/7_submitted.pkl; echo Submitted batch job 7",
    )
    with pytest.raises(UserError, match=r"squeue --me --name=trm.*scancel --me --name=trm"):
        submit([["true"]], Cluster(), "trm", logs)
