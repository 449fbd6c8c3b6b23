"""`kellen/logs/batch_runs/<name>_stdout.log` and `_stderr.log`: what `tail -f` follows."""

from collections.abc import Sequence

from trm_scaling.io.explain import os_errors_explained
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.run.place import replace_link


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


def last_lines(text: str, lines: int = 12) -> list[str]:
    """The end of what a process said, blank lines aside."""
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
