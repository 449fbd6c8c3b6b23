"""A full disk stops a run with one message, and costs nothing that was saved."""

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.kill_and_resume import differences, finish
from tests.run.tiny import SAVE_ALWAYS, TRM, environment, make_study, run_command, tiny_folder, trm
from trm_scaling.checkpoint.folder import finished_steps
from trm_scaling.io.study import Study


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=24m", "none", folder]).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    """Write a file until nothing more goes in."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            pass
    return filler


def one_message(stderr: str) -> str:
    """The only line of a process's standard error, but for what a slow build says of its progress."""
    lines = [line for line in stderr.splitlines() if not re.fullmatch(r"[a-z ]+: [\d,]+ of [\d,]+", line)]
    (line,) = lines
    assert line.startswith("error: ")
    assert "no space left on the disk or in the quota" in line
    assert "Free some space and run the same command again." in line
    return line


LATER = [pytest.param(delay, marks=pytest.mark.slow) for delay in (0.001, 0.003, 0.006, 0.01, 0.02)]


@pytest.mark.e2e
@pytest.mark.parametrize("delay", [0.0, *LATER])
def test_a_disk_that_fills_up_costs_nothing_that_was_saved(
    small_disk: Path, trained: Study, delay: float
) -> None:
    study = make_study(small_disk)
    folder = tiny_folder(study)
    run = subprocess.Popen(
        [TRM, *run_command(SAVE_ALWAYS)], cwd=small_disk, env=environment(), stderr=subprocess.PIPE, text=True
    )
    # In the middle of a save, when some of its files are written and some are not.
    while not (finished_steps(folder.checkpoints) and any(folder.checkpoints.glob("*.partial/arrays*"))):
        assert run.poll() is None, run.communicate()
        time.sleep(0.0005)
    time.sleep(delay)
    run.send_signal(signal.SIGSTOP)
    saved = max(finished_steps(folder.checkpoints))
    filler = fill(small_disk)
    run.send_signal(signal.SIGCONT)
    _, said = run.communicate()
    assert run.returncode == 74
    assert str(folder.path) in one_message(said)
    assert max(finished_steps(folder.checkpoints)) >= saved

    again = trm(small_disk, run_command(SAVE_ALWAYS))
    assert again.returncode == 74
    assert str(folder.path) in one_message(again.stderr)

    filler.unlink()
    assert differences(tiny_folder(trained), finish(study)) == []
