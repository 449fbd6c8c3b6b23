"""What a run meets and goes on without is shown at once, as any warning is, and kept in its record."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from trm_scaling.errors import Damage, UserError


@contextmanager
def damage_kept(keep: Callable[[str], None]) -> Iterator[None]:
    """For the block, `keep` the message of every `Damage` that is warned of."""
    show = warnings.showwarning

    def keep_and_show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, Damage):
            # A disk that takes no line of the record: the warning is shown, and training will meet it.
            with suppress(UserError, OSError):
                keep(str(message))
        show(message, category, filename, lineno, file, line)

    warnings.showwarning = keep_and_show
    try:
        yield
    finally:
        warnings.showwarning = show
