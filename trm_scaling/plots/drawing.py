"""A figure from its title to its file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from matplotlib.axes import Axes

from trm_scaling.plots import style
from trm_scaling.plots.figure import StudyFigure
from trm_scaling.plots.saving import save
from trm_scaling.plots.style import ThemeName


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
    chosen = style.theme_of(theme)
    with style.applied(chosen):
        figure = StudyFigure(title, chosen, figsize=(width, height))
        yield figure
        figure.finish()
    if path is not None:
        save(figure, path)


def panels(
    figure: StudyFigure, count: int, *, share_y: bool = False, ratios: Sequence[float] | None = None
) -> list[Axes]:
    """`count` axes side by side, lettered where there are several."""
    grid = figure.subplots(1, count, sharey=share_y, width_ratios=ratios, squeeze=False)
    return list(grid[0])


def letter(left: Axes, right: Axes, first: str = "", second: str = "") -> None:
    """Letter two panels, with a few words."""
    left.set_title(f"a  {first}".strip())
    right.set_title(f"b  {second}".strip())


def page_width(two: bool) -> float:
    """Inches for two panels, or for one."""
    return style.DOUBLE_COLUMN if two else style.SINGLE_COLUMN * 1.3
