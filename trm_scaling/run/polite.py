"""A polite end outside of training, which has its own (`train.interrupt`)."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

AGAIN_SECONDS = 0.05
"""After which a signal is sent again whose exception did not get through."""


@contextmanager
def ended_politely() -> Iterator[None]:
    """Let SIGTERM raise Interrupted, once, where nothing better is prepared for it.

    Training itself is prepared: it saves first (`train.interrupt`). Without either, the process would
    die without a word. Outside the main thread signals stay as they are.
    """
    from trm_scaling.train.interrupt import Interrupted

    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise Interrupted(
            f"stopped by {signal.Signals(number).name} outside training; the same command goes on from the "
            "newest checkpoint"
        )

    resent: list[threading.Timer] = []

    def send_again(unraisable: "UnraisableHookArgs") -> None:
        # The signal came in a callback, of the garbage collector say, from which no exception gets out.
        if isinstance(unraisable.exc_value, Interrupted):
            signal.signal(signal.SIGTERM, end)
            resent.append(threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), signal.SIGTERM)))
            resent[-1].start()
        else:
            show(unraisable)

    before = signal.signal(signal.SIGTERM, end)
    show, sys.unraisablehook = sys.unraisablehook, send_again
    try:
        yield
    finally:
        for timer in resent:
            timer.cancel()
        sys.unraisablehook = show
        signal.signal(signal.SIGTERM, before)
