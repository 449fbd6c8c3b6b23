"""Predictions held against what was measured, criterion by criterion."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from trm_scaling.analysis import LossRuns, fit_loss
from trm_scaling.analysis.fits.loss import LEAST_SQUARES
from trm_scaling.analysis.fits.loss_law import HUBER_DELTA, Inputs, loss_at
from trm_scaling.analysis.fits.loss_search import search_loss
from trm_scaling.analysis.fits.record import Parameter
from trm_scaling.preregistration.points import SIZES, loss_runs, of_stage
from trm_scaling.preregistration.protocol import Protocol, law_of

CARRIED = "next smaller size"
"""The baseline: the loss of the next smaller size after as many samples."""
EXPONENTS = ("alpha", "beta", "kappa")
ALL = "all"


@dataclass(frozen=True)
class Score:
    """How a form did on the held-out points."""

    form: str
    points: int
    median_ln_error: float
    """Of |ln(predicted / mean over seeds)|."""
    coverage: float | None
    """Share of single runs' points inside the interval of one run at 95 %, the mean over experiments: one of
    nine evaluations weighs no more than one of a single one. None for the baseline."""
    by_experiment: Mapping[str, tuple[float, float | None]]
    """Of each experiment alone: median and coverage."""


@dataclass(frozen=True)
class Criterion:
    """One line of the verdict."""

    what: str
    found: str
    met: bool


@dataclass(frozen=True)
class Refit:
    """The primary form with another choice of the analyst."""

    choice: str
    exponents: Mapping[str, Parameter]
    errors: Mapping[str, float]
    """Median |ln(predicted / observed)| of each held-out experiment, and of all points under ALL."""
    named: bool = True
    """In the protocol's criteria. The others came after the runs: they show what rests on the estimator."""


@dataclass(frozen=True)
class Judgement:
    """All that the report says of the predictions."""

    compared: pd.DataFrame
    """A row a held-out point: experiment, N, samples, observed (geometric mean), runs, carried, and the
    prediction of each form, with `low` and `high` of the primary one."""
    scores: tuple[Score, ...]
    refits: tuple[Refit, ...]
    """The first is the primary choice."""
    criteria: tuple[Criterion, ...]

    @property
    def succeeded(self) -> bool:
        """Whether every criterion is met."""
        return all(each.met for each in self.criteria)


def judge(
    protocol: Protocol,
    predictions: Mapping[str, Any],
    points: pd.DataFrame,
    refits: Sequence[Refit] | None = None,
) -> Judgement | None:
    """The verdict; None while no held-out point is measured. `refits`: what `refits_of` found."""
    held = of_stage(points, protocol, protocol.held_out)
    rows: list[dict[str, Any]] = []
    inside: dict[str, dict[str, list[bool]]] = {form: {} for form in protocol.forms}
    for target in predictions["targets"]:
        # Samples are whole numbers, written as floats.
        there = held[(held["experiment"] == target["experiment"]) & (held["samples"] == target["samples"])]
        values = there[protocol.outcome].dropna().to_numpy(float)
        if not values.size:
            continue
        said = target["predicted"]
        rows.append(
            {
                **{name: target[name] for name in ("experiment", "N", "samples")},
                "observed": float(np.exp(np.log(values).mean())),
                "runs": values.size,
                CARRIED: target["carried"],
                **{form: said[form]["value"] for form in protocol.forms},
                "low": said[protocol.primary]["low"],
                "high": said[protocol.primary]["high"],
            }
        )
        for form in protocol.forms:
            low, high = said[form]["low"], said[form]["high"]
            inside[form].setdefault(target["experiment"], []).extend(
                low is not None and low <= value <= high for value in values
            )
    if not rows:
        return None
    compared = pd.DataFrame(rows)
    scores = tuple(_score(compared, form, inside.get(form)) for form in (*protocol.forms, CARRIED))
    made = tuple(refits or refits_of(protocol, points))
    ends = compared[["low", "high"]].astype(float)
    spread = float((ends["high"] / ends["low"]).median())
    return Judgement(compared, scores, made, tuple(_criteria(protocol, scores, made, spread)))


def _score(compared: pd.DataFrame, form: str, inside: Mapping[str, list[bool]] | None) -> Score:
    shares = None if inside is None else {name: float(np.mean(held)) for name, held in inside.items()}
    each = {
        str(name): (_median(rows, form), None if shares is None else shares[str(name)])
        for name, rows in compared.groupby("experiment", sort=False)
    }
    covered = None if shares is None else float(np.mean(list(shares.values())))
    return Score(form, len(compared), _median(compared, form), covered, each)


def _median(compared: pd.DataFrame, column: str) -> float:
    ratio = np.log(compared[column].to_numpy(float) / compared["observed"].to_numpy(float))
    known = np.abs(ratio[np.isfinite(ratio)])
    return float(np.median(known)) if known.size else float("inf")


