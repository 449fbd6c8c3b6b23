"""What is drawn in a panel: runs, means with intervals, fits with bands, labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation

from trm_scaling.analysis import Fit, Interval, accuracy_at
from trm_scaling.analysis.fits.forms import FORMULAS
from trm_scaling.plots.style import SMALL, Theme

RUN_ID, MEAN_ID, UNAVERAGED_ID, LAW_ID, BAND_ID = "runs", "means", "unaveraged", "law", "band"
"""Ids of what is drawn, for whoever styles or tests a figure."""

_ASIDE = 0.06
"""Inches between a configuration's runs, its mean, and its mean without averaging."""


def runs_and_mean(
    axes: Axes,
    theme: Theme,
    at: float,
    values: np.ndarray,
    mean: float,
    interval: Interval | None,
    *,
    unaveraged: float | None = None,
    sideways: bool = False,
    marker: str = "o",
) -> None:
    """One configuration at `at` of the x axis (of the y axis, where `sideways`)."""

    def dots(
        spots: np.ndarray, inches: float, gid: str, size: float, colour: Any, edge: str, shape: str
    ) -> None:
        shift = (0.0, inches) if sideways else (inches, 0.0)
        ats = np.full(spots.size, at)
        axes.scatter(
            spots if sideways else ats,
            ats if sideways else spots,
            s=size,
            marker=shape,
            color=colour,
            edgecolors=edge,
            linewidths=0.8 if gid == UNAVERAGED_ID else 0.5,
            transform=axes.transData + ScaledTranslation(*shift, axes.figure.dpi_scale_trans),
            gid=gid,
            zorder=4,
            clip_on=False,
        )

    # One run is its own mean: a dot beside it would look like a second run.
    if values.size > 1:
        dots(values, -_ASIDE, RUN_ID, 7, (theme.data, 0.4), "none", "o")
    if unaveraged is not None:
        dots(np.array([unaveraged]), _ASIDE, UNAVERAGED_ID, 16, "none", theme.law, "D")
    if interval is not None:
        # An interval without an end is drawn on the side where it has one.
        ends, twice = [end if np.isfinite(end) else mean for end in interval.ends], [at, at]
        axes.plot(*((ends, twice) if sideways else (twice, ends)), color=theme.data, linewidth=1.3, zorder=3)
    dots(np.array([mean]), 0.0, MEAN_ID, 26, theme.data, theme.paper, marker)


def law(axes: Axes, theme: Theme, fit: Fit, low: float, high: float) -> None:
    """`fit` from `low` to `high`, with the 95 % band of the places that it was asked for."""
    form = next((form for form in FORMULAS if form == fit.law), None)
    if form is None:
        return
    xs = np.geomspace(low, high, 100)
    line = "solid" if fit.verdict.word == "identified" else "dashed"
    axes.plot(
        xs, accuracy_at(form, fit.values, xs), color=theme.muted, linestyle=line, gid=LAW_ID, zorder=1.9
    )
    asked = sorted((each.at["x"], each.law.ends) for each in fit.predictions if each.law is not None)
    inside = [(x, ends) for x, ends in asked if low <= x * (1 + 1e-9) and x <= high * (1 + 1e-9)]
    if len(inside) > 2:
        bounds = np.clip(np.array([ends for _, ends in inside]), 0, 1)
        xs, (low_ends, high_ends) = np.array([x for x, _ in inside]), bounds.T
        axes.fill_between(xs, low_ends, high_ends, color=theme.muted, alpha=0.15, linewidth=0, gid=BAND_ID)


def law_in_words(fit: Fit) -> str:
    """`accuracy = a - b x^-c, identified: a 0.93 [0.86, 1], c 0.33 [0.25, 0.46].`"""
    # b only says in which units x is.
    told = [each for each in fit.parameters if each.name != "b"]
    values = ", ".join(f"{each.name} {each.value:.3g}{_span(each.interval)}" for each in told)
    return f"{fit.formula}, {fit.verdict.word}: {values}."


def _span(interval: Interval | None) -> str:
    if interval is None:
        return ""
    low, high = ("none" if end is None else f"{end:.3g}" for end in (interval.low, interval.high))
    return f" [{low}, {high}]"


def clipped(
    axes: Axes, theme: Theme, row: float, ends: tuple[float, float], limits: tuple[float, float]
) -> None:
    """An arrow at each limit of the x axis that an interval in `row` goes beyond."""
    for end, limit, arrow in zip(ends, limits, ("<", ">"), strict=True):
        if end < limits[0] or end > limits[1]:
            axes.scatter(
                [limit], [row], marker=arrow, s=22, color=theme.muted, zorder=5, clip_on=False, gid="beyond"
            )


def beside(axes: Axes, x: float, y: float, text: str, *, right: bool = True) -> None:
    """A small label beside a mark, and above it."""
    place = {"xytext": (5 if right else -5, 3), "ha": "left" if right else "right"}
    note = axes.annotate(text, (x, y), textcoords="offset points", size=SMALL, zorder=5, **place)  # type: ignore[arg-type]
    note.set_in_layout(False)


def categories(axes: Axes, labels: Sequence[str]) -> None:
    """`labels` down the y axis, the first at the top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
