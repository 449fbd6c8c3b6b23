"""Several processes of this machine that train the tiny run as one."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.run.tiny import TRM, environment, run_command
from trm_scaling.io.jsonl import read_jsonl
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.run.launch.supervisor import free_port, virtual_devices


@contextmanager
def process_group(
    folder: Path, processes: int, devices: int, overrides: Sequence[str], of_last: Sequence[str] = ()
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The tiny run in `processes` x `devices`, started without a launcher; killed at the end. `of_last` are
    overrides that the last process alone is given."""
    who = ["--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", str(processes)]
    variables = environment() | virtual_devices(devices, {})
    members = []
    try:
        for index in range(processes):
            with (folder / f"process-{index}.log").open("ab") as log:
                fields = [*overrides, *(of_last if index == processes - 1 else [])]
                command = [str(TRM), *run_command(*fields), *who, "--process-id", str(index)]
                members.append(
                    subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=subprocess.STDOUT)
                )
        yield members
    finally:
        for member in members:
            member.kill()
            member.wait()


def await_step(folder: RunFolder, step: int, alive: Sequence[subprocess.Popen[bytes]]) -> None:
    """Return once the run has recorded `step`."""
    while True:
        lines = read_jsonl(folder.metrics).records if folder.metrics.exists() else []
        if lines and lines[-1]["step"] >= step:
            return
        assert all(each.poll() is None for each in alive), "the process group ended before"
        time.sleep(0.05)


def statuses(members: Sequence[subprocess.Popen[bytes]], seconds: float) -> list[int | None]:
    """How each has ended within `seconds`; None where it has not."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and any(each.poll() is None for each in members):
        time.sleep(0.1)
    return [each.poll() for each in members]


def children(launcher: subprocess.Popen[str], count: int) -> list[int]:
    """The numbers of the processes that `launcher` has started, in order."""
    while True:
        found = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
        if len(found) == count:
            return [int(pid) for pid in found]
        assert launcher.poll() is None
        time.sleep(0.05)


def hold_main_thread(pid: int) -> None:
    """Stop the main thread alone, as a debugger does, until the calling thread ends: the others live on.

    Skips the test where this is not allowed.
    """
    attach = 16  # PTRACE_ATTACH
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(attach, pid, None, None) != 0:
        pytest.skip(f"this process may not trace its children: {os.strerror(ctypes.get_errno())}")
    os.waitpid(pid, os.WUNTRACED)


def hold_still(pid: int) -> None:
    """SIGSTOP: it lives, and does nothing."""
    os.kill(pid, signal.SIGSTOP)
