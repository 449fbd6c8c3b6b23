"""The one exception a user is meant to read, and the one warning that a run's record keeps."""


class UserError(Exception):
    """Something the user can mend.

    The message says what was found, where, and what to do. The command line prints it
    without a traceback and exits with `exit_status`.
    """

    exit_status = 2
    is_failure = True
    """Whether the command line calls it an error; what somebody asked for is none."""


class Damage(UserWarning):
    """Something on the disk was not as it was written, and was met without the user.

    The message says what was found, where, and what was done. A run keeps it in its record too.
    """
