"""The one exception a user is meant to read."""


class UserError(Exception):
    """Something the user can mend.

    The message says what was found, where, and what to do. The command line prints it
    without a traceback and exits with `exit_status`.
    """

    exit_status = 2
