"""What speaks for and against a fitted law of the loss."""

from collections.abc import Sequence
from typing import get_args

import numpy as np

from trm_scaling.analysis.fits.evidence import CLEARLY_WORSE, FAR_OFF, WIDE
from trm_scaling.analysis.fits.loss_law import (
    LEAST_LOG,
    Inputs,
    Law,
    LossLaw,
    Recursion,
    aicc,
    carried_over,
    columns_missing,
)
from trm_scaling.analysis.fits.loss_search import QUICK, FittedLoss, search_loss
from trm_scaling.analysis.fits.onset_law import OnsetLaw
from trm_scaling.analysis.fits.record import Extrapolation, Parameter, Rival, Verdict, judge
from trm_scaling.analysis.fits.replicates import ALPHA, constant_fits, misses_means
from trm_scaling.analysis.runs import Configurations, LossRuns, largest

SINGULAR = 1e6
"""Condition numbers above this mean that parameters cannot be told apart."""
CARRIED = "next smaller size"
"""The baseline that fits nothing: the loss of the next smaller size at the same data."""
_EXPONENTS = ("alpha", "beta")


def extrapolation(law: Law | None, runs: LossRuns, delta: float) -> Extrapolation | None:
    """How far the law misses the ln L of the largest configurations when fitted without them.

    Without a law, how far the next smaller size misses them.
    """
    held = largest(runs.configurations, runs.ln_compute)
    rest, outside = runs.take(~held), runs.take(held).collapsed()
    if law is None:
        said = carried_over(rest, outside) if rest.loss.size else np.full(outside.loss.size, np.nan)
    elif rest.loss.size <= len(law.bounds):
        return None
    else:
        said = search_loss(law, Inputs.of(law, rest), QUICK, delta).loss(outside)
    errors = np.log(said / outside.loss)
    if not np.isfinite(errors).all():
        return None
    return Extrapolation(errors.size, float(errors.mean()), float(np.abs(errors).mean()))


def rival_laws(law: Law, runs: LossRuns) -> list[Law]:
    """Every other law that the columns of `runs` allow, a constant among them."""
    recursions: tuple[Recursion, ...] = get_args(Recursion) if varies(runs.recursions) else ("none",)
    laws: list[Law] = [LossLaw(size=False, data=False)]
    for floor in (True, False):
        laws += [LossLaw(size=False, floor=floor)] if varies(runs.data) else []
        for data in [False, True] if varies(runs.data) else [False]:
            laws += [LossLaw(data=data, recursion=recursion, floor=floor) for recursion in recursions]
        laws += [LossLaw(compute=True, floor=floor)] if varies(runs.data) else []
    laws += [OnsetLaw()] if varies(runs.data) and runs.cluster is not None else []
    return [each for each in laws if each != law and runs.loss.size > len(each.bounds)]


def varies(column: np.ndarray | None) -> bool:
    """Whether there is such a column, and more than one value in it."""
    return column is not None and float(np.ptp(column)) > 0


def design_effect(fitted: FittedLoss, runs: LossRuns) -> float:
    """How many points one independent point is worth: 1 + (m - 1) times the correlation within runs."""
    if runs.cluster is None:
        return 1.0
    codes, residual = Configurations.of(runs.cluster).codes, fitted.residual
    sizes = np.bincount(codes)
    means = (np.bincount(codes, residual) / sizes)[codes]
    each = residual.size / sizes.size
    within = float(((residual - means) ** 2).sum()) / max(1, residual.size - sizes.size)
    between = float((means**2).sum()) / max(1, sizes.size - 1)
    if between <= within or each <= 1:
        return 1.0
    correlation = (between - within) / (between + (each - 1) * within)
    return 1 + (each - 1) * correlation


def criterion(fitted: FittedLoss, design: float) -> float | None:
    """AICc with points counted for what they are worth."""
    n = fitted.residual.size / design
    return aicc(len(fitted.law.bounds), fitted.objective / design, n, fitted.delta)


def rivals_of(
    fitted: FittedLoss, observed: LossRuns, runs: LossRuns, asked: LossRuns | None
) -> tuple[float | None, tuple[Rival, ...], dict[str, FittedLoss]]:
    """AICc of the law, its rivals on the same observations and predictions, and their fits by name."""
    delta, design = fitted.delta, design_effect(fitted, observed)
    own, rivals, fits = criterion(fitted, design), [], {}
    for other in rival_laws(fitted.law, observed):
        found = fits[other.name] = search_loss(other, Inputs.of(other, observed), QUICK, delta)
        theirs = criterion(found, design)
        said = () if asked is None or columns_missing(other, asked) else tuple(found.loss(asked).tolist())
        rivals.append(
            Rival(
                law=other.name,
                formula=other.formula,
                parameter_count=len(other.bounds),
                aicc=theirs,
                delta_aicc=None if own is None or theirs is None else theirs - own,
                extrapolation=extrapolation(other, runs, delta),
                predictions=said,
            )
        )
    if varies(runs.params):
        carried = () if asked is None else tuple(carried_over(runs, asked).tolist())
        missed = extrapolation(None, runs, delta)
        rivals.append(Rival(CARRIED, "L of the next smaller N", 0, None, None, missed, carried))
    return own, tuple(rivals), fits


