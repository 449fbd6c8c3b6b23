"""Differences with intervals, and what factors explain."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from trm_scaling.analysis import Comparison, Importance
from trm_scaling.errors import UserError
from trm_scaling.plots import marks, style
from trm_scaling.plots.drawing import drawing, panels
from trm_scaling.plots.figure import StudyFigure
from trm_scaling.plots.quantity import plain
from trm_scaling.plots.style import Theme, ThemeName
from trm_scaling.plots.typeset import short, width_of

_LINE, _REST = 0.24, 0.7
"""Inches of a row, and of the axis below them."""


def plot_differences(
    comparisons: Sequence[Comparison],
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    labels: Mapping[str, str] | None = None,
) -> StudyFigure:
    """A forest plot: each difference in accuracy with its 95 % interval, and what may be said of it.

    `labels`: experiment -> its name on the axis. Raises UserError without comparisons.
    """
    if not comparisons:
        raise UserError("no comparisons: there is nothing to draw")
    against = sorted({each.a for each in comparisons})
    names = labels or {}
    rows = [names.get(each.b, each.b) for each in comparisons]
    if len(against) > 1:
        rows = [
            f"{row} less {names.get(each.a, each.a)}" for row, each in zip(rows, comparisons, strict=True)
        ]
    whose = f" to {names.get(against[0], against[0])}" if len(against) == 1 else ""
    with drawing(f"Differences{whose}", path, theme, height=_REST + _LINE * len(rows)) as figure:
        (axes,) = panels(figure, 1)
        _draw_differences(axes, figure.theme, comparisons)
        marks.categories(axes, [short(row) for row in rows])
        axes.set_xlabel("Difference in test accuracy (percentage points)")
        axes.set_xlim(*_limits(comparisons))
        words = axes.secondary_yaxis("right")
        words.set_yticks(range(len(rows)), [each.claim.word for each in comparisons])
        words.tick_params(length=0)
        words.spines["right"].set_visible(False)
        shown = sum(each.claim.word == "significant" for each in comparisons)
        figure.finding = (
            f"{shown} of {len(comparisons)} differences are significant after correction for their number."
        )
        figure.caption += _caption(comparisons)
        figure.description += [_in_words(row, each) for row, each in zip(rows, comparisons, strict=True)]
    return figure


def plot_factor_importance(
    importance: Importance,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
    labels: Mapping[str, str] | None = None,
) -> StudyFigure:
    """Bars: the share of the variance of accuracy that each factor explains, and what none does.

    `labels`: factor -> its name on the axis.
    """
    names = [short((labels or {}).get(each.factor, each.factor)) for each in importance.factors]
    shares = [100 * each.share for each in importance.factors]
    rows = len(names) + 1
    with drawing("What accuracy depends on", path, theme, height=_REST + _LINE * rows) as figure:
        (axes,) = panels(figure, 1)
        axes.barh(range(len(names)), shares, height=0.62, color=figure.theme.data, gid="factors")
        rest = 100 * importance.unexplained
        axes.barh([len(names)], [rest], height=0.62, color=figure.theme.muted, alpha=0.5, gid="unexplained")
        marks.categories(axes, [*names, "unexplained"])
        most = max([*shares, rest])
        said = [
            f"{100 * each.spread:.1f} points, best {short(_level(each.best))}" for each in importance.factors
        ]
        for row, (share, text) in enumerate(
            zip([*shares, rest], [*said, "seeds and combinations"], strict=True)
        ):
            axes.annotate(
                text, (share, row), xytext=(4, 0), textcoords="offset points", size=style.SMALL, va="center"
            )
        room = (
            figure.get_size_inches()[0]
            - 0.6
            - max(width_of(name, style.SMALL) for name in [*names, "unexplained"])
        )
        needed = (
            max(
                share / most + width_of(text, style.SMALL) / room
                for share, text in zip([*shares, rest], [*said, "seeds and combinations"], strict=True)
            )
            if most > 0
            else 1.0
        )
        axes.set_xlim(0, max(most, 1e-9) * min(max(needed + 0.05, 1.05), 2.5))
        axes.set_xlabel("Share of the variance of test accuracy (%)")
        if importance.factors:
            first = importance.factors[0]
            figure.finding = (
                f"{names[0]} explains most, {shares[0]:.0f} % of the variance (p = {first.adjusted_p:.2g})."
            )
        figure.caption += _importance_caption(importance)
        figure.description += [
            f"{name}: {share:.1f} %, effects spread over {text}."
            for name, share, text in zip(names, shares, said, strict=True)
        ]
    return figure


def _level(text: str) -> str:
    """The value of a factor: without the digits that a number has only as text."""
    try:
        return plain(float(text))
    except ValueError:
        return text


def _draw_differences(axes: Axes, theme: Theme, comparisons: Sequence[Comparison]) -> None:
    axes.axvline(0, color=theme.ink, linewidth=0.8, zorder=1)
    for row, each in enumerate(comparisons):
        sure = each.claim.word == "significant"
        colour = theme.data if sure else theme.muted
        if each.interval is not None:
            low, high = each.interval.ends
            axes.plot([100 * low, 100 * high], [row, row], color=colour, linewidth=1.3, zorder=2)
        axes.scatter(
            100 * each.difference,
            row,
            s=26,
            marker="o" if each.interval is not None else "D",
            color=colour if sure else theme.paper,
            edgecolors=colour,
            linewidths=1.1,
            gid=marks.MEAN_ID,
            zorder=3,
        )


def _limits(comparisons: Sequence[Comparison]) -> tuple[float, float]:
    """Zero, all differences, and intervals as far as they are not far beyond them."""
    differences = [100 * each.difference for each in comparisons]
    reach = max([abs(value) for value in differences] + [1.0])
    ends = [100 * end for each in comparisons if each.interval for end in each.interval.ends]
    kept = [max(min(end, 3 * reach), -3 * reach) for end in ends]
    low, high = min([0.0, *differences, *kept]), max([0.0, *differences, *kept])
    margin = 0.06 * (high - low)
    return low - margin, high + margin


def _caption(comparisons: Sequence[Comparison]) -> list[str]:
    said = ["Bars: 95 % intervals over seeds (Welch); filled where significant (rank test, Holm)."]
    if alone := sum(each.interval is None for each in comparisons):
        said.append(f"{alone} without an interval: a side has one run.")
    if any(each.claim.word == "too few seeds" for each in comparisons):
        said.append("Out of reach: with so few seeds no result could have been significant.")
    return said


def _in_words(name: str, each: Comparison) -> str:
    if each.interval is None:
        return f"{name}: {100 * each.difference:+.1f} points, {each.claim.word}."
    low, high = each.interval.ends
    span = f"{100 * low:+.1f} to {100 * high:+.1f}"
    return f"{name}: {100 * each.difference:+.1f} points ({span}), {each.claim.word}."


def _importance_caption(importance: Importance) -> list[str]:
    said = [
        "Main effects, each beside all others (type II), less what chance would give (omega squared); beside "
        "the bars, how far the effects of a factor's values spread."
    ]
    if importance.inseparable:
        said.append(f"Not to be told from the others: {', '.join(importance.inseparable)}.")
    return said
