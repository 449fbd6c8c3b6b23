"""Where more of one thing stops paying: size, recursion, data, supervision steps."""

import numpy as np

from trm_scaling.analysis.answers.answer import (
    Answer,
    Certainty,
    Question,
    accuracy,
    certainty,
    of_the_seeds,
    probability,
    quantity,
    reason,
)
from trm_scaling.analysis.answers.filter_runs import ACCURACY, FilteredRuns
from trm_scaling.analysis.answers.plateau import WORTH, Enough, enough
from trm_scaling.analysis.fits.accuracy import accuracy_exponent, fit_accuracy
from trm_scaling.analysis.fits.record import Fit
from trm_scaling.analysis.fits.sensitivity import limited, other_choices, speed_at_budget, with_choices
from trm_scaling.analysis.frontier import Frontier, pareto_frontier
from trm_scaling.analysis.runs import AccuracyRuns
from trm_scaling.analysis.seeds import PooledVariance, SeedSummary, summarise_seeds
from trm_scaling.errors import UserError

_SPENT = {"halt_max_steps": "inference_flops", "L_cycles": "training_flops", "H_cycles": "training_flops"}

_PLACES = 25
"""Where the law is asked within the runs' range, so that a figure can draw its band."""


def spent(axis: str) -> str:
    """The column of what a family spends that varies `axis`: the axis itself, or the FLOPs that it costs."""
    return _SPENT.get(axis, axis)


def where_it_stops_paying(runs: FilteredRuns, question: Question, elsewhere: PooledVariance | None) -> Answer:
    """The least of the axis that does as well as any, the law, and the frontier."""
    accuracies = runs.runs(question.axis)
    seeds = in_order(accuracies, elsewhere)
    found = enough(accuracies, "least", elsewhere)
    verdict, why = _verdict(found)
    fit, unfitted = _law(runs, question.axis) if question.law else (None, ())
    return Answer(
        sentence=_sentence(question, accuracies, seeds, found),
        verdict=verdict,
        reason=why,
        caveats=(*of_the_seeds(accuracies), *unfitted, *_of_the_law(fit)),
        excluded=runs.excluded,
        best=max(seeds, key=lambda each: each.mean).configuration,
        named=found.configuration,
        probability=found.probability,
        seeds=seeds,
        fit=fit,
        enough=found,
        frontier=_frontier(runs, question.axis, elsewhere),
    )


def in_order(runs: AccuracyRuns, elsewhere: PooledVariance | None) -> tuple[SeedSummary, ...]:
    """Every configuration, by its x."""
    x = dict(zip(runs.configurations.names, runs.collapsed().x, strict=True))
    return tuple(sorted(summarise_seeds(runs, elsewhere), key=lambda each: x[each.configuration]))


def _sentence(question: Question, runs: AccuracyRuns, seeds: tuple[SeedSummary, ...], found: Enough) -> str:
    x = dict(zip(runs.configurations.names, runs.collapsed().x, strict=True))
    by_name = {each.configuration: each for each in seeds}
    best = max(seeds, key=lambda each: each.mean)
    at = quantity(question.axis, float(x[found.configuration]))
    reached = accuracy(by_name[found.configuration])
    if found.at_end:
        text = f"Accuracy still rises at the largest value tried ({at}, {found.configuration}: {reached})"
    else:
        least = ", the smallest value tried" if found.at_start else ""
        text = f"{at} are enough ({found.configuration}{least}: {reached})"
        if best.configuration == found.configuration:
            text += f". No larger value is {100 * WORTH:g} points better"
        else:
            text += (
                f". The best, {best.configuration} with {accuracy(best)}, is within {100 * WORTH:g} points"
            )
    return text + _how_sure(found) + "."


def _how_sure(found: Enough) -> str:
    if found.probability is None:
        return ""
    text = f". {probability(found.probability)} that no smaller value is within "
    text += f"{100 * WORTH:g} points of the best"
    return text if found.low == found.high else f"{text}; 95 % range {found.low} to {found.high}"


def _verdict(found: Enough) -> tuple[Certainty, str]:
    word = certainty(found.probability)
    why = reason(found.probability, f"{found.configuration} is the smallest value that is enough")
    if found.at_end and word == "answered":
        return "tentative", "It is the largest value tried: larger ones may still be better."
    return word, why


def _law(runs: FilteredRuns, axis: str) -> tuple[Fit | None, tuple[str, ...]]:
    accuracies = runs.runs(axis)
    band = np.geomspace(accuracies.x.min(), accuracies.x.max(), _PLACES)
    try:
        fit = fit_accuracy(accuracies, predict=band.tolist())
    except UserError as error:
        return None, (f"No law was fitted: {error}.",)
    choices = other_choices(runs.table, axis, ACCURACY)
    others = {label: accuracy_exponent(runs.runs(x, y)) for label, (x, y) in choices.items()}
    return limited(with_choices(fit, others), speed_at_budget(runs.table)), ()


def _of_the_law(fit: Fit | None) -> tuple[str, ...]:
    if fit is None or fit.verdict.word == "identified":
        return ()
    return (f"The law's parameters are {fit.verdict.word}: {fit.verdict.reason}",)


def _frontier(runs: FilteredRuns, axis: str, elsewhere: PooledVariance | None) -> Frontier | None:
    try:
        return pareto_frontier(runs.runs(spent(axis)), elsewhere)
    except UserError:  # a table from elsewhere need not say what its runs spent
        return None
