"""A law of the loss: fitted, with intervals, beside its rivals, and judged."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import t as t_distribution

from trm_scaling.analysis.fits.loss_evidence import extrapolation, rivals_of, varies, verdict
from trm_scaling.analysis.fits.loss_law import Inputs, LossLaw, aicc
from trm_scaling.analysis.fits.loss_search import (
    THOROUGH,
    FittedLoss,
    descend_loss,
    refit_loss,
    reported,
    search_loss,
    theta_of,
)
from trm_scaling.analysis.fits.record import Fit, Parameter, Prediction
from trm_scaling.analysis.fits.replicates import ALPHA, explain, lack_of_fit
from trm_scaling.analysis.fits.resampling import ENOUGH_CONFIGURATIONS, noise_scale, resample_clusters
from trm_scaling.analysis.interval import TAILS, Interval
from trm_scaling.analysis.runs import Configurations, LossRuns
from trm_scaling.errors import UserError


def fit_loss(
    runs: LossRuns,
    law: LossLaw | None = None,
    *,
    predict: Sequence[Mapping[str, float]] = (),
    start: Mapping[str, float] | None = None,
    replicates: int = 500,
    seed: int = 0,
) -> Fit:
    """Fit `law` to the losses of `runs`, with its rivals beside it.

    Unless given, `law` has a term or exponent for every column of `runs` that varies. `predict` lists
    places to ask the law for: mappings with `params`, `data` and `recursions` as far as the law reads
    them. `start` begins at these parameters, by name, in place of a search from everywhere. Intervals
    come from `replicates` of a bootstrap drawn from `seed`: over configurations and then seeds with 12
    configurations or more, else with fresh noise on the fitted law.

    Raises UserError when the law needs a column that `runs` or `predict` lack, or the runs are no more
    than its parameters.
    """
    law = law or law_for(runs)
    _refuse(runs, law)
    asked = places(predict, law)
    clustered = len(runs.configurations.names) >= ENOUGH_CONFIGURATIONS
    fitted, observed, note = _fit_replicates(runs, law, start)
    rng = np.random.default_rng(seed)
    if clustered:
        rows = [resample_clusters(observed.configurations, rng) for _ in range(replicates)]
        draws = refits(fitted, *reweighted(fitted, rows))
    else:
        draws = refits(fitted, *simulated(fitted, replicates, rng))
    method = f"{'clustered' if clustered else 'parametric'} bootstrap, {replicates} replicates"
    parameters = _parameters(fitted, draws, method)
    own = aicc(law, fitted.objective, observed.loss.size)
    rivals = rivals_of(law, observed, runs, own, asked)
    extrapolated = extrapolation(law, runs)
    return Fit(
        law=law.name,
        formula=law.formula,
        likelihood="Huber loss of ln L, delta 0.001, summed",
        parameters=parameters,
        objective=fitted.objective,
        runs=runs.loss.size,
        configurations=len(runs.configurations.names),
        replicates=note,
        starts=fitted.starts,
        agreeing=fitted.agreeing,
        condition=fitted.condition,
        aicc=own,
        rivals=rivals,
        extrapolation=extrapolated,
        predictions=_predictions(predict, asked, fitted, draws, refit_loss(fitted, runs), method),
        verdict=verdict(fitted, parameters, rivals, extrapolated),
    )


def law_for(runs: LossRuns) -> LossLaw:
    """A term for size, one for data and a recursion exponent, as far as they vary over `runs`."""
    return LossLaw(data=varies(runs.data), recursion="power" if varies(runs.recursions) else "none")


def places(predict: Sequence[Mapping[str, float]], law: LossLaw) -> LossRuns | None:
    """The places to predict as runs without a loss; None when there are none."""
    if not predict:
        return None
    wanted = {"params": law.size, "data": law.data, "recursions": law.recursion != "none"}
    for name, needed in wanted.items():
        if needed and any(name not in place for place in predict):
            raise UserError(
                f"the law {law.name} cannot be asked for a loss without {name}: give it with each"
            )

    def column(name: str) -> np.ndarray:
        values = np.array([place.get(name, 1.0) for place in predict], dtype=float)
        if not (values > 0).all():
            raise UserError(f"a law cannot be asked for {name} = {values.min():g}: give positive values")
        return values

    labels = Configurations.of(range(len(predict)))
    return LossRuns(labels, np.ones(len(predict)), column("params"), column("data"), column("recursions"))


def refits(
    fitted: FittedLoss, ln_loss: Float[np.ndarray, "#R n"], weight: Float[np.ndarray, "#R n"]
) -> Float[np.ndarray, "R q"]:
    """theta of the law for each replicate: other losses (over their geometric mean), or other weights."""
    starts = np.tile(fitted.theta, (max(len(ln_loss), len(weight)), 1))
    return descend_loss(fitted.law, fitted.inputs, starts, ln_loss, weight)[0]


def simulated(
    fitted: FittedLoss, replicates: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "R n"], Float[np.ndarray, "1 n"]]:
    """Losses as the law would have given them, with fresh noise, and equal weights."""
    n = fitted.inputs.ln_loss.size
    freedom = max(1, n - fitted.law.parameter_count)
    scale = [np.sqrt(noise_scale(freedom, rng)) for _ in range(replicates)]
    noise = fitted.residual_sd * np.array(scale)[:, None] * rng.normal(size=(replicates, n))
    return fitted.ln_loss + noise, np.ones((1, n))


def reweighted(
    fitted: FittedLoss, rows: Sequence[Int[np.ndarray, " n"]]
) -> tuple[Float[np.ndarray, "1 n"], Float[np.ndarray, "R n"]]:
    """The same losses, each run as often as it stands in a replicate's `rows`."""
    n = fitted.inputs.ln_loss.size
    weight = [np.bincount(each, minlength=n).astype(float) for each in rows]
    return fitted.inputs.ln_loss[None], np.array(weight)


