"""What a report says, as data: no text of a file format is in here, and none of it is computed later.

Text is plain and may hold anything, since names of runs are whatever somebody typed. The writers of
`report.html` and `report.markdown` escape it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trm_scaling.plots.figure import StudyFigure

Tone = Literal["good", "middling", "bad", "quiet"]
"""How a badge is coloured; its word says the same."""


@dataclass(frozen=True)
class Badge:
    """A verdict in a word or two."""

    word: str
    tone: Tone
    why: str = ""
    """One sentence."""


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    label: str
    unit: str = ""
    numeric: bool = False
    """Aligned right, and sorted as numbers."""
    about: str = ""
    """What is in it, for whom the label is too short."""


@dataclass(frozen=True)
class Cell:
    """One value. A missing one has no text, and is shown as a dash and sorted last."""

    text: str = ""
    sort: float | str | None = None
    badge: Tone | None = None
    mono: bool = False
    """Names and commands, which a reader may want to copy."""


MISSING = Cell()


@dataclass(frozen=True)
class Table:
    """Rows under columns; the first column names its row."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    folded: bool = False
    """Shown on request: long, or for the record."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.caption}: {len(row)} cells in a row of {len(self.columns)} columns")


@dataclass(frozen=True)
class Figure:
    """A drawn figure: in line in the page, and as files under its name."""

    name: str
    """Stem of its files, and of its ids in the page: letters, digits and hyphens."""
    drawn: StudyFigure

    @property
    def title(self) -> str:
        return self.drawn.title

    @property
    def text(self) -> str:
        """What it shows, for who cannot see it."""
        return self.drawn.text_for_screen_readers


@dataclass(frozen=True)
class Fact:
    """A term and what is so."""

    term: str
    text: str
    missing: bool = False
    """Whether the records leave it open."""


@dataclass(frozen=True)
class Block:
    """A titled part of a section. Whatever it lacks is left out."""

    title: str
    lead: str = ""
    formula: str = ""
    badge: Badge | None = None
    facts: tuple[Fact, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    points: tuple[str, ...] = ()
    """Short statements, one under another."""


@dataclass(frozen=True)
class Section:
    """One experiment family, or one that was not run yet."""

    anchor: str
    """Of the page: letters, digits and hyphens."""
    key: str
    title: str
    question: str
    answer: str = ""
    badge: Badge | None = None
    blocks: tuple[Block, ...] = ()
    command: str = ""
    """What would run what is missing; empty when nothing is."""
    missing: str = ""
    """What is missing, in words."""


@dataclass(frozen=True)
class Tile:
    """A number to begin with."""

    value: str
    label: str
    detail: str = ""


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
    tiles: tuple[Tile, ...] = ()
    overview: tuple[Block, ...] = ()
    """What concerns the study as a whole."""
    sections: tuple[Section, ...] = ()
    appendix: tuple[Block, ...] = ()
    """What concerns all of it, after the sections."""
    lists_answers: bool = True
    """Whether the answers of the sections stand together at the top."""

    @property
    def figures(self) -> Sequence[Figure]:
        """All of them, in order."""
        own = [block for section in self.sections for block in section.blocks]
        return [figure for block in (*self.overview, *own, *self.appendix) for figure in block.figures]
