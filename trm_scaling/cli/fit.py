"""`trm fit`: a law through runs, and whether they say what its parameters are."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from trm_scaling.cli.fit_runs import INPUTS
from trm_scaling.cli.fit_text import Fitted
from trm_scaling.cli.options import (
    AsJson,
    OneProfile,
    Pattern,
    StudyFolder,
    Where,
    one_blas_thread,
    study_if_any,
    typed_profile,
)
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.analysis import Fit, LossLaw, LossRuns, OnsetLaw, TwoStep
    from trm_scaling.cli.fit_runs import Asked

HELP = """
Fit a law to the runs of an experiment family: parameters with 95 % intervals, rival laws, how far it
misses the largest configurations when fitted without them, predictions, and a verdict: identified,
weakly identified, or not identified. What is held out is predicted and never fitted.

\b
Examples:
  trm fit --pattern exp01 --predict 5e7
  trm fit --pattern exp04a --y val_accuracy --law log_linear
  trm fit --law loss --predict N=5e7,r=21
  trm fit --pattern exp01 --law error --evaluations --hold-out exp01f
  trm fit --csv kellen/analysis/data/exp01_results.csv --x params --json
"""

Law = Literal[
    "saturating_power",
    "error_power",
    "log_linear",
    "logit_linear",
    "constant",
    "loss",
    "error",
    "compute",
    "onset",
    "two_step",
]
Likelihood = Literal["least_squares", "binomial", "beta_binomial"]
OF_LOSS = ("loss", "error", "compute", "onset", "two_step")
"""Laws of a loss or a share of wrong cells: `error` is `loss` with E = 0."""

VARIES = 1.05
"""Largest over smallest from which on an input may have a term: whole steps alone differ by less."""


def fit(
    context: typer.Context,
    pattern: Pattern = None,
    profile: OneProfile = None,
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
    hold_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUNS",
            help="Predict these runs and do not fit them: a name or glob, or COLUMN>VALUE. Repeatable.",
        ),
    ] = None,
    evaluations: Annotated[
        bool, typer.Option(help="Fit a law of the loss to every evaluation of the runs, not to their ends.")
    ] = False,
    huber_delta: Annotated[
        float | None,
        typer.Option(
            metavar="D",
            help="Of a law of the loss: residuals of ln L beyond it count linearly.",
            show_default="0.001",
        ),
    ] = None,
    as_json: AsJson = False,
    study: StudyFolder = None,
) -> None:
    typer.echo("reading the runs ...", err=True)
    one_blas_thread()
    from trm_scaling.cli.fit_runs import asked_runs
    from trm_scaling.cli.fit_text import show
    from trm_scaling.io.study import find_study
    from trm_scaling.results.format import amount

    of_loss = law in OF_LOSS
    if huber_delta is not None and not of_loss:
        raise UserError(f"--huber-delta is for --law {', '.join(OF_LOSS)}; {law} has no Huber loss")
    if evaluations and (not of_loss or law == "two_step"):
        raise UserError("--evaluations is for --law loss, error, compute or onset")
    if csv is not None:
        profile = typed_profile(context, profile)
    found_study = study_if_any(study) if csv is not None else find_study(study)
    asked = asked_runs(found_study, csv, pattern or [], profile, where or [], of_loss=of_loss)
    if evaluations:
        asked = asked.evaluations()
    rest, held = asked.split(hold_out or [])
    typer.echo(
        f"{amount(len(rest.table), 'row')}: fitting the law, its rivals and its intervals ...", err=True
    )
    places = [_place(each) for each in predict or []]
    if of_loss:
        fitted = _fit_loss(rest, held, x, y, law, likelihood, places, huber_delta, evaluations)
    else:
        fitted = _fit_accuracy(rest, held, x, y, law, likelihood, places)
    if as_json:
        typer.echo(json.dumps(_plain(fitted), indent=2))
    else:
        show(fitted)


def _fit_accuracy(
    asked: "Asked",
    held: "Asked | None",
    x: str | None,
    y: str | None,
    law: Any,
    likelihood: Likelihood | None,
    places: Sequence[Mapping[str, float]],
) -> Fitted:
    from trm_scaling import analysis

    y = y or "test_accuracy"
    if _is_loss(y):
        raise UserError(f"{y} is a loss: fit it with --law loss")
    column = x or asked.axis
    if any(place.keys() != {"x"} for place in places):
        raise UserError(f"accuracy against {column} is asked for values of it: --predict 5e7")
    runs = asked.usable(column, y)
    out = held and analysis.Held.of(held.usable(column, y).accuracies(column, y))
    wanted = [place["x"] for place in places] + [place["x"] for place in (out.places if out else ())]
    found = analysis.fit_accuracy(runs.accuracies(column, y), law, likelihood=likelihood, predict=wanted)
    if out:
        found = analysis.with_held_out(found, out)
    others = {
        label: analysis.accuracy_exponent(runs.accuracies(*columns), law)
        for label, columns in analysis.other_choices(runs.table, column, y).items()
    }
    found = analysis.limited(analysis.with_choices(found, others), analysis.speed_at_budget(runs.table))
    return Fitted(runs, y, {"x": column}, found)


def _fit_loss(
    asked: "Asked",
    held: "Asked | None",
    x: str | None,
    y: str | None,
    law: Any,
    likelihood: Likelihood | None,
    places: Sequence[Mapping[str, float]],
    delta: float | None,
    evaluations: bool,
) -> Fitted:
    from trm_scaling import analysis
    from trm_scaling.analysis.fits.loss_law import HUBER_DELTA
    from trm_scaling.analysis.fits.record import exponent

    split = "val" if evaluations else "test"
    y = y or f"{split}_{'loss' if law in ('loss', 'two_step') else 'cell_error'}"
    if not _is_loss(y):
        raise UserError(f"{y} is no loss: name one with --y, or leave --law {law} out")
    accuracy = y.replace("cell_error", "accuracy").replace("loss", "accuracy")
    # A table from elsewhere need not say how often its models recur.
    inputs = [x] if x else [name for name in INPUTS.values() if asked.table[name].notna().any()]
    wanted = (y, *([accuracy] if law == "two_step" else []), *inputs)
    runs = asked.usable(*wanted)
    legend = {"N": x} if x is not None else _varied(runs)
    columns = (legend["N"], legend.get("D"), legend.get("r"))
    losses, delta = runs.losses(y, *columns), HUBER_DELTA if delta is None else delta
    predict = [_inputs(place, legend) for place in places]
    out = held and analysis.Held.of(held.usable(*wanted).losses(y, *columns))
    found: Fit | TwoStep
    if law == "two_step":
        if out or delta != HUBER_DELTA:
            raise UserError("--law two_step knows no --hold-out and no --huber-delta: use --law error")
        found = analysis.fit_two_step(
            losses, runs.accuracies(y, accuracy), likelihood=likelihood, predict=predict
        )
        return Fitted(runs, y, legend, found)
    form = _form(law, losses)
    fit = analysis.fit_loss(losses, form, predict=[*predict, *(out.places if out else ())], delta=delta)
    if out:
        fit = analysis.with_held_out(fit, out)
    others = {
        label: exponent(analysis.loss_parameters(runs.losses(y, size, *columns[1:]), form, delta=delta))
        for label, (size, _) in analysis.other_choices(runs.table, legend["N"], y).items()
    }
    caveat = None if evaluations else analysis.speed_at_budget(runs.table)
    found = analysis.limited(analysis.with_choices(fit, others), caveat)
    link = None
    if y.endswith("cell_error") and accuracy in runs.table:
        numbers = runs.table[[y, accuracy]].dropna()
        try:
            link = analysis.link_cells(numbers[y].to_numpy(float), numbers[accuracy].to_numpy(float))
        except UserError:  # too few runs for it; the law stands without
            link = None
    return Fitted(runs, y, legend, found, link)


def _form(law: str, losses: "LossRuns") -> "LossLaw | OnsetLaw":
    """The law of a word of the command line, with a term for every input that varies."""
    from trm_scaling.analysis import LossLaw, OnsetLaw
    from trm_scaling.analysis.fits.loss import law_for

    match law:
        case "compute":
            return LossLaw(compute=True, floor=False)
        case "onset":
            return OnsetLaw()
        case _:
            return replace(law_for(losses), floor=law == "loss")


def _varied(runs: "Asked") -> dict[str, str]:
    """Symbol -> column of what differs between `runs`. Raises UserError where their size does not."""
    least, most = runs.table.min(numeric_only=True), runs.table.max(numeric_only=True)
    varied = {
        symbol: column
        for symbol, column in INPUTS.items()
        if column in most and most[column] > VARIES * least[column]
    }
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


def _is_loss(column: str) -> bool:
    """Whether less of it is better: a loss, or a share of wrong cells."""
    from trm_scaling.results.columns import columns

    known = columns().get(column)
    return column.endswith("_cell_error") or (known is not None and known.unit == "nats/cell")


def _plain(fitted: Fitted) -> Any:
    from trm_scaling.io.jsonable import to_jsonable, without_nonfinite

    whole = {
        "runs": fitted.asked.title,
        "y": fitted.y,
        "columns": fitted.legend,
        "families": fitted.asked.families,
        "differing": fitted.differing,
        "fit": fitted.found,
        "link": fitted.link,
        "excluded": fitted.asked.excluded,
    }
    return without_nonfinite(to_jsonable(whole))[0]
