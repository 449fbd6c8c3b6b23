"""Runs as rows of a table, for a terminal, and as words, for a log."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trm_scaling.cli.quantities import clock

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from trm_scaling.results.progress import Progress
    from trm_scaling.run.batch.board import Label, Row

STYLES: "dict[Label, str]" = {
    "waiting": "dim",
    "new": "dim",
    "running": "cyan",
    "elsewhere": "cyan",
    "interrupted": "yellow",
    "stopped": "yellow",
    "failed": "bold red",
    "finished": "green",
    "imported": "green",
    "not run": "dim",
}

_FOLDED_FIRST: "tuple[Label, ...]" = ("finished", "imported", "waiting", "new", "not run")
"""What gives way to the rest where a terminal has too few lines."""

_LINES_AROUND = 6
"""Of the line above the table and an empty one, its head, the counts below it and the cursor."""

_WIDE = 92
"""Characters from which on there is room for a bar, and for headings in full."""


def table(rows: "Sequence[Row]", height: int, width: int) -> "RenderableType":
    """`rows` on at most `height` lines of `width` characters; what does not fit is counted below."""
    from rich.console import Group
    from rich.text import Text

    shown, folded = fold(rows, max(3, height - _LINES_AROUND))
    counts = ", ".join(f"{number} {label}" for label, number in folded.items())
    below = [Text(f"and {counts}", style="dim")] if folded else []
    return Group(_table(shown, width), *below)


def fold(rows: "Sequence[Row]", most: int) -> "tuple[list[Row], Counter[Label]]":
    """At most `most` rows, in their order, and how many of which state were left out."""
    kept = list(rows)
    folded: Counter[Label] = Counter()
    for label in (*_FOLDED_FIRST, None):
        if len(kept) <= most:
            break
        # All finished ones go together, as a count; of the others, those that come last.
        surplus = len(kept) if label == "finished" else len(kept) - most
        for row in reversed([row for row in kept if label in (None, row.label)][-surplus:]):
            kept.remove(row)
            folded[row.label] += 1
    return kept, folded


def _table(rows: "Sequence[Row]", width: int) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    has_seeds = len({row.seed for row in rows}) > 1
    has_profiles = len({row.profile for row in rows}) > 1
    is_wide = width >= _WIDE
    made = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    made.add_column("run", no_wrap=True)
    if has_profiles:
        made.add_column("profile", no_wrap=True)
    if has_seeds:
        made.add_column("seed", justify="right")
    made.add_column("state", no_wrap=True)
    if is_wide:
        made.add_column("", width=12)
    heads = ("validation", "puzzles/s") if is_wide else ("valid", "puz/s")
    for head in ("step", "loss", *heads, "left"):
        made.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        progress = row.progress
        left = progress.seconds_left if row.label in ("running", "elsewhere") else None
        cells: list[RenderableType] = [called(row)]
        cells += [row.profile] if has_profiles else []
        cells += [str(row.seed)] if has_seeds else []
        cells.append(Text(state_of(row), style=STYLES[row.label]))
        if is_wide:
            known = progress.step is not None and progress.total_steps is not None
            done, total = progress.step or 0, progress.total_steps or 1
            bar = ProgressBar(total, done, 12, complete_style="cyan", finished_style="green")
            cells.append(bar if known else "")
        made.add_row(
            *cells,
            steps(progress),
            "" if progress.loss is None else f"{progress.loss:.3f}",
            rate(progress.validation_exact_rate),
            "" if progress.examples_per_s is None else f"{progress.examples_per_s:,.0f}",
            "" if left is None else clock(left),
        )
    return made


def state_of(row: "Row") -> str:
    """The state of a run; `compiling` for a running one whose process has not trained a step yet."""
    from trm_scaling.io.lease import read_lease

    if row.label not in ("running", "elsewhere"):
        return row.label
    lease, newest = read_lease(row.folder.path), row.progress.updated
    has_trained = lease is None or (newest is not None and newest >= lease.since)
    return row.label if has_trained else "compiling"


def called(row: "Row") -> str:
    """The name of a run, and how many others it has."""
    return row.names[0] + (f" +{len(row.names) - 1}" if len(row.names) > 1 else "")


def sums(rows: "Sequence[Row]") -> str:
    """`6 runs: 3 finished, 2 running, 1 waiting`."""
    counts = Counter(row.label for row in rows)
    ordered = sorted(STYLES, key=lambda label: label != "finished")
    return f"{len(rows)} run{'' if len(rows) == 1 else 's'}: " + ", ".join(
        f"{counts[each]} {each}" for each in ordered if counts[each]
    )


def in_words(row: "Row") -> str:
    """One run on one line of a log."""
    progress = row.progress
    parts = [f"step {steps(progress)}" if progress.step is not None else ""]
    if row.label == "finished":
        tested = progress.test_exact_rate
        parts = ["" if tested is None else f"{rate(tested)} of the test puzzles solved"]
    elif progress.step is not None:
        parts.append("" if progress.loss is None else f"loss {progress.loss:.3f}")
        validation = progress.validation_exact_rate
        parts.append("" if validation is None else f"validation {rate(validation)}")
        speed = progress.examples_per_s
        parts.append("" if speed is None else f"{speed:,.0f} puzzles/s")
        left = progress.seconds_left if row.label in ("running", "elsewhere") else None
        parts.append("" if left is None else f"{clock(left)} left")
    said = ", ".join(part for part in (*parts, row.message) if part)
    seed = f" seed {row.seed}" if row.seed else ""
    return f"{called(row)}{seed} {state_of(row)}" + (f": {said}" if said else "")


def steps(progress: "Progress") -> str:
    """`120/312`."""
    if progress.step is None:
        return ""
    return f"{progress.step}" + ("" if progress.total_steps is None else f"/{progress.total_steps}")


def rate(share: float | None) -> str:
    """A share in percent."""
    return "" if share is None else f"{share:.1%}"
