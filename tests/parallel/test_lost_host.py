"""A process that is killed, hangs or fails ends the others; started again, the run ends as it would have.

What several processes compute does not depend on when they were interrupted, so the result is compared bit
for bit with that of processes that were left alone.
"""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.faults.kill_and_resume import differences
from tests.parallel.process_groups import (
    await_step,
    children,
    hold_main_thread,
    hold_still,
    process_group,
    statuses,
)
from tests.run.tiny import TRM, environment, make_study, run_command, tiny_folder
from trm_scaling.checkpoint.folder import finished_steps
from trm_scaling.parallel.hosts import HostLost
from trm_scaling.results.attempts import read_attempts

LOST = HostLost.exit_status
LONG = ("epochs=400", "eval_interval=20", "system.checkpoint_seconds=1")
"""800 steps, so that a fault comes in the middle of them."""
WITHIN = 60.0
"""Seconds in which a process group is to end."""


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_a_process_that_hangs_ends_the_others(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    overrides = (*LONG, "system.lost_host_seconds=5")
    folder = tiny_folder(study, *overrides)
    with process_group(tmp_path, 2, 1, overrides) as members:
        await_step(folder, 20, members)
        hold_still(members[1].pid)
        assert statuses(members[:1], WITHIN) == [LOST]
    (attempt,) = read_attempts(folder.attempts)
    assert attempt.failure == "lost_host"
    assert re.match(
        r"process 1 has given no sign of life for \d+ s; .* from the last save", attempt.message or ""
    )
    assert not folder.finished


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_lives_and_does_nothing_ends_all(tmp_path: Path, victim: int) -> None:
    study = make_study(tmp_path)
    overrides = (*LONG, "system.stall_seconds=5", "system.lost_host_seconds=1000")
    folder = tiny_folder(study, *overrides)
    with process_group(tmp_path, 2, 1, overrides) as members:
        await_step(folder, 20, members)
        hold_main_thread(members[victim].pid)
        # The thread that is held cannot die before it is let go.
        assert statuses([members[1 - victim]], WITHIN) == [LOST]
    (attempt,) = read_attempts(folder.attempts)
    assert attempt.failure == "lost_host"
    assert "has completed nothing for" in (attempt.message or "")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_gang_that_is_asked_saves_and_stops_together(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    folder = tiny_folder(study, *LONG)
    with process_group(tmp_path, 2, 1, LONG) as members:
        await_step(folder, 20, members)
        # Asked of one that does not decide.
        members[1].send_signal(signal.SIGTERM)
        assert statuses(members, WITHIN) == [75, 75]
    said = (tmp_path / "process-0.log").read_text()
    (step,) = map(int, re.findall(r"stopped by SIGTERM after step (\d+) of 800", said))
    assert finished_steps(folder.checkpoints)[-1] == step


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("victim", [0, 3])
@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_a_fault_in_one_of_four_ends_all(tmp_path: Path, victim: int, fault: signal.Signals) -> None:
    study = make_study(tmp_path)
    folder = tiny_folder(study, *LONG)
    with process_group(tmp_path, 4, 1, LONG) as members:
        await_step(folder, 20, members)
        os.kill(members[victim].pid, fault)
        others = [member for member in members if member is not members[victim]]
        # JAX's service lives in process 0, and ends all others the moment it is killed.
        ends = -signal.SIGABRT if (victim, fault) == (0, signal.SIGKILL) else LOST
        assert statuses(others, WITHIN) == [ends] * 3


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_launched_gang_starts_again_and_ends_as_one_left_alone(tmp_path: Path) -> None:
    def launch(folder: Path) -> subprocess.Popen[str]:
        command = [str(TRM), "launch", "local", *run_command()[1:], "system.checkpoint_seconds=1"]
        return subprocess.Popen(
            [*command, "--processes", "4"],
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    alone = make_study(tmp_path / "alone")
    done = launch(tmp_path / "alone")
    said = done.communicate()[0]
    assert done.returncode == 0, said

    study = make_study(tmp_path / "faulty")
    folder = tiny_folder(study)
    launcher = launch(tmp_path / "faulty")
    for fault, step in ((signal.SIGKILL, 10), (signal.SIGSTOP, 30)):
        await_step(folder, step, [])
        os.kill(children(launcher, 4)[2], fault)
    said = launcher.communicate()[0]
    assert launcher.returncode == 0, said
    assert said.count("; starting again") == 2
    assert "process 2 was lost: Killed (signal 9); starting again" in said
    # Process 0 was given the time to say why each attempt ended.
    attempts = read_attempts(folder.attempts)
    assert [attempt.ending for attempt in attempts] == ["lost_host", "lost_host", "finished"]
    assert all("given no sign of life" in (attempt.message or "") for attempt in attempts[:2])
    assert differences(tiny_folder(alone), folder) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_saved_by_eight_a_run_goes_on_with_two_and_with_one(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    folder = tiny_folder(study, *LONG)
    for processes, step in ((8, 10), (2, 30)):
        with process_group(tmp_path, processes, 1, LONG) as members:
            await_step(folder, step, members)
            members[0].send_signal(signal.SIGTERM)
            assert statuses(members, WITHIN) == [75] * processes
        assert finished_steps(folder.checkpoints)[-1] >= step
    saved = finished_steps(folder.checkpoints)[-1]
    done = subprocess.run(
        [TRM, *run_command(*LONG)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"resuming after step {saved}" in done.stdout
