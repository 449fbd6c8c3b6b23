"""What the process of a Slurm job does with signals and with the end of its run. Slurm is made up here."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from trm_scaling.errors import UserError
from trm_scaling.run.launch import slurm
from trm_scaling.run.launch.slurm import MOST_LOSSES, SlurmRun


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
