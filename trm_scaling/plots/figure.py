"""A figure that carries its words: a title, what it found, how it was made, and text for screen readers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.textpath import TextToPath

from trm_scaling.plots import style
from trm_scaling.plots.style import FONTS, Theme, ThemeName

_LEADING = 1.35
"""Of a line, in sizes of its type."""
_MARGIN = 0.08
"""Inches around everything."""


class StudyFigure(Figure):
    """A matplotlib figure with a title, a finding, a caption and a description."""

    def __init__(self, title: str, theme: Theme, **options: Any) -> None:
        super().__init__(layout="constrained", **options)
        self.title = printable(title)
        self.theme = theme
        self.finding = ""
        """What the figure shows, in a sentence under the title."""
        self.caption: list[str] = []
        """How it was made and what is not in it: sentences under the panels."""
        self.description: list[str] = []
        """What a reader who cannot see the panels is told: sentences."""
        self.markup = ""
        """Its SVG, once it was written: a page and a file show the same one."""

    @property
    def text_for_screen_readers(self) -> str:
        """All of it, in the order in which it would be seen."""
        return " ".join(printable(each) for each in (self.finding, *self.description, *self.caption) if each)

    def finish(self) -> None:
        """Set the words around the panels, and grow by what they take, so that panels keep their size."""
        width, height = self.get_size_inches()
        room = width - 2 * _MARGIN
        title = wrapped(self.title, style.TITLE, room, "bold")
        finding = wrapped(printable(self.finding), style.TEXT, room)
        caption = wrapped(printable(" ".join(self.caption)), style.SMALL, room)
        above = _height(title, style.TITLE) + _height(finding, style.TEXT) + 2 * _MARGIN
        below = _height(caption, style.SMALL) + (2 * _MARGIN if caption else _MARGIN)
        tall = height + above + below
        self.set_size_inches(width, tall)
        left = _MARGIN / width
        common: dict[str, Any] = {"ha": "left", "va": "top", "linespacing": _LEADING / 1.2}
        top = tall - _MARGIN
        self.text(left, top / tall, "\n".join(title), size=style.TITLE, weight="bold", **common)
        top -= _height(title, style.TITLE)
        if finding:
            self.text(left, top / tall, "\n".join(finding), size=style.TEXT, **common)
        if caption:
            bottom = (_MARGIN + _height(caption, style.SMALL)) / tall
            text = "\n".join(caption)
            self.text(left, bottom, text, size=style.SMALL, color=self.theme.muted, **common)
        engine = self.get_layout_engine()
        assert isinstance(engine, ConstrainedLayoutEngine)
        engine.set(rect=(0, below / tall, 1, height / tall), w_pad=_MARGIN, h_pad=0.04, wspace=0.04)
        # Laid out once: files of every format then have the same layout, and need none of their own.
        self.draw_without_rendering()
        self.set_layout_engine("none")


@contextmanager
def drawing(
    title: str,
    path: str | Path | None,
    theme: ThemeName,
    *,
    width: float = style.DOUBLE_COLUMN,
    height: float = style.PANEL_HEIGHT,
) -> Iterator[StudyFigure]:
    """A figure to draw in, `height` inches of panels; finished, and written where there is a `path`."""
    from trm_scaling.plots.saving import save  # it writes what is drawn here

    chosen = style.theme_of(theme)
    with style.applied(chosen):
        figure = StudyFigure(title, chosen, figsize=(width, height))
        yield figure
        figure.finish()
    if path is not None:
        save(figure, path)


def panels(figure: StudyFigure, ratios: Sequence[float] = (1.0,), *, share_y: bool = False) -> list[Axes]:
    """Panels side by side, of these widths."""
    return list(figure.subplots(1, len(ratios), sharey=share_y, width_ratios=ratios, squeeze=False)[0])


def _height(lines: Sequence[str], size: float) -> float:
    return len(lines) * size * _LEADING / 72


_MISSING = "\N{WHITE SQUARE}"
_LONGEST = 36
"""Characters of a name that a figure has room for."""


@cache
def _font() -> FT2Font:
    return FT2Font(findfont(FONTS[0]))


def printable(text: str) -> str:
    """`text` on one line, with a square for every character that the figures' font lacks."""
    line = " ".join(text.split())
    return "".join(
        each if each.isprintable() and _font().get_char_index(ord(each)) else _MISSING for each in line
    )


def short(name: str) -> str:
    """A printable name, cut in its middle where it is long: runs differ at either end."""
    name = printable(name)
    if len(name) <= _LONGEST:
        return name
    head = (_LONGEST - 1) * 2 // 3
    return f"{name[:head]}\N{HORIZONTAL ELLIPSIS}{name[len(name) - (_LONGEST - 1 - head) :]}"


def width_of(text: str, size: float, weight: str = "normal") -> float:
    """Width in inches of one line at `size` points."""
    properties = FontProperties(family=list(FONTS[:1]), size=size, weight=weight)
    return float(TextToPath().get_text_width_height_descent(text, properties, False)[0]) / 72


def wrapped(text: str, size: float, width: float, weight: str = "normal") -> list[str]:
    """`text` in lines of at most `width` inches; a longer word is broken."""
    lines = [""]
    for word in text.split():
        candidate = f"{lines[-1]} {word}".strip()
        if width_of(candidate, size, weight) <= width:
            lines[-1] = candidate
            continue
        pieces = _broken(word, size, width, weight)
        lines += pieces if lines[-1] else []
        if not lines[0]:
            lines = pieces
    return [line for line in lines if line]


def _broken(word: str, size: float, width: float, weight: str) -> list[str]:
    pieces = [""]
    for letter in word:
        if width_of(pieces[-1] + letter, size, weight) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces
