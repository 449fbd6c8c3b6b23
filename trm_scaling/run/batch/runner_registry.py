"""Which batch runners are at work on a study, and how another process asks them to stop."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from trm_scaling.io.atomic import write_json
from trm_scaling.io.disk_errors import os_errors_explained
from trm_scaling.io.jsonable import read_json_lenient
from trm_scaling.io.process import ProcessId
from trm_scaling.io.secrets import masked_arguments
from trm_scaling.io.study import Study


@dataclass(frozen=True)
class Runner:
    """A batch runner that has registered."""

    file: Path
    process: ProcessId
    command: tuple[str, ...]

    def request_stop(self) -> None:
        """Ask it to stop as one Ctrl-C would: its workers save and end, and then it ends."""
        stop = _stop_file(self.file)
        with os_errors_explained(stop, "write"):
            stop.touch()


@contextmanager
def registered(study: Study) -> Iterator[Path]:
    """Be known as a batch runner for the block; yields the file that appears when somebody asks to stop."""
    file = study.batches / f"{socket.gethostname()}-{os.getpid()}.json"
    stop = _stop_file(file)
    with os_errors_explained(file, "write"):
        _forget_the_dead(study)
        stop.unlink(missing_ok=True)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(
        file, {"process": asdict(ProcessId.this()), "since": since, "command": masked_arguments(sys.argv)}
    )
    try:
        yield stop
    finally:
        # A disk that refuses this too must not hide what ended the batch; the next one forgets the dead.
        with suppress(OSError):
            file.unlink(missing_ok=True)
            stop.unlink(missing_ok=True)


def runners(study: Study) -> list[Runner]:
    """The batch runners at work; one on another machine counts until it signs off."""
    return [runner for runner in _all(study) if runner.process.lives is not False]


def _all(study: Study) -> list[Runner]:
    found = []
    for file in sorted(study.batches.glob("*.json")):
        note = read_json_lenient(file)
        process = ProcessId.read(note.get("process"))
        if process is not None:
            found.append(Runner(file, process, tuple(map(str, note.get("command", ())))))
    return found


def _forget_the_dead(study: Study) -> None:
    for runner in _all(study):
        if runner.process.lives is False:
            runner.file.unlink(missing_ok=True)
            _stop_file(runner.file).unlink(missing_ok=True)


def _stop_file(file: Path) -> Path:
    return file.with_suffix(".stop")
