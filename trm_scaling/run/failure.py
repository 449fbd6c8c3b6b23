"""Why an attempt ended early, told apart because the remedies differ."""

import errno
import re
from collections.abc import Iterator
from pathlib import Path

from trm_scaling.config import RunConfig
from trm_scaling.errors import UserError
from trm_scaling.io.disk_errors import DiskRefused, is_disk_refusal
from trm_scaling.io.lease import RunInUse
from trm_scaling.parallel.hosts import HostLost
from trm_scaling.results.attempts import FailureClass

EXIT_STATUS: dict[FailureClass, int] = {
    "configuration": 2,
    "non_finite": 65,  # EX_DATAERR
    "lost_host": 68,  # EX_NOHOST: the same command resumes
    "other": 70,  # EX_SOFTWARE
    "out_of_memory": 71,  # EX_OSERR
    "disk": DiskRefused.exit_status,  # EX_IOERR: the same command resumes
    "preempted": 75,  # EX_TEMPFAIL: the same command resumes
}
"""What `trm run` ends with, beside 0, and `RunInUse.exit_status`. Numbers and names are
those of sysexits.h where it has one that fits."""

EXIT_RESUMABLE = (
    EXIT_STATUS["lost_host"],
    RunInUse.exit_status,
    EXIT_STATUS["disk"],
    EXIT_STATUS["preempted"],
)
"""Ends after which the same command goes on: a lost host, a run that another process still holds, a disk or
bucket that took nothing, a request to save and stop."""

_OUT_OF_MEMORY = re.compile(r"RESOURCE_EXHAUSTED|out of memory|std::bad_alloc", re.IGNORECASE)

_OUT_OF_REACH = re.compile(r"Gloo|CoordinationService|DEADLINE_EXCEEDED")
"""How JAX says that a process did not come to where it was waited for. On a CPU it waits 30 s, and a
crowded machine may compile for longer in one process than in another."""


class OutOfMemory(UserError):
    """The device's or the machine's memory was not enough."""

    exit_status = EXIT_STATUS["out_of_memory"]


def failure_class(error: BaseException) -> FailureClass:
    """The class of what ended an attempt in this process."""
    from trm_scaling.train.interrupt import Interrupted

    if isinstance(error, Interrupted | KeyboardInterrupt):
        return "preempted"
    if any(map(_is_out_of_memory, _causes(error))):
        return "out_of_memory"
    if any(map(is_disk_refusal, _causes(error))):
        return "disk"
    if _is_from_xla(error) and _OUT_OF_REACH.search(str(error)):
        return "lost_host"
    if not isinstance(error, UserError):
        return "other"
    if isinstance(error, HostLost):
        return "lost_host"
    from trm_scaling.train.metrics import NonFiniteLoss

    return "non_finite" if isinstance(error, NonFiniteLoss) else "configuration"


def as_told(error: BaseException, config: RunConfig) -> BaseException:
    """What the user is told of `error`, which ended a run of `config`: itself, with the exit status of its
    class; what to do when memory was short, a disk full or a process out of reach; or itself, when nobody
    foresaw it."""
    failure = failure_class(error)
    if isinstance(error, UserError):
        error.exit_status = EXIT_STATUS[failure]
        return error
    if failure == "out_of_memory":
        return OutOfMemory(_memory_advice(config, error))
    if failure == "disk":
        return DiskRefused(f"{_first_line(error)}; mend it, and the same command goes on from the last save")
    if failure == "lost_host":
        return HostLost(f"{_first_line(error)}; the same command goes on from the last save")
    return error


def class_of_status(status: int) -> FailureClass:
    """The class of what a process says by its exit status."""
    # 130 is a second Ctrl-C, which somebody sent to the process itself.
    classes = {known: failure for failure, known in EXIT_STATUS.items()} | {130: "preempted"}
    return classes.get(status, "other")


def is_lost(status: int) -> bool:
    """Whether a process was lost, or ended because another one was, by its exit status as Python or a shell
    writes it. JAX's service ends all others by SIGABRT (-6 or 134) when process 0 is killed."""
    return status == EXIT_STATUS["lost_host"] or status < 0 or (status > 128 and status != 130)


def says_out_of_memory(text: str) -> bool:
    """Whether a process that the system aborted said on standard error that memory was short."""
    return _OUT_OF_MEMORY.search(text) is not None


def _memory_advice(config: RunConfig, error: BaseException) -> str:
    size = config.global_batch_size // config.micro_batches
    halve = f"system.micro_batch_size={size // 2} or " if size > 1 else ""
    return (
        f"out of memory with {size} puzzles at once ({_first_line(error)}); run it with {halve}"
        "system.remat=true, which takes longer and computes the same"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _is_from_xla(error: BaseException) -> bool:
    # By its name: what classifies failures must not import JAX to do so.
    return type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError")


def _is_out_of_memory(error: BaseException) -> bool:
    return (
        isinstance(error, MemoryError | OutOfMemory)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (_is_from_xla(error) and says_out_of_memory(str(error)))
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was raised from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


class KernelKills:
    """Counts the processes that the kernel killed for want of memory, in this process's control group
    where the kernel counts by group, else on the whole machine.
    """

    def __init__(self) -> None:
        self._claimed = _kernel_kills()

    def claim(self) -> bool:
        """Whether a process that was just found killed may have been killed by the kernel.

        Each kill since this object was made explains one process. False where nothing is counted.
        """
        now = _kernel_kills()
        if now is None or self._claimed is None or now <= self._claimed:
            return False
        self._claimed += 1
        return True


def _kernel_kills() -> int | None:
    for path in _counters():
        try:
            words = path.read_text().split()
        except OSError:
            continue
        if "oom_kill" in words:
            return int(words[words.index("oom_kill") + 1])
    return None


def _counters() -> Iterator[Path]:
    """Files that say it, the better one first: version 2 of control groups has one for each."""
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        groups = []
    for line in groups:
        if line.startswith("0::"):
            yield Path("/sys/fs/cgroup") / line.removeprefix("0::/") / "memory.events"
    yield Path("/proc/vmstat")
