"""One process that trains one run, in a session of its own: it outlives the runner and its terminal."""

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from trm_scaling.io.lease import Lease, launch
from trm_scaling.io.process import ProcessId
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.secrets import masked_arguments
from trm_scaling.results.attempts import read_attempts
from trm_scaling.run.batch.exit_reason import End, end_of
from trm_scaling.run.failure import KernelKills

_SHARED_MEMORY = 0.9
"""Of a GPU's memory, divided among the workers on it; the rest is for their contexts and libraries."""

_MEMORY_SETTINGS = (
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "XLA_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
    "XLA_PYTHON_CLIENT_ALLOCATOR",
)


@dataclass(frozen=True)
class Slot:
    """One worker's place."""

    number: int
    cores: frozenset[int] = frozenset()
    """Processor cores; empty: whichever the system gives."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables for the worker, beside those of this process."""

    def pin(self, pid: int) -> None:
        """Keep a process that has just been started, and all that it starts, on the slot's cores."""
        if self.cores and hasattr(os, "sched_setaffinity"):
            try:
                os.sched_setaffinity(pid, self.cores)
            except ProcessLookupError:
                return


_ERRORS_READ = 1 << 16
_TITLE = "\n== "
"""Begins the line that separates attempts in a log."""


class Worker:
    """A process at work on a run: one that was started here, or one whose runner died."""

    def __init__(
        self,
        folder: RunFolder,
        slot: int,
        kills: KernelKills,
        attempts_before: int,
        process: "subprocess.Popen[bytes] | ProcessId",
        lead: RunFolder | None = None,
    ) -> None:
        """`process`: an identifier where this process is not its parent. `lead`: of the run that the process
        trains too, writes the logs of and is asked to stop for."""
        self.slot = slot
        """Number of the place that it takes up."""
        self._folder = folder
        self._kills = kills
        self._attempts_before = attempts_before
        self._process = process
        self._lead = lead

    def ended(self) -> End | None:
        """How the run ended; None while its process goes on."""
        status = None
        if isinstance(self._process, ProcessId):
            if self._process.lives:
                return None
        elif (status := self._process.poll()) is None:
            return None
        errors = last_errors(self._lead or self._folder)
        return end_of(status, self._folder, errors, self._kills, self._attempts_before)

    def terminate(self) -> None:
        """Ask it to save and end."""
        if self._is_asked:
            os.kill(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it and all that it started, now. A worker leads its session, so its group is all that."""
        if self._is_asked:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    @property
    def _is_asked(self) -> bool:
        if self._lead is not None:
            return False
        process = self._process
        return bool(process.lives) if isinstance(process, ProcessId) else process.poll() is None


def start_workers(
    folders: Sequence[RunFolder], slot: Slot, command: Sequence[str], kills: KernelKills
) -> list[Worker]:
    """Start one process that trains the runs of all `folders`, and writes into the logs of the first.

    Raises RunInUse when somebody else works in one of the folders, and UserError when the disk refuses.
    """
    lead, *others = folders
    before = [len(read_attempts(each.attempts)) for each in folders]
    with ExitStack() as opened:
        grants = [opened.enter_context(launch(each.path, slot.number)) for each in folders]
        title = _title(command)
        for each in folders:
            # Whatever lies here from now on is about this attempt.
            each.failure.unlink(missing_ok=True)
            for log in (each.stdout, each.stderr):
                with log.open("ab") as file:
                    file.write(title)
        for each in others:
            with each.stdout.open("ab") as file:
                file.write(f"trained as one program with {lead.path}, and says all in its logs\n".encode())
        output, errors = (opened.enter_context(log.open("ab")) for log in (lead.stdout, lead.stderr))
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env={**os.environ, **slot.environment},
            start_new_session=True,
        )
        slot.pin(process.pid)
        for grant in grants:
            grant(process.pid)
    return [
        Worker(each, slot.number, kills, attempts, process, None if each is lead else lead)
        for each, attempts in zip(folders, before, strict=True)
    ]


def is_orphan(lease: Lease) -> bool:
    """Whether the lease's owner works on this machine for a runner that is gone."""
    return lease.owner.is_here and lease.launcher is not None and lease.launcher.lives is False


def adopted(folder: RunFolder, lease: Lease, kills: KernelKills) -> Worker:
    """The worker that holds `lease`, found at work by the next runner on the same machine."""
    before = max(0, len(read_attempts(folder.attempts)) - 1)
    return Worker(folder, lease.slot or 0, kills, before, lease.owner)


def last_errors(folder: RunFolder) -> str:
    """The end of what the newest attempt said on standard error, at most 64 KiB."""
    try:
        with folder.stderr.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _ERRORS_READ))
            text = "\n" + file.read().decode(errors="replace")
    except OSError:
        return ""
    _, title, rest = text.rpartition(_TITLE)
    return rest.partition("\n")[2] if title else text[1:]


def _title(command: Sequence[str]) -> bytes:
    """What separates attempts in a log."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return f"{_TITLE[1:]}{now} {shlex.join(masked_arguments(command))}\n".encode()


def make_slots(
    jobs: int, cores: Sequence[int], gpus: Sequence[str], environ: Mapping[str, str]
) -> list[Slot]:
    """`jobs` places on a machine with these cores and NVIDIA GPUs.

    Cores are dealt out in equal runs, GPUs in turn. Workers that share a GPU share its memory, which
    JAX would otherwise take for the first of them, unless `environ` already says how. One job
    alone gets the machine as it is.
    """
    if jobs == 1:
        return [Slot(0)]
    slots = []
    for number in range(jobs):
        environment = {}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
            sharing = len(range(number % len(gpus), jobs, len(gpus)))
            if sharing > 1 and not any(name in environ for name in _MEMORY_SETTINGS):
                environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{_SHARED_MEMORY / sharing:.3f}"
        slots.append(Slot(number, _share(cores, number, jobs), environment))
    return slots


def visible_gpus(environ: Mapping[str, str], proc: Path = Path("/proc/driver/nvidia/gpus")) -> list[str]:
    """The NVIDIA GPUs that workers may use, as CUDA_VISIBLE_DEVICES names them."""
    chosen = environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    return [str(number) for number, _ in enumerate(proc.glob("*"))]


def _share(cores: Sequence[int], number: int, jobs: int) -> frozenset[int]:
    if not cores:
        return frozenset()
    if jobs > len(cores):
        return frozenset({cores[number % len(cores)]})
    return frozenset(cores[number * len(cores) // jobs : (number + 1) * len(cores) // jobs])
