"""The runs of a study, each once, and how a run stands, from its folder alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from trm_scaling.io.jsonable import read_json_lenient
from trm_scaling.io.lease import Lease, holder, stop_requested
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.results.attempts import FAILURE_CLASSES, RESUMABLE, FailureClass

_RUN = re.compile(r"(?P<identity>[0-9a-f]{8})-s(?P<seed>\d+)")


@dataclass(frozen=True)
class FoundRun:
    """A run folder, and the names that it was asked for by."""

    folder: RunFolder
    profile: str
    names: tuple[str, ...]
    """The name it lies under, then those that link to it."""
    identity8: str
    seed: int
    touched: float
    """When its folder last changed (a file came or went), in seconds since 1970."""

    def goes_by(self, pattern: str) -> bool:
        """Whether one of its names contains `pattern`, or matches it as a glob."""
        return any(pattern in name or fnmatchcase(name, pattern) for name in self.names)


def profiles_with_runs(study: Study) -> list[str]:
    """Profiles under which something was run."""
    return sorted(folder.name for folder in study.checkpoints.glob("*") if any(folder.glob("*/*-s*")))


def scan_runs(study: Study, profiles: Sequence[str] | None = None) -> list[FoundRun]:
    """The runs under `profiles` (all, by default), by profile, name and seed.

    Links to one run folder are that one run; a link to a folder that is gone is nothing.
    """
    found: list[FoundRun] = []
    for profile in profiles_with_runs(study) if profiles is None else profiles:
        own: dict[Path, FoundRun] = {}
        links: dict[Path, list[str]] = {}
        for path in sorted((study.checkpoints / profile).glob("*/*-s*")):
            named = _RUN.fullmatch(path.name)
            if named is None or not path.is_dir():
                continue
            if path.is_symlink():
                links.setdefault(path.resolve(), []).append(path.parent.name)
                continue
            run = path.resolve()
            name, identity8, seed = path.parent.name, named["identity"], int(named["seed"])
            own[run] = FoundRun(RunFolder(path), profile, (name,), identity8, seed, path.stat().st_mtime)
        for run, names in links.items():
            if run in own:
                own[run] = replace(own[run], names=(*own[run].names, *names))
        found += own.values()
    return found


State = Literal["new", "running", "interrupted", "stopped", "failed", "finished", "imported"]
"""`interrupted`: it died or was preempted, and the same command resumes it. `stopped`: by request.
`imported`: weights that were trained elsewhere, without a record."""


@dataclass(frozen=True)
class Failure:
    """What `failure.json` says of the last attempt."""

    failure: FailureClass
    message: str


@dataclass(frozen=True)
class Standing:
    """A run's state, with who works on it and what went wrong."""

    state: State
    lease: Lease | None = None
    """Of a running one."""
    failure: Failure | None = None
    """Of one that is neither running nor finished: what ended its last attempt, if that is known."""


def standing(folder: RunFolder) -> Standing:
    """How the run in `folder` stands now; `new` where there is no folder."""
    # The result first: its writer may hold the folder for a moment longer.
    if folder.finished:
        return Standing("finished")
    lease = holder(folder.path)
    if lease is not None:
        return Standing("running", lease)
    # It may have finished between the two looks.
    if RunFolder(folder.path).finished:
        return Standing("finished")
    if folder.imported.is_file():
        return Standing("imported")
    failure = read_failure(folder)
    if failure is not None and failure.failure not in RESUMABLE:
        return Standing("failed", failure=failure)
    if stop_requested(folder.path):
        return Standing("stopped", failure=failure)
    begun = folder.attempts.exists() or folder.config.exists()
    return Standing("interrupted" if begun else "new", failure=failure)


def read_failure(folder: RunFolder) -> Failure | None:
    """Why the last attempt ended early, where it could still say so."""
    note: dict[str, Any] = read_json_lenient(folder.failure)
    if not note:
        return None
    named = note.get("failure")
    return Failure(named if named in FAILURE_CLASSES else "other", str(note.get("message", "")))
