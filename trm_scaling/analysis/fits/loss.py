"""A law of the loss, or of a share of errors: fitted, with intervals, beside its rivals, and judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import t as t_distribution

from trm_scaling.analysis.fits.loss_evidence import extrapolation, rivals_of, varies, verdict
from trm_scaling.analysis.fits.loss_law import (
    HUBER_DELTA,
    Inputs,
    Law,
    LossLaw,
    columns_missing,
    reported,
    theta_of,
)
from trm_scaling.analysis.fits.loss_profile import MOST_STUDIES, profile_ends
from trm_scaling.analysis.fits.loss_search import (
    QUICK,
    THOROUGH,
    FittedLoss,
    refit_loss,
    refits,
    reweighted,
    search_loss,
    simulated,
)
from trm_scaling.analysis.fits.record import Fit, Parameter, Prediction, plausible, union
from trm_scaling.analysis.fits.replicates import ALPHA, explain, lack_of_fit, lack_of_fit_of_clusters
from trm_scaling.analysis.fits.resampling import ENOUGH_CONFIGURATIONS, resample_clusters
from trm_scaling.analysis.fits.run_noise import RunNoise
from trm_scaling.analysis.interval import TAILS, Interval
from trm_scaling.analysis.runs import Configurations, LossRuns
from trm_scaling.errors import UserError

LEAST_SQUARES = 100.0
"""A Huber delta beyond every residual of ln L: least squares."""
_OF_RIVALS = 100
"""Replicates for a rival's prediction: enough for where forms disagree."""
_LN_DISAGREE = 0.1
"""Forms that differ by less than a tenth of a loss do not disagree."""


@dataclass(frozen=True)
class _Resampling:
    """How the fit is made again, for a law and its rivals alike."""

    observed: LossRuns
    replicates: int
    seed: int

    @property
    def simulates(self) -> bool:
        """Rather than resamples: where runs have several points, or configurations are few."""
        few = len(self.observed.units.names) < ENOUGH_CONFIGURATIONS
        return few or self.observed.cluster is not None

    @property
    def method(self) -> str:
        if self.observed.cluster is not None:
            return f"{self.replicates} simulated studies"
        return f"{'parametric' if self.simulates else 'clustered'} bootstrap, {self.replicates} replicates"

    def studies(self, fitted: FittedLoss) -> tuple[np.ndarray, np.ndarray]:
        """(replicates or 1, n) ln of losses, and the weight of each."""
        rng = np.random.default_rng(self.seed)
        if not self.simulates:
            rows = [resample_clusters(self.observed.units, rng) for _ in range(self.replicates)]
            return reweighted(fitted, rows)
        if self.observed.cluster is None:
            return simulated(fitted, self.replicates, rng)
        ln_loss = RunNoise.of(fitted, self.observed.cluster).studies(self.replicates, rng)
        return ln_loss, np.ones((1, ln_loss.shape[1]))

    def draws(self, fitted: FittedLoss) -> np.ndarray:
        """(replicates, q) theta."""
        return refits(fitted, *self.studies(fitted))

    def parameters(self, fitted: FittedLoss) -> tuple[np.ndarray, tuple[Parameter, ...]]:
        """The draws, and each parameter with its interval."""
        if self.observed.cluster is not None:
            draws, ends = profile_ends(fitted, self.studies(fitted)[0])
            factors = [name in fitted.law.factors or name == "R" for name in fitted.law.parameter_names]
            ends[factors] = np.exp(ends[factors])
            studies = min(self.replicates, MOST_STUDIES)
            method = f"profile, critical values from {studies} simulated studies"
            intervals = [Interval(low, high, method).open_at(-np.inf, np.inf) for low, high in ends.tolist()]
            return draws, _parameters(fitted, intervals)
        draws = self.draws(fitted)
        columns = reported(fitted.law, draws, fitted.inputs).T
        return draws, _parameters(fitted, [Interval.of_draws(column, self.method) for column in columns])