def verdict(
    fitted: FittedLoss,
    parameters: Sequence[Parameter],
    rivals: Sequence[Rival],
    extrapolated: Extrapolation | None,
    misfit: float | None = None,
    runs: LossRuns | None = None,
) -> Verdict:
    """Whether the points say what the parameters of `fitted` are; `runs` are all points, replicates too."""
    law, inputs = fitted.law, fitted.inputs
    places = len(np.unique(np.column_stack([inputs.ln_inputs, inputs.recursions]), axis=0))
    against = [
        _too_few(places, len(law.bounds)),
        *(_no_worse(rival, runs, misfit) for rival in rivals if rival.law == "constant"),
        *(_vanished(fitted, name) for name in law.factors if name != "E"),
        _inseparable(fitted),
        *(_unbounded(each) for each in parameters if each.name not in law.factors),
    ]
    doubts = [
        misses_means(misfit),
        _no_floor(fitted),
        *(_loose(each) for each in parameters if each.name in _EXPONENTS),
        _unrivalled(rivals),
        *(_as_good(rival, law) for rival in rivals if rival.law not in ("constant", CARRIED)),
        _disagreeing(fitted),
        _far_off(extrapolated, rivals),
    ]
    return judge(against, doubts, "Every exponent is bounded and no rival law explains the runs as well.")


def _too_few(places: int, parameters: int) -> str | None:
    if places > parameters:
        return None
    return f"{places} different inputs cannot test a law of {parameters} parameters."


def _inseparable(fitted: FittedLoss) -> str | None:
    jacobian = fitted.law.ln_loss(fitted.theta, fitted.inputs)[1]
    kept = jacobian[:, 1:] if _floor_is_gone(fitted) else jacobian
    singular = np.linalg.svd(kept, compute_uv=False)
    if singular[0] < SINGULAR * singular[-1]:
        return None
    return f"Its parameters cannot be told apart (condition number {singular[0] / singular[-1]:.1g})."


def _floor_is_gone(fitted: FittedLoss) -> bool:
    return "E" in fitted.law.factors and fitted.law.factors != ("E",) and fitted.theta[0] < LEAST_LOG / 2


def _no_floor(fitted: FittedLoss) -> str | None:
    return "The best E is 0: the law with E = 0 says it in fewer numbers." if _floor_is_gone(fitted) else None


def _vanished(fitted: FittedLoss, factor: str) -> str | None:
    if fitted.theta[fitted.law.factors.index(factor)] > LEAST_LOG / 2:
        return None
    return f"The best {factor} is 0: the runs show nothing of its term."


def _unbounded(parameter: Parameter) -> str | None:
    interval = parameter.interval
    if interval is None:
        return f"Nothing bounds {parameter.name}."
    if interval.low is None and interval.high is None:
        return f"Every {parameter.name} that was looked at fits the runs."
    return None


def _no_worse(rival: Rival, runs: LossRuns | None, misfit: float | None) -> str | None:
    if rival.delta_aicc is None or rival.delta_aicc >= CLEARLY_WORSE:
        return None
    if runs is not None and constant_fits(runs.cells, np.log(runs.loss), runs.ln_compute) < ALPHA:
        return (
            misses_means(misfit)
            or "It explains the runs no better than a constant, and they are not constant."
        )
    return f"A constant explains the runs as well (AICc {rival.delta_aicc:+.1f} against this law's)."


def _loose(parameter: Parameter) -> str | None:
    interval = parameter.interval
    if interval is None:
        return None
    if interval.low is not None and interval.high is not None and interval.high <= WIDE * interval.low:
        return None
    low = "0" if interval.low is None else f"{interval.low:.2g}"
    high = "any size" if interval.high is None else f"{interval.high:.2g}"
    return f"The interval of {parameter.name}, {low} to {high}, spans more than a factor of {WIDE:g}."


def _as_good(rival: Rival, law: Law) -> str | None:
    if rival.delta_aicc is None:
        return None
    # A law with more terms has to be clearly better to be preferred, one with fewer only no worse.
    allowed = CLEARLY_WORSE if rival.parameter_count <= len(law.bounds) else -CLEARLY_WORSE
    if rival.delta_aicc >= allowed:
        return None
    return (
        f"{rival.law} explains the runs as well or better (AICc {rival.delta_aicc:+.1f} against this law's)."
    )


def _unrivalled(rivals: Sequence[Rival]) -> str | None:
    if any(rival.delta_aicc is not None for rival in rivals):
        return None
    return "The observations are too few to compare it with other laws."


def _disagreeing(fitted: FittedLoss) -> str | None:
    if 2 * fitted.agreeing >= fitted.starts:
        return None
    return f"Only {fitted.agreeing} of {fitted.starts} starts reach the least objective."


def _far_off(extrapolated: Extrapolation | None, rivals: Sequence[Rival]) -> str | None:
    if extrapolated is None:
        return None
    missed = extrapolated.absolute_error
    carried = next((rival.extrapolation for rival in rivals if rival.law == CARRIED), None)
    if carried is not None and carried.absolute_error <= missed and missed > FAR_OFF / 5:
        return (
            f"Fitted without the largest configurations, it misses them by {100 * missed:.1f} %; "
            f"the next smaller size misses them by {100 * carried.absolute_error:.1f} %."
        )
    if missed <= FAR_OFF:
        return None
    return f"Fitted without the largest configurations, it misses them by {100 * missed:.1f} %."
