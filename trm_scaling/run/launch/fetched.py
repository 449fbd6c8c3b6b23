"""Runs that came from elsewhere, packed, and are laid into this study; what is here already stays."""

import gzip
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trm_scaling.errors import UserError
from trm_scaling.io.lease import holder
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study


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


RUNS = "checkpoints"
"""The folder that all names in the archive begin with."""

_RUN = re.compile(r"[0-9a-f]{8}-s[0-9]+")
_DEPTH = 4
"""Parts of a run's name: `checkpoints/<profile>/<name>/<identity8>-s<seed>`."""

_AS_THEY_WERE = "The runs here are as they were"


def unpack(archive: Path, folder: Path) -> dict[str, str]:
    """Write the files of runs in `archive` (tar, gzip) into `folder`, which is empty, with their times.

    Returns the links of the archive, name to target, and makes none: each is another name of a run, as
    `trm_scaling.run.planned` makes them, `checkpoints/<profile>/<name>/<run>` to `../<other name>/<run>`.

    Raises UserError for an archive that cannot be read to its end, and for one that holds anything else: a
    name that is absolute or has `..`, a file outside of a run's folder, any other link, a device. Nothing
    outside of `folder` was written then.
    """
    links: dict[str, str] = {}
    try:
        with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                if strange := _strange(member, folder, links):
                    raise UserError(
                        f"what came from the pod holds {member.name!r}, which is {strange}; only files of "
                        f"runs and links from one name of a run to another are taken. {_AS_THEY_WERE}. Mend "
                        "it on the pod, or trust that pod no longer, and fetch again"
                    )
                if member.issym():
                    links[member.name] = member.linkname
                elif member.isreg():
                    _write(tar, member, folder)
            # tarfile takes a broken header for the end, and gzip has its checksum behind the last byte.
            while rest := stream.read(1 << 20):
                if rest.strip(b"\0"):
                    raise tarfile.ReadError("damaged before its end")
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise UserError(
            f"what came from the pod cannot be unpacked in {folder.parent} ({error}). {_AS_THEY_WERE}; fetch "
            "again"
        ) from error
    return links


def _strange(member: tarfile.TarInfo, folder: Path, links: dict[str, str]) -> str | None:
    """What speaks against taking `member`; None when nothing does. `links` were taken before."""
    parts = member.name.split("/")
    if not member.name.isprintable() or {"", ".", ".."} & set(parts) or parts[0] != RUNS:
        return f"no name inside of {RUNS}/"
    if "/".join(parts[:_DEPTH]) in links:
        return "a second thing under the name of a link"
    if member.isreg():
        return None if len(parts) > _DEPTH else "a file outside of a run's folder"
    if member.isdir():
        return None
    if not member.issym():
        return "neither a file nor a folder"
    if len(parts) != _DEPTH or not _is_alias(parts, member.linkname):
        return f"a link to {member.linkname!r}"
    return "a second thing under the name of a folder" if os.path.lexists(folder / member.name) else None


def _is_alias(link: list[str], target: str) -> bool:
    """Whether the link of those parts names the run of the same name under another experiment."""
    own_name, run = link[2:]
    up, name, *rest = [*target.split("/"), ""]
    return (
        (up, rest) == ("..", [run, ""])
        and name not in ("", ".", "..", own_name)
        and name.isprintable()
        and _RUN.fullmatch(run) is not None
    )


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write one file. Nothing in `folder` is a link, so that its name leads nowhere else."""
    content, target = tar.extractfile(member), folder / member.name
    assert content is not None
    target.parent.mkdir(parents=True, exist_ok=True)
    with content, target.open("wb") as file:
        shutil.copyfileobj(content, file)
    # Of several runs the newest is told by the time of its configuration.
    os.utime(target, (member.mtime, member.mtime))