def fit_loss(
    runs: LossRuns,
    law: Law | None = None,
    *,
    predict: Sequence[Mapping[str, float]] = (),
    start: Mapping[str, float] | None = None,
    delta: float = HUBER_DELTA,
    replicates: int = 500,
    seed: int = 0,
) -> Fit:
    """Fit `law` to the losses of `runs`, with its rivals beside it.

    Unless given, `law` has a floor, and a term or exponent for every column of `runs` that varies.
    `predict` lists places to ask the law for: mappings with `params`, `data` and `recursions` as far as
    the law reads them. `start` begins at these parameters, by name, in place of a search from everywhere.
    `delta` is Huber's: residuals of ln L beyond it count linearly. Intervals come from `replicates` of a
    bootstrap drawn from `seed`: over configurations and then seeds; with fewer than 12 of them, with fresh
    noise on the fitted law. Where runs have several points, those of parameters are profiles instead
    (`loss_profile`), and those of predictions come from fresh noise of runs and of their points.

    Raises UserError when the law needs a column that `runs` or `predict` lack, or the runs are no more
    than its parameters.
    """
    law = law or law_for(runs)
    _refuse(runs, law, delta)
    asked = places(predict, law)
    fitted, observed, misfit = _fit_replicates(runs, law, THOROUGH if start is None else start, delta)
    resampling = _Resampling(observed, replicates, seed)
    draws, parameters = resampling.parameters(fitted)
    own, rivals, fits = rivals_of(fitted, observed, runs, asked)
    extrapolated = extrapolation(law, runs, delta)
    also = (
        [fits[each.law] for each in plausible(own, rivals) if each.predictions] if asked is not None else []
    )
    return Fit(
        law=law.name,
        formula=law.formula,
        likelihood=f"Huber loss of ln L, delta {delta:g}, summed",
        parameters=parameters,
        objective=fitted.objective,
        runs=len(Configurations.of(runs.cluster).names) if runs.cluster is not None else runs.loss.size,
        configurations=len(runs.configurations.names),
        replicates=_explain(runs, misfit),
        starts=fitted.starts,
        agreeing=fitted.agreeing,
        condition=fitted.condition,
        aicc=own,
        rivals=rivals,
        extrapolation=extrapolated,
        predictions=_predictions(predict, asked, fitted, draws, also, resampling, runs),
        verdict=verdict(fitted, parameters, rivals, extrapolated, misfit, runs),
    )


def loss_parameters(
    runs: LossRuns, law: Law, *, delta: float = HUBER_DELTA, replicates: int = 100, seed: int = 0
) -> tuple[Parameter, ...]:
    """The parameters of `fit_loss` with their intervals, without rivals and without a verdict."""
    _refuse(runs, law, delta)
    fitted, observed, _ = _fit_replicates(runs, law, QUICK, delta)
    return _Resampling(observed, replicates, seed).parameters(fitted)[1]


def law_for(runs: LossRuns) -> LossLaw:
    """A term for size, one for data and a recursion exponent, as far as they vary over `runs`."""
    return LossLaw(data=varies(runs.data), recursion="power" if varies(runs.recursions) else "none")


def places(predict: Sequence[Mapping[str, float]], law: Law) -> LossRuns | None:
    """The places to predict as runs without a loss; None when there are none."""
    if not predict:
        return None
    wanted = [name for name in law.columns if name != "compute"]
    wanted += ["recursions"] if law.recursion != "none" else []
    for name in wanted:
        if any(name not in place for place in predict):
            raise UserError(
                f"the law {law.name} cannot be asked for a loss without {name}: give it with each"
            )

    def column(name: str) -> np.ndarray:
        values = np.array([place.get(name, 1.0) for place in predict], dtype=float)
        if not (values > 0).all():
            raise UserError(f"a law cannot be asked for {name} = {values.min():g}: give positive values")
        return values

    labels = Configurations.of(range(len(predict)))
    given = {
        name: column(name) if any(name in place for place in predict) else None
        for name in ("data", "recursions")
    }
    return LossRuns(labels, np.ones(len(predict)), column("params"), **given)


def _refuse(runs: LossRuns, law: Law, delta: float) -> None:
    for name in columns_missing(law, runs):
        raise UserError(f"the law {law.name} needs the column {name}: name it when making LossRuns")
    if law.recursion != "none" and "params" not in law.columns:
        raise UserError("recursion enlarges the effective size, so its law needs the size term")
    if runs.loss.size <= (count := len(law.bounds)):
        raise UserError(f"{runs.loss.size} runs cannot carry {law.formula}: it takes more than {count}")
    if not 0 < delta < np.inf:
        raise UserError(f"Huber's delta is {delta:g}: give a positive number, such as 1e-3")


