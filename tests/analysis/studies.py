"""Made-up studies whose law is known."""

import numpy as np

from trm_scaling.analysis import AccuracyRuns, LossRuns

SIX_SIZES = np.array([1.3, 2.8, 5.0, 11.0, 19.0, 42.0]) * 1e6
"""Parameters, about what hidden sizes 256 to 1536 make."""


def saturating(x: np.ndarray, a: float = 0.95, drop: float = 0.4, c: float = 0.35) -> np.ndarray:
    """a - b x^-c, with `drop` = b x^-c at the smallest size."""
    return np.asarray(a - drop * (x / x.min()) ** -c)


def accuracy_runs(
    rate: np.ndarray,
    x: np.ndarray,
    rng: np.random.Generator,
    *,
    seeds: int = 1,
    sd: float = 0.0,
    total: int | None = None,
) -> AccuracyRuns:
    """`seeds` runs of each configuration (`rate` at `x`), `sd` apart; counts of `total` puzzles if given."""
    true = np.clip(rng.normal(np.repeat(rate, seeds), sd), 0.0, 1.0)
    table = {
        "configuration": np.repeat(np.arange(x.size), seeds),
        "seed": np.tile(np.arange(seeds), x.size),
        "params": np.repeat(x, seeds),
        "accuracy": true,
    }
    if total is None:
        return AccuracyRuns.of(table, "params", accuracy="accuracy")
    counts = {"solved": rng.binomial(total, true), "total": np.full(true.size, total)}
    return AccuracyRuns.of(table | counts, "params")


def loss_runs(loss: np.ndarray, rng: np.random.Generator, sd: float, **inputs: np.ndarray) -> LossRuns:
    """One run a configuration, ln loss `sd` from its law."""
    table = {
        "configuration": np.arange(loss.size),
        "loss": loss * np.exp(rng.normal(0, sd, loss.size)),
        **inputs,
    }
    names = {name: name for name in ("data", "recursions") if name in inputs}
    return LossRuns.of(table, seed=None, **names)
