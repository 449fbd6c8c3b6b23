"""A polite end outside of training, which has its own (`train.interrupt`)."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
