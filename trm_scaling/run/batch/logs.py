"""`kellen/logs/batch_runs/<name>_stdout.log` and `_stderr.log`: what `tail -f` follows."""

import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from trm_scaling.errors import UserError
from trm_scaling.io.disk_errors import os_errors_explained
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.secrets import masked_arguments
from trm_scaling.io.study import Study
from trm_scaling.run.planned import replace_link


def link_logs(
    study: Study,
    folder: RunFolder,
    names: Sequence[str],
    seed: int,
    is_first_seed: bool,
    replace: bool = True,
) -> None:
    """Point the logs of `names` at those in `folder`, which are made if they are not there.

    The first seed of a batch has the plain name; others are called `<name>-s<seed>`. Without
    `replace`, a name that points somewhere already stays. Raises UserError when the disk refuses.
    """
    for log in (folder.stdout, folder.stderr):
        with os_errors_explained(log, "write"):
            log.touch()
        for name in names:
            called = name if is_first_seed else f"{name}-s{seed}"
            link = study.batch_logs / f"{called}_{log.stem}.log"
            if replace or not link.exists():
                with os_errors_explained(link, "write"):
                    replace_link(link, log)


@contextmanager
def own_log(
    study: Study, names: Sequence[str], seed: int, is_first_seed: bool
) -> Iterator[Callable[[RunFolder], TextIO | None]]:
    """For the block, what opens the log of a run that no batch started: `stdout.log` in its folder, linked as
    `link_logs` says and with the command on top.

    It gives None where standard output is that file already, as in a batch's worker, and where the disk
    refuses: a log is worth no run.
    """
    with ExitStack() as opened:

        def open_log(folder: RunFolder) -> TextIO | None:
            try:
                if _writes_to(folder.stdout):
                    return None
                log = opened.enter_context(folder.stdout.open("a", encoding="utf-8"))
                log.write(f"{_title()}\n")
                link_logs(study, folder, list(dict.fromkeys(names)), seed, is_first_seed)
            except (OSError, UserError) as error:
                warnings.warn(f"{folder.stdout} is not written: {error}", stacklevel=2)
                return None
            return log

        yield open_log


def _writes_to(log: Path) -> bool:
    """Whether this process's standard output is the file `log`."""
    try:
        return os.path.samestat(os.fstat(sys.stdout.fileno()), log.stat())
    except (OSError, ValueError):
        return False


def _title() -> str:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return f"==== {now} {shlex.join(masked_arguments(sys.argv))}"


def last_lines(text: str, lines: int = 12) -> list[str]:
    """The end of what a process said, blank lines aside."""
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
