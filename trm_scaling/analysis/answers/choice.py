"""The best of a few: precision, averaging, optimisers, learning rates, layers against recursions."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from trm_scaling.analysis.answers.answer import (
    Answer,
    Certainty,
    Question,
    accuracy,
    of_the_seeds,
    points,
    probability,
    reason,
)
from trm_scaling.analysis.answers.filter_runs import FilteredRuns
from trm_scaling.analysis.answers.plateau import WORTH
from trm_scaling.analysis.comparison import Comparison, compare, correct_family
from trm_scaling.analysis.frontier import Frontier, pareto_frontier
from trm_scaling.analysis.halting import keeps
from trm_scaling.analysis.pairing import compare_runs
from trm_scaling.analysis.seeds import PooledVariance, SeedSummary, summarise_seeds
from trm_scaling.results.device_time import timed_alone
from trm_scaling.results.format import joined

_MEASURES = {
    "training_flops": "training FLOPs",
    "throughput": "samples per second",
    "peak_memory_bytes": "peak memory",
    "halting_mean_steps": "steps under the halting rule",
}
_EXACT = frozenset({"training_flops"})
"""Those that are arithmetic on the configuration; the others are measured, with the scatter of a machine."""
LIKELY_BEST = 0.95
"""Probability of being the best from which an answer is tentative."""
_WORTH_SAYING = 0.05
"""A measure whose logarithm differs by less between two configurations is not mentioned."""


def best_choice(runs: FilteredRuns, question: Question, elsewhere: PooledVariance | None) -> Answer:
    """The configuration with the highest mean, whether its lead is real, and what else it changes.

    `answered` is a best that is better than each of the others by a test corrected for their number, or
    that all of them lie within `WORTH` of it; a high probability of being the best alone is `tentative`,
    since of two equal configurations one has it over 0.95 in a tenth of all studies.
    """
    table, accuracies = runs.table, runs.runs()
    by_name = {each.configuration: each for each in summarise_seeds(accuracies, elsewhere)}
    order = _order(table, question)
    reference = question.reference if question.reference in by_name else order[0]
    comparisons = _comparisons(table, reference, order)
    one_trajectory = all(each.paired for each in comparisons)
    if one_trajectory:  # one run of it has no interval
        single = {name: replace(each, interval=None, basis=None) for name, each in by_name.items()}
        by_name |= {name: each for name, each in single.items() if each.runs == 1}
    seeds = tuple(by_name[name] for name in order)
    best = max(seeds, key=lambda each: each.mean)
    sure = None if one_trajectory else _probability_best(pareto_frontier(accuracies, elsewhere), best)
    verdict, why, begins = _standing(best, _comparisons(table, best.configuration, order), sure)
    said = _sentence(question, table, seeds, sure, comparisons, reference)
    if one_trajectory and best.runs == 1:
        said = _ranked(question, seeds)
    return Answer(
        sentence=begins + said,
        verdict=verdict,
        reason=why,
        caveats=(*of_the_seeds(accuracies), *_out_of_reach(comparisons)),
        excluded=runs.excluded,
        best=best.configuration,
        named=best.configuration,
        probability=sure,
        seeds=seeds,
        comparisons=comparisons,
    )


def _standing(
    best: SeedSummary, others: Sequence[Comparison], sure: float | None
) -> tuple[Certainty, str, str]:
    """The verdict, its reason, and how the sentence begins; `others` are compared with the best."""
    if all(each.claim.word == "significant" for each in others):
        return "answered", "It is better than each of the others, by a test corrected for their number.", ""
    lows = [each.interval.low for each in others if each.interval is not None]
    if len(lows) == len(others) and all(low is not None and low > -WORTH for low in lows):
        words = f"{100 * WORTH:g} points"
        return "answered", f"No other is {words} worse, at 95 %.", f"All are within {words} of the best: "
    word: Certainty = "tentative" if sure is not None and sure >= LIKELY_BEST else "open"
    return word, reason(sure, f"{best.configuration} is the best"), ""


def _order(table: pd.DataFrame, question: Question) -> list[str]:
    """Experiments by the axis, else by name."""
    if question.axis in table and question.axis != "experiment":
        means = table.groupby("experiment")[question.axis].mean()
        return [str(name) for name in means.sort_values(kind="stable").index]
    return sorted(str(name) for name in table["experiment"].unique())


def _comparisons(table: pd.DataFrame, reference: str, order: Sequence[str]) -> tuple[Comparison, ...]:
    runs = {str(name): group for name, group in table.groupby("experiment")}
    others = [name for name in order if name != reference]
    return correct_family([compare_runs(reference, name, runs[reference], runs[name]) for name in others])


def _probability_best(standing: Frontier, best: SeedSummary) -> float | None:
    return next(
        point.probability_best for point in standing.points if point.configuration == best.configuration
    )


def _sentence(
    question: Question,
    table: pd.DataFrame,
    seeds: Sequence[SeedSummary],
    sure: float | None,
    comparisons: Sequence[Comparison],
    reference: str,
) -> str:
    best = max(seeds, key=lambda each: each.mean)
    known = "" if sure is None else f". {probability(sure)} that it is the best of the {len(seeds)}"
    parts = [f"{question.label(best.configuration)} solves most: {accuracy(best)}{known}"]
    if best.configuration == reference:
        rivals = [each for each in seeds if each is not best]
        second = max(rivals, key=lambda each: each.mean)
        lead = next(each for each in comparisons if each.b == second.configuration)
        parts.append(f"Next is {question.label(second.configuration)}: {_lead(lead)}")
        other = second.configuration
    else:
        lead = next(each for each in comparisons if each.b == best.configuration)
        parts.append(f"Against {reference}: {_lead(lead)}")
        other = best.configuration
    if changed := _measured(table, reference, other, question.measure):
        parts.append(f"{other} has {changed} of {reference}")
    return ". ".join(parts) + "."


def _ranked(question: Question, seeds: Sequence[SeedSummary]) -> str:
    """All averages of one trajectory, the most accurate first."""
    ranked = sorted(seeds, key=lambda each: -each.mean)
    best, *rest = (f"{question.label(each.configuration)}: {100 * each.mean:.1f} %" for each in ranked)
    return f"{best.replace(': ', ' solves most: ')}. Then {joined(rest)}. One trajectory, no interval."


def _lead(found: Comparison) -> str:
    """`+7.3 points, paired over 1 seed` of one trajectory, `+3.1 points [0.5, 5.7]` else."""
    said = points(found.difference, found.interval)
    pairs = found.runs[0]
    return f"{said}, paired over {pairs} seed{'s' if pairs > 1 else ''}" if found.paired else said


def _measured(table: pd.DataFrame, reference: str, other: str, always: str) -> str:
    """`0.61 [0.58, 0.64] x the steps under the halting rule`, of what differs between the two."""
    said = []
    for column, words in _MEASURES.items():
        if column not in table or not (table[column] > 0).all():
            continue
        if column == "peak_memory_bytes" and not _of_the_device(table):
            continue  # of a process: compiling and the host's own memory are in it
        if column == "halting_mean_steps" and not all(_keeps(table, name) for name in (reference, other)):
            continue  # a network that stops at once saves its steps, and loses its answers with them
        alone = timed_alone(table, column)[0]
        logs = {name: np.log(group.to_numpy(float)) for name, group in alone.groupby("experiment")[column]}
        if not {reference, other} <= logs.keys():
            continue
        found = compare(reference, other, logs[reference], logs[other])
        factor = _factor(found, is_exact=column in _EXACT)
        if column == always or abs(found.difference) > _WORTH_SAYING:
            said.append(f"{factor} x the {words}")
    return joined(said) if said else ""


def _of_the_device(table: pd.DataFrame) -> bool:
    return "peak_memory_of" in table and bool((table["peak_memory_of"] == "device").all())


def _keeps(table: pd.DataFrame, name: str) -> bool:
    """Whether answers at the halting step keep the accuracy of all steps, where the table says."""
    if "halting_accuracy" not in table:
        return True
    own = table[table["experiment"] == name]
    return keeps(float(own["halting_accuracy"].mean()), float(own["test_accuracy"].mean()))


def _factor(found: Comparison, *, is_exact: bool) -> str:
    """Of a difference of logarithms, with no more digits than it has: one where a side has one run.

    A number that arithmetic gives is exact.
    """
    factor = np.exp(found.difference)
    if is_exact:
        return f"{factor:.2f}"
    interval = found.interval
    if interval is None or interval.low is None or interval.high is None:
        return f"about {factor:.1g}" if factor < 1 else f"about {factor:.1f}"
    low, high = (f"{end:.2f}" for end in np.exp([interval.low, interval.high]))
    return f"{factor:.2f} [{low}, {high}]" if low != high else f"{factor:.2f}"


def _out_of_reach(comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    out = [each for each in comparisons if each.claim.word == "too few seeds"]
    return (out[0].claim.sentence,) if out else ()
