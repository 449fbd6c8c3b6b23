"""Faults that are planted in a training process: no memory, no space, a loss that is none, another time."""

import errno
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from tests.faults.moments import Do, Moment, strike_at

MARGIN_BYTES = 8 << 20
"""What a process may still allocate when its memory is made short."""


def at(moment: Moment, action: Callable[[], None]) -> Callable[[], None]:
    """What to do in a process before it runs `trm`, so that `action` is done at `moment`."""
    return lambda: strike_at(moment, Do(action))


def device_out_of_memory() -> None:
    """What XLA raises when an allocation on the device fails."""
    import jax

    raise jax.errors.JaxRuntimeError(
        "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8589934592 bytes. (planted)"
    )


def short_memory() -> None:
    """Let the system refuse this process any more memory than it has (and a little)."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MARGIN_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def short_files() -> None:
    """Let the system refuse this process any file above 2 KiB, as `ulimit -f` does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))


def full_disk_for_python() -> None:
    """A full disk as Python's own writes see it, where no small disk can be mounted."""

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    os.write = os.fsync = full  # type: ignore[assignment]


def fill(folder: Path) -> None:
    """Write a file until nothing more goes in."""
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            return


def jump(seconds: float) -> Callable[[], None]:
    """Let the wall clock of this process jump; its other clocks go on, as the system's do."""
    now = time.time

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Shifted":
            return super().now(tz) + timedelta(seconds=seconds)

    def action() -> None:
        time.time = lambda: now() + seconds
        for name, module in list(sys.modules.items()):
            if name.startswith("trm_scaling.") and getattr(module, "datetime", None) is datetime:
                module.datetime = Shifted  # type: ignore[attr-defined]

    return action


def nan_at(step: int) -> Callable[[], None]:
    """What to do before `trm` runs, so that the parameters are NaN before `step`."""

    def prepare() -> None:
        from trm_scaling.train import loop

        make = loop.make_train_call

        def made(*arguments: Any) -> "_Poisoned":
            return _Poisoned(make(*arguments), step)

        loop.make_train_call = made  # type: ignore[assignment]

    return prepare


class _Poisoned:
    """A training call, lowered and compiled as another, that spoils the state it is given at one step."""

    def __init__(self, program: Any, step: int) -> None:
        self._program = program
        self._step = step

    def lower(self, *arguments: Any) -> "_Poisoned":
        return _Poisoned(self._program.lower(*arguments), self._step)

    def compile(self) -> Callable[..., Any]:
        import jax

        call = self._program.compile()

        def poisoned(state: Any, hyper: Any, feed: Any, count: Any) -> Any:
            first = int(state.step) + 1
            if first <= self._step < first + int(count):
                params = jax.tree.map(lambda leaf: leaf * float("nan"), state.params)
                state = replace(state, params=params)
            return call(state, hyper, feed, count)

        return poisoned
