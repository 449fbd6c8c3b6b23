"""Weights & Biases down, slow and refusing, beside a real training process: nothing of it reaches the run."""

import fcntl
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

from tests.faults.chaos.forks import fork
from tests.faults.chaos.trial import Ground, Trial, expect
from tests.faults.chaos.victim import make_victim

Mood = Literal["down", "slow", "refusing"]
KEY = "0123456789abcdef0123456789abcdef01234567"


def trials(many: bool) -> list[Trial]:
    moods: tuple[Mood, ...] = ("down", "slow", "refusing")
    return [Trial(f"W&B {mood}", "run", partial(_mirrored, mood), True) for mood in moods] if many else []


def _mirrored(mood: Mood, ground: Ground) -> str:
    victim = make_victim(ground)
    home = ground.folder / "home"
    home.mkdir()
    with _server(mood, ground.folder / "server") as url:
        variables = {
            "HOME": str(home),
            "WANDB_MODE": "online",
            "WANDB_BASE_URL": url,
            "WANDB_API_KEY": KEY,
            "WANDB_INIT_TIMEOUT": "1",
            "WANDB_FINISH_TIMEOUT": "1",
        }
        ended = victim.start(variables=variables).wait()
    expect(ended.status == 0, ended)
    expect(KEY not in ended.said + ended.errors, "the key is in what the run says")
    log = victim.folder.path / "wandb.log"
    expect(log.exists(), "no mirror was started")
    _await_mirror(victim.folder.path / "wandb" / "mirror.lock")
    beside = sorted(name for name in ("wandb", "wandb.log") if (victim.folder.path / name).exists())
    victim.check(f"files in one run folder alone: {beside}")
    return "the run is the same; its mirror has a log"


def _await_mirror(lock: Path) -> None:
    """Until the mirror has ended: it outlives its run."""
    if lock.exists():
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)


@contextmanager
def _server(mood: Mood, output: Path) -> Iterator[str]:
    """The address of a server of that mood; what it says goes to `output`."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        if mood == "slow":
            # The system takes connections in, and nobody ever answers.
            closed.listen()
            yield address
            return
    if mood == "down":
        yield address
        return

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_error(401)

        do_GET = do_PUT = do_POST

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        # In a process of its own: one with threads must not fork, and the run is forked from this one.
        def serve() -> int:
            server.serve_forever()
            return 0

        process = fork(serve, output)
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
