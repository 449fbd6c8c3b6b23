"""A fitted law on a terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trm_scaling.cli.tables import columns, ends, hundredfold, show_excluded, terminal
from trm_scaling.results.format import amount, percent

if TYPE_CHECKING:
    from rich.console import Console

    from trm_scaling.analysis import CellLink, Fit, Interval, Prediction, TwoStep
    from trm_scaling.analysis.fits.record import Extrapolation
    from trm_scaling.cli.fit_runs import Asked

STYLES = {"identified": "green", "weakly identified": "yellow", "not identified": "red"}
SYMBOLS = {"x": "x", "params": "N", "data": "D", "recursions": "r"}
"""Input of a fit -> its symbol in the formula."""


@dataclass(frozen=True)
class Fitted:
    """What was fitted to what, for a reader."""

    asked: "Asked"
    y: str
    legend: Mapping[str, str]
    """Symbol of the formula -> column."""
    found: "Fit | TwoStep"
    link: "CellLink | None" = None
    """From the share of wrong cells to exact accuracy, where that share was fitted."""

    @property
    def differing(self) -> tuple[str, ...]:
        """Columns of science, beside what the law has terms for, in which the runs differ."""
        return self.asked.differing(self.legend.values())


def show(fitted: "Fitted") -> None:
    """Print what was fitted, the verdict first."""
    from trm_scaling.analysis import TwoStep

    console, found = terminal(100), fitted.found
    legend = ", ".join(f"{symbol} = {column}" for symbol, column in fitted.legend.items())
    console.print(f"{fitted.asked.title}: {fitted.y}, {legend}", style="bold")
    for each in fitted.asked.families:
        console.print(each, style="dim")
    if fitted.differing:
        console.print(
            f"beside {', '.join(fitted.legend)}, these runs differ in {', '.join(fitted.differing)}, for "
            "which the law has no term",
            style="yellow",
        )
    if isinstance(found, TwoStep):
        _show_two_step(console, found)
    else:
        _show_fit(console, found, fitted.legend.get("x") or fitted.legend["N"], fitted.link)
    show_excluded(console, fitted.asked.excluded)


def _show_two_step(console: "Console", found: "TwoStep") -> None:
    _show_fit(console, found.loss)
    _show_fit(console, found.accuracy)
    console.print("\nBoth steps: accuracy from the inputs alone", style="bold")
    console.print(_missed("without the largest, both steps", found.extrapolation, is_loss=False))
    _show_predictions(console, found.predictions, (), is_loss=False)


def _show_fit(
    console: "Console", fit: "Fit", size: str | None = None, link: "CellLink | None" = None
) -> None:
    from rich.text import Text

    is_loss = fit.formula.startswith("L ")
    runs = f"{amount(fit.runs, 'run')} of {amount(fit.configurations, 'configuration')}"
    console.print(f"{runs}; {fit.likelihood.replace('_', ' ')}")
    word = fit.verdict.word
    console.print(Text.assemble("\n", (fit.formula, "bold"), "   ", (word, f"bold {STYLES[word]}")))
    console.print(fit.verdict.reason)

    numbers = columns("parameter", "value", "95 % interval")
    for parameter in fit.parameters:
        numbers.add_row(parameter.name, figure(parameter.value), span(parameter.interval))
    console.print("", numbers)
    _show_choices(console, fit, size)
    method = next((each.interval.method for each in fit.parameters if each.interval), "none")
    console.print(f"intervals: {method}", style="dim")
    console.print(f"observations: {fit.replicates}", style="dim")
    search = f"{fit.agreeing} of {fit.starts} starts agree, condition {fit.condition:.2g}"
    console.print(f"search: {search}, objective {fit.objective:.6g}", style="dim")

    laws = columns("law", "parameters", "AICc", "misses the largest by")
    laws.add_row(fit.law, str(len(fit.parameters)), "", _missed("", fit.extrapolation, is_loss))
    for rival in fit.rivals:
        laws.add_row(
            rival.law,
            str(rival.parameter_count),
            "" if rival.delta_aicc is None else f"{rival.delta_aicc:+.1f}",
            _missed("", rival.extrapolation, is_loss),
        )
    console.print("", laws)
    console.print("AICc against the first law's: above 0 is worse, below 2 as good", style="dim")
    # What a constant says elsewhere is no prediction.
    others = [rival for rival in fit.rivals if rival.law != "constant"]
    spreads = [tuple(rival.predictions[at] for rival in others) for at in range(len(fit.predictions))]
    _show_predictions(console, fit.predictions, spreads, is_loss)
    _show_held_out(console, fit, is_loss)
    if link is not None:
        _show_link(console, fit, link)


def _show_choices(console: "Console", fit: "Fit", size: str | None) -> None:
    own = fit.exponent
    if own is None or not fit.choices:
        return
    made = columns("exponent with", own.name, "95 % interval")
    made.add_row(size or "this choice", figure(own.value), span(own.interval))
    for each in fit.choices:
        made.add_row(each.label, figure(each.exponent.value), span(each.exponent.interval))
    console.print("", made)


def _show_held_out(console: "Console", fit: "Fit", is_loss: bool) -> None:
    if not fit.held_out:
        return
    value = figure if is_loss else percent
    made = columns("held out", "runs", "predicted", "observed", "ln ratio", "95 % of one run", "inside")
    for each in fit.held_out:
        made.add_row(
            each.label,
            str(each.runs),
            value(each.predicted),
            value(each.observed),
            "" if each.ln_ratio is None else f"{each.ln_ratio:+.3f}",
            ends(each.interval, value),
            "" if each.inside is None else "yes" if each.inside else "no",
        )
    console.print("", made)


def _show_link(console: "Console", fit: "Fit", link: "CellLink") -> None:
    c0, c1, c2 = link.coefficients
    console.print(
        f"\nexact accuracy: logit = {c0:.3g} {c1:+.3g} ln(cell error) {c2:+.3g} ln(cell error)^2, "
        f"{link.runs} runs, residual {link.residual_sd:.3f}, for cell errors from {figure(link.low)} "
        f"to {figure(link.high)}"
    )
    for each in fit.predictions:
        between = f" ({ends(link.interval(each.run), hundredfold)})" if each.run else ""
        console.print(f"  at {_place(each)}: {percent(float(link.accuracy(each.value)))}{between}")


def _show_predictions(
    console: "Console",
    predictions: "Sequence[Prediction]",
    rivals: Sequence[Sequence[float]],
    is_loss: bool,
) -> None:
    if not predictions:
        return
    value = figure if is_loss else percent
    made = columns("at", "law", "95 % of the law", "of all forms", "of one run", "other laws")
    for index, each in enumerate(predictions):
        others = rivals[index] if rivals else ()
        spread = f"{value(min(others))} to {value(max(others))}" if others else ""
        intervals = (each.law, each.forms, each.run)
        between = (ends(each, figure) if is_loss else ends(each, hundredfold, " %") for each in intervals)
        made.add_row(_place(each), value(each.value), *between, spread)
    console.print("", made)
    if any(each.disagree for each in predictions):
        console.print("the forms disagree there: the choice of form decides, not the runs", style="yellow")


def _place(prediction: "Prediction") -> str:
    return ", ".join(f"{SYMBOLS[name]} = {figure(number)}" for name, number in prediction.at.items())


def _missed(what: str, extrapolation: "Extrapolation | None", is_loss: bool) -> str:
    said = "too few runs"
    if extrapolation is not None:
        said = f"{100 * extrapolation.error:+.1f} {'%' if is_loss else 'points'}"
    return f"{what}: {said}" if what else said


def span(interval: "Interval | None") -> str:
    """An interval in figures; open ends in words."""
    if interval is None or (interval.low is None and interval.high is None):
        return "unknown"
    if interval.low is None or interval.high is None:
        return (
            f"above {figure(interval.low)}" if interval.low is not None else f"below {figure(interval.high)}"
        )
    return f"{figure(interval.low)} to {figure(interval.high)}"


def figure(value: float | None) -> str:
    """Three digits, and whole numbers up to a million."""
    if value is None:
        return "unknown"
    if value == 0:
        return "0"
    if 100 <= abs(value) < 999_999.5:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if 1e-3 <= abs(value) < 100 else f"{value:.3g}"
