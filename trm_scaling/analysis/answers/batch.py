"""The largest batch that still learns as much from each puzzle."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from trm_scaling.analysis.answers.answer import Answer, Question
from trm_scaling.analysis.answers.certainty import certainty, hedged, of_the_seeds, reason
from trm_scaling.analysis.answers.enough import WORTH, Enough, enough
from trm_scaling.analysis.answers.scaling import in_order
from trm_scaling.analysis.answers.usable import Usable
from trm_scaling.analysis.answers.wording import accuracy, count, probability
from trm_scaling.analysis.critical_batch import CriticalBatch, critical_batch_size
from trm_scaling.analysis.frontier import pareto_frontier
from trm_scaling.analysis.learning_curve import LearningCurve, steps_to
from trm_scaling.analysis.seeds import SeedSummary
from trm_scaling.errors import UserError

TARGET = 0.8
"""The critical batch size is read where every batch has reached this share of the least best accuracy."""


def largest_batch(runs: Usable, question: Question, curves: pd.DataFrame | None) -> Answer:
    """The largest batch within two points of the best at equal puzzle-steps, and the critical batch size."""
    accuracies = runs.runs(question.axis)
    seeds, found = in_order(accuracies), enough(accuracies, "most")
    verdict = certainty(found.probability)
    to_target, doubt = _to_target(curves)
    critical = None
    if to_target:
        critical, doubt = _critical(to_target)
    return Answer(
        sentence=hedged(verdict, _sentence(runs.table, question.axis, seeds, found, critical)),
        verdict=verdict,
        reason=reason(found.probability, f"{found.configuration} is the largest that is as good"),
        caveats=(*of_the_seeds(accuracies), *doubt),
        excluded=runs.excluded,
        best=max(seeds, key=lambda each: each.mean).configuration,
        seeds=seeds,
        enough=found,
        frontier=pareto_frontier(accuracies),
        critical_batch=critical,
        to_target=to_target,
    )


def _to_target(curves: pd.DataFrame | None) -> tuple[tuple[tuple[float, float], ...], tuple[str, ...]]:
    """Batch and steps of each run to one accuracy that every run reached; else why there is none."""
    if curves is None or curves.empty:
        return (), ("Without learning curves there is no critical batch size.",)
    each = [run for _, run in curves.sort_values("step").groupby(["experiment", "seed"], sort=True)]
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
    doubt = f"The critical batch size is {found.verdict.word}: {found.verdict.reason}"
    return found, () if found.verdict.word == "identified" else (doubt,)


def _sentence(
    table: pd.DataFrame,
    axis: str,
    seeds: tuple[SeedSummary, ...],
    found: Enough,
    critical: CriticalBatch | None,
) -> str:
    by_name = {each.configuration: each for each in seeds}
    size = float(table.loc[table["experiment"] == found.configuration, axis].iloc[0])
    best = max(seeds, key=lambda each: each.mean)
    text = f"Batches up to {count(size)} ({found.configuration}) learn as much from as many puzzles: "
    text += accuracy(by_name[found.configuration])
    if best.configuration != found.configuration:
        text += f", within {100 * WORTH:g} points of the best, {best.configuration} with {accuracy(best)}"
    if found.probability is not None:
        text += f"; probability {probability(found.probability)}"
        if found.low != found.high:
            text += f", at 95 % between {found.high} and {found.low}"
    if critical is not None and critical.verdict.word != "not identified":
        interval = critical.interval
        within = (
            f" ({count(interval.low)} to {count(interval.high)})"
            if interval is not None and interval.low is not None and interval.high is not None
            else ""
        )
        text += f"; the critical batch size is {count(critical.critical_batch)}{within}"
    return text + "."
