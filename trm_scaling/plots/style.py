"""One look for every figure: sizes, type, and colours that colour-blind readers can tell apart.

The colours of the data are those of Okabe and Ito (2008), which stay distinct under the three common
forms of colour blindness. The settings are applied around a drawing and taken back after it, so that
making a figure changes nothing for whoever else uses matplotlib in the same program.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib

SINGLE_COLUMN = 3.5
"""Inches: one column of a journal page."""
DOUBLE_COLUMN = 7.0
"""Inches: the width of a journal page."""
PANEL_HEIGHT = 2.5
"""Inches: of a panel with its axis labels."""
DOTS_PER_INCH = 300

TEXT, SMALL, TITLE = 8.0, 7.0, 10.0
"""Sizes of type, in points."""
FONTS = ("DejaVu Sans", "Verdana", "Bitstream Vera Sans")
"""The first comes with matplotlib; the others have its widths, for a browser that lacks it."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Beside the colours of a series, so that colour is never the only difference."""

ThemeName = Literal["light", "dark"]


@dataclass(frozen=True)
class Theme:
    """Colours as #rrggbb; each is used for one purpose, so that a page may replace them one by one."""

    name: ThemeName
    paper: str
    """Behind everything."""
    ink: str
    """Text and axes."""
    muted: str
    """Captions, and what is there for comparison."""
    grid: str
    series: tuple[str, ...]
    """In the order of use; the first alone where there is one series."""

    @property
    def data(self) -> str:
        """Of what was measured."""
        return self.series[0]

    @property
    def law(self) -> str:
        """Of what was fitted, and of frontiers."""
        return self.series[1]


LIGHT = Theme(
    name="light",
    paper="#ffffff",
    ink="#1f2328",
    muted="#59636e",
    grid="#e3e6ea",
    series=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1"),
)
DARK = Theme(
    name="dark",
    paper="#0f1419",
    ink="#e6edf3",
    muted="#9aa4af",
    grid="#2a313a",
    series=("#56b4e9", "#ff9d4d", "#2fc89b", "#e39ac4", "#f0e442", "#3f9be0", "#b79be0"),
)


def theme_of(name: ThemeName) -> Theme:
    match name:
        case "light":
            return LIGHT
        case "dark":
            return DARK


@contextmanager
def applied(theme: Theme) -> Iterator[None]:
    """matplotlib's settings are those of `theme` inside; the same data then give the same bytes."""
    settings: dict[Any, Any] = {
        "axes.axisbelow": True,
        "axes.edgecolor": theme.ink,
        "axes.facecolor": theme.paper,
        "axes.grid": True,
        "axes.labelcolor": theme.ink,
        "axes.labelsize": TEXT,
        "axes.linewidth": 0.8,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlecolor": theme.ink,
        "axes.titlelocation": "left",
        "axes.titlesize": TEXT,
        "axes.titleweight": "bold",
        "figure.dpi": 100,
        "figure.facecolor": theme.paper,
        "font.family": ["sans-serif"],
        "font.sans-serif": list(FONTS),
        "font.size": TEXT,
        "grid.color": theme.grid,
        "grid.linewidth": 0.6,
        "legend.fontsize": SMALL,
        "legend.frameon": False,
        "legend.labelcolor": theme.ink,
        "lines.linewidth": 1.4,
        "pdf.fonttype": 42,  # TrueType: journals refuse Type 3
        "pdf.use14corefonts": False,
        "savefig.dpi": DOTS_PER_INCH,
        "savefig.facecolor": theme.paper,
        "savefig.edgecolor": theme.paper,
        "svg.fonttype": "none",  # text stays text: searchable, selectable, read aloud
        "svg.hashsalt": "trm-scaling",
        "text.color": theme.ink,
        # Names of runs may hold dollar signs.
        "text.parse_math": False,
        "text.usetex": False,
        "xtick.color": theme.ink,
        "xtick.labelsize": SMALL,
        "xtick.major.width": 0.8,
        "xtick.minor.visible": False,
        "ytick.color": theme.ink,
        "ytick.labelsize": SMALL,
        "ytick.major.width": 0.8,
        "ytick.minor.visible": False,
    }
    # Over matplotlib's own defaults, whatever a user's matplotlibrc says.
    defaults: dict[Any, Any] = {
        key: value for key, value in matplotlib.rcParamsDefault.items() if key != "backend"
    }
    with matplotlib.rc_context({**defaults, **settings}):
        yield
