"""Why an attempt ended early, told apart because the remedies differ."""

import errno
import re
from collections.abc import Iterator
from pathlib import Path

from trm_scaling.errors import UserError
from trm_scaling.parallel.hosts import HostLost
from trm_scaling.results.attempts import FailureClass

EXIT_STATUS: dict[FailureClass, int] = {
    "configuration": 2,
    "non_finite": 65,  # EX_DATAERR
    "lost_host": 68,  # EX_NOHOST: the same command resumes
    "other": 70,  # EX_SOFTWARE
    "out_of_memory": 71,  # EX_OSERR
    "preempted": 75,  # EX_TEMPFAIL: the same command resumes
}
"""What `trm run` ends with, beside 0, and 69 when another process has the run. Numbers and names are
those of sysexits.h where it has one that fits."""

_OUT_OF_MEMORY = re.compile(r"RESOURCE_EXHAUSTED|out of memory|std::bad_alloc", re.IGNORECASE)


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
    if not isinstance(error, UserError):
        return "other"
    if isinstance(error, HostLost):
        return "lost_host"
    from trm_scaling.train.metrics import NonFiniteLoss

    return "non_finite" if isinstance(error, NonFiniteLoss) else "configuration"


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


def _is_out_of_memory(error: BaseException) -> bool:
    # XLA's error by its name: what classifies failures must not import JAX to do so.
    from_xla = type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError")
    return (
        isinstance(error, MemoryError | OutOfMemory)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (from_xla and says_out_of_memory(str(error)))
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
