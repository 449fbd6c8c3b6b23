"""What each worker of a pod does: its experiments one after another, each again when a host was lost.

All workers do the same, so they meet again at the start of every run.
"""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from trm_scaling.run.failure import EXIT_STATUS

LOST = EXIT_STATUS["lost_host"]
"""`trm run` ends with it on every host when one is lost or stuck."""

PAUSE_SECONDS = 15.0
"""Before a restart: the others may take as long to notice."""


def run_all(
    commands: Sequence[Sequence[str]],
    restarts: int,
    note: Callable[[str], None],
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Execute `commands` in order, each at most `restarts` times again after a loss.

    Returns the first exit status that is not 0; what comes after that one is not begun, since the other
    workers do not begin it either. Requests to stop go to the command, which saves and ends.
    """
    for command in commands:
        for left in range(restarts, -1, -1):
            status = _run(command)
            if status != LOST or not left:
                break
            note(f"a host was lost; starting again from the newest checkpoint ({left} restarts left)")
            pause(PAUSE_SECONDS)
        if status:
            return status
    return 0


def _run(command: Sequence[str]) -> int:
    with subprocess.Popen(command) as child, _requests_for(child):
        return child.wait()


@contextmanager
def _requests_for(child: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Pass SIGTERM on, and let Ctrl-C be the child's, which the terminal sends it too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pass_on(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
