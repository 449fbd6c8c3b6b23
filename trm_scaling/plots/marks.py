"""What stands in a panel: runs, means with intervals, laws with bands."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation, Transform

from trm_scaling.analysis import Fit, Interval, accuracy_at
from trm_scaling.analysis.fits.forms import FORMULAS
from trm_scaling.plots.figure import StudyFigure
from trm_scaling.plots.style import SMALL, Theme

RUN_ID, MEAN_ID, LAW_ID, BAND_ID = "runs", "means", "law", "band"
"""Ids of what is drawn, for whoever styles or tests a figure."""

_ASIDE = 0.055
"""Inches between a configuration's runs and its mean."""


def aside(axes: Axes, across: float, up: float) -> Transform:
    """The data's place, moved by so many inches."""
    figure = axes.get_figure()
    assert isinstance(figure, StudyFigure)
    return axes.transData + ScaledTranslation(across, up, figure.dpi_scale_trans)


def runs_and_mean(
    axes: Axes,
    theme: Theme,
    at: float,
    values: np.ndarray,
    mean: float,
    interval: Interval | None,
    *,
    sideways: bool = False,
    colour: str | None = None,
    marker: str = "o",
) -> None:
    """One configuration at `at` of the x axis (of the y axis, where `sideways`)."""
    colour = colour or theme.data
    # One run is its own mean: a dot beside it would look like a second run.
    if values.size > 1:
        ats = np.full(values.size, at)
        shift = aside(axes, 0, _ASIDE * 1.3) if sideways else aside(axes, -_ASIDE, 0)
        axes.scatter(
            values if sideways else ats,
            ats if sideways else values,
            s=9,
            color=colour,
            alpha=0.4,
            linewidths=0,
            transform=shift,
            gid=RUN_ID,
            zorder=2,
            clip_on=False,
        )
    if interval is not None:
        # An interval without an end is drawn on the side where it has one.
        ends, twice = [end if np.isfinite(end) else mean for end in interval.ends], [at, at]
        axes.plot(*((ends, twice) if sideways else (twice, ends)), color=colour, linewidth=1.3, zorder=3)
    axes.scatter(
        mean if sideways else at,
        at if sideways else mean,
        s=26,
        marker=marker,
        color=colour,
        edgecolors=theme.paper,
        linewidths=0.5,
        gid=MEAN_ID,
        zorder=4,
        clip_on=False,
    )


def law(axes: Axes, theme: Theme, fit: Fit, low: float, high: float) -> None:
    """`fit` from `low` to `high`, with the 95 % band of the places that it was asked for."""
    if fit.law not in FORMULAS:
        return
    form = next(form for form in FORMULAS if form == fit.law)
    xs = np.geomspace(low, high, 200)
    line = "solid" if fit.verdict.word == "identified" else "dashed"
    axes.plot(xs, accuracy_at(form, fit.values, xs), color=theme.law, linestyle=line, gid=LAW_ID, zorder=1.9)
    asked = sorted((each.at["x"], each.law.ends) for each in fit.predictions if each.law is not None)
    inside = [(x, ends) for x, ends in asked if low <= x * (1 + 1e-9) and x <= high * (1 + 1e-9)]
    if len(inside) > 2:
        bounds = np.clip(np.array([ends for _, ends in inside]), 0, 1)
        axes.fill_between(
            [x for x, _ in inside],
            bounds[:, 0],
            bounds[:, 1],
            color=theme.law,
            alpha=0.15,
            linewidth=0,
            gid=BAND_ID,
            zorder=1,
        )


def law_in_words(fit: Fit) -> str:
    """`accuracy = a - b x^-c, identified: a 0.93 (0.86 to 1), c 0.33 (0.25 to 0.46).`"""
    # b only says in which units x is.
    told = [each for each in fit.parameters if each.name != "b"]
    values = ", ".join(f"{each.name} {each.value:.3g}{_span(each.interval)}" for each in told)
    return f"{fit.formula}, {fit.verdict.word}: {values}."


def _span(interval: Interval | None) -> str:
    if interval is None:
        return ""
    if interval.low is None or interval.high is None:
        return f" (above {interval.low:.3g})" if interval.low is not None else " (no bound)"
    return f" ({interval.low:.3g} to {interval.high:.3g})"


def beside(axes: Axes, theme: Theme, x: float, y: float, text: str) -> None:
    """A small label to the right of a mark, and above it."""
    axes.annotate(
        text,
        (x, y),
        xytext=(4, 3.5),
        textcoords="offset points",
        size=SMALL - 0.5,
        color=theme.muted,
        zorder=5,
    ).set_in_layout(False)


def categories(axes: Axes, labels: Sequence[str]) -> None:
    """`labels` down the y axis, the first at the top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
