"""A figure that carries its words: a title, what it found, how it was made, and text for screen readers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from trm_scaling.plots import style
from trm_scaling.plots.style import Theme, ThemeName
from trm_scaling.plots.typeset import printable, wrapped

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
