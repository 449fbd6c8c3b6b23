"""One entry for every question."""

from dataclasses import replace

import pandas as pd

from trm_scaling.analysis.answers.answer import Answer, Question
from trm_scaling.analysis.answers.batch import largest_batch
from trm_scaling.analysis.answers.certainty import hedged
from trm_scaling.analysis.answers.choice import best_choice
from trm_scaling.analysis.answers.scaling import where_it_stops_paying
from trm_scaling.analysis.answers.usable import Usable, usable
from trm_scaling.analysis.fits.sensitivity import speed_at_budget
from trm_scaling.analysis.seeds import PooledVariance

_TOO_FEW = 2


def answer(
    table: pd.DataFrame,
    question: Question,
    curves: pd.DataFrame | None = None,
    elsewhere: PooledVariance | None = None,
) -> Answer:
    """What the runs in `table`, a row a run, say to `question`.

    `curves` are their learning curves (`results.curves.learning_curves`), which the critical batch size
    needs. `elsewhere` is the seed variance of other runs at the same budget, which a configuration with one
    run borrows where `table` has none. Raises UserError as `usable` does.
    """
    runs = usable(table)
    ran = runs.table["experiment"].nunique()
    if ran < _TOO_FEW:
        return _too_few(runs, question, ran)
    match question.asks:
        case "scaling":
            found = where_it_stops_paying(runs, question, elsewhere)
        case "batch":
            found = largest_batch(runs, question, curves, elsewhere)
        case "tradeoff" | "choice":
            found = best_choice(runs, question, elsewhere)
    return _limited(found, speed_at_budget(runs.table))


def _limited(found: Answer, caveat: str | None) -> Answer:
    """An answer of runs that had not ended their ascent is tentative at most, and says so."""
    if caveat is None:
        return found
    found = replace(found, caveats=(caveat, *found.caveats))
    if found.verdict != "answered":
        return found
    return replace(found, verdict="tentative", reason=caveat, sentence=hedged("tentative", found.sentence))


def _too_few(runs: Usable, question: Question, ran: int) -> Answer:
    missing = "no run has finished" if ran == 0 else f"only {runs.table['experiment'].iloc[0]} has finished"
    return Answer(
        sentence=f"{question.title}: {missing}, so there is nothing to compare.",
        verdict="open",
        reason="It takes two configurations at least.",
        caveats=(),
        excluded=runs.excluded,
    )
