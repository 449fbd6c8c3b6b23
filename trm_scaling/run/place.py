"""Where a run lies when several names are one configuration: under one name, with links from the others.

    checkpoints/<profile>/<owner>/<identity8>-s<seed>/        the run
    checkpoints/<profile>/<other name>/<identity8>-s<seed>    a relative link to it

The owner is the name that has the run already; else `baseline`, when the run is the baseline's; else
the name that asks first.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trm_scaling.io.explain import os_errors_explained
from trm_scaling.io.flock import take
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study


@dataclass(frozen=True)
class Place:
    """What decides where a run lies."""

    study: Study
    profile: str
    name: str
    """The name that it is asked for by."""
    preferred: str
    """The name that it lies under unless it lies somewhere already."""
    identity: str
    seed: int

    def folder(self) -> RunFolder:
        """Where the run is, or would be. Makes nothing."""
        asked = self._under(self.name)
        if asked.path.is_dir():
            return RunFolder(asked.path.resolve()) if asked.path.is_symlink() else asked
        return next((each for each in self._elsewhere() if each.path.is_dir()), self._under(self.preferred))

    def claim(self) -> RunFolder:
        """Make the run's folder, or the link to it. Two names that ask at once get one folder.

        Raises UserError when the disk is full, read-only or forbidden, or something lies in the way.
        """
        asked = self._under(self.name).path
        if asked.is_dir():
            return self.folder()
        with os_errors_explained(asked, "make"), _claiming(self.study.checkpoints / self.profile):
            folder = self.folder()
            folder.path.mkdir(parents=True, exist_ok=True)
            if asked.resolve() != folder.path.resolve():
                replace_link(asked, folder.path)
        return folder

    def _under(self, name: str) -> RunFolder:
        return self.study.run_folder(self.profile, name, self.identity, self.seed)

    def _elsewhere(self) -> Iterator[RunFolder]:
        """The run under the study's other names. Imported weights are no run of an experiment."""
        for name in self.study.experiments:
            folder = self._under(name)
            if not folder.path.is_symlink():
                yield folder


def replace_link(link: Path, target: Path) -> None:
    """Let `link` point at `target`, in one step and relative, so that the study may be moved."""
    link.parent.mkdir(parents=True, exist_ok=True)
    relative = os.path.relpath(target.resolve(), link.parent.resolve())
    temporary = link.with_name(f".{link.name}.{secrets.token_hex(4)}.tmp")
    os.symlink(relative, temporary)
    try:
        os.replace(temporary, link)
    except BaseException:
        temporary.unlink()
        raise


@contextmanager
def _claiming(folder: Path) -> Iterator[None]:
    """One process at a time, waiting for the one before; the system drops the lock with its holder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".claims.lock").open("a") as file:
        take(file.fileno(), wait=True)
        yield
