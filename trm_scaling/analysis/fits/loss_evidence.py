"""What speaks for and against a fitted law of the loss."""

from collections.abc import Sequence
from typing import get_args

import numpy as np

from trm_scaling.analysis.fits.evidence import CLEARLY_WORSE, FAR_OFF, WIDE
from trm_scaling.analysis.fits.loss_law import LEAST_LOG, Inputs, LossLaw, Recursion, aicc
from trm_scaling.analysis.fits.loss_search import QUICK, FittedLoss, search_loss
from trm_scaling.analysis.fits.record import Extrapolation, Parameter, Rival, Verdict, judge
from trm_scaling.analysis.runs import LossRuns, largest

SINGULAR = 1e6
"""Condition numbers above this mean that parameters cannot be told apart."""
_EXPONENTS = ("alpha", "beta")


def extrapolation(law: LossLaw, runs: LossRuns) -> Extrapolation | None:
    """How far the law misses the ln L of the largest configurations when fitted without them."""
    held = largest(runs.configurations, runs.ln_compute)
    rest = runs.take(~held)
    if rest.loss.size <= law.parameter_count:
        return None
    outside = runs.take(held).collapsed()
    errors = np.log(search_loss(law, Inputs.of(law, rest), QUICK).loss(outside) / outside.loss)
    return Extrapolation(errors.size, float(errors.mean()), float(np.abs(errors).mean()))


def rival_laws(law: LossLaw, runs: LossRuns) -> list[LossLaw]:
    """Every other law that the columns of `runs` allow, a constant among them."""
    recursions: tuple[Recursion, ...] = get_args(Recursion) if varies(runs.recursions) else ("none",)
    laws = [LossLaw(size=False, data=False)]
    laws += [LossLaw(size=False)] if varies(runs.data) else []
    for data in [False, True] if varies(runs.data) else [False]:
        laws += [LossLaw(data=data, recursion=recursion) for recursion in recursions]
    return [each for each in laws if each != law and runs.loss.size > each.parameter_count]


def varies(column: np.ndarray | None) -> bool:
    """Whether there is such a column, and more than one value in it."""
    return column is not None and float(np.ptp(column)) > 0


def rivals_of(
    law: LossLaw, observed: LossRuns, runs: LossRuns, own_aicc: float | None, asked: LossRuns | None
) -> tuple[Rival, ...]:
    """The rival laws on the same observations, asked for the same predictions."""
    rivals = []
    for other in rival_laws(law, observed):
        fitted = search_loss(other, Inputs.of(other, observed), QUICK)
        theirs = aicc(other, fitted.objective, observed.loss.size)
        rivals.append(
            Rival(
                law=other.name,
                formula=other.formula,
                parameter_count=other.parameter_count,
                aicc=theirs,
                delta_aicc=None if own_aicc is None or theirs is None else theirs - own_aicc,
                extrapolation=extrapolation(other, runs),
                predictions=() if asked is None else tuple(fitted.loss(asked).tolist()),
            )
        )
    return tuple(rivals)


def verdict(
    fitted: FittedLoss,
    parameters: Sequence[Parameter],
    rivals: Sequence[Rival],
    extrapolated: Extrapolation | None,
) -> Verdict:
    """Whether the runs say what the parameters of `fitted` are."""
    law, inputs = fitted.law, fitted.inputs
    places = len(np.unique(np.column_stack([inputs.ln_inputs, inputs.recursions]), axis=0))
    exponents = [each for each in parameters if each.name in _EXPONENTS]
    against = [
        _too_few(places, law),
        *(_no_worse(rival) for rival in rivals if rival.law == "constant"),
        _inseparable(fitted),
        *(_vanished(fitted, name) for name in law.factor_names),
        *(_unbounded(each) for each in parameters[1 + law.terms :]),
    ]
    doubts = [
        *(_loose(each) for each in exponents),
        _unrivalled(rivals),
        *(_as_good(rival, law) for rival in rivals if rival.law != "constant"),
        _disagreeing(fitted),
        _far_off(extrapolated),
    ]
    return judge(against, doubts, "Every exponent is bounded and no rival law explains the runs as well.")


def _too_few(places: int, law: LossLaw) -> str | None:
    if places > law.parameter_count:
        return None
    return f"{places} different inputs cannot test a law of {law.parameter_count} parameters."


def _inseparable(fitted: FittedLoss) -> str | None:
    if fitted.condition < SINGULAR:
        return None
    return f"Its parameters cannot be told apart (condition number {fitted.condition:.1g})."


def _vanished(fitted: FittedLoss, factor: str) -> str | None:
    if fitted.theta[1 + fitted.law.factor_names.index(factor)] > LEAST_LOG / 2:
        return None
    return f"The best {factor} is 0: the runs show nothing of its term."


def _unbounded(parameter: Parameter) -> str | None:
    interval = parameter.interval
    if interval is None:
        return f"Nothing bounds {parameter.name}."
    if interval.low is None and interval.high is None:
        return f"Every {parameter.name} that was looked at fits the runs."
    return None


def _no_worse(rival: Rival) -> str | None:
    if rival.delta_aicc is None or rival.delta_aicc >= CLEARLY_WORSE:
        return None
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


def _as_good(rival: Rival, law: LossLaw) -> str | None:
    if rival.delta_aicc is None:
        return None
    # A law with more terms has to be clearly better to be preferred, one with fewer only no worse.
    allowed = CLEARLY_WORSE if rival.parameter_count <= law.parameter_count else -CLEARLY_WORSE
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


def _far_off(extrapolated: Extrapolation | None) -> str | None:
    if extrapolated is None or extrapolated.absolute_error <= FAR_OFF:
        return None
    missed = 100 * extrapolated.absolute_error
    return f"Fitted without the largest configurations, it misses them by {missed:.1f} %."
