"""The section of one family: question, answer, design, runs, figures, fit, caveats."""

import re
from dataclasses import dataclass

import pandas as pd

from trm_scaling.analysis.answers import Answer, Certainty, Question, answer
from trm_scaling.analysis.seeds import PooledVariance
from trm_scaling.errors import UserError
from trm_scaling.experiments import Family
from trm_scaling.report.coverage import Coverage, coverage
from trm_scaling.report.design import design
from trm_scaling.report.drawn import family_figures
from trm_scaling.report.evidence import evidence
from trm_scaling.report.learning import halting, learning
from trm_scaling.report.page import Badge, Block, Section, Tone
from trm_scaling.report.question import question_of
from trm_scaling.report.runs import configurations, every_run
from trm_scaling.results.curves import halting_histograms, learning_curves
from trm_scaling.results.families import FamilyRuns, runs_of_family
from trm_scaling.results.table import check_replicates

_LONGEST = 240
"""Characters of a refusal: one that lists the columns of a table goes on for a page."""


@dataclass(frozen=True)
class Studied:
    """A family's runs and what the analysis made of them."""

    family: Family
    runs: FamilyRuns
    coverage: Coverage
    answer: Answer | None
    """None where nothing was run, or where the runs cannot be analysed."""
    refusal: str = ""
    """Why they cannot."""
    curves: pd.DataFrame | None = None
    """Learning curves of the finished runs; None where the table came without them."""
    halting: pd.DataFrame | None = None
    """When they halt, likewise."""
    doubts: tuple[str, ...] = ()
    """What could not be used of the records, each with the reason."""


def study_family(
    family: Family, table: pd.DataFrame, seeds: tuple[int, ...], elsewhere: PooledVariance | None
) -> Studied:
    """Ask the analysis about `family`; `table` holds runs of one profile, and `elsewhere` is the seed
    variance of all of them."""
    runs = runs_of_family(table, family)
    reached = coverage(family, runs.table, seeds)
    if runs.table.empty:
        return Studied(family, runs, reached, None)
    # A table from elsewhere has no folders to read.
    has_folders = "folder" in runs.table and runs.table["folder"].notna().any()
    curves = learning_curves(runs.table).dropna(subset=["val_accuracy"]) if has_folders else None
    halts = halting_histograms(runs.table) if has_folders else None
    try:
        if {"state", "profile", "seed"} <= set(runs.table):
            check_replicates(runs.table)
        found, doubts = _answer(runs.table, question_of(family, runs.table), curves, elsewhere)
    except UserError as error:
        return Studied(family, runs, reached, None, str(error), curves, halts)
    return Studied(family, runs, reached, found, "", curves, halts, doubts)


def _answer(
    runs: pd.DataFrame, question: Question, curves: pd.DataFrame | None, elsewhere: PooledVariance | None
) -> tuple[Answer, tuple[str, ...]]:
    """The answer, without the learning curves where it is they that cannot be analysed."""
    try:
        return answer(runs, question, curves, elsewhere), ()
    except UserError as error:
        if curves is None:
            raise
        # Where the runs are at fault, this raises as well, and says so.
        found = answer(runs, question, elsewhere=elsewhere)
        return found, (f"The answer does without the learning curves: {error}.",)


def section(studied: Studied, profile: str | None, anchor: str = "") -> Section:
    """What the report says of a family."""
    family, runs = studied.family, studied.runs.table
    anchor = anchor or slug(family.key)
    command = studied.coverage.command(family, profile)
    if runs.empty:
        plan = Block("Design", facts=design(family, runs, profile))
        return Section(
            anchor,
            family.key,
            family.title,
            family.goal,
            answer="Not run yet.",
            badge=Badge("not run", "quiet"),
            blocks=(plan,),
            command=command,
            missing=studied.coverage.in_words(),
        )
    found = studied.answer
    blocks = [Block("Design", facts=design(family, runs, profile))]
    # One configuration alone, which is often the baseline that every family shares, has nothing to show.
    if found is not None and found.seeds:
        drawn = family_figures(family, runs, found, studied.curves, anchor)
        blocks.append(Block("Figures", figures=drawn.figures, points=drawn.refusals))
    blocks.append(Block("Configurations", tables=(configurations(family, runs, found),)))
    if found is not None:
        blocks += evidence(found, family)
    blocks.append(learning(family, runs, studied.curves))
    blocks.append(halting(family, runs, studied.halting))
    blocks.append(_caveats(studied))
    blocks.append(Block("Runs", tables=(every_run(runs),)))
    return Section(
        anchor,
        family.key,
        family.title,
        family.goal,
        answer=found.sentence if found else _refused(studied.refusal),
        badge=verdict(found) if found else Badge("open", "quiet"),
        blocks=tuple(block for block in blocks if _says_something(block)),
        command=command,
        missing=studied.coverage.in_words(),
    )


def _refused(why: str) -> str:
    cut = why if len(why) <= _LONGEST else f"{why[:_LONGEST].rsplit(' ', 1)[0]} ..."
    return f"These runs cannot be analysed: {cut.rstrip('.')}."


def slug(text: str) -> str:
    """`text` as an anchor and a file's stem."""
    return re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-") or "section"


def verdict(found: Answer) -> Badge:
    """How sure the answer is."""
    return Badge(found.verdict, _tone(found.verdict), found.reason)


def _tone(word: Certainty) -> Tone:
    match word:
        case "answered":
            return "good"
        case "tentative":
            return "middling"
        case "open":
            return "quiet"


def _caveats(studied: Studied) -> Block:
    found = studied.answer
    caveats = [*(found.caveats if found else ()), *studied.doubts]
    for first, *others in studied.runs.shared:
        caveats.append(
            f"{', '.join([first, *others])} are one configuration under this profile, counted once."
        )
    excluded = [*studied.runs.excluded, *(found.excluded if found else ())]
    points = [*caveats, *(f"Left out: {each}" for each in excluded)]
    return Block("Caveats and exclusions", points=tuple(points))


def _says_something(block: Block) -> bool:
    return bool(block.facts or block.tables or block.figures or block.points)
