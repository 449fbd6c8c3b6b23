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

from trm_scaling.run.failure import EXIT_STATUS, is_lost

PAUSE_SECONDS = 15.0
"""Before a restart: the others may take as long to notice."""


def run_all(
    commands: Sequence[Sequence[str]],
    restarts: int,
    note: Callable[[str], None],
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Execute `commands` in order, each at most `restarts` times again after a loss.

    Returns the first exit status that is not 0, that of a lost host (68) when the command was killed; what
    comes after that one is not begun, since the other workers do not begin it either. Requests to stop go
    to the command, which saves and ends.
    """
    for command in commands:
        for left in range(restarts, -1, -1):
            status, asked = _run(command)
            lost = is_lost(status) and not asked
            if not lost or not left:
                break
            note(f"a host was lost; starting again from the newest checkpoint ({left} restarts left)")
            pause(PAUSE_SECONDS)
        if status:
            return EXIT_STATUS["lost_host"] if lost else _of_a_shell(status)
    return 0


def _run(command: Sequence[str]) -> tuple[int, bool]:
    """Its exit status, and whether it was asked to end."""
    with subprocess.Popen(command) as child, _requests_for(child) as asked:
        return child.wait(), bool(asked)


def _of_a_shell(status: int) -> int:
    return status if status >= 0 else 128 - status


@contextmanager
def _requests_for(child: "subprocess.Popen[bytes]") -> Iterator[list[int]]:
    """Pass SIGTERM on, and let Ctrl-C be the child's, which the terminal sends it too. Yields what came."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def pass_on(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if number == signal.SIGTERM:
            child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
