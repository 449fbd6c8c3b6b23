"""The runs of a study, each once, whatever the number of its names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study

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