def refits_of(protocol: Protocol, points: pd.DataFrame) -> Iterator[Refit]:
    """The primary form by every N, by the other weights, without the smallest network; by other estimators.

    `fit_loss` takes Huber's loss of the means where the form misses them, and of all points where not.
    """
    fitted, held = (of_stage(points, protocol, stage) for stage in (protocol.fitted, protocol.held_out))
    law, outcome, size = law_of(protocol.primary), protocol.outcome, protocol.size
    other = {
        "val_cell_error": "val_cell_error_unaveraged",
        "val_cell_error_unaveraged": "val_cell_error",
    }[outcome]
    choices: dict[str, tuple[pd.DataFrame, str, str]] = {f"N = {size}, {outcome}": (fitted, outcome, size)}
    choices |= {f"N = {each}": (fitted, outcome, each) for each in SIZES if each != size}
    if fitted[other].notna().all():
        choices[other] = (fitted, other, size)
    choices["without the smallest network"] = (fitted[fitted[size] > fitted[size].min()], outcome, size)
    for choice, (table, values, by) in choices.items():
        found = fit_loss(loss_runs(table, values, by), law, replicates=200)
        exponents = {each.name: each for each in found.parameters if each.name in EXPONENTS}
        parameters = {each.name: each.value for each in found.parameters}
        yield Refit(choice, exponents, _errors(protocol, parameters, held, values, by))

    runs = loss_runs(fitted, outcome, size)
    earlier = loss_runs(_one_earlier(protocol, points), outcome, size)
    # Over means least squares is the same as over points, where every network has as many seeds.
    estimators: dict[str, tuple[LossRuns, float]] = {
        "Huber's loss of every point": (runs, HUBER_DELTA),
        "least squares": (runs, LEAST_SQUARES),
        "least squares, one evaluation earlier": (earlier, LEAST_SQUARES),
    }
    for choice, (those, delta) in estimators.items():
        best = search_loss(law, Inputs.of(law, those), delta=delta).parameters
        exponents = {name: Parameter(name, best[name], None) for name in best if name in EXPONENTS}
        yield Refit(choice, exponents, _errors(protocol, best, held, outcome, size), named=False)


def _errors(
    protocol: Protocol, parameters: Mapping[str, float], held: pd.DataFrame, outcome: str, size: str
) -> dict[str, float]:
    if held.empty:
        return {}
    ln_seen = (
        np.log(held[outcome]).groupby([held["experiment"], held[size], held["samples"]], sort=False).mean()
    )
    places = ln_seen.index.to_frame()
    N, samples = (places[name].to_numpy(float) for name in (size, "samples"))
    ln_error = (np.log(loss_at(law_of(protocol.primary), parameters, N, samples)) - ln_seen).abs()
    by_experiment = ln_error.groupby("experiment", sort=False).median()
    return {ALL: float(ln_error.median()), **{str(name): float(each) for name, each in by_experiment.items()}}


def _one_earlier(protocol: Protocol, points: pd.DataFrame) -> pd.DataFrame:
    """The fitted points with, of every run, the last evaluation that was left out."""
    everything = points[points["stage"] == protocol.fitted]
    fitted = of_stage(points, protocol, protocol.fitted)
    left_out = everything[~everything.index.isin(fitted.index)]
    last = left_out.sort_values("samples").groupby(["experiment", "seed"]).tail(1)
    return pd.concat([fitted, last])


def _criteria(
    protocol: Protocol, scores: tuple[Score, ...], refits: tuple[Refit, ...], factor_of_intervals: float
) -> Iterator[Criterion]:
    wanted, by_form = protocol.success, {score.form: score for score in scores}
    own = by_form[protocol.primary]
    yield Criterion(
        f"median |ln(predicted / observed)| at most {wanted.median_ln_error:g}",
        f"{own.median_ln_error:.3f} over {own.points} points",
        own.median_ln_error <= wanted.median_ln_error,
    )
    for name in ("compute", CARRIED):
        if name in by_form and name != protocol.primary:
            theirs = by_form[name].median_ln_error
            yield Criterion(
                f"a smaller one than {name}",
                f"{own.median_ln_error:.3f} against {theirs:.3f}",
                own.median_ln_error < theirs,
            )
    low, high = wanted.coverage
    assert own.coverage is not None
    yield Criterion(
        f"95 % intervals of one run hold {100 * low:.0f} to {100 * high:.0f} % (mean over experiments)",
        f"{100 * own.coverage:.0f} %; their ends are a factor of {factor_of_intervals:.3g} apart (median)",
        low <= own.coverage <= high,
    )
    first, *others = (each for each in refits if each.named)
    for name, parameter in first.exponents.items():
        ends = parameter.interval.ends if parameter.interval else (0.0, float("inf"))
        factor = ends[1] / ends[0] if ends[0] > 0 else float("inf")
        yield Criterion(
            f"{name} known to a factor of {wanted.exponent_factor:g} at 95 %",
            f"{parameter.value:.3g} [{ends[0]:.3g}, {ends[1]:.3g}]",
            factor <= wanted.exponent_factor,
        )
        # A 95 % interval is 3.92 standard errors wide.
        error = (ends[1] - ends[0]) / 3.92
        moved = {each.choice: abs(each.exponents[name].value - parameter.value) for each in others}
        worst = max(moved, key=lambda choice: moved[choice])
        yield Criterion(
            f"{name} moved by less than a standard error by every other choice",
            f"most by {worst}: {moved[worst]:.3g}, standard error {error:.3g}",
            # An exponent of which nothing is known cannot be moved, and that is no merit.
            moved[worst] < error < np.inf,
        )
