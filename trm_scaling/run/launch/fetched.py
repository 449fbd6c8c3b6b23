"""Runs that came from elsewhere, packed, and are laid into this study; what is here already stays."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trm_scaling.io.lease import holder
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.run.launch.unpacked import unpack


@dataclass
class Placed:
    """What became of each run, by `<profile>/<name>/<identity>-s<seed>`."""

    new: list[str] = field(default_factory=list)
    kept: list[tuple[str, str]] = field(default_factory=list)
    """Left as it is here, and why."""


def place(archive: Path, study: Study) -> Placed:
    """Unpack `archive` (tar, gzip: a study's `checkpoints/`) and move its runs into `study`.

    A run that has a result here, or is trained here, is left alone; one that was brought before it was
    finished is brought up to date. Its record is moved last. Raises UserError, with nothing moved, for an
    archive that cannot be unpacked or holds anything but runs.
    """
    placed = Placed()
    # Beside the runs, so that moving is renaming.
    with tempfile.TemporaryDirectory(dir=study.path, prefix=".fetched-") as folder:
        links = unpack(archive, Path(folder))
        came = Path(folder) / study.checkpoints.name
        for run in sorted(came.glob("*/*/*")):
            name = str(run.relative_to(came))
            here = study.checkpoints / name
            if reason := _own(RunFolder(here)):
                placed.kept.append((name, reason))
            else:
                _move(run, here)
                placed.new.append(name)
    _link(study, links)
    return placed


def _own(run: RunFolder) -> str | None:
    """Why the run here is more than what was brought from elsewhere; None when it is not."""
    if run.finished:
        return "has its result here"
    if run.has_checkpoint or holder(run.path) is not None:
        return "is trained here"
    return None


def _link(study: Study, links: Mapping[str, str]) -> None:
    """Further names of runs. One that is taken here stays, and none is made to lead back to itself."""
    for name, target in links.items():
        here = study.path / name
        leads_to = os.path.realpath(here.parent / target)
        if not os.path.lexists(here) and leads_to != os.path.realpath(here):
            here.parent.mkdir(parents=True, exist_ok=True)
            here.symlink_to(target)


def _move(run: Path, here: Path) -> None:
    record = RunFolder(run).result
    files = [path for path in run.rglob("*") if path != record and path.is_file()]
    for file in [*files, *([record] if record.is_file() else [])]:
        target = here / file.relative_to(run)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, target)
