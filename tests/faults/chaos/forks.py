"""`trm` in a process forked from one that has imported everything and started nothing.

A start costs three seconds of imports, and a fork none. It is safe while the parent has one thread and no JAX
backend, which `fork` checks.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.run.tiny import run_command
from trm_scaling.io.study import Study

PATIENCE_SECONDS = 300.0
"""After which a process that should have ended counts as hung."""


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it said."""

    status: int
    """Exit status, or minus the signal."""
    said: str
    errors: str

    def __str__(self) -> str:
        return f"ended with {self.status}\n{self.said[-2000:]}{self.errors[-4000:]}"


@dataclass
class Running:
    """A forked process at work."""

    pid: int
    folder: Path

    def wait(self) -> Ended:
        """Until it ends. Raises TimeoutError, and kills it, when it hangs."""
        began = time.monotonic()
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - began > PATIENCE_SECONDS:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise TimeoutError(
                    f"process {self.pid} hung:\n{(self.folder / 'stderr').read_text()[-4000:]}"
                )
            time.sleep(0.01)
        said, errors = ((self.folder / name).read_text(errors="replace") for name in ("stdout", "stderr"))
        return Ended(os.waitstatus_to_exitcode(status), said, errors)


def import_everything() -> None:
    """What a run imports on its way, so that forks need not."""
    import trm_scaling.cli.app
    import trm_scaling.cli.run
    import trm_scaling.run.compilation
    import trm_scaling.run.reporters
    import trm_scaling.run.single
    import trm_scaling.train.train_and_evaluate  # noqa: F401


def fork(action: Callable[[], int], output: Path) -> Running:
    """Do `action` in a process of its own, whose exit status it returns; what it says goes to `output`.

    A UserError or another exception that leaves `action` is status 70, with its traceback on standard error.
    """
    from jax._src import xla_bridge

    assert not xla_bridge._backends, "a process with a JAX backend must not fork"
    assert len(os.listdir("/proc/self/task")) == 1, "nor one with threads"
    output.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Running(pid, output)
    status = 70
    try:
        for name, descriptor in (("stdout", 1), ("stderr", 2)):
            opened = os.open(output / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(opened, descriptor)
            os.close(opened)
        status = action()
    except BaseException:
        # A process boundary: the parent reads it from the output.
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def start(
    study: Study,
    overrides: Sequence[str],
    output: Path,
    prepare: Callable[[], None] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Running:
    """`trm run` of the tiny run in `study`, after `prepare` in its process; what it says goes to `output`."""

    def action() -> int:
        from trm_scaling.cli import main

        os.chdir(study.data_root)
        os.environ.update(variables or {})
        _keep_every_program()
        if prepare is not None:
            prepare()
        sys.argv = ["trm", *run_command(*overrides)]
        try:
            main()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        return 0

    return fork(action, output)


def _keep_every_program() -> None:
    """Small programs too are taken from the cache: a run is then two seconds rather than four."""
    import jax

    from trm_scaling.run import compilation

    configure = compilation.configure_jax

    def configured() -> None:
        configure()
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

    compilation.configure_jax = configured


def write_line(path: Path, record: Mapping[str, object]) -> None:
    """Append one JSON line, in one system call."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, json.dumps(record).encode() + b"\n")
    finally:
        os.close(descriptor)
