"""One process at a time by flock(2), on file systems that have it."""

import errno
import fcntl

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS})
"""How a file system says that it has no such locks, as Lustre does when mounted without `-o flock`."""


def take(descriptor: int, *, wait: bool) -> bool:
    """Lock the open file; the lock goes when the file is closed, by the death of its process too.

    False when another process has it, unless it is waited for. True also where the file system has no
    locks: work goes on then, and only what the caller writes in one step is safe from another process.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True
