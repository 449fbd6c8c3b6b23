"""How long work tells its caller where it stands, without knowing who shows it."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, units done, units in all); often, and always at the end."""


def silent(phase: str, done: int, total: int) -> None:
    """The progress of a caller who wants none."""
