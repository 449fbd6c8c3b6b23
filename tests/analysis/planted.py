"""Studies with a planted truth, by the hundred, and what the fits say of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from tests.analysis.studies import SIX_SIZES, accuracy_runs
from trm_scaling.analysis import AccuracyRuns, LossRuns, fit_accuracy
from trm_scaling.analysis.fits.record import Parameter

FAR = 4 * SIX_SIZES[-1]
"""Where a law is asked: at four times the largest size."""
_U = np.log(SIX_SIZES / SIX_SIZES[0])


def s_curve(x: np.ndarray) -> np.ndarray:
    """Rises to 90 % in ln N, half of it at 5M parameters."""
    return np.asarray(0.9 * expit(2.5 * np.log(x / 5e6)))


def logit_linear(x: np.ndarray) -> np.ndarray:
    return np.asarray(expit(-1.0 + 0.9 * np.log(x / SIX_SIZES[0])))


def plateau_and_drop(x: np.ndarray) -> np.ndarray:
    """Level at 80 %, and half of that from 30M parameters on."""
    return np.where(x < 3e7, 0.8, 0.4)


def all_or_nothing(x: np.ndarray) -> np.ndarray:
    """The two smallest solve nothing, the others everything."""
    return np.where(x < 4e6, 0.0, 1.0)


def one_failed(x: np.ndarray) -> np.ndarray:
    """A power law; `study` breaks one run of it."""
    return np.asarray(0.9 - 0.5 * (x / SIX_SIZES[0]) ** -0.6)


WRONG: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    s_curve,
    logit_linear,
    plateau_and_drop,
    all_or_nothing,
    one_failed,
)


def study(truth: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator) -> AccuracyRuns:
    """Six sizes, three seeds that differ by 3 points, 1,000 puzzles."""
    rate = truth(SIX_SIZES)
    runs = accuracy_runs(rate, SIX_SIZES, rng, seeds=3, sd=0.03, total=1000)
    if truth is all_or_nothing:
        runs = runs.with_accuracy(np.repeat(rate, 3))
    if truth is one_failed:
        accuracy = runs.accuracy.copy()
        accuracy[rng.integers(accuracy.size)] = 0.02
        runs = runs.with_accuracy(accuracy)
    return runs


@dataclass(frozen=True)
class Tally:
    """Shares of the studies."""

    identified: float
    covered: float
    """The interval of one more run at FAR holds the truth."""
    disagree: float
    """Forms are said to disagree there."""
    covered_or_disagree: float


def tally(truth: Callable[[np.ndarray], np.ndarray], studies: int, seed: int = 0) -> Tally:
    rng, rows = np.random.default_rng(seed), []
    for _ in range(studies):
        fit = fit_accuracy(study(truth, rng), predict=[FAR])
        (far,) = fit.predictions
        covered = far.run is not None and far.run.contains(float(truth(np.array([FAR]))[0]))
        rows.append((fit.verdict.word == "identified", covered, far.disagree, covered or far.disagree))
    return Tally(*np.mean(rows, axis=0).tolist())


def power_study(floor: float, rng: np.random.Generator) -> tuple[LossRuns, dict[str, float]]:
    """Shares of wrong cells of six sizes, five evaluations of each run, three seeds: 18 runs, 90 points.

    Runs differ by 8 %, evaluations of one run by 3 % more.
    """
    sizes, data = np.geomspace(2e4, 6e5, 6), np.geomspace(1.6e4, 2.6e5, 5)
    size, seed, samples = (each.ravel() for each in np.meshgrid(sizes, np.arange(3), data, indexing="ij"))
    truth = {"A": 0.12 * 2e4**0.5, "B": 0.2 * 1.6e4**0.6, "alpha": 0.5, "beta": 0.6}
    error = floor + truth["A"] * size**-0.5 + truth["B"] * samples**-0.6
    run = np.unique(np.column_stack([size, seed]), axis=0, return_inverse=True)[1].ravel()
    noise = rng.normal(0, 0.08, run.max() + 1)[run] + rng.normal(0, 0.03, run.size)
    table = {"configuration": size, "seed": seed, "params": size, "data": samples}
    runs = LossRuns.of(table | {"loss": error * np.exp(noise)}, data="data")
    return runs, truth | ({"E": floor} if floor else {})


def covers(parameters: Sequence[Parameter], truth: dict[str, float]) -> dict[str, bool]:
    """Whether each parameter's interval holds its planted value."""
    intervals = {each.name: each.interval for each in parameters}
    return {
        name: (interval := intervals[name]) is not None and interval.contains(value)
        for name, value in truth.items()
    }
