"""Runs in processes of this machine, started again from the newest checkpoint when one is lost.

`Supervisor`: the loop that all launchers of processes share; a job of Slurm too (`slurm.SlurmRun`).
`run_gang`: one run in several processes, on virtual devices of the CPU; what a pod does, in small.
`run_all`: what each worker of a pod does, its experiments one after another. All workers do the same, so they
meet again at the start of every run.
"""

import math
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM
from types import FrameType

from trm_scaling.config.system import SystemConfig
from trm_scaling.io.process import stands_still
from trm_scaling.parallel.hosts import parting_seconds
from trm_scaling.run.failure import EXIT_STATUS, is_lost
from trm_scaling.run.signals import handled

POLL_SECONDS = 0.1

LOST, STOPPED = EXIT_STATUS["lost_host"], EXIT_STATUS["preempted"]

MOST_LOSSES = 3
"""How often a job of a cluster or a cloud is started again after a loss; a preemption does not count."""

PARTING_SECONDS = parting_seconds(SystemConfig())
"""How long the other workers' runs may go on after this one's was lost, as the defaults have it."""

Note = Callable[[str], None]
Process = subprocess.Popen[bytes]
Ended = list[tuple[int, int]]
"""Number and exit status of each process, in the order in which they ended."""


def virtual_devices(count: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that show a process `count` devices on its CPU."""
    flags = f"{environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    return {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags.strip()}


def run_gang(
    command: Sequence[str],
    processes: int,
    environment: Mapping[str, str],
    log: Callable[[int], Path],
    note: Note,
    grace_seconds: float,
    restarts: int,
) -> int:
    """One run in `processes` processes, to its end; started again at most `restarts` times after a loss.

    `command` is `trm run ...` without the options that tell the processes apart. `log` names the file of each
    process but the first, which writes where this one does. Once one has ended the others have
    `grace_seconds` to end by themselves (`parallel.hosts.parting_seconds`), or the record is not written.
    SIGTERM or Ctrl-C asks them to save and end; a second one kills them.

    Returns the exit status of the first process that failed for a reason of its own, or 68 when the last try
    lost one.
    """

    def start(files: ExitStack) -> list[Process]:
        who = ["--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", str(processes)]
        members = []
        for index in range(processes):
            output = None
            if index:
                log(index).parent.mkdir(parents=True, exist_ok=True)
                output = files.enter_context(log(index).open("ab"))
            members.append(
                subprocess.Popen(
                    [*command, *who, "--process-id", str(index)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, **environment},
                    # The terminal's Ctrl-C comes to this process alone, which passes it on as a request.
                    start_new_session=True,
                )
            )
        return members

    supervisor = Supervisor(note, lambda _, first: SIGTERM if first else SIGKILL, grace_seconds)
    with handled(supervisor.hear, SIGTERM, SIGINT):
        return supervisor.run(start, restarts)


def run_all(
    commands: Sequence[Sequence[str]],
    restarts: int,
    note: Note,
    pause: Callable[[float], None] = time.sleep,
    parting: float = PARTING_SECONDS,
) -> int:
    """Execute `commands` in order, each at most `restarts` times again after a loss.

    `parting` seconds pass before a restart, so that it does not meet the other workers' run, which is still
    ending. A command that stands still (SIGSTOP) for so long is killed: the others have ended without it.
    SIGTERM goes to the command, which saves and ends; none is begun after it.

    Returns the first exit status that is not 0, or 68 when a command was lost for good. Nothing is begun
    after that one, since the other workers do not begin it either.
    """
    # Ctrl-C of the terminal reaches the command by itself.
    supervisor = Supervisor(note, lambda came, _: came if came == SIGTERM else None, parting, pause)
    with handled(supervisor.hear, SIGTERM, SIGINT):
        for command in commands:

            def start(_: ExitStack, command: Sequence[str] = command) -> list[Process]:
                return [subprocess.Popen(command)]

            status = supervisor.run(start, restarts)
            if status:
                return status
    return 0


def tries(count: int, pause: Callable[[float], None], seconds: float) -> Iterator[int]:
    """How many tries are left after each of `count`, which are `seconds` apart: count - 1, ..., 0."""
    for left in range(count - 1, -1, -1):
        yield left
        if left:
            pause(seconds)


class Supervisor:
    """Starts processes, waits for all of them, passes signals on, and starts again after a loss.

    `forward(came, is_first)` is the signal that the processes get for one that came here; None: nothing.
    Once a process has failed the others have `grace` seconds to end; so long do restarts `pause` too.
    """

    def __init__(
        self,
        note: Note,
        forward: Callable[[int, bool], int | None],
        grace: float = math.inf,
        pause: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self.requests: list[int] = []
        """Signals that came here."""
        self._note = note
        self._forward = forward
        self._grace = grace
        self._pause = pause

    def hear(self, number: int, frame: FrameType | None) -> None:
        """The signal handler. Requests are passed on between two polls."""
        self.requests.append(number)

    def run(self, start: Callable[[ExitStack], list[Process]], restarts: int) -> int:
        """To the end, starting again after a loss. Returns the exit status, as a shell writes it."""
        for left in tries(restarts + 1, self._pause, self._grace):
            if self.requests:
                return STOPPED
            with ExitStack() as files:
                members = start(files)
                try:
                    ended = self._wait(members)
                finally:
                    _kill(members)
            status = verdict([each for _, each in ended])
            if self.requests and len(ended) == 1:
                return ended[0][1] if ended[0][1] >= 0 else 128 - ended[0][1]
            if status != LOST or self.requests:
                return status
            again = f"starting again from the newest checkpoint ({left} restarts left)"
            self._note(f"{_story(ended)}; {again if left else f'{restarts} restarts made'}")
        return LOST

    def _wait(self, members: list[Process]) -> Ended:
        ended: Ended = []
        alive = list(members)
        ending_since: float | None = None
        still_since: dict[int, float] = {}
        passed_on = 0
        while alive:
            while passed_on < len(self.requests):
                if (number := self._forward(self.requests[passed_on], passed_on == 0)) is not None:
                    for member in alive:
                        member.send_signal(number)
                passed_on += 1
            now = time.monotonic()
            for member in [each for each in alive if each.poll() is not None]:
                alive.remove(member)
                ended.append((members.index(member), member.returncode))
                if member.returncode != 0 and ending_since is None:
                    ending_since = now
            for member in list(alive):
                since = still_since.setdefault(member.pid, now)
                if not stands_still(member.pid):
                    del still_since[member.pid]
                elif ending_since is not None or now - since > self._grace:
                    # One that was stopped (SIGSTOP) will not end by itself, however long it is waited for.
                    _kill([member])
            if ending_since is not None and now - ending_since > self._grace:
                _kill(alive)
            time.sleep(POLL_SECONDS)
        return ended


def _kill(members: Sequence[Process]) -> None:
    for member in members:
        if member.poll() is None:
            member.kill()
            member.wait()


def verdict(statuses: Sequence[int]) -> int:
    """What the exit statuses of all processes, in the order in which they ended, come to."""
    own = [status for status in statuses if status != 0 and not is_lost(status)]
    if own:
        return next((status for status in own if status not in (STOPPED, 130)), own[0])
    return 0 if not any(statuses) else LOST


def _story(ended: Ended) -> str:
    """Which process was lost, where that is known: one that a signal ended before the others ended."""
    index, status = next((index, status) for index, status in ended if status != 0)
    if status == LOST:
        return f"a process was lost or did not come (exit status {LOST})"
    number = -status if status < 0 else status - 128
    return f"process {index} was lost: {signal.strsignal(number)} (signal {number})"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
