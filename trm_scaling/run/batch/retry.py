"""How long a batch tries again when the file system returns errors, as when its server is away."""

import errno
import time
from collections.abc import Callable
from pathlib import Path

from trm_scaling.io.disk_errors import DiskRefused

RETRY_SECONDS = 5.0
"""Between two tries."""

LIMIT_SECONDS = 300.0
"""Of nothing but errors, after which the batch gives up."""

# Python has EREMOTEIO on Linux alone.
_REMOTE = getattr(errno, "EREMOTEIO", errno.EIO)
_TRANSIENT = frozenset({errno.ESTALE, errno.EIO, _REMOTE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ESHUTDOWN})
"""A handle that the server forgot, an evicted client, a server that is away: no fault of a run's."""

_clock = time.monotonic
_sleep = time.sleep


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed a little later."""
    return isinstance(error, OSError) and error.errno in _TRANSIENT


class Retry:
    """Tries of a file system, that of `place`; messages go to `note`."""

    def __init__(self, place: Path, note: Callable[[str], None]) -> None:
        self._place = place
        self._note = note
        self._since: float | None = None

    def wait_after(self, error: OSError) -> None:
        """Wait, so that what `error` ended can be tried again.

        Raises DiskRefused when there was nothing but errors for `LIMIT_SECONDS`.
        """
        now = _clock()
        if self._since is None:
            self._since = now
            self._note(f"the file system returns errors: {error}; trying again every {RETRY_SECONDS:g} s")
        if now - self._since >= LIMIT_SECONDS:
            raise DiskRefused(
                f"The file system of {self._place} returned nothing but errors for {LIMIT_SECONDS / 60:g} "
                f"minutes, the last one: {error}. Runs at work go on without the batch; once it answers, the "
                "same command goes on with them."
            ) from error
        _sleep(RETRY_SECONDS)

    def succeeded(self) -> None:
        """A call went well."""
        if self._since is not None:
            self._since = None
            self._note("the file system answers again")
