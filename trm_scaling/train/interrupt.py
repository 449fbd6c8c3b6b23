"""A polite end: SIGTERM or one Ctrl-C asks the loop to save and stop, a second Ctrl-C stops at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from trm_scaling.errors import UserError


class Interrupted(UserError):
    """The run was asked to stop and has saved its state; the same command resumes it."""

    exit_status = 75  # EX_TEMPFAIL of sysexits.h: try again
    is_failure = False


class StopRequest:
    """Whether somebody asked, and by which signal."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def cause(self) -> str | None:
        """The signal's name; None while nobody asked."""
        return self.signal.name if self.signal else None

    def interruption(self, step: int, total: int, cause: str) -> Interrupted:
        """What to raise once the state after `step` of `total` steps is saved."""
        by = "Ctrl-C" if cause == "SIGINT" else cause
        return Interrupted(
            f"stopped by {by} after step {step} of {total}; the state is saved, and the same command resumes"
        )


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn SIGTERM and the first SIGINT into a request. Outside the main thread signals stay as they are."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if request and number == signal.SIGINT:
            raise KeyboardInterrupt
        request.signal = signal.Signals(number)

    old = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
