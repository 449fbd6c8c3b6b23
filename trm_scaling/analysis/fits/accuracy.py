"""A law of accuracy against one quantity: fitted, with intervals, beside its rivals, and judged."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as t_distribution

from trm_scaling.analysis.fits import evidence
from trm_scaling.analysis.fits.fitted import Fitted, fit_form
from trm_scaling.analysis.fits.forms import FORMULAS, Form, Scale, parameter_count
from trm_scaling.analysis.fits.likelihood import Likelihood
from trm_scaling.analysis.fits.record import Fit, Parameter, Prediction, Rival, exponent, plausible, union
from trm_scaling.analysis.fits.region import PROFILED, Region
from trm_scaling.analysis.fits.replicates import ALPHA, explain, lack_of_fit
from trm_scaling.analysis.fits.resampling import ENOUGH_CONFIGURATIONS, bootstrap
from trm_scaling.analysis.interval import TAILS, Interval
from trm_scaling.analysis.runs import AccuracyRuns
from trm_scaling.errors import UserError
from trm_scaling.results.format import amount

OF_SIZE: tuple[Form, ...] = ("saturating_power", "error_power", "log_linear", "logit_linear", "constant")
"""Laws of a quantity that is worth having more of. `saturating_exponential` is not among the rivals of the
others: it is for supervision steps at test time, where accuracy nears its end within a few (arXiv
2604.12946)."""
OF_LOSS: tuple[Form, ...] = ("loss_sigmoid", "log_linear", "logit_linear", "constant")
_OF_RIVALS = 100
"""Replicates for a rival's prediction, where it takes any: enough for where forms disagree."""
_DISAGREE = 0.05
"""Forms that span less than five points together do not disagree."""


def fit_accuracy(
    runs: AccuracyRuns,
    form: Form = "saturating_power",
    *,
    likelihood: Likelihood | None = None,
    predict: Sequence[float] = (),
    replicates: int = 500,
    seed: int = 0,
) -> Fit:
    """Fit `form` to the accuracy of `runs`, with its rivals beside it.

    `likelihood` is beta-binomial where there are counts and least squares where there are only rates,
    unless named. `predict` lists values of x to ask the law for. With 12 configurations or more, intervals
    come from `replicates` of a bootstrap over configurations, then seeds, drawn from `seed`; with
    fewer, from the profile likelihood (or a parametric bootstrap, where a form's shape has two numbers).

    Raises UserError when there are fewer than three different x, or no more runs than parameters.
    """
    parameters = parameter_count(form)
    if (sizes := np.unique(runs.x).size) < 3 or runs.x.size <= parameters:
        raise UserError(
            f"{amount(runs.x.size, 'run')} at {amount(sizes, 'value')} of x cannot carry {FORMULAS[form]}: "
            f"it takes 3 different x and more than {parameters} runs"
        )
    likelihood = likelihood or ("least_squares" if runs.total is None else "beta_binomial")
    if likelihood != "least_squares" and runs.total is None:
        raise UserError(f"likelihood {likelihood} needs counts, and these runs have rates only")
    scale = Scale.of(runs.x)
    fitted, observed, misfit = _fit_replicates(runs, form, likelihood, scale)
    rng = np.random.default_rng(seed)
    asked = np.array(predict, dtype=float)
    if not (asked > 0).all():
        raise UserError(f"a law of x cannot be asked for x = {asked.min():g}: give positive values")
    intervals, laws = _intervals(fitted, observed, asked, replicates, rng)

    aicc, rivals, fits = _rivals(form, runs, likelihood, scale, asked)
    possible = {each.law for each in plausible(aicc, rivals)} if asked.size else set()
    also = [fit for name, fit in fits.items() if name in possible]
    extrapolated = evidence.extrapolation(runs, form, likelihood, scale)
    return Fit(
        law=form,
        formula=FORMULAS[form],
        likelihood=likelihood,
        parameters=tuple(
            Parameter(name, value, intervals[name]) for name, value in fitted.parameters.items()
        ),
        objective=float(fitted.optimum.solved.objective),
        runs=runs.x.size,
        configurations=len(runs.configurations.names),
        replicates=explain(misfit),
        starts=fitted.optimum.starts,
        agreeing=fitted.optimum.agreeing,
        condition=fitted.condition,
        aicc=aicc,
        rivals=rivals,
        extrapolation=extrapolated,
        predictions=_predictions(fitted, runs, asked, laws, _of_others(also, asked, replicates, seed)),
        verdict=evidence.verdict(fitted, intervals.get("c"), rivals, extrapolated, misfit, runs),
    )


def accuracy_exponent(
    runs: AccuracyRuns, form: Form = "saturating_power", *, likelihood: Likelihood | None = None
) -> Parameter | None:
    """The exponent of `form` with its interval, and nothing else; None where the form has none."""
    likelihood = likelihood or ("least_squares" if runs.total is None else "beta_binomial")
    fitted, observed, _ = _fit_replicates(runs, form, likelihood, Scale.of(runs.x))
    none = np.zeros(0)
    found, _ = _intervals(fitted, observed, none, _OF_RIVALS, np.random.default_rng(0))
    return exponent(Parameter(name, value, found[name]) for name, value in fitted.parameters.items())


