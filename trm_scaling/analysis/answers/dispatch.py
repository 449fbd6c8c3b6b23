"""One entry for every question."""

from dataclasses import replace

import pandas as pd

from trm_scaling.analysis.answers.answer import LIKELY, Answer, Question, hedged, probability
from trm_scaling.analysis.answers.batch import largest_batch
from trm_scaling.analysis.answers.choice import best_choice
from trm_scaling.analysis.answers.filter_runs import FilteredRuns, StudyVariance, filter_runs
from trm_scaling.analysis.answers.scaling import where_it_stops_paying
from trm_scaling.analysis.fits.sensitivity import speed_at_budget
from trm_scaling.analysis.pairing import common_seeds, seeds_in_words
from trm_scaling.analysis.seeds import PooledVariance

_TOO_FEW = 2
_ONE_RUN = "Not all of these were run with two seeds, so their order may be that of seeds alone."


def answer(
    table: pd.DataFrame,
    question: Question,
    curves: pd.DataFrame | None = None,
    elsewhere: StudyVariance | None = None,
) -> Answer:
    """What the runs in `table`, a row a run, say to `question`.

    Experiments are compared at the seeds that all of them have (`common_seeds`), and by unaveraged weights as
    well. `curves` are their learning curves (`results.curves.learning_curves`), which the critical batch size
    needs. `elsewhere` is the seed variance of other runs at the same budget, which a configuration with one
    run borrows where `table` has none. Raises UserError as `filter_runs` does.

    An answer is open where an experiment has one run at those seeds, and where unaveraged weights give
    another one, or the same with a probability below `LIKELY`.
    """
    every = filter_runs(table)
    ran = every.table["experiment"].nunique()
    if ran < _TOO_FEW:
        return _too_few(every, question, ran)
    runs, elsewhere = every.at_common_seeds(), elsewhere or StudyVariance()
    found = _asked(runs, question, curves, elsewhere.averaged)
    if (current := runs.unaveraged()) is not None and current.table["experiment"].nunique() > 1:
        other = _asked(current, replace(question, law=False), None, elsewhere.unaveraged)
        found = _held_to(found, other)
    return _in_words(_limited(found, runs), every, runs)


def _asked(
    runs: FilteredRuns, question: Question, curves: pd.DataFrame | None, elsewhere: PooledVariance | None
) -> Answer:
    match question.asks:
        case "scaling":
            return where_it_stops_paying(runs, question, elsewhere)
        case "batch":
            return largest_batch(runs, question, curves, elsewhere)
        case "tradeoff" | "choice":
            return best_choice(runs, question, elsewhere)


def _held_to(found: Answer, other: Answer) -> Answer:
    """`found`, open where unaveraged weights give another answer or are unsure of the same one."""
    said = f"{other.named}, {100 * other.means[other.named]:.1f} %" if other.named else "none"
    if other.probability is not None:
        said += f", {probability(other.probability)}"
    found = replace(found, unaveraged=other, sentence=f"{found.sentence} Unaveraged: {said}.")
    if other.named == found.named and (other.probability or 0) >= LIKELY:
        return found
    return replace(found, verdict="open", reason=f"It does not hold for unaveraged weights: {said}.")


def _limited(found: Answer, runs: FilteredRuns) -> Answer:
    """An answer of runs that had not ended their ascent is tentative at most, of single runs open."""
    if (caveat := speed_at_budget(runs.table)) is not None:
        found = replace(found, caveats=(caveat, *found.caveats))
        if found.verdict == "answered":
            found = replace(found, verdict="tentative", reason=caveat)
    if min(each.runs for each in found.seeds) < _TOO_FEW:
        found = replace(found, verdict="open", reason=_ONE_RUN)
    return found


def _in_words(found: Answer, every: FilteredRuns, runs: FilteredRuns) -> Answer:
    """`found` with a sentence as firm as its verdict, and a caveat that names the seeds."""
    seeds, where = common_seeds(runs.table), "On the means"
    if seeds and (len(runs.table) < len(every.table) or len(seeds) == 1):
        where = f"At {seeds_in_words(seeds)}"
        left = len(every.table) - len(runs.table)
        out = f" {left} runs at other seeds are left out." if left else ""
        found = replace(found, caveats=(*found.caveats, f"Compared {where[:1].lower()}{where[1:]}.{out}"))
    if not seeds and "seed" in runs.table:
        found = replace(found, caveats=(*found.caveats, "No seed is common to all: lucky seeds bias this."))
    return replace(found, sentence=hedged(found.verdict, found.sentence, where))


def _too_few(runs: FilteredRuns, question: Question, ran: int) -> Answer:
    missing = "no run has finished" if ran == 0 else f"only {runs.table['experiment'].iloc[0]} has finished"
    return Answer(
        sentence=f"{question.title}: {missing}, so there is nothing to compare.",
        verdict="open",
        reason="It takes two configurations at least.",
        caveats=(),
        excluded=runs.excluded,
    )
