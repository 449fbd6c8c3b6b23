"""The largest batch that still learns as much from each puzzle."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from trm_scaling.analysis.answers.answer import (
    Answer,
    Question,
    accuracy,
    certainty,
    count,
    of_the_seeds,
    probability,
    reason,
)
from trm_scaling.analysis.answers.filter_runs import FilteredRuns
from trm_scaling.analysis.answers.plateau import WORTH, Enough, enough
from trm_scaling.analysis.answers.scaling import in_order
from trm_scaling.analysis.critical_batch import CriticalBatch, critical_batch_size
from trm_scaling.analysis.frontier import pareto_frontier
from trm_scaling.analysis.learning_curve import LearningCurve, steps_to
from trm_scaling.analysis.seeds import PooledVariance, SeedSummary
from trm_scaling.errors import UserError
from trm_scaling.results.format import joined

_SMALLEST = "It is the smallest batch tried: a smaller one may learn still more."
_RATES_FOLLOW = "2026-11-29"
"""The day from which the average's rate and the decay follow the batch (`schedule=matched`)."""
TARGET = 0.8
"""The critical batch size is read where every batch has reached this share of the least best accuracy."""


def largest_batch(
    runs: FilteredRuns, question: Question, curves: pd.DataFrame | None, elsewhere: PooledVariance | None
) -> Answer:
    """The largest batch within two points of the best at equal samples, and the critical batch size."""
    accuracies = runs.runs(question.axis)
    seeds, found = in_order(accuracies, elsewhere), enough(accuracies, "most", elsewhere)
    verdict, why = certainty(found.probability), f"{found.configuration} is the largest that is as good"
    if found.at_end and verdict == "answered":
        verdict = "tentative"
    if per_step := _averaged_per_step(runs.table):
        verdict = "open"
    to_target, doubt = _to_target(curves)
    critical = None
    if to_target:
        critical, doubt = _critical(to_target)
    return Answer(
        sentence=_sentence(runs.table, question.axis, seeds, found, critical, of_average=bool(per_step)),
        verdict=verdict,
        reason=per_step or (_SMALLEST if found.at_end else reason(found.probability, why)),
        caveats=(*([per_step] if per_step else []), *of_the_seeds(accuracies), *doubt, *_rates(runs.table)),
        excluded=runs.excluded,
        best=max(seeds, key=lambda each: each.mean).configuration,
        named=found.configuration,
        probability=found.probability,
        seeds=seeds,
        enough=found,
        frontier=pareto_frontier(accuracies, elsewhere),
        critical_batch=critical,
        to_target=to_target,
    )


def _averaged_per_step(table: pd.DataFrame) -> str:
    """What runs from before `_RATES_FOLLOW` cannot say: their average and decay had one rate a step.

    Empty for later runs.
    """
    if not {"started", "ema_rate", "weight_decay", "steps", "global_batch_size"} <= set(table):
        return ""
    rates = [float(each) for each in table["ema_rate"].unique()]
    decays = [float(each) for each in table["weight_decay"].unique()]
    if len(rates) > 1 or len(decays) > 1 or str(table["started"].max()) >= _RATES_FOLLOW:
        return ""
    largest = table.drop_duplicates("global_batch_size").nlargest(2, "global_batch_size").iloc[::-1]
    left = [
        f"{100 * rates[0] ** row['steps']:.0f} % at batch {count(row['global_batch_size'])}"
        for row in largest.to_dict("records")
    ]
    return (
        f"These runs used an average of {rates[0]:g} per step and decay {decays[0]:g} at every batch; since "
        f"29 November 2026 both follow the batch. The average ended with {joined(left)} of the initial "
        "weights. The answer is about that average, not about the batch."
    )


def _rates(table: pd.DataFrame) -> tuple[str, ...]:
    if "lr" not in table or table["lr"].nunique() < 2:
        return ()
    low, high = table["lr"].min(), table["lr"].max()
    return (f"The learning rate was set by the batch, from {low:.2g} to {high:.2g}, and not tuned for each.",)


def _to_target(curves: pd.DataFrame | None) -> tuple[tuple[tuple[float, float], ...], tuple[str, ...]]:
    """Batch and steps of each run to one accuracy that every run reached; else why there is none."""
    if curves is None or curves.empty:
        return (), ("Without learning curves there is no critical batch size.",)
    known = curves[curves["val_accuracy"].notna()].sort_values("step")
    each = [run for _, run in known.groupby(["experiment", "seed"], sort=True)]
    if not each:
        return (), ("No evaluation has an accuracy: no critical batch size.",)
    target = TARGET * min(float(run["val_accuracy"].max()) for run in each)
    if target <= 0:
        return (), ("A run solved nothing, so no accuracy was reached by all: no critical batch size.",)
    found = []
    for run in each:
        steps = steps_to(LearningCurve.of(run["step"], run["val_accuracy"]), target)
        assert steps is not None, "the target is below every run's best"
        found.append((float((run["puzzle_steps"] / run["step"]).iloc[-1]), steps))
    return tuple(found), ()


def _critical(to_target: Sequence[tuple[float, float]]) -> tuple[CriticalBatch | None, tuple[str, ...]]:
    batch, steps = np.array(to_target).T
    try:
        found = critical_batch_size(batch, steps)
    except UserError as error:
        return None, (f"No critical batch size: {error}.",)
    caveats = [f"The critical batch size is read at {100 * TARGET:.0f} % of the least peak of all runs."]
    if found.verdict.word != "identified":
        caveats.append(f"The critical batch size is {found.verdict.word}: {found.verdict.reason}")
    return found, tuple(caveats)


def _sentence(
    table: pd.DataFrame,
    axis: str,
    seeds: tuple[SeedSummary, ...],
    found: Enough,
    critical: CriticalBatch | None,
    *,
    of_average: bool,
) -> str:
    by_name = {each.configuration: each for each in seeds}
    size = float(table.loc[table["experiment"] == found.configuration, axis].iloc[0])
    best = max(seeds, key=lambda each: each.mean)
    which = f"{count(size)} ({found.configuration})"
    if of_average:
        text = f"The largest batch within {100 * WORTH:g} points of the best is {which}: "
    elif found.at_end:
        text = f"No batch above the smallest tried, {which}, learns as much from as many samples: "
    elif found.all_after:
        most = ", the largest tried," if found.at_start else ""
        text = f"Batches up to {which}{most} learn as much from as many samples: "
    else:
        text = f"A batch of {which} learns as much from as many samples, though some smaller ones do not: "
    text += accuracy(by_name[found.configuration])
    if best.configuration != found.configuration and not of_average:
        text += f", within {100 * WORTH:g} points of the best, {best.configuration} with {accuracy(best)}"
    if found.probability is not None:
        text += f". {probability(found.probability)} that it is the largest within "
        text += f"{100 * WORTH:g} points of the best"
        if found.low != found.high:
            text += f"; 95 % range {found.high} to {found.low}"
    if critical is not None and critical.verdict.word == "identified":
        interval = critical.interval
        within = (
            f" [{count(interval.low)}, {count(interval.high)}]"
            if interval is not None and interval.low is not None and interval.high is not None
            else ""
        )
        text += f". The critical batch size is {count(critical.critical_batch)}{within}"
    return text + (". This is about an average kept per step, not about the batch." if of_average else ".")
