"""An archive of runs from another machine, unpacked so that nothing in it leads out of its folder."""

import gzip
import os
import re
import shutil
import tarfile
import zlib
from pathlib import Path

from trm_scaling.errors import UserError

RUNS = "checkpoints"
"""The folder that all names in the archive begin with."""

_RUN = re.compile(r"[0-9a-f]{8}-s[0-9]+")
_DEPTH = 4
"""Parts of a run's name: `checkpoints/<profile>/<name>/<identity8>-s<seed>`."""

_AS_THEY_WERE = "The runs here are as they were"


def unpack(archive: Path, folder: Path) -> dict[str, str]:
    """Write the files of runs in `archive` (tar, gzip) into `folder`, which is empty, with their times.

    Returns the links of the archive, name to target, and makes none: each is another name of a run, as
    `trm_scaling.run.place` makes them, `checkpoints/<profile>/<name>/<run>` to `../<other name>/<run>`.

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
