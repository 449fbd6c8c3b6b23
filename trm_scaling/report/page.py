"""What a report says, as data: no text of a file format is in here, and none of it is computed later.

Text is plain and may hold anything, since names of runs are whatever somebody typed. The writers of
`report.html` and `report.markdown` escape it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from trm_scaling.analysis import Interval
from trm_scaling.plots.figure import StudyFigure
from trm_scaling.results.format import (
    bracket,
    compact,
    hours,
    memory,
    money,
    number,
    percent,
    points,
    setting,
    significant,
)

Tone = Literal["good", "middling", "bad", "quiet"]
"""How a badge is coloured; its word says the same."""

CellKind = Literal[
    "text",
    "code",
    "setting",
    "verdict",
    "accuracy",
    "share",
    "points",
    "interval",
    "points interval",
    "plain interval",
    "count",
    "compact",
    "flops",
    "number",
    "p",
    "hours",
    "memory",
    "money",
]
"""What the cells of a column are, which decides how they are written."""

_WORDS = ("text", "code", "setting", "verdict")


def _ends(written: Callable[[float], str]) -> Callable[[Interval], str]:
    return lambda interval: bracket(
        *("" if end is None else written(end) for end in (interval.low, interval.high))
    )


_WRITTEN: Mapping[CellKind, Callable[[Any], str]] = {
    **dict.fromkeys(("text", "code", "verdict"), str),
    "setting": setting,
    "accuracy": percent,
    "share": partial(percent, digits=0),
    "points": points,
    "interval": _ends(lambda end: f"{100 * end:.1f}"),
    "points interval": _ends(points),
    "plain interval": _ends(significant),
    "count": "{:,.0f}".format,
    "compact": compact,
    "flops": partial(compact, unit="FLOP"),
    "number": significant,
    "p": "{:.2g}".format,
    "hours": hours,
    "memory": memory,
    "money": money,
}
_TONES: dict[str, Tone] = {
    **dict.fromkeys(("finished", "answered", "identified", "significant"), "good"),
    **dict.fromkeys(("tentative", "weakly identified", "running", "interrupted", "stopped"), "middling"),
    **dict.fromkeys(("failed", "damaged"), "bad"),
}


def tone_of(word: str) -> Tone:
    """How a verdict or a run's state is coloured."""
    return _TONES.get(word, "quiet")


@dataclass(frozen=True)
class Badge:
    """A verdict in a word or two."""

    word: str
    why: str = ""
    """One sentence."""

    @property
    def tone(self) -> Tone:
        return tone_of(self.word)


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    label: str
    kind: CellKind = "text"
    about: str = ""
    """What is in it, where the label is too short to say so."""

    @property
    def numeric(self) -> bool:
        """Whether it is aligned right and sorted by size."""
        return self.kind not in _WORDS

    def text(self, value: Any) -> str:
        """A cell as it is shown; "" where it is missing."""
        if value is None or value != value or value == "":
            return ""
        return _WRITTEN[self.kind](value)

    def sort_key(self, value: Any) -> str:
        """What the page sorts a cell by: a number as JavaScript reads it, or words; "" if it is missing."""
        if isinstance(value, Interval):
            value = max(min(value.ends[0], 1e300), -1e300)
        if (found := number(value)) is not None:
            return repr(found)
        return self.text(value).casefold()


@dataclass(frozen=True)
class Table:
    """Rows under columns; the first column names its row. A missing value is None or NaN."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""
    folded: bool = False
    """Shown on request: long, or for the record."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.caption}: {len(row)} cells in a row of {len(self.columns)} columns")

    def without_empty_columns(self) -> "Table":
        """The same without columns that have no value in any row."""
        kept = [
            index
            for index, column in enumerate(self.columns)
            if index == 0 or any(column.text(row[index]) for row in self.rows)
        ]
        return Table(
            self.caption,
            tuple(self.columns[index] for index in kept),
            tuple(tuple(row[index] for index in kept) for row in self.rows),
            self.note,
            self.folded,
        )


@dataclass(frozen=True)
class Figure:
    """A drawn figure: in line in the page, and as files under its name."""

    name: str
    """Stem of its files, and of its ids in the page: letters, digits and hyphens."""
    drawn: StudyFigure


@dataclass(frozen=True)
class Dot:
    """One configuration in a small picture."""

    mean: float
    low: float
    high: float
    unaveraged: float | None
    best: bool


@dataclass(frozen=True)
class Fact:
    """A term and what is so."""

    term: str
    text: str
    missing: bool = False
    """Whether the records leave it open."""


@dataclass(frozen=True)
class Block:
    """A titled part of a page. Whatever it lacks is left out."""

    title: str
    lead: str = ""
    formula: str = ""
    badge: Badge | None = None
    facts: tuple[Fact, ...] = ()
    points: tuple[str, ...] = ()
    """Short statements, one under another."""
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.facts or self.points or self.figures or self.tables)


@dataclass(frozen=True)
class Section:
    """One experiment family, or one that was not run yet."""

    anchor: str
    """Of the page: letters, digits and hyphens."""
    key: str
    title: str
    question: str
    answer: str
    badge: Badge
    numbers: str = ""
    """Averaged and unaveraged accuracy of the best configuration."""
    dots: tuple[Dot, ...] = ()
    """Every configuration, in the order of the axis."""
    blocks: tuple[Block, ...] = ()
    command: str = ""
    """What would run what is missing; empty when nothing is."""
    missing: str = ""
    """What is missing, in words."""


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    subtitle: str
    written: str
    """When, and by which version."""
    made_up: bool
    """Whether any of its numbers are invented, which is then said before all else."""
    notices: tuple[str, ...] = ()
    """What a reader must know before the numbers."""
    sections: tuple[Section, ...] = ()
    blocks: tuple[Block, ...] = ()
    """What concerns all of it."""

    @property
    def figures(self) -> Iterator[Figure]:
        """All of them, in order."""
        for block in (*(block for section in self.sections for block in section.blocks), *self.blocks):
            yield from block.figures
