"""Faults on leases: holders that die or stop, clocks that jump, broken files, many at once."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from tests.faults.chaos.damage import flip_a_bit, truncate
from tests.faults.chaos.forks import Running, fork
from tests.faults.chaos.trial import Ground, Trial, expect
from trm_scaling.io import lease
from trm_scaling.io.lease import RunInUse, hold, holder, read_lease
from trm_scaling.io.process import ProcessId

RIVALS = 4


def trials(many: bool) -> list[Trial]:
    each = 6 if many else 2
    return [
        *[Trial("clock jump", "lease of a living host", _clock_jumps_over_the_living)] * each,
        *[Trial("clock jump", "lease of a dead host", _clock_jumps_over_the_dead)] * each,
        *[Trial("kill -9", "lease", _holder_killed)] * each,
        *[Trial("two runners", "lease", _many_at_once)] * each,
        *[Trial("truncated", "lease", _broken)] * each,
        *[Trial("bit flipped", "lease", _flipped)] * each,
        *[Trial("suspended", "lease", _holder_suspended)] * (2 if many else 1),
    ]


@contextmanager
def _quick() -> Iterator[None]:
    """Beats and watches a twentieth as long."""
    before = lease.BEAT_SECONDS, lease.WATCH_SECONDS
    lease.BEAT_SECONDS, lease.WATCH_SECONDS = before[0] / 20, before[1] / 20
    try:
        yield
    finally:
        lease.BEAT_SECONDS, lease.WATCH_SECONDS = before


def _from_elsewhere(folder: Path, age: float) -> Path:
    """A lease of another machine, last renewed `age` seconds ago by the clock of this disk."""
    owner = replace(ProcessId.this(), host="elsewhere", machine="another boot")
    path = folder / lease.LEASE
    path.write_text(json.dumps({"owner": asdict(owner), "since": "2026-01-01", "token": "theirs"}))
    _set_age(path, age)
    return path


def _set_age(path: Path, age: float) -> None:
    beat = time.time() - age
    os.utime(path, (beat, beat))


def _jump(ground: Ground) -> float:
    """Minutes to years, forward or back."""
    return ground.chance.choice((-1, 1)) * 10 ** ground.chance.uniform(2.5, 8)


def _clock_jumps_over_the_living(ground: Ground) -> str:
    """Just before we look, the clock of the disk jumped; its holder goes on renewing."""
    with _quick():
        path = _from_elsewhere(ground.folder, _jump(ground))
        stopped = threading.Event()

        def beat() -> None:
            while not stopped.wait(lease.BEAT_SECONDS):
                os.utime(path)

        heart = threading.Thread(target=beat)
        heart.start()
        try:
            _expect_in_use(ground.folder, "elsewhere")
        finally:
            stopped.set()
            heart.join()
    left = read_lease(ground.folder)
    expect(left is not None and left.token == "theirs", "the living host's lease was taken")
    return "refused: in use, by whom and where"


def _clock_jumps_over_the_dead(ground: Ground) -> str:
    with _quick():
        _from_elsewhere(ground.folder, _jump(ground))
        with hold(ground.folder):
            taken = read_lease(ground.folder)
            expect(taken is not None and taken.owner == ProcessId.this(), "not ours")
    return "taken over, once it was seen to be renewed no more"


def _holder_killed(ground: Ground) -> str:
    process = _held_by_another(ground)
    _expect_in_use(ground.folder / "run", str(process.pid))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with hold(ground.folder / "run"):
        expect(holder(ground.folder / "run"), "held by nobody")
    return "taken over at once"


def _holder_suspended(ground: Ground) -> str:
    process = _held_by_another(ground)
    os.kill(process.pid, signal.SIGSTOP)
    _set_age(ground.folder / "run" / lease.LEASE, 3600)
    _expect_in_use(ground.folder / "run", str(process.pid))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return "refused: in use, by whom and where"


def _many_at_once(ground: Ground) -> str:
    """Each that gets the run adds a line; two at once would be seen by the line before."""
    folder, log = ground.folder / "run", ground.folder / "log"

    def action() -> int:
        while True:
            try:
                with hold(folder):
                    with log.open("a") as file:
                        file.write("in\n")
                    time.sleep(0.02)
                    with log.open("a") as file:
                        file.write("out\n")
                return 0
            except RunInUse:
                continue

    rivals = [fork(action, ground.folder / f"output-{number}") for number in range(RIVALS)]
    for rival in rivals:
        ended = rival.wait()
        expect(ended.status == 0, ended)
    expect(log.read_text() == "in\nout\n" * RIVALS, log.read_text().split())
    return f"one of {RIVALS} at a time, each in its turn"


def _broken(ground: Ground) -> str:
    truncate(_from_elsewhere(ground.folder, 0), ground.chance)
    with _quick(), hold(ground.folder):
        expect(holder(ground.folder), "held by nobody")
    return "a broken lease is nobody's"


def _flipped(ground: Ground) -> str:
    flip_a_bit(_from_elsewhere(ground.folder, 0), ground.chance)
    with _quick():
        found = holder(ground.folder)
        try:
            with hold(ground.folder):
                expect(found is None, "taken from one who held it")
        except RunInUse:
            return "refused: in use"
    return "a broken lease is nobody's"


def _held_by_another(ground: Ground) -> Running:
    def action() -> int:
        with hold(ground.folder / "run"):
            (ground.folder / "held").touch()
            time.sleep(600)
        return 0

    process = fork(action, ground.folder / "output")
    while not (ground.folder / "held").exists():
        time.sleep(0.005)
    return process


def _expect_in_use(folder: Path, who: str) -> None:
    try:
        with hold(folder):
            pass
    except RunInUse as error:
        expect("is in use by" in str(error) and who in str(error), error)
        return
    expect(False, "two held one run")
