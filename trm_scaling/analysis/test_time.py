"""Accuracy against test-time compute: laws in steps and in samples, the frontier, and what to use at a
budget.

Takes the long table of surfaces (`results.surfaces.surface_table`), a row a budget and decoder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from trm_scaling.analysis.fits.accuracy import fit_accuracy
from trm_scaling.analysis.fits.forms import Form
from trm_scaling.analysis.fits.record import Fit
from trm_scaling.analysis.frontier import non_dominated
from trm_scaling.analysis.runs import AccuracyRuns
from trm_scaling.errors import UserError
from trm_scaling.results.surfaces import BY_RULES, OF_ONE_SAMPLE, SURFACE_KEY

FEWEST = 5
"""Numbers of steps, or of samples, that a law and its rivals take."""

Over = Literal["steps", "samples"]

_FORMS: dict[Over, Form] = {"steps": "saturating_exponential", "samples": "log_linear"}


@dataclass(frozen=True)
class DecoderLaw:
    """Accuracy of one decoder over supervision steps, or over samples."""

    decoder: str
    over: Over
    at: int
    """The other of the two."""
    fit: Fit | None
    reason: str = ""
    """Why no law is fitted."""


@dataclass(frozen=True)
class Use:
    """What solves most at a budget."""

    budget: float
    """Inference FLOPs of a puzzle."""
    by_rules: bool
    """Whether the task's rules may choose the answer."""
    model: str
    weights: str
    """Which of the model's: the run (as its folder is called) and the checkpoint."""
    params: int
    sampling: str
    decoder: str
    steps: int
    samples: int
    inference_flops: float
    accuracy: float
    low: float
    high: float
    ceiling: float
    """What the oracle solves with the same model, steps and samples."""


def surfaces_of(table: pd.DataFrame) -> list[pd.DataFrame]:
    """The table's surfaces, each once, in its order. Raises UserError for a table that lacks columns."""
    needed = {
        *SURFACE_KEY,
        "trained_steps",
        "decoder",
        "usable",
        "steps",
        "samples",
        "inference_flops",
        "puzzles",
        "accuracy",
    }
    if missing := sorted(needed - set(map(str, table))):
        raise UserError(
            f"this is no table of surfaces: it has no column {', '.join(missing)}: read one with "
            "read_surface_tables from the surfaces.json that trm eval --surface writes"
        )
    return [rows for _, rows in table.groupby(list(SURFACE_KEY), sort=False, dropna=False)]


def usable(table: pd.DataFrame) -> pd.Series:
    """Of each row, whether a new puzzle can be answered so: false for the oracle's."""
    return table["usable"].astype(bool)


def usual_steps(surface: pd.DataFrame) -> int:
    """The supervision steps that samples are compared at: those of training, else the most."""
    trained = int(surface["trained_steps"].iloc[0])
    return trained if (surface["steps"] == trained).any() else int(surface["steps"].max())


def laws(surface: pd.DataFrame) -> list[DecoderLaw]:
    """For every decoder of one surface: a saturating exponential in steps with all samples, and a logarithm
    in samples with the steps of training, each with its rivals and its verdict.

    By least squares: all budgets share their puzzles and trajectories, so what scatters around a curve is not
    binomial, and its size is taken from the residuals. The intervals are about the curve on these puzzles;
    how far its level would be on others is `puzzles_95` of the rows.
    """
    steps, samples = usual_steps(surface), int(surface["samples"].max())
    found = []
    for name in dict.fromkeys(surface["decoder"]):
        own = surface[surface["decoder"] == name]
        alone = name in OF_ONE_SAMPLE
        size = int(surface["samples"].min()) if alone else samples
        found.append(_law(own[own["samples"] == size], str(name), "steps", size))
        if not alone:
            found.append(_law(own[own["steps"] == steps], str(name), "samples", steps))
    return found