def _fit_replicates(
    runs: LossRuns, law: Law, starts: Mapping[str, float] | int, delta: float
) -> tuple[FittedLoss, LossRuns, float | None]:
    """The fit, the observations it took for independent, and the p-value of lack of fit."""

    def fit(these: LossRuns) -> FittedLoss:
        inputs = Inputs.of(law, these)
        return search_loss(
            law, inputs, starts if isinstance(starts, int) else [theta_of(law, starts, inputs)], delta
        )

    fitted, count = fit(runs), len(law.bounds)
    # The F test is of least squares. Huber's fit leaves more between configurations.
    squares = search_loss(law, fitted.inputs, [fitted.theta], LEAST_SQUARES)
    if runs.cluster is None:
        ones = np.ones_like(runs.loss)
        misfit = lack_of_fit(runs.cells, squares.inputs.ln_loss, squares.ln_loss, ones, count)
    else:
        along = np.log(runs.data) if runs.data is not None else np.zeros_like(runs.loss)
        misfit = lack_of_fit_of_clusters(runs.configurations, runs.cluster, squares.residual, along, count)
    if misfit is None or misfit >= ALPHA:
        return fitted, runs, misfit
    means = runs.collapsed()
    return (fitted, runs, misfit) if means.loss.size <= count else (fit(means), means, misfit)


def _explain(runs: LossRuns, misfit: float | None) -> str:
    said = explain(misfit)
    return said if runs.cluster is None else f"{said}; {runs.loss.size} points, those of one run together"


def _parameters(fitted: FittedLoss, intervals: Sequence[Interval | None]) -> tuple[Parameter, ...]:
    """Each parameter with its interval, open where that lies at the search's limits."""
    found, law = [], fitted.law
    for index, ((name, value), interval) in enumerate(zip(fitted.parameters.items(), intervals, strict=True)):
        if interval is not None and name not in law.factors:
            least, most = np.exp(law.bounds[index]) if name == "R" else law.bounds[index]
            slack = 1e-3 * (most - least)
            interval = interval.open_at(least + slack, most - slack)
        elif interval is not None and name == "E" and interval.ends[0] < 1e-9 * np.exp(fitted.inputs.ln_unit):
            interval = Interval(0.0, interval.high, interval.method)
        found.append(Parameter(name, value, interval))
    return tuple(found)


def _predictions(
    predict: Sequence[Mapping[str, float]],
    asked: LossRuns | None,
    fitted: FittedLoss,
    draws: np.ndarray,
    also: Sequence[FittedLoss],
    resampling: _Resampling,
    runs: LossRuns,
) -> tuple[Prediction, ...]:
    """The law's losses, with the spread between forms and the scatter of single runs around them."""
    if asked is None:
        return ()
    fewer = _Resampling(resampling.observed, min(_OF_RIVALS, resampling.replicates), resampling.seed)
    others = [np.log(each.losses(fewer.draws(each), asked)).T for each in also]
    values, drawn = fitted.loss(asked), np.log(fitted.losses(draws, asked)).T
    halves = _of_one_run(fitted, runs, asked)
    found = []
    for index, (at, value, half) in enumerate(zip(predict, np.log(values), halves, strict=True)):
        law = Interval.of_draws(drawn[index], resampling.method)
        forms, apart = union(law, (Interval.of_draws(each[index], "") for each in others), _LN_DISAGREE)
        run = None
        if forms is not None:
            low, high = min(forms.ends[0], value), max(forms.ends[1], value)
            low, high = value - np.hypot(value - low, half), value + np.hypot(high - value, half)
            run = _exp(Interval(float(low), float(high), f"{forms.method}, with one run's noise"))
        found.append(Prediction(dict(at), float(np.exp(value)), _exp(law), run, _exp(forms), apart))
    return tuple(found)


def _of_one_run(fitted: FittedLoss, runs: LossRuns, asked: LossRuns) -> Float[np.ndarray, " m"]:
    """Half of the 95 % range of one run's ln L around the law, at each place."""
    every_run = refit_loss(fitted, runs)
    if runs.cluster is None:
        half = float(t_distribution.ppf(TAILS[1], fitted.freedom)) * every_run.residual_sd
        return np.full(asked.loss.size, half)
    noise = RunNoise.of(every_run, runs.cluster)
    return float(t_distribution.ppf(TAILS[1], noise.freedom)) * np.sqrt(noise.variance(asked))


def _exp(interval: Interval | None) -> Interval | None:
    if interval is None:
        return None
    low, high = np.exp(interval.ends)
    return Interval(float(low), float(high), interval.method)
