"""What is asked of Slurm, and what it says when it cannot be asked. A real one is in `test_real_slurm.py`."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest
from typer.testing import CliRunner

from tests.run.tiny import make_study
from trm_scaling.cli.app import app
from trm_scaling.errors import UserError
from trm_scaling.run.launch import slurm
from trm_scaling.run.launch.slurm import Cluster, SlurmRun, parameters, submit
from trm_scaling.run.launch.supervisor import MOST_LOSSES


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


@pytest.fixture
def queued_again() -> Iterator[list[int]]:
    """What submitit hears, which then has a job queued again."""
    heard: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        sys.exit(-1)

    before = signal.signal(signal.SIGUSR2, hear)
    yield heard
    signal.signal(signal.SIGUSR2, before)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets what Slurm says of the job; it begins RUNNING."""
    squeue, said = tmp_path / "squeue", tmp_path / "state"
    squeue.write_text(f'#!/bin/sh\ntest "$2" = --jobs=7 && cat {said}\n')
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    said.write_text("RUNNING\n")

    def set_to(state: str) -> None:
        said.write_text(f"{state}\n")

    return set_to


def ends(status: int | str) -> list[str]:
    """A run that ends so at once; with a string as its status, by that signal."""
    act = f"os.kill(os.getpid(), signal.{status})" if isinstance(status, str) else f"sys.exit({status})"
    return [sys.executable, "-c", f"import os, signal, sys; {act}"]


def asked(folder: Path, status: int, *signals: signal.Signals) -> list[str]:
    """A run that ends with `status` once it is asked to; `signals` come here, and there, when it is ready."""
    ready = folder / "ready"
    program = (
        "import os, pathlib, signal, sys, time\n"
        f"def save(*_): pathlib.Path({str(folder / 'saved')!r}).touch(); sys.exit({status})\n"
        "signal.signal(signal.SIGTERM, save)\n"
        f"pathlib.Path({str(ready)!r}).write_text(str(os.getpid())); time.sleep(60)"
    )

    def send() -> None:
        while not (ready.exists() and ready.read_text()):
            time.sleep(0.01)
        for number in signals:
            # Slurm signals every process of a step.
            os.kill(os.getpid(), number)
            os.kill(int(ready.read_text()), number)

    threading.Thread(target=send).start()
    return [sys.executable, "-c", program]


Again = list[int]
State = Callable[[str], None]


def test_a_run_that_ends_well_says_nothing(queued_again: Again, state: State) -> None:
    SlurmRun(ends(0))()
    assert queued_again == []


def test_a_run_that_somebody_stopped_has_not_failed(queued_again: Again, state: State) -> None:
    SlurmRun(ends(75))()
    assert queued_again == []


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_a_job_that_is_to_go_saves_and_is_queued_again(
    tmp_path: Path, queued_again: Again, state: State, number: signal.Signals
) -> None:
    with pytest.raises(SystemExit):
        SlurmRun(asked(tmp_path, 75, number))()
    assert (tmp_path / "saved").exists()
    assert queued_again == [signal.SIGUSR2]


def test_a_job_of_an_array_asks_about_itself_alone(
    tmp_path: Path, queued_again: Again, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One job of an array has the array's own number: `squeue --jobs=7` would list all of them."""
    squeue = tmp_path / "squeue"
    squeue.write_text(squeue.read_text().replace("--jobs=7 &&", "--jobs=7_2 || echo PENDING;"))
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    with pytest.raises(SystemExit):
        SlurmRun(asked(tmp_path, 75, signal.SIGUSR2))()
    assert queued_again == [signal.SIGUSR2]


def test_a_job_that_slurm_ends_is_left_to_slurm(tmp_path: Path, queued_again: Again, state: State) -> None:
    state("COMPLETING")
    with pytest.raises(SystemExit, match="75"):
        SlurmRun(asked(tmp_path, 75, signal.SIGTERM))()
    assert queued_again == []


def test_a_run_that_fails_is_not_queued_again(tmp_path: Path, queued_again: Again, state: State) -> None:
    with pytest.raises(UserError, match="ended with status 2"):
        SlurmRun(ends(2))()
    with pytest.raises(UserError, match="ended with status 65"):
        SlurmRun(asked(tmp_path, 65, signal.SIGUSR2))()
    assert queued_again == []


@pytest.mark.parametrize("lost", [68, 134, "SIGKILL", "SIGABRT"])
def test_a_job_that_lost_a_process_is_queued_again_a_few_times(
    queued_again: Again, state: State, lost: int | str
) -> None:
    pytest.importorskip("submitit", reason="takes the extra [slurm]")
    run = SlurmRun(ends(lost))
    for _ in range(MOST_LOSSES):
        with pytest.raises(SystemExit):
            run()
        run = run.checkpoint().function
    with pytest.raises(UserError, match=f"queued again {MOST_LOSSES} times before"):
        run()
    assert len(queued_again) == MOST_LOSSES


def test_what_is_preempted_has_lost_nothing(tmp_path: Path, queued_again: Again, state: State) -> None:
    pytest.importorskip("submitit", reason="takes the extra [slurm]")
    run = SlurmRun(asked(tmp_path, 68, signal.SIGUSR2), losses=1)
    with pytest.raises(SystemExit):
        run()
    assert run.checkpoint().function.losses == 1


def test_the_first_process_of_a_job_decides_and_the_others_give_it_time(
    queued_again: Again, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setattr(slurm.time, "sleep", waits.append)
    with pytest.raises(UserError, match="ended with status 68"):
        SlurmRun(ends(68))()
    assert queued_again == []
    assert waits[-1] == slurm.PARTING_SECONDS
