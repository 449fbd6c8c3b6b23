"""Tables on a terminal or in a file, all of one look; intervals and paths in what is said."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trm_scaling.results.format import amount

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from trm_scaling.analysis import Interval


def terminal(width: int = 120) -> "Console":
    """Where to print: as wide as the screen; `width` characters to a line where the output is a file."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else width, highlight=False, markup=False)


def bare_table(gap: int = 1, *, pad_edge: bool = True) -> "Table":
    """A table without columns, `gap` blanks between those that it gets."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(
        box=SIMPLE_HEAD, show_edge=False, padding=(0, gap, 0, 0), header_style="bold", pad_edge=pad_edge
    )


def columns(*heads: str, gap: int = 2, folds: bool = False, pad_edge: bool = True) -> "Table":
    """A table whose first column is text and whose others are figures; `folds`: long text is wrapped."""
    made = bare_table(gap, pad_edge=pad_edge)
    made.add_column(heads[0], no_wrap=not folds, overflow="fold" if folds else "ellipsis")
    for head in heads[1:]:
        made.add_column(head, justify="right", no_wrap=True)
    return made


def show_excluded(console: "Console", excluded: Sequence[str]) -> None:
    """A line for each run that was left out, with the reason."""
    if excluded:
        console.print(f"\nleft out: {amount(len(excluded), 'run')}")
    for each in excluded:
        console.print(f"  {each}", style="dim", soft_wrap=True)


def hundredfold(share: float) -> str:
    """A fraction in per cent, without the sign."""
    return f"{100 * share:.1f}"


def ends(interval: "Interval | None", written: Callable[[float], str], unit: str = "") -> str:
    """`86.2 to 94.3 %`; nothing where an end was not found."""
    if interval is None or interval.low is None or interval.high is None:
        return ""
    return f"{written(interval.low)} to {written(interval.high)}{unit}"


def from_here(path: Path) -> Path:
    """`path` as a person in this folder would write it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
