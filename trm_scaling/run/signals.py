"""Requests to stop that come as signals or as a file, and what a process does about them."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

AGAIN_SECONDS = 0.05
"""After which a signal is sent again whose exception did not get through."""


@contextmanager
def handled(
    handler: Callable[[int, FrameType | None], Any] | signal.Handlers, *numbers: signal.Signals
) -> Iterator[None]:
    """Let `handler` have the signals `numbers` for the block; outside the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextmanager
def ended_politely() -> Iterator[None]:
    """Let SIGTERM raise Interrupted, once, outside of training, which saves first (`train.interrupt`).

    Without either, the process would die and write nothing down.
    """
    from trm_scaling.train.interrupt import Interrupted

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise Interrupted(
            f"stopped by {signal.Signals(number).name} outside training; the same command goes on from the "
            "newest checkpoint"
        )

    resent: list[threading.Timer] = []
    show = sys.unraisablehook

    def send_again(unraisable: "UnraisableHookArgs") -> None:
        # The signal came in a callback, of the garbage collector say, from which no exception gets out.
        if isinstance(unraisable.exc_value, Interrupted):
            signal.signal(signal.SIGTERM, end)
            resent.append(threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), signal.SIGTERM)))
            resent[-1].start()
        else:
            show(unraisable)

    with handled(end, signal.SIGTERM):
        sys.unraisablehook = send_again
        try:
            yield
        finally:
            for timer in resent:
                timer.cancel()
            sys.unraisablehook = show


class StopRequests:
    """Who asks a batch to stop: a person, the system, or `trm stop --all`. True once somebody did."""

    def __init__(self, stop_file: Path | None = None) -> None:
        self._file = stop_file
        self._signals: list[signal.Signals] = []
        self._answered = 0

    def __bool__(self) -> bool:
        return bool(self._signals)

    def news(self) -> Literal["stop", "end"] | None:
        """What was asked since the last call: to stop, or, by a second Ctrl-C, to end at once."""
        if self._file is not None and not self._signals and self._file.exists():
            self._signals.append(signal.SIGTERM)
        if self._answered == len(self._signals):
            return None
        self._answered = len(self._signals)
        return "stop" if self._answered == 1 else "end"

    @property
    def exit_status(self) -> int:
        """130 after Ctrl-C, as the shell has it; else 75 (EX_TEMPFAIL): the same command goes on."""
        return 130 if signal.SIGINT in self._signals else 75

    def hear(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        # Repeated requests of the system are one; only a person who asks again means it.
        if number == signal.SIGINT or not self._signals:
            self._signals.append(signal.Signals(number))


@contextmanager
def stop_requests(stop_file: Path) -> Iterator[StopRequests]:
    """Hear requests for the block: SIGINT, SIGTERM, and the appearance of `stop_file`.

    The closing of the terminal (SIGHUP) is no request.
    """
    requests = StopRequests(stop_file)
    with handled(requests.hear, signal.SIGINT, signal.SIGTERM), handled(signal.SIG_IGN, signal.SIGHUP):
        yield requests
