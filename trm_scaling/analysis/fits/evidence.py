"""What speaks for and against a fitted law of accuracy: lack of fit, a constant, extrapolation."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import f as f_distribution

from trm_scaling.analysis.fits.fitted import Fitted, fit_form
from trm_scaling.analysis.fits.forms import Form, Scale, parameter_count
from trm_scaling.analysis.fits.likelihood import Likelihood
from trm_scaling.analysis.fits.profile import Problem
from trm_scaling.analysis.fits.record import Extrapolation, Rival, Verdict, judge
from trm_scaling.analysis.fits.replicates import ALPHA, constant_fits, misses_means
from trm_scaling.analysis.interval import Interval
from trm_scaling.analysis.runs import AccuracyRuns, largest

POWERS: tuple[Form, ...] = ("saturating_power", "error_power")
WITH_EXPONENT: tuple[Form, ...] = (*POWERS, "saturating_exponential")
"""Forms whose c says how fast accuracy nears its end."""
CLEARLY_WORSE = 2.0
"""AICc differences below this prefer neither law (Burnham & Anderson, 2002)."""
WIDE = 4.0
"""An exponent whose interval spans more than this factor is known in name only."""
FAR_OFF = 0.05
"""Seeds differ by 3 to 5 points; an extrapolation that misses by more is a doubt about the law."""


def flatness(fitted: Fitted) -> float:
    """The p-value of the law being no better than a constant."""
    problem, extra = fitted.problem, parameter_count(fitted.problem.form) - 1
    flat = Problem("constant", problem.x, problem.outcome, problem.scale).solve(np.zeros(0))
    gain = 2 * float(flat.objective - fitted.optimum.solved.objective)
    return float(f_distribution.sf(gain / (fitted.factor * extra), extra, fitted.freedom)) if extra else 1.0


def extrapolation(
    runs: AccuracyRuns, form: Form, likelihood: Likelihood, scale: Scale
) -> Extrapolation | None:
    """How far the law misses the largest configurations when fitted without them."""
    held = largest(runs.configurations, np.log(runs.x))
    rest, out = runs.take(~held), runs.take(held)
    needed = parameter_count(form)
    if rest.x.size <= needed or np.unique(rest.x).size < needed:
        return None
    outside = out.collapsed()
    errors = fit_form(rest, form, likelihood, scale).rate(outside.x) - outside.accuracy
    return Extrapolation(errors.size, float(errors.mean()), float(np.abs(errors).mean()))


def verdict(
    fitted: Fitted,
    exponent: Interval | None,
    rivals: Sequence[Rival],
    extrapolated: Extrapolation | None,
    misfit: float | None = None,
    runs: AccuracyRuns | None = None,
) -> Verdict:
    """Whether the runs say what the parameters of `fitted` are.

    `exponent` is the interval of c, if any, `misfit` the p-value of lack of fit, and `runs` are all runs
    where the law was fitted to their means.
    """
    form, x = fitted.problem.form, fitted.problem.x
    sizes, parameters, flat = np.unique(x).size, parameter_count(form), flatness(fitted)
    against: list[str | None] = [
        f"{sizes} different x cannot test a law of {parameters} parameters." if sizes <= parameters else None,
        _no_better_than_flat(flat, misfit, runs) if flat >= ALPHA and form != "constant" else None,
    ]
    doubts: list[str | None] = [misses_means(misfit)]
    if form in WITH_EXPONENT:
        against.append(_without_exponent(exponent))
        doubts.append(_loose_exponent(exponent))
    doubts.append(_ends_at_one(form, rivals))
    doubts.append(_equal_rival(form, rivals, x.size))
    if extrapolated is not None and extrapolated.absolute_error > FAR_OFF:
        missed = 100 * extrapolated.absolute_error
        doubts.append(f"Fitted without the largest configurations, it misses them by {missed:.1f} points.")
    favour = f"Rival laws and a constant (F test, p = {flat:.2g}) explain the runs clearly less well."
    return judge(against, doubts, favour)


def _no_better_than_flat(flat: float, misfit: float | None, runs: AccuracyRuns | None) -> str:
    if runs is not None and constant_fits(runs.configurations, runs.accuracy, runs.x) < ALPHA:
        said = "It explains the runs no better than a constant, and they are not constant."
        return misses_means(misfit) or said
    return f"A constant explains the runs as well (F test, p = {flat:.2g})."


def _without_exponent(exponent: Interval | None) -> str | None:
    if exponent is None or (exponent.low is None and exponent.high is None):
        return "Every exponent that was looked at fits the runs."
    if exponent.high is None:
        return f"Any exponent above {exponent.low:.2g} fits, up to a step after the smallest x."
    return None


def _loose_exponent(exponent: Interval | None) -> str | None:
    if exponent is None or exponent.high is None:
        return None
    if exponent.low is None:
        return f"Any exponent below {exponent.high:.2g} fits, down to a straight line in ln x."
    if exponent.high <= WIDE * exponent.low:
        return None
    span = f"{exponent.low:.2g} to {exponent.high:.2g}"
    return f"The exponent's interval, {span}, spans more than a factor of {WIDE:g}."


def _ends_at_one(form: Form, rivals: Sequence[Rival]) -> str | None:
    delta = next((rival.delta_aicc for rival in rivals if rival.law == "error_power"), None)
    if form != "saturating_power" or delta is None or delta >= CLEARLY_WORSE:
        return None
    return (
        "A law that ends at 100 % explains the runs as well: the asymptote is not determined "
        f"(AICc {delta:+.1f} against this law's)."
    )


def _equal_rival(form: Form, rivals: Sequence[Rival], observations: int) -> str | None:
    # A power law that ends at 1 is a case of the one with an asymptote, not another law.
    same = POWERS if form in POWERS else (form,)
    others = [rival for rival in rivals if rival.law not in (*same, "constant")]
    known = {rival.law: rival.delta_aicc for rival in others if rival.delta_aicc is not None}
    if not known:
        return f"{observations} observations are too few to compare it with other laws."
    closest = min(known, key=known.__getitem__)
    if known[closest] >= CLEARLY_WORSE:
        return None
    return f"{closest} explains the runs as well or better (AICc {known[closest]:+.1f} against this law's)."