def _refuse(runs: LossRuns, law: LossLaw) -> None:
    for name, needed in {"data": law.data, "recursions": law.recursion != "none"}.items():
        if needed and getattr(runs, name) is None:
            raise UserError(f"the law {law.name} needs the column {name}: name it when making LossRuns")
    if law.recursion != "none" and not law.size:
        raise UserError("recursion enlarges the effective size, so its law needs the size term")
    if runs.loss.size <= law.parameter_count:
        raise UserError(
            f"{runs.loss.size} runs cannot carry {law.formula}: it takes more than {law.parameter_count}"
        )


def _fit_replicates(
    runs: LossRuns, law: LossLaw, start: Mapping[str, float] | None
) -> tuple[FittedLoss, LossRuns, str]:
    """The fit, the observations it took for independent, and why."""

    def fit(these: LossRuns) -> FittedLoss:
        inputs = Inputs.of(law, these)
        return search_loss(law, inputs, THOROUGH if start is None else [theta_of(law, start, inputs)])

    fitted = fit(runs)
    misfit = lack_of_fit(
        runs.configurations,
        fitted.inputs.ln_loss,
        fitted.ln_loss,
        np.ones_like(runs.loss),
        law.parameter_count,
    )
    if misfit is None or misfit >= ALPHA:
        return fitted, runs, explain(misfit)
    means = runs.collapsed()
    return fit(means), means, explain(misfit)


def _parameters(fitted: FittedLoss, draws: np.ndarray, method: str) -> tuple[Parameter, ...]:
    """Each parameter with the middle 95 % of its draws, open where those lie at the search's limits."""
    found = []
    limits = np.where(
        np.array(fitted.law.parameter_names)[:, None] == "R", np.exp(fitted.law.bounds), fitted.law.bounds
    )
    drawn = reported(fitted.law, draws, fitted.inputs)
    for index, (name, value) in enumerate(fitted.parameters.items()):
        interval = Interval.of_draws(drawn[:, index], method)
        if interval is not None and index > fitted.law.terms:
            least, most = limits[index]
            slack = 1e-3 * (most - least)
            interval = interval.open_at(least + slack, most - slack)
        found.append(Parameter(name, value, interval))
    return tuple(found)


def _predictions(
    predict: Sequence[Mapping[str, float]],
    asked: LossRuns | None,
    fitted: FittedLoss,
    draws: np.ndarray,
    every_run: FittedLoss,
    method: str,
) -> tuple[Prediction, ...]:
    """The law's losses, with the scatter of single runs around them, whatever was fitted."""
    if asked is None:
        return ()
    values, drawn = fitted.loss(asked), fitted.losses(draws, asked).T
    freedom = max(1, fitted.inputs.ln_loss.size - fitted.law.parameter_count)
    half = float(t_distribution.ppf(TAILS[1], freedom)) * every_run.residual_sd
    found = []
    for at, value, column in zip(predict, values, drawn, strict=True):
        law = Interval.of_draws(column, method)
        run = None
        if law is not None:
            low = value * np.exp(-np.hypot(np.log(value / law.ends[0]), half))
            high = value * np.exp(np.hypot(np.log(law.ends[1] / value), half))
            run = Interval(float(low), float(high), f"{method}, with one run's noise")
        found.append(Prediction(dict(at), float(value), law, run))
    return tuple(found)
