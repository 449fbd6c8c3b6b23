"""Tables made of what the analysis returns."""

from collections.abc import Sequence

from trm_scaling.analysis import Comparison, Fit, Frontier, Importance, Interval
from trm_scaling.plots.quantity import quantity_of
from trm_scaling.report.page import MISSING, Cell, Column, Table, Tone
from trm_scaling.report.quantities import (
    compact,
    percent,
    percent_interval,
    plain_interval,
    points,
    points_interval,
    significant,
)

_FEW = 6
"""Rows of predictions that are shown unasked; a band drawn through many places is in the figure."""


def text(value: str | None, *, mono: bool = False) -> Cell:
    """Words."""
    return Cell(value, value.casefold(), mono=mono) if value else MISSING


def figures(value: float | None, shown: str) -> Cell:
    """A number as it is shown, sorted by itself."""
    return MISSING if value is None else Cell(shown, value)


def whole(value: float | None) -> Cell:
    return figures(value, "" if value is None else f"{value:,.0f}")


def accuracy(value: float | None) -> Cell:
    return figures(value, percent(value))


def badge(word: str, tone: Tone) -> Cell:
    return Cell(word, word, badge=tone)


def _range(interval: Interval | None, shown: str) -> Cell:
    """An interval, sorted by its lower end."""
    return MISSING if interval is None else Cell(shown, interval.ends[0])


def parameters(fit: Fit) -> Table:
    """A law's numbers."""
    rows = tuple(
        (
            text(each.name, mono=True),
            figures(each.value, significant(each.value)),
            _range(each.interval, plain_interval(each.interval)),
            text(each.interval.method if each.interval else None),
        )
        for each in fit.parameters
    )
    columns = (
        Column("parameter"),
        Column("value", numeric=True),
        Column("95 % interval", numeric=True),
        Column("interval by"),
    )
    return Table("Parameters of the law", columns, rows, note="In the units of the x axis.")


def rivals(fit: Fit) -> Table:
    """The other laws that were fitted to the same runs."""
    rows = tuple(
        (
            text(each.formula, mono=True),
            whole(each.parameter_count),
            figures(each.aicc, significant(each.aicc, 4)),
            figures(each.delta_aicc, "" if each.delta_aicc is None else f"{each.delta_aicc:+.1f}"),
            figures(
                each.extrapolation.absolute_error if each.extrapolation else None,
                percent(each.extrapolation.absolute_error) if each.extrapolation else "",
            ),
        )
        for each in fit.rivals
    )
    columns = (
        Column("rival law"),
        Column("parameters", numeric=True),
        Column("AICc", numeric=True, about="Akaike's criterion, corrected for few runs"),
        Column("difference", numeric=True, about="its AICc less that of the law above"),
        Column("error on the largest", numeric=True, about="predicted by a fit without them"),
    )
    note = "Differences within 2 prefer neither law; a negative one prefers the rival."
    return Table("The same runs under other laws", columns, rows, note=note)


def predictions(fit: Fit) -> Table:
    """The law where it was asked."""
    rows = tuple(
        (
            text(", ".join(f"{name} = {compact(value)}" for name, value in each.at.items())),
            accuracy(each.value),
            _range(each.law, percent_interval(each.law)),
            _range(each.run, percent_interval(each.run)),
        )
        for each in fit.predictions
    )
    columns = (
        Column("at"),
        Column("accuracy", numeric=True),
        Column("95 % interval of the mean", numeric=True),
        Column("95 % interval of one more run", numeric=True),
    )
    return Table("What the law predicts", columns, rows, folded=len(rows) > _FEW)


def comparisons(found: Sequence[Comparison]) -> Table:
    """Pairs of configurations, each with what may be said of it."""
    rows = tuple(
        (
            text(f"{each.b} against {each.a}", mono=True),
            Cell(f"{each.runs[1]} and {each.runs[0]}", min(each.runs)),
            figures(each.difference, points(each.difference)),
            _range(each.interval, points_interval(each.interval)),
            figures(each.claim.p_value, f"{each.claim.p_value:.2g}"),
            badge(each.claim.word, _claim_tone(each.claim.word)),
            whole(each.seeds_to_detect),
        )
        for each in found
    )
    columns = (
        Column("compared"),
        Column("seeds", numeric=True),
        Column("difference", "points", numeric=True),
        Column("95 % interval", "points", numeric=True),
        Column("p", numeric=True, about="exact rank test, corrected for the number of comparisons (Holm)"),
        Column("verdict"),
        Column("seeds to detect", numeric=True, about="each side, to find such a difference in 4 of 5 cases"),
    )
    note = found[0].claim.sentence if {each.claim.word for each in found} == {"too few seeds"} else ""
    return Table("Comparisons", columns, rows, note=note)


def _claim_tone(word: str) -> Tone:
    match word:
        case "significant":
            return "good"
        case "too few seeds":
            return "quiet"
        case _:
            return "middling"


def frontier(found: Frontier, column: str) -> Table:
    """Configurations by what they cost in `column`, those on the frontier marked."""
    quantity = quantity_of(column)
    factor, unit = quantity.unit([each.cost for each in found.points])
    rows = tuple(
        (
            text(each.configuration, mono=True),
            figures(each.cost, significant(each.cost / factor)),
            accuracy(each.accuracy),
            whole(each.runs),
            badge("knee", "good")
            if each.configuration == found.knee
            else badge("on it", "middling")
            if each.on_frontier
            else badge("below", "quiet"),
            figures(each.probability, percent(each.probability, 0)),
            figures(each.probability_best, percent(each.probability_best, 0)),
        )
        for each in found.points
    )
    columns = (
        Column("experiment"),
        Column(quantity.name.lower(), unit, numeric=True),
        Column("test accuracy", numeric=True),
        Column("seeds", numeric=True),
        Column("frontier"),
        Column("on it with probability", numeric=True),
        Column("best with probability", numeric=True),
    )
    note = f"Probabilities: {found.noise}."
    return Table(f"Accuracy against {quantity.name.lower()}", columns, rows, note=note, folded=True)


def importance(found: Importance) -> Table:
    """What each factor explains of the differences in accuracy."""
    rows = tuple(
        (
            text(each.factor),
            whole(each.levels),
            figures(each.share, percent(each.share)),
            figures(each.spread, f"{100 * each.spread:.1f}"),
            text(each.best, mono=True),
            figures(each.adjusted_p, f"{each.adjusted_p:.2g}"),
        )
        for each in found.factors
    )
    columns = (
        Column("family"),
        Column("experiments", numeric=True),
        Column("share of variance", numeric=True, about="omega squared: less what chance alone would give"),
        Column("spread", "points", numeric=True, about="best experiment less worst, the other families held"),
        Column("best"),
        Column("p", numeric=True, about="F test, corrected for the number of families (Holm)"),
    )
    left = f"Main effects leave {percent(found.unexplained)} of the variance to seeds and combinations"
    note = f"{left}; residual standard deviation {100 * found.residual_sd:.1f} points."
    if found.inseparable:
        note += f" Inseparable from the others: {', '.join(found.inseparable)}."
    return Table("Analysis of variance of test accuracy", columns, rows, note=note)
