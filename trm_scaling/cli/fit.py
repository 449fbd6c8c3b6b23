"""`trm fit`: a law through runs, and whether they say what its parameters are."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from trm_scaling.cli.fit_runs import INPUTS
from trm_scaling.cli.options import StudyFolder, Where, one_blas_thread
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.analysis import Fit, TwoStep
    from trm_scaling.cli.fit_runs import Asked

HELP = """
Fit a law to the runs of an experiment family: parameters with 95 % intervals, rival laws, how far it
misses the largest configurations when fitted without them, predictions, and a verdict: identified,
weakly identified, or not identified.

\b
Examples:
  trm fit --pattern exp01 --predict 5e7
  trm fit --pattern exp04a --y val_accuracy --law log_linear
  trm fit --law loss --predict N=5e7,r=21
  trm fit --csv kellen/analysis/data/exp01_results.csv --x params --json
"""

Law = Literal["saturating_power", "error_power", "log_linear", "logit_linear", "constant", "loss", "two_step"]
Likelihood = Literal["least_squares", "binomial", "beta_binomial"]

VARIES = 1.05
"""Largest over smallest from which on an input may have a term: whole steps alone differ by less."""


@dataclass(frozen=True)
class Fitted:
    """What was fitted to what, for a reader."""

    asked: "Asked"
    y: str
    legend: Mapping[str, str]
    """Symbol of the formula -> column."""
    found: "Fit | TwoStep"

    @property
    def differing(self) -> tuple[str, ...]:
        """Columns of science, beside what the law has terms for, in which the runs differ."""
        return self.asked.differing(self.legend.values())


def fit(
    pattern: Annotated[
        list[str] | None, typer.Option(help="Names that contain it, or match it as a glob. Repeatable.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Budget.", envvar="TRM_PROFILE", show_default="the only one with runs")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Runs from this table or W&B export, not the study.")
    ] = None,
    where: Where = None,
    x: Annotated[
        str | None, typer.Option(help="Column of the table.", show_default="what the family varies")
    ] = None,
    y: Annotated[
        str | None,
        typer.Option(help="Column to explain.", show_default="test_accuracy, or test_loss for a loss"),
    ] = None,
    law: Annotated[
        Law, typer.Option(metavar="FORM", help=f"Its form: {', '.join(get_args(Law))}.")
    ] = "saturating_power",
    likelihood: Annotated[
        Likelihood | None,
        typer.Option(
            metavar="NAME",
            help=f"Of an accuracy: {', '.join(get_args(Likelihood))}.",
            show_default="the last of counts, the first of rates",
        ),
    ] = None,
    predict: Annotated[
        list[str] | None, typer.Option(help="Where to ask the law: X, or N=X,D=X,r=X. Repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, nothing else.")] = False,
    study: StudyFolder = None,
) -> None:
    one_blas_thread()
    from trm_scaling.cli.fit_runs import asked_runs
    from trm_scaling.cli.fit_text import show
    from trm_scaling.io.study import find_study

    found_study = _study_if_any(study) if csv is not None else find_study(study)
    of_loss = law in ("loss", "two_step")
    asked = asked_runs(found_study, csv, pattern or [], profile, where or [], of_loss=of_loss)
    places = [_place(each) for each in predict or []]
    if law == "loss" or law == "two_step":
        fitted = _fit_loss(asked, x, y, law, likelihood, places)
    else:
        fitted = _fit_accuracy(asked, x, y, law, likelihood, places)
    if as_json:
        typer.echo(json.dumps(_plain(fitted), indent=2))
    else:
        show(fitted)


def _fit_accuracy(
    asked: "Asked",
    x: str | None,
    y: str | None,
    law: Any,
    likelihood: Likelihood | None,
    places: Sequence[Mapping[str, float]],
) -> Fitted:
    from trm_scaling.analysis import fit_accuracy

    y = y or "test_accuracy"
    if _unit(y) == "nats/cell":
        raise UserError(f"{y} is a loss: fit it with --law loss")
    column = x or asked.axis
    if any(place.keys() != {"x"} for place in places):
        raise UserError(f"accuracy against {column} is asked for values of it: --predict 5e7")
    runs = asked.usable(column, y)
    found = fit_accuracy(
        runs.accuracies(column, y), law, likelihood=likelihood, predict=[place["x"] for place in places]
    )
    return Fitted(runs, y, {"x": column}, found)


def _fit_loss(
    asked: "Asked",
    x: str | None,
    y: str | None,
    law: Literal["loss", "two_step"],
    likelihood: Likelihood | None,
    places: Sequence[Mapping[str, float]],
) -> Fitted:
    from trm_scaling.analysis import fit_loss, fit_two_step

    y = y or "test_loss"
    if _unit(y) != "nats/cell":
        raise UserError(f"{y} is no loss: name one with --y, or leave --law {law} out")
    accuracy = y.replace("loss", "accuracy")
    runs = asked.usable(y, *([accuracy] if law == "two_step" else []), *([x] if x else INPUTS.values()))
    legend = {"N": x} if x is not None else _varied(runs)
    losses = runs.losses(y, legend["N"], legend.get("D"), legend.get("r"))
    predict = [_inputs(place, legend) for place in places]
    found: Fit | TwoStep
    if law == "loss":
        found = fit_loss(losses, predict=predict)
    else:
        found = fit_two_step(losses, runs.accuracies(y, accuracy), likelihood=likelihood, predict=predict)
    return Fitted(runs, y, legend, found)


def _varied(runs: "Asked") -> dict[str, str]:
    """Symbol -> column of what differs between `runs`. Raises UserError where their size does not."""
    least, most = runs.table.min(numeric_only=True), runs.table.max(numeric_only=True)
    varied = {symbol: column for symbol, column in INPUTS.items() if most[column] > VARIES * least[column]}
    if "N" not in varied:
        raise UserError(
            f"params is the same in all {len(runs.table)} runs of {runs.title}: name the column that "
            "varies with --x, or more families with --pattern"
        )
    return varied


def _inputs(place: Mapping[str, float], legend: Mapping[str, str]) -> dict[str, float]:
    """A place that was typed, by the names that `fit_loss` has for its inputs."""
    typed = {"N" if name == "x" else name: value for name, value in place.items()}
    if typed.keys() != legend.keys():
        wanted = ", ".join(f"{symbol} ({column})" for symbol, column in legend.items())
        example = ",".join(f"{symbol}=5e7" for symbol in legend)
        fixed = ", ".join(f"{name} ({INPUTS[name]})" for name in sorted(typed.keys() - legend.keys()))
        why = f"; {fixed} does not vary among these runs, so the law has no term for it" if fixed else ""
        raise UserError(f"this law is asked for values of {wanted}: --predict {example}{why}")
    names = {"N": "params", "D": "data", "r": "recursions"}
    return {names[symbol]: value for symbol, value in typed.items()}


def _place(text: str) -> dict[str, float]:
    """`5e7` as {"x": 5e7}; `N=5e7,r=21` as {"N": 5e7, "r": 21}."""
    place = {}
    for part in text.split(","):
        name, _, value = part.rpartition("=")
        try:
            place[name.strip() or "x"] = float(value)
        except ValueError:
            raise UserError(f"--predict {text}: {value!r} is no number; give 5e7, or N=5e7,r=21") from None
    if unknown := sorted(place.keys() - {"x", "N", "D", "r"}):
        raise UserError(
            f"--predict {text}: no law has {unknown[0]!r}; give N (size), D (data), r (recursion)"
        )
    return place


def _unit(column: str) -> str | None:
    from trm_scaling.results.columns import columns

    known = columns().get(column)
    return known.unit if known else None


def _study_if_any(given: Path | None) -> Any:
    """The study whose families give a table from elsewhere its axis; a table needs none."""
    from trm_scaling.io.study import find_study

    try:
        return find_study(given)
    except UserError:
        if given is not None:
            raise
        return None


def _plain(fitted: Fitted) -> Any:
    from trm_scaling.io.plain import plain, without_nonfinite

    whole = {
        "runs": fitted.asked.title,
        "y": fitted.y,
        "columns": fitted.legend,
        "families": fitted.asked.families,
        "differing": fitted.differing,
        "fit": fitted.found,
        "excluded": fitted.asked.excluded,
    }
    return without_nonfinite(plain(whole))[0]
