"""A run in several processes of this machine, on virtual devices of its CPU: what a pod does, in small.

The processes end together (`parallel.heartbeat`). This one sees to it, and starts them again from the
newest checkpoint when one was lost.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from trm_scaling.io.process import stands_still
from trm_scaling.run.failure import EXIT_STATUS, is_lost

POLL_SECONDS = 0.1

LOST = EXIT_STATUS["lost_host"]
STOPPED = (EXIT_STATUS["preempted"], 130)


def virtual_devices(count: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that show a process `count` devices on its CPU."""
    flags = f"{environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    return {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags.strip()}


class LocalGang:
    """The processes of one run."""

    def __init__(
        self,
        command: Sequence[str],
        processes: int,
        environment: Mapping[str, str],
        log: Callable[[int], Path],
        note: Callable[[str], None],
        grace_seconds: float,
    ) -> None:
        """`command` is `trm run ...` without what tells the processes apart; `log` the file of each but
        the first, which writes where this process does. The others have `grace_seconds` to end by
        themselves once one has: `parallel.hosts.parting_seconds`, or the record is not written."""
        self._command = list(command)
        self._processes = processes
        self._environment = {**os.environ, **environment}
        self._log = log
        self._note = note
        self._grace_seconds = grace_seconds
        self._members: list[subprocess.Popen[bytes]] = []
        self._asked = 0

    def run(self, restarts: int) -> int:
        """To the end, starting again at most `restarts` times after a loss. Returns the exit status: that
        of the first process to fail for a reason of its own, or 68 when the last try lost one."""
        with self._signals_passed_on():
            for left in range(restarts, -1, -1):
                ended = self._once()
                status = verdict([each for _, each in ended])
                if status != LOST or self._asked:
                    return status
                self._note(f"{_story(ended)}; {'starting again' if left else f'{restarts} restarts made'}")
        return LOST

    def _once(self) -> list[tuple[int, int]]:
        """Start all and wait. Returns number and exit status of each, in the order in which they ended."""
        with ExitStack() as files:
            address = f"127.0.0.1:{free_port()}"
            for index in range(self._processes):
                output = None
                if index:
                    path = self._log(index)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    output = files.enter_context(path.open("ab"))
                who = ["--coordinator", address, "--num-processes", str(self._processes)]
                self._members.append(
                    subprocess.Popen(
                        [*self._command, *who, "--process-id", str(index)],
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        env=self._environment,
                        # The terminal's Ctrl-C comes here alone, and is passed on as a request.
                        start_new_session=True,
                    )
                )
            try:
                return self._ends()
            finally:
                self._kill(self._members)
                self._members.clear()

    def _ends(self) -> list[tuple[int, int]]:
        ends: list[tuple[int, int]] = []
        alive = list(self._members)
        ending_since: float | None = None
        while alive:
            for member in [each for each in alive if each.poll() is not None]:
                alive.remove(member)
                ends.append((self._members.index(member), member.returncode))
                if member.returncode != 0 and ending_since is None:
                    ending_since = time.monotonic()
            if ending_since is not None:
                over = time.monotonic() - ending_since > self._grace_seconds
                # One that was stopped (SIGSTOP) will not end by itself, however long it is waited for.
                self._kill([each for each in alive if over or stands_still(each.pid)])
            time.sleep(POLL_SECONDS)
        return ends

    def _kill(self, members: Sequence["subprocess.Popen[bytes]"]) -> None:
        for member in members:
            if member.poll() is None:
                member.kill()
                member.wait()

    @contextmanager
    def _signals_passed_on(self) -> Iterator[None]:
        def ask(number: int, frame: FrameType | None) -> None:
            self._asked += 1
            for member in self._members:
                if member.poll() is None:
                    member.send_signal(signal.SIGTERM if self._asked == 1 else signal.SIGKILL)

        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def verdict(statuses: Sequence[int]) -> int:
    """What the exit statuses of all processes, in the order in which they ended, come to."""
    own = [status for status in statuses if status != 0 and not is_lost(status)]
    if own:
        return next((status for status in own if status not in STOPPED), own[0])
    return 0 if not any(statuses) else LOST


def _story(ended: Sequence[tuple[int, int]]) -> str:
    """Which process was lost, where that is known: one that a signal ended, before the others ended."""
    index, status = next((index, status) for index, status in ended if status != 0)
    if status == LOST:
        return "a process was lost or did not come"
    number = -status if status < 0 else status - 128
    return f"process {index} was lost: {signal.strsignal(number)} (signal {number})"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
