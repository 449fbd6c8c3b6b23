"""The command line, one verb a file. A verb imports what it needs when it runs, so `--help` is instant."""

import gc
import sys
import warnings
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from sys import UnraisableHookArgs


def main() -> None:
    """`trm`. A UserError becomes one message on standard error and its exit status, without a traceback."""
    # Collecting after every 700 new objects takes a tenth of the time that loading JAX takes.
    gc.set_threshold(50_000, 20, 20)
    warnings.showwarning = _show_in_one_line
    sys.unraisablehook = _show_unless_late
    try:
        _run()
    except KeyboardInterrupt:
        # While modules were being loaded; later the verbs and the parser hear it.
        sys.exit(130)


def _run() -> None:
    from trm_scaling.cli.app import app
    from trm_scaling.errors import UserError

    try:
        app()
    except UserError as error:
        from trm_scaling.io.secrets import masked_text

        print(masked_text(f"error: {error}" if error.is_failure else str(error)), file=sys.stderr)
        sys.exit(error.exit_status)


def _show_in_one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """What Python shows of a warning beside its text, a line of source, means nothing to a user."""
    print(f"warning: {message}", file=file or sys.stderr)


def _show_unless_late(unraisable: "UnraisableHookArgs") -> None:
    """After a write to a full disk, TensorStore calls, again and again, into an event loop that Orbax closed.

    The failed write itself is reported where it is awaited.
    """
    if str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)
