"""What a disk refuses, in messages that a user can act on, and what broken files raise."""

import errno
import os
import shutil
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trm_scaling.errors import UserError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSALS = _FULL | {errno.EROFS, errno.EFBIG}
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
_BLOCKED = frozenset({errno.EEXIST, errno.ENOTDIR, errno.EISDIR})
# Python has EUCLEAN (a file system in need of repair) on Linux alone.
_LOST = frozenset({errno.EIO, errno.EBADMSG, getattr(errno, "EUCLEAN", errno.EIO)})


class DiskRefused(UserError):
    """The disk takes nothing more: it is full, read-only, or a quota or a limit is reached.

    It is not the writer's fault: once there is room, the same command goes on.
    """

    exit_status = 74  # EX_IOERR of sysexits.h


def is_disk_refusal(error: BaseException) -> bool:
    """Whether `error` is such a refusal, be it explained already or as the system says it."""
    return isinstance(error, DiskRefused) or (isinstance(error, OSError) and error.errno in _REFUSALS)


@contextmanager
def os_errors_explained(path: Path, action: str, needed_bytes: int | None = None) -> Iterator[None]:
    """Raise `UserError` in place of an `OSError` that the user can mend; `DiskRefused` where it is one.

    `action` completes "Cannot ...", for example "write"; `needed_bytes` is what it takes.
    A full disk or quota, a limit on the size of files, a read-only file system, a lack of permission and a
    file in a folder's place are explained; any other `OSError` passes unchanged, because its traceback
    says more than we could.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise disk_full(path, action, needed_bytes) from error
        if error.errno == errno.EROFS:
            remedy = "Choose a folder on a writable disk, or remount this one read-write."
            raise DiskRefused(f"Cannot {action} {path}: its file system is read-only. {remedy}") from error
        if error.errno == errno.EFBIG:
            remedy = "Raise the limit (ulimit -f), and run the same command again."
            raise DiskRefused(
                f"Cannot {action} {path}: this process may write no file of that size. {remedy}"
            ) from error
        if error.errno in _FORBIDDEN:
            remedy = f"Give this user access to {_existing_parent(path)}, or choose another folder."
            raise UserError(f"Cannot {action} {path}: permission denied. {remedy}") from error
        if error.errno in _BLOCKED:
            remedy = "Something else has that name: move it away, or choose another folder."
            raise UserError(f"Cannot {action} {path}: {os.strerror(error.errno)}. {remedy}") from error
        raise


def unreadable(error: OSError) -> str | None:
    """That the disk no longer gives what a file held, in words; None when `error` says something else.

    A bad block, or a checksum of the file system that does not hold: to whoever can do without the file
    it is damage, as a flipped bit is.
    """
    if error.errno is None or error.errno not in _LOST:
        return None
    return f"cannot be read: {os.strerror(error.errno)}"


def disk_full(path: Path, action: str, needed_bytes: int | None = None) -> DiskRefused:
    """The error for a full disk under `path`, with the space left and, if known, wanted."""
    folder = _existing_parent(path)
    wanted = "" if needed_bytes is None else f", {needed_bytes / 1e6:.1f} MB wanted"
    return DiskRefused(
        f"Cannot {action} {path}: no space left on the disk or in the quota "
        f"({shutil.disk_usage(folder).free / 1e6:.1f} MB free in {folder}{wanted}). "
        "Nothing saved before is lost. Free some space and run the same command again."
    )


def _existing_parent(path: Path) -> Path:
    return next((folder for folder in path.absolute().parents if folder.is_dir()), Path("/"))


ARRAY_ERRORS = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, OverflowError),
    *(zipfile.BadZipFile, zlib.error),
    RuntimeError,  # zipfile: a compression it does not know, or a password
    *(SyntaxError, tokenize.TokenError),  # the header of an array is a Python literal
    MemoryError,  # a header that promises more than any machine holds
)
"""What NumPy raises for an `.npy` or `.npz` file that is damaged or of another format."""
