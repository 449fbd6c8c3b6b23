"""Which process wrote a file, and whether it still lives: a number alone is used again by the system."""

import os
import socket
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class ProcessId:
    """One process among all that ever ran."""

    host: str
    """Name of its machine, for people."""
    machine: str
    """The boot of the kernel and the process namespace in which `pid` counts; containers have their own."""
    pid: int
    started: str
    """When it began, as the system tells it: another process of the same number began at another time."""

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The process `pid` of this machine; None when it has ended (a zombie has)."""
        started = _started(pid)
        return None if started is None else cls(socket.gethostname(), _machine(), pid, started)

    @classmethod
    def this(cls) -> Self:
        """The calling process."""
        own = cls.of(os.getpid())
        assert own is not None, "the calling process lives"
        return own

    @classmethod
    def read(cls, values: Any) -> Self | None:
        """What `asdict` made of one, or None when `values` is something else."""
        try:
            return cls(
                str(values["host"]), str(values["machine"]), int(values["pid"]), str(values["started"])
            )
        except (KeyError, TypeError, ValueError):
            return None

    @property
    def is_here(self) -> bool:
        """Whether it ran on this machine since it was booted, so that its life can be known."""
        return self.machine == _machine()

    @property
    def lives(self) -> bool | None:
        """Whether it still exists, be it stopped; None on another machine, where nobody here can tell."""
        return _started(self.pid) == self.started if self.is_here else None

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def stands_still(pid: int) -> bool:
    """Whether the process `pid` of this machine was stopped by a signal and not continued: it lives, does
    nothing, and answers no request. False when there is none."""
    return (_state(pid) or ("",))[0].startswith("T")


@cache
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        # Not Linux: no containers of our own kernel to be told apart.
        return socket.gethostname()


def _started(pid: int) -> str | None:
    """When the process began; None when there is none."""
    found = _state(pid)
    return None if found is None else found[1]


def _state(pid: int) -> tuple[str, str] | None:
    """The letter of what the process does now, and when it began; None when there is none."""
    if not Path("/proc/self/stat").exists():
        listed = subprocess.run(
            ["ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        state, _, began = listed.stdout.strip().partition(" ")
        return None if not began or state.startswith("Z") else (state, began.strip())
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The name stands in parentheses and may hold anything, so count from the last one:
    # state is field 3, the start in clock ticks since the boot field 22 (proc_pid_stat(5)).
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else (fields[0], fields[19])
