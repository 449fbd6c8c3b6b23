"""From a name to a run that could be started, and from a name to a run that was. Nothing here writes."""

import difflib
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Self

from trm_scaling.config import RunConfig
from trm_scaling.config.compose import baseline_of, compose
from trm_scaling.config.identity import identity
from trm_scaling.errors import UserError
from trm_scaling.io.bucket_study import claimed_name, share_link
from trm_scaling.io.disk_errors import os_errors_explained
from trm_scaling.io.lease import take_lock
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.results.scan import scan_runs


@dataclass(frozen=True)
class RunPath:
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

        Raises UserError when the disk is full, read-only or forbidden, or another file has the name.
        """
        asked = self._under(self.name).path
        if asked.is_dir():
            return self.folder()
        with os_errors_explained(asked, "make"), _claiming(self.study.checkpoints / self.profile):
            folder = self.folder()
            # Two machines that share a bucket share no lock.
            name = claimed_name(self.study.path, f"{self.profile}/{asked.name}", folder.path.parent.name)
            folder = self._under(name)
            folder.path.mkdir(parents=True, exist_ok=True)
            if asked.resolve() != folder.path.resolve():
                replace_link(asked, folder.path)
                share_link(asked, name)
        return folder

    def _under(self, name: str) -> RunFolder:
        return self.study.run_folder(self.profile, name, self.identity, self.seed)

    def _elsewhere(self) -> Iterator[RunFolder]:
        """The run under the study's other names. Imported weights are no run of an experiment."""
        for name in self.study.experiments:
            folder = self._under(name)
            if not folder.path.is_symlink():
                yield folder


@dataclass(frozen=True)
class Run:
    """A composed experiment and the study it belongs to."""

    study: Study
    config: RunConfig
    preferred: str
    """The name that the run lies under unless it lies under another one already (`run.planned`)."""

    @property
    def path(self) -> RunPath:
        """What decides where the run lies."""
        config = self.config
        return RunPath(self.study, config.profile, config.name, self.preferred, identity(config), config.seed)

    @property
    def folder(self) -> RunFolder:
        """`checkpoints/<profile>/<name>/<identity8>-s<seed>/`, of the name that the run lies under."""
        return self.path.folder()

    def with_seed(self, seed: int) -> Self:
        """The same experiment with another seed."""
        return replace(self, config=self.config.model_copy(update={"seed": seed}))


class Planner:
    """Composes experiments under one profile and one set of overrides."""

    def __init__(self, study: Study, profile: str, overrides: Sequence[str] = ()) -> None:
        self._study = study
        self._profile = profile
        self._overrides = tuple(overrides)
        self._identity_of = cache(self._identity)

    def plan(self, name: str) -> Run:
        """Compose experiment `name`. Raises UserError as `compose` does."""
        config = compose(self._study.configs, name, self._profile, self._overrides)
        baseline = baseline_of(self._study.configs, name)
        is_baseline = name == baseline or identity(config) == self._identity_of(baseline)
        return Run(self._study, config, baseline if is_baseline else name)

    def _identity(self, baseline: str) -> str | None:
        try:
            return identity(compose(self._study.configs, baseline, self._profile, self._overrides))
        except UserError:
            # Overrides may fit an experiment and not the baseline.
            return None


def plan_run(study: Study, name: str, profile: str, overrides: Sequence[str] = ()) -> Run:
    """Compose experiment `name`. Raises UserError as `compose` does."""
    return Planner(study, profile, overrides).plan(name)


def no_run(study: Study, name: str, profile: str | None) -> str:
    """What to do about a run that is not there: perhaps it is under another profile, or has another name.

    A `profile` of None stands for all of them.
    """
    under = "" if profile is None else f" under profile {profile}"
    missing = f"no run of {name!r}{under} in {study.checkpoints}"
    known = {run.profile: None for run in scan_runs(study) if name in run.names}
    if known:
        return f"{missing}; there is one under {' and '.join(known)}: add --profile {next(iter(known))}"
    if name in study.experiments:
        option = "" if profile is None else f" --profile {profile}"
        return f"{missing}: train it with `trm run {name}{option}`, or name a run folder"
    names = dict.fromkeys(each for run in scan_runs(study) for each in run.names)
    near = difflib.get_close_matches(name, [*names, *study.experiments], n=3, cutoff=0.5)
    said = f"nearest: {', '.join(near)}; " if near else ""
    return f"{missing}, and no experiment is called so; {said}`trm status` shows the runs that there are"


def folder_named(name: str) -> RunFolder | None:
    """The run folder at the path `name`; None when there is none, so that it is an experiment's name."""
    folder = RunFolder(Path(name))
    begun = (folder.config, folder.attempts, folder.stdout)
    return folder if any(path.is_file() for path in begun) else None


def runs_named(study: Study, name: str, profile: str | None) -> list[RunFolder]:
    """The run folder at the path `name`, or every run that goes by that name or glob, under `profile` (None:
    under all). Raises UserError when there is none."""
    if (folder := folder_named(name)) is not None:
        return [folder]
    runs = scan_runs(study, None if profile is None else [profile])
    found = [run.folder for run in runs if any(fnmatchcase(each, name) for each in run.names)]
    if not found:
        raise UserError(no_run(study, name, profile))
    return found


def find_run(study: Study, name: str, profile: str) -> RunFolder:
    """The run of experiment `name` under `profile`: the one without overrides, else the newest.

    A run that lies under another name is found by each of its names. Runs without a checkpoint count
    only where there is no other: an attempt that failed at once must not hide the run before it.

    Raises UserError when there is none, with the command that makes one.
    """
    folders = study.run_folders(profile, name)
    if name in study.experiments:
        # The experiment as it is written, rather than the newest variant of it, if it was run.
        written = plan_run(study, name, profile).folder
        if written.has_checkpoint:
            return written
    if not folders:
        raise UserError(no_run(study, name, profile))
    return next((folder for folder in reversed(folders) if folder.has_checkpoint), folders[-1])


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
        take_lock(file.fileno(), wait=True)
        yield