def _misfit(fitted: Fitted, runs: AccuracyRuns) -> float | None:
    """The p-value of lack of fit of a law that was fitted to each run."""
    problem, p = fitted.problem, fitted.optimum.solved.p
    variance = problem.outcome.variance(np.clip(p, 1e-6, 1 - 1e-6))
    return lack_of_fit(runs.configurations, runs.accuracy, p, variance, parameter_count(problem.form))


def _fit_replicates(
    runs: AccuracyRuns, form: Form, likelihood: Likelihood, scale: Scale
) -> tuple[Fitted, AccuracyRuns, float | None]:
    """The fit, the observations it took for independent, and the p-value of lack of fit."""
    fitted = fit_form(runs, form, likelihood, scale)
    misfit = _misfit(fitted, runs)
    if misfit is None or misfit >= ALPHA:
        return fitted, runs, misfit
    means = runs.collapsed()
    return fit_form(means, form, likelihood, scale), means, misfit


def _rivals(
    form: Form, runs: AccuracyRuns, likelihood: Likelihood, scale: Scale, asked: np.ndarray
) -> tuple[float | None, tuple[Rival, ...], dict[Form, tuple[Fitted, AccuracyRuns]]]:
    """AICc of `form`, its rivals with theirs, and the fit of each with the runs it was fitted to.

    Laws are compared on each run where one of them at least leaves configurations scattering no more
    than seeds do; where none does, on configurations' means.
    """
    forms = [form, *(other for other in (OF_LOSS if form == "loss_sigmoid" else OF_SIZE) if other != form)]
    fits = {other: fit_form(runs, other, likelihood, scale) for other in forms}
    misfits, observed = [_misfit(fitted, runs) for fitted in fits.values()], runs
    if all(misfit is not None and misfit < ALPHA for misfit in misfits):
        observed = runs.collapsed()
        fits = {other: fit_form(observed, other, likelihood, scale) for other in forms}
    factor = fits[form].factor
    criteria = {other: fitted.aicc(factor) for other, fitted in fits.items()}
    own = criteria[form]
    rivals = []
    for other in forms[1:]:
        theirs = criteria[other]
        rivals.append(
            Rival(
                law=other,
                formula=FORMULAS[other],
                parameter_count=parameter_count(other),
                aicc=theirs,
                delta_aicc=None if own is None or theirs is None else theirs - own,
                extrapolation=evidence.extrapolation(runs, other, likelihood, scale),
                predictions=tuple(fits[other].rate(asked).tolist()),
            )
        )
    return own, tuple(rivals), {other: (fitted, observed) for other, fitted in fits.items()}


def _of_others(
    others: Sequence[tuple[Fitted, AccuracyRuns]], asked: np.ndarray, replicates: int, seed: int
) -> list[list[Interval | None]]:
    """For each x asked for, what other forms say of it."""
    rng, fewer = np.random.default_rng(seed), min(replicates, _OF_RIVALS)
    each = [_intervals(fitted, observed, asked, fewer, rng)[1] for fitted, observed in others]
    return [list(at) for at in zip(*each, strict=True)] if each else [[] for _ in asked]


def _intervals(
    fitted: Fitted,
    observed: AccuracyRuns,
    asked: np.ndarray,
    replicates: int,
    rng: np.random.Generator,
) -> tuple[dict[str, Interval | None], list[Interval | None]]:
    """For the parameters, and for the law at each x asked for."""
    if len(observed.configurations.names) >= ENOUGH_CONFIGURATIONS:
        return bootstrap(fitted, observed, asked, "clustered", replicates, rng)
    if fitted.problem.form not in PROFILED:
        return bootstrap(fitted, observed, asked, "parametric", replicates, rng)
    region = Region.of(fitted)
    return dict(region.parameters()), [region.rate(float(x)) for x in asked]


def _predictions(
    fitted: Fitted,
    runs: AccuracyRuns,
    asked: np.ndarray,
    laws: list[Interval | None],
    others: list[list[Interval | None]],
) -> tuple[Prediction, ...]:
    """The law's values, with the spread between forms and the scatter of single runs around them."""
    likelihood = fitted.problem.outcome.likelihood
    single = fit_form(runs, fitted.problem.form, likelihood, fitted.problem.scale)
    sd = single.run_sd(fitted.rate(asked))
    wide = float(t_distribution.ppf(TAILS[1], fitted.freedom))
    found = []
    for x, value, law, other, width in zip(asked, fitted.rate(asked), laws, others, sd, strict=True):
        forms, apart = union(law, other, _DISAGREE)
        run = forms and _of_one_run(float(value), forms, wide * float(width))
        found.append(Prediction({"x": float(x)}, float(value), law, run, forms, apart))
    return tuple(found)


def _of_one_run(value: float, law: Interval, half_width: float) -> Interval:
    """The law's interval with one run's noise added in quadrature, side by side."""
    low, high = min(law.ends[0], value), max(law.ends[1], value)
    low, high = value - np.hypot(value - low, half_width), value + np.hypot(high - value, half_width)
    return Interval(float(low), float(high), f"{law.method}, with one run's noise").clipped(0.0, 1.0)
