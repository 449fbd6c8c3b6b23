"""Differences with their intervals, and what factors explain."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from trm_scaling.analysis import Comparison, Importance
from trm_scaling.errors import UserError
from trm_scaling.plots import marks, style
from trm_scaling.plots.figure import StudyFigure, drawing, panels, short
from trm_scaling.plots.style import ThemeName
from trm_scaling.results.format import bracket, points

_LINE, _REST = 0.24, 0.7
"""Inches of a row, and of the axis below them."""
_REACH = 3.0
"""Times the largest difference: an interval is drawn that far, and an arrow says that it goes on."""


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
    names, against = labels or {}, sorted({each.a for each in comparisons})
    several = len(against) > 1
    rows = [
        f"{names.get(each.b, each.b)}{f' less {names.get(each.a, each.a)}' if several else ''}"
        for each in comparisons
    ]
    title = "Differences" if several else f"Differences to {names.get(against[0], against[0])}"
    with drawing(title, path, theme, height=_REST + _LINE * len(rows)) as figure:
        (axes,) = panels(figure)
        axes.axvline(0, color=figure.theme.ink, linewidth=0.8, zorder=1)
        limits = _limits(comparisons)
        for row, each in enumerate(comparisons):
            sure = each.claim.word == "significant"
            colour = figure.theme.data if sure else figure.theme.muted
            if each.interval is not None:
                low, high = (100 * end for end in each.interval.ends)
                axes.plot(
                    [max(low, limits[0]), min(high, limits[1])], [row, row], color=colour, linewidth=1.3
                )
                marks.clipped(axes, figure.theme, row, (low, high), limits)
            face = colour if sure else figure.theme.paper
            shape = "o" if each.interval is not None else "D"
            spot = (100 * each.difference, row)
            axes.scatter(
                *spot, s=26, marker=shape, color=face, edgecolors=colour, gid=marks.MEAN_ID, zorder=3
            )
        marks.categories(axes, [short(row) for row in rows])
        axes.set(xlabel="Difference in test accuracy (percentage points)", xlim=limits)
        words = axes.secondary_yaxis("right")
        words.set_yticks(range(len(rows)), [each.claim.word for each in comparisons])
        words.tick_params(length=0)
        words.spines["right"].set_visible(False)
        shown = sum(each.claim.word == "significant" for each in comparisons)
        figure.finding = f"{shown} of {len(comparisons)} differences are significant after Holm's correction."
        figure.caption += [
            "Bars: 95 % intervals over seeds; an arrow says that one goes on. Filled: significant.",
            *(
                ["Diamonds: no interval, since a side has one run."]
                if any(not c.interval for c in comparisons)
                else []
            ),
        ]
        figure.description += [
            f"{row}: {points(each.difference)} points{_span(each)}, {each.claim.word}."
            for row, each in zip(rows, comparisons, strict=True)
        ]
    return figure


def _limits(comparisons: Sequence[Comparison]) -> tuple[float, float]:
    """Zero, all differences, and intervals as far as `_REACH` times the largest difference."""
    differences = [100 * each.difference for each in comparisons]
    reach = _REACH * max([abs(value) for value in differences] + [1.0])
    ends = [100 * end for each in comparisons if each.interval for end in each.interval.ends]
    kept = [0.0, *differences, *(max(min(end, reach), -reach) for end in ends)]
    margin = 0.06 * (max(kept) - min(kept))
    return min(kept) - margin, max(kept) + margin


def _span(each: Comparison) -> str:
    return f" {bracket(*(points(end) for end in each.interval.ends))}" if each.interval else ""


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
    found = importance.factors
    names = [*(short((labels or {}).get(each.factor, each.factor)) for each in found), "unexplained"]
    shares = [*(100 * each.share for each in found), 100 * importance.unexplained]
    said = [
        *(f"{each.freedom} degree{'s' * (each.freedom > 1)} of freedom" for each in found),
        "seeds and combinations",
    ]
    with drawing("What accuracy depends on", path, theme, height=_REST + _LINE * len(names)) as figure:
        axes, words = panels(figure, (1.6, 1.0), share_y=True)
        colours = [*[figure.theme.data] * len(found), figure.theme.muted]
        axes.barh(range(len(names)), shares, height=0.62, color=colours, gid="factors")
        marks.categories(axes, names)
        axes.set_xlabel("Share of the variance (%)")
        words.set_axis_off()
        for row, text in enumerate(said):
            words.text(0, row, text, size=style.SMALL, va="center")
        if found:
            figure.finding = f"{names[0]} explains most: {shares[0]:.0f} % of the variance."
        figure.caption.append(
            "Main effects, each beside all others (type II), less what chance would give (omega squared). "
            "On the right: the effects that are its own."
        )
        if importance.inseparable:
            figure.caption.append(f"Cannot be told from the others: {', '.join(importance.inseparable)}.")
        figure.description += [
            f"{name}: {share:.1f} %, {text}." for name, share, text in zip(names, shares, said, strict=True)
        ]
    return figure
