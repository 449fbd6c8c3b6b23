"""What each worker of a pod does: its experiments one after another, each again when a host was lost.

All workers do the same, so they meet again at the start of every run.
"""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from trm_scaling.config.system import SystemConfig
from trm_scaling.io.process import stands_still
from trm_scaling.parallel.hosts import parting_seconds
from trm_scaling.run.failure import EXIT_STATUS, is_lost

LOST, STOPPED = EXIT_STATUS["lost_host"], EXIT_STATUS["preempted"]

POLL_SECONDS = 0.2

PARTING_SECONDS = parting_seconds(SystemConfig())
"""How long the other workers' runs may go on after this one's was lost, as the defaults have it."""


@dataclass
class _Requests:
    """Signals that ask this worker to stop, and who is to hear them."""

    came: list[int] = field(default_factory=list)
    _child: "subprocess.Popen[bytes] | None" = None
    _was_missed: bool = False

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Pass SIGTERM on. Ctrl-C the terminal sends to the child too."""
        self.came.append(number)
        if number == signal.SIGTERM:
            if self._child is None:
                self._was_missed = True
            else:
                self._child.send_signal(number)

    @contextmanager
    def to(self, child: "subprocess.Popen[bytes]") -> Iterator[None]:
        """For the block, `child` hears them, and what came while it was being started."""
        self._child = child
        if self._was_missed:
            child.send_signal(signal.SIGTERM)
        self._was_missed = False
        try:
            yield
        finally:
            self._child = None


def run_all(
    commands: Sequence[Sequence[str]],
    restarts: int,
    note: Callable[[str], None],
    pause: Callable[[float], None] = time.sleep,
    parting: float = PARTING_SECONDS,
) -> int:
    """Execute `commands` in order, each at most `restarts` times again after a loss: exit status 68, or
    death by a signal, unless this worker was asked to stop.

    `parting` seconds pass before a restart, so that it does not meet the others' run that is still ending;
    a command that stands still (SIGSTOP) for so long is killed, since the others have ended without it.

    Returns the first exit status that is not 0, 68 when a command was lost for good; what comes after that
    one is not begun, since the other workers do not begin it either. A request to stop goes to the command,
    which saves and ends; none is begun after it.
    """
    with _requests() as requests:
        for command in commands:
            status = _restarted(command, restarts, note, pause, parting, requests)
            if status:
                return status
    return 0


def _restarted(
    command: Sequence[str],
    restarts: int,
    note: Callable[[str], None],
    pause: Callable[[float], None],
    parting: float,
    requests: _Requests,
) -> int:
    for left in range(restarts, -1, -1):
        if requests.came:
            return STOPPED
        status = _run(command, parting, requests)
        if requests.came or not is_lost(status):
            return _of_a_shell(status)
        if not left:
            note(f"{_meaning(status)}; {restarts} restarts made")
            return LOST
        note(f"{_meaning(status)}; starting again from the newest checkpoint ({left} restarts left)")
        pause(parting)
    raise AssertionError("restarts are not negative")


def _run(command: Sequence[str], parting: float, requests: _Requests) -> int:
    still_since: float | None = None
    with subprocess.Popen(command) as child, requests.to(child):
        while (status := child.poll()) is None:
            if not stands_still(child.pid):
                still_since = None
            elif still_since is None:
                still_since = time.monotonic()
            elif time.monotonic() - still_since > parting:
                child.kill()
            time.sleep(POLL_SECONDS)
    return status


def _meaning(status: int) -> str:
    if status == LOST:
        return f"a host was lost or did not come (exit status {LOST})"
    number = -status if status < 0 else status - 128
    return f"the run was ended by signal {number} ({signal.strsignal(number)})"


def _of_a_shell(status: int) -> int:
    return status if status >= 0 else 128 - status


@contextmanager
def _requests() -> Iterator[_Requests]:
    """What asks this process to stop during the block."""
    requests = _Requests()
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return
    before = {number: signal.signal(number, requests.hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
