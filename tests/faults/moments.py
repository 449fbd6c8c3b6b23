"""A process of `trm` in which something happens at a chosen moment, told from inside.

    python -m tests.faults.moments save 3 0.004 9 run baseline --profile smoke

is `trm run baseline --profile smoke`, killed (signal 9) 4 ms into its third save. Watched from outside, a
short moment is missed by a watcher that gets no processor; here the strike comes within the moment, always:
at the end of it, if that is earlier than the delay.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

Stage = Literal["start", "dataset", "compile", "train", "save", "evaluate", "test", "result"]
"""start: until the dataset is asked for. save: while a checkpoint is half-written, until the rename that
lets it exist. result: from the first file of the result to the last."""

STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True)
class Moment:
    """The `nth` time (from 1) that a process enters a stage."""

    stage: Stage
    nth: int = 1


class Strike(Protocol):
    """What happens."""

    def begins(self) -> None:
        """The moment has come."""

    def ends(self) -> None:
        """The moment is over, whatever ended it."""


class Signal:
    """A signal to this process, `delay` seconds into the moment or at its end."""

    def __init__(self, number: int, delay: float) -> None:
        self._number = number
        self._delay = delay
        self._sent = threading.Lock()

    def begins(self) -> None:
        timer = threading.Timer(self._delay, self._send)
        timer.daemon = True
        timer.start()

    def ends(self) -> None:
        self._send()

    def _send(self) -> None:
        if self._sent.acquire(blocking=False):
            os.kill(os.getpid(), self._number)


class Do:
    """Something done as the moment begins. What it raises is raised in the stage."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.begins = action

    def ends(self) -> None:
        return


def strike_at(moment: Moment, strike: Strike) -> None:
    """Let `strike` happen in this process, which is about to run `trm`."""
    from trm_scaling.checkpoint import folder
    from trm_scaling.checkpoint.arrays import ArrayWriter
    from trm_scaling.run import single
    from trm_scaling.tasks import build
    from trm_scaling.train import train_and_evaluate
    from trm_scaling.train.clock import Clock

    watch = _Watch(moment, strike)
    _around(build, "_build", before=lambda: watch.enters("dataset"), after=lambda: watch.leaves("dataset"))
    _around(train_and_evaluate, "_shared_dataset", before=lambda: watch.leaves("start"))
    # Half-written from the one to the other, whenever the strike comes between them.
    _around(ArrayWriter, "start", after=lambda: watch.enters("save"))
    _around(folder, "finish", before=lambda: watch.leaves("save"))
    _around(train_and_evaluate, "score_test_split", before=watch.tests, after=lambda: watch.leaves("test"))
    _around(train_and_evaluate, "write_bytes", before=lambda: watch.enters("result"))
    # The failure of an attempt is written by the same function, and is no result.
    _around(single, "_recorded", after=lambda: watch.leaves("result"))

    measure = Clock.measure

    @contextmanager
    def measured(self: Clock, purpose: str) -> Iterator[None]:
        with measure(self, purpose), watch.during(purpose):
            yield

    Clock.measure = measured  # type: ignore[method-assign]
    watch.enters("start")


class _Watch:
    """Counts how often each stage was entered."""

    def __init__(self, moment: Moment, strike: Strike) -> None:
        self._moment = moment
        self._strike = strike
        self._times = 0
        self._is_testing = False
        self._is_now = False

    def enters(self, stage: Stage) -> None:
        if stage == self._moment.stage:
            self._times += 1
            if self._times == self._moment.nth:
                self._is_now = True
                self._strike.begins()

    def leaves(self, stage: Stage) -> None:
        if stage == self._moment.stage and self._is_now:
            self._is_now = False
            self._strike.ends()

    def tests(self) -> None:
        self._is_testing = True
        self.enters("test")

    @contextmanager
    def during(self, purpose: str) -> Iterator[None]:
        """The clock's purposes are stages, but for the evaluations of the test and what a save waits for."""
        match purpose:
            case "compile" | "train" | "evaluate" if not self._is_testing:
                stage: Stage = purpose
                try:
                    self.enters(stage)
                    yield
                finally:
                    self.leaves(stage)
            case _:
                yield


def _around(
    owner: Any, name: str, before: Callable[[], None] | None = None, after: Callable[[], None] | None = None
) -> None:
    """Call `before` and `after` around every call of `owner.name`, failed ones included."""
    function = getattr(owner, name)

    @wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        try:
            if before is not None:
                before()
            return function(*arguments, **options)
        finally:
            if after is not None:
                after()

    setattr(owner, name, wrapped)


def command(moment: Moment, delay: float, number: signal.Signals, arguments: list[str]) -> list[str]:
    """The command of a process that gets signal `number` in `moment`."""
    about = [moment.stage, str(moment.nth), str(delay), str(int(number))]
    return [sys.executable, "-m", "tests.faults.moments", *about, *arguments]


def main() -> None:
    """`trm`, struck."""
    stage, nth, delay, number, *arguments = sys.argv[1:]
    (known,) = (each for each in STAGES if each == stage)
    strike_at(Moment(known, int(nth)), Signal(int(number), float(delay)))
    sys.argv = ["trm", *arguments]
    from trm_scaling.cli import main as trm

    trm()


if __name__ == "__main__":
    # Python puts the folder of a module that is run into its path, and this one has other names in it.
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).parent]
    main()
