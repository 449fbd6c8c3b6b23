"""What is asked of a session, with a real tmux of its own: followed, stopped, ended, never mistaken."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.run.launch.launches import LAUNCH, script_of, shell
from trm_scaling.run.launch import tpu_vm
from trm_scaling.run.launch.tpu_vm import Session

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux here")

# Saves at Ctrl-C for half a second, and ends with status 75; ends by itself once a file is there.
RUN = """\
import os, pathlib, signal, sys, time
def save(*_):
    time.sleep(0.5); print("saved", flush=True); sys.exit(75)
signal.signal(signal.SIGINT, save)
print("works", flush=True)
while not pathlib.Path("../enough").exists(): time.sleep(0.02)
print("done", flush=True)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A worker's home, with code that plays a run, and a tmux server of its own."""
    code = tmp_path / LAUNCH.code
    (code / ".venv" / "bin").mkdir(parents=True)
    (code / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (code / "kellen" / "experiments").mkdir(parents=True)
    (code / "kellen" / "experiments" / "train_tpu.py").write_text(RUN)
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.setenv("TMUX_TMPDIR", str(tmp_path))
    # A server that outlives its sessions and is ended by its own number.
    subprocess.run(["tmux", "new-session", "-d", "-s", "trm-2", "sleep 120"], check=True)
    # A plain shell, unlike bash, does not wait for what it runs when Ctrl-C comes.
    subprocess.run(["tmux", "set-option", "-g", "default-shell", "/bin/sh"], check=True)
    yield tmp_path
    subprocess.run(["tmux", "kill-server"], check=False)


def log(home: Path) -> list[str]:
    file = home / "trm.log"
    return file.read_text().splitlines() if file.exists() else []


def await_line(home: Path, text: str) -> None:
    while not any(line.startswith(text) for line in log(home)):
        time.sleep(0.02)


def lives(name: str) -> bool:
    return subprocess.run(["tmux", "has-session", "-t", f"={name}"], capture_output=True).returncode == 0


def started(home: Path) -> None:
    done = shell(tpu_vm.start(LAUNCH), home)
    assert done.stdout.startswith("trm-started "), done.stderr
    await_line(home, "works")


def test_a_session_whose_name_begins_alike_is_another_one(home: Path) -> None:
    """`trm-2` runs, `trm` does not: it is free, and nothing is stopped or ended."""
    session = LAUNCH.session
    assert shell(tpu_vm.check_free(session), home).stdout.startswith("trm-free ")
    for step in (tpu_vm.stop(session), tpu_vm.end(session)):
        assert shell(step, home).stdout.startswith("trm-none ")
    assert lives("trm-2")
    taken = shell(tpu_vm.check_free(Session(LAUNCH.pod, "trm-2")), home)
    assert (taken.returncode, taken.stderr.split(" on ")[0]) == (1, "tmux session trm-2 runs already")


def test_a_run_that_is_stopped_saves_and_its_status_stands_in_the_log(home: Path) -> None:
    started(home)
    assert shell(tpu_vm.stop(LAUNCH.session), home).stdout.startswith("trm-asked ")
    await_line(home, "trm-ended")
    assert log(home)[1:] == ["works", "saved", "trm-ended 75"]


def test_a_run_that_is_ended_at_once_says_no_status(home: Path) -> None:
    started(home)
    assert shell(tpu_vm.end(LAUNCH.session), home).stdout.startswith("trm-killed ")
    assert not lives("trm")
    assert tpu_vm.status_said(log(home)) is None


def test_following_ends_with_the_run_and_shows_all_of_it(home: Path) -> None:
    started(home)
    follow = subprocess.Popen(
        ["sh", "-c", script_of(tpu_vm.follow(LAUNCH.session))],
        cwd=home,
        env=os.environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    with follow:
        (home / "enough").touch()
        said = follow.communicate()[0].splitlines()
    assert said[1:] == ["works", "done", "trm-ended 0"]
    # It has ended: the last of what it said, again.
    again = shell(tpu_vm.follow(LAUNCH.session), home)
    assert again.stdout.splitlines() == said
    assert tpu_vm.status_said(said) == 0
