"""How long a batch bears a file system that answers with errors: those of a network stumble, and recover."""

import errno
import time
from collections.abc import Callable
from pathlib import Path

from trm_scaling.io.disk_errors import DiskRefused

RETRY_SECONDS = 5.0
"""Between two tries."""

PATIENCE_SECONDS = 300.0
"""Of nothing but errors, after which the batch gives up."""

# Python has EREMOTEIO on Linux alone.
_REMOTE = getattr(errno, "EREMOTEIO", errno.EIO)
_STUMBLES = frozenset({errno.ESTALE, errno.EIO, _REMOTE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ESHUTDOWN})
"""A handle that the server forgot, an evicted client, a server that is away: no fault of a run's."""

_clock = time.monotonic
_sleep = time.sleep


def is_stumble(error: BaseException) -> bool:
    """Whether the same call may go well a little later."""
    return isinstance(error, OSError) and error.errno in _STUMBLES


class Patience:
    """With the file system that holds `place`; what there is to say goes to `note`."""

    def __init__(self, place: Path, note: Callable[[str], None]) -> None:
        self._place = place
        self._note = note
        self._since: float | None = None

    def bear(self, error: OSError) -> None:
        """Wait, so that what `error` ended can be tried again.

        Raises DiskRefused when there was nothing but errors for too long.
        """
        now = _clock()
        if self._since is None:
            self._since = now
            self._note(f"the file system stumbles: {error}; trying again every {RETRY_SECONDS:g} s")
        if now - self._since >= PATIENCE_SECONDS:
            minutes = PATIENCE_SECONDS / 60
            raise DiskRefused(
                f"The file system of {self._place} gave nothing but errors for {minutes:g} minutes, at last: "
                f"{error}. Runs at work go on without the batch; once it answers, the same command goes on "
                "with them."
            ) from error
        _sleep(RETRY_SECONDS)

    def relieve(self) -> None:
        """It went well."""
        if self._since is not None:
            self._since = None
            self._note("the file system answers again")