def _law(rows: pd.DataFrame, decoder: str, over: Over, at: int) -> DecoderLaw:
    if len(rows) < FEWEST:
        return DecoderLaw(decoder, over, at, None, f"{len(rows)} numbers of {over}; a law takes {FEWEST}")
    half = 0.5 / rows["puzzles"].to_numpy(float)
    rising = int((rows["accuracy"].max() - rows["accuracy"] > half).sum())
    if rising < FEWEST - 2:
        said = f"{len(rows) - rising} of {len(rows)} numbers of {over} solve the most: too few are on the way"
        return DecoderLaw(decoder, over, at, None, said)
    columns = {
        "configuration": [str(value) for value in rows[over]],
        **{name: rows[name].to_numpy(float) for name in (over, "accuracy")},
    }
    try:
        runs = AccuracyRuns.of(columns, over, seed=None, accuracy="accuracy")
        return DecoderLaw(decoder, over, at, fit_accuracy(runs, _FORMS[over]))
    except UserError as error:
        return DecoderLaw(decoder, over, at, None, str(error))


def frontier(table: pd.DataFrame, by_rules: bool) -> pd.DataFrame:
    """The usable rows that no other solves more than for as few inference FLOPs, over model size, steps and
    samples; the cheapest first.
    """
    rows = table[usable(table)]
    if not by_rules:
        rows = rows[rows["decoder"] != BY_RULES]
    on = non_dominated(rows["inference_flops"].to_numpy(float), rows["accuracy"].to_numpy(float))
    found = rows[on].sort_values(["inference_flops", "steps"], kind="stable")
    # Decoders that choose alike stand on one place: the first of them is enough.
    return found.drop_duplicates(["inference_flops", "accuracy"])


def what_to_use(table: pd.DataFrame, budgets: Sequence[float] | None = None) -> list[Use]:
    """What solves most within each budget of inference FLOPs a puzzle, without the task's rules and with
    them.

    A budget that buys no more than the one before it is left out.

    `budgets`: default two a factor of ten, from the cheapest row to the dearest. The best of many is a little
    lucky: the interval of the one that is named does not hold the choice.
    """
    costs = table["inference_flops"].to_numpy(float)
    if budgets is None:
        first, last = np.ceil(2 * np.log10(costs.min())), np.ceil(2 * np.log10(costs.max()))
        budgets = (10 ** (np.arange(first, last + 1) / 2)).tolist()
    ceilings = {_budget_of(row): row["accuracy"] for row in table[~usable(table)].to_dict("records")}
    found: list[Use] = []
    for by_rules in (False, True) if BY_RULES in set(table["decoder"]) else (False,):
        best = frontier(table, by_rules)
        for budget in budgets:
            within = best[best["inference_flops"] <= budget * (1 + 1e-9)]
            if within.empty:
                continue
            use = _use(float(budget), by_rules, within.iloc[-1].to_dict(), ceilings)
            if not found or replace(use, budget=found[-1].budget) != found[-1]:
                found.append(use)
    return found


def _use(budget: float, by_rules: bool, row: Mapping[Any, Any], ceilings: Mapping[Any, float]) -> Use:
    low, high = row["puzzles_95"]
    averaged = ", averaged" if row["averaged"] else ""
    return Use(
        budget=budget,
        by_rules=by_rules,
        model=str(row["model"]),
        weights=f"{row['identity']:.8}-s{row['seed']}, {row['at']}, step {int(row['step']):,}{averaged}",
        params=int(row["params"]),
        sampling=str(row["sampling"]),
        decoder=str(row["decoder"]),
        steps=int(row["steps"]),
        samples=int(row["samples"]),
        inference_flops=float(row["inference_flops"]),
        accuracy=float(row["accuracy"]),
        low=float(low),
        high=float(high),
        ceiling=float(ceilings.get(_budget_of(row), np.nan)),
    )


def _budget_of(row: Mapping[Any, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in (*SURFACE_KEY, "steps", "samples"))
