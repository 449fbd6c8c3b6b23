"""Files that are either the old one or the new one, whole, whenever the process dies."""

import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from trm_scaling.errors import UserError
from trm_scaling.io.disk_errors import os_errors_explained
from trm_scaling.io.jsonable import to_jsonable

_UNSUITABLE = frozenset({errno.ENOENT, errno.ENAMETOOLONG, errno.EINVAL, errno.EOPNOTSUPP})
"""What making a file in a system's own folder (/proc) or under too long a name ends with."""


def write_bytes(path: Path, data: bytes) -> None:
    """Replace the file at `path` by `data` in one step, durably. Missing folders are made.

    The bytes go to a temporary file beside it, which takes the name once it is on the disk.
    Raises `UserError` when the disk is full, read-only or forbidden, and when the folder takes no
    such file; then the old file is untouched and the temporary one is gone.
    """
    with os_errors_explained(path, "write"):
        descriptor, name = _temporary_beside(path)
        try:
            with os.fdopen(descriptor, "wb") as file:
                # mkstemp makes private files; results are meant to be shared as any other file is.
                os.fchmod(file.fileno(), 0o666 & ~_umask())
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
        sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of `text` in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """`write_bytes` of `value` as indented JSON; numpy values become plain ones.

    Raises `ValueError` for NaN and infinities, which JSON lacks: a record says None for
    what is missing.
    """
    write_text(path, json.dumps(to_jsonable(value), indent=2, allow_nan=False) + "\n")


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of writers that died in `folder`, where nobody may be writing now."""
    for path in folder.glob(".*.tmp"):
        path.unlink()


def sync_folder(folder: Path) -> None:
    """Make renames and removals inside `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary_beside(path: Path) -> tuple[int, str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        if error.errno in _UNSUITABLE:
            raise UserError(
                f"Cannot write {path}: {path.parent} takes no new file of that name "
                f"({os.strerror(error.errno)}). Choose another folder, or a shorter name."
            ) from error
        raise


def _umask() -> int:
    # The umask can only be read by setting it.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
