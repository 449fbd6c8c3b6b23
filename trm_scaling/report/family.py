"""The section of one family: question, answer, figure, configurations, and what the answer rests on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from trm_scaling.analysis import CriticalBatch, Fit, at_common_seeds
from trm_scaling.analysis.answers import Answer, Enough, Question, StudyVariance, answer, spent
from trm_scaling.analysis.answers.plateau import WORTH
from trm_scaling.errors import UserError
from trm_scaling.experiments import Family
from trm_scaling.experiments.catalogue import BASELINE
from trm_scaling.plots import (
    plot_accuracy_by_step,
    plot_critical_batch,
    plot_halting_histograms,
    plot_learning_curves,
)
from trm_scaling.plots.families import Drawn, family_figure
from trm_scaling.report import tables
from trm_scaling.report.coverage import Coverage, coverage
from trm_scaling.report.learning import halting, learning
from trm_scaling.report.method import design
from trm_scaling.report.page import Badge, Block, Dot, Fact, Figure, Section
from trm_scaling.results.columns import column_of_field
from trm_scaling.results.counted import FamilyRuns, runs_of_family
from trm_scaling.results.curves import accuracy_by_step, halting_histograms, learning_curves
from trm_scaling.results.format import amount, compact, percent, setting, significant
from trm_scaling.results.table import check_replicates, names_of

_LONGEST = 240
"""Characters of a refusal: one that lists the columns of a table goes on for a page."""
_APART = 0.2
"""Accuracy by which averaged and unaveraged weights differ so much that the first page says so."""


@dataclass(frozen=True)
class Studied:
    """A family's runs and what the analysis made of them."""

    family: Family
    runs: FamilyRuns
    compared: pd.DataFrame
    """Its finished runs at the seeds that all experiments have: what the section shows."""
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
    family: Family, table: pd.DataFrame, seeds: tuple[int, ...], elsewhere: StudyVariance | None
) -> Studied:
    """Ask the analysis about `family`; `table` holds runs of one profile, and `elsewhere` is the seed
    variance of all of them."""
    runs = runs_of_family(table, family)
    reached = coverage(family, runs.table, seeds)
    compared = at_common_seeds(tables.measured(runs.table))
    if runs.table.empty:
        return Studied(family, runs, compared, reached, None)
    # A table from elsewhere has no folders to read.
    has_folders = "folder" in runs.table and runs.table["folder"].notna().any()
    curves = learning_curves(compared).dropna(subset=["val_accuracy"]) if has_folders else None
    halts = halting_histograms(compared) if has_folders else None
    try:
        if {"state", "profile", "seed"} <= set(runs.table):
            check_replicates(runs.table)
        found, doubts = _answer(runs.table, question_of(family, runs.table), curves, elsewhere)
    except UserError as error:
        return Studied(family, runs, compared, reached, None, str(error), curves, halts)
    return Studied(family, runs, compared, reached, found, "", curves, halts, doubts)


def _answer(
    runs: pd.DataFrame, question: Question, curves: pd.DataFrame | None, elsewhere: StudyVariance | None
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


def question_of(family: Family, runs: pd.DataFrame) -> Question:
    """The family's question; its reference is the experiment that is the baseline itself."""
    of_baseline = [
        experiment
        for experiment, names in zip(runs["experiment"], names_of(runs), strict=True)
        if BASELINE in names
    ]
    return Question(
        title=family.title,
        asks=family.asks,
        axis=family.axis,
        labels=labels_of(family, runs),
        reference=of_baseline[0] if of_baseline else None,
        measure=family.measure,
    )


def labels_of(family: Family, runs: pd.DataFrame) -> dict[str, str]:
    """Experiment -> what it changes among the family's: `optimizer adamw, beta2 0.99`.

    With the values of its runs where it has any, since a profile may have mapped the planned ones.
    """
    differing: dict[tuple[str, ...], str] = {}
    for field, values in family.values.items():
        if len(told := tuple(map(str, values))) > 1 and len(set(told)) > 1:
            differing.setdefault(told, field)  # what follows another field value by value is not repeated
    found = {}
    for name in family.names:
        own = runs[runs["experiment"] == name]
        parts = []
        for field in differing.values():
            column, value = column_of_field(field), family.of(name)[field]
            if column in own and own[column].notna().any():
                value = own[column].dropna().iloc[0]
            parts.append(f"{field.split('.')[-1]} {setting(value)}")
        found[name] = ", ".join(parts)
    return found


def section(studied: Studied, profile: str | None, anchor: str = "") -> Section:
    """What the report says of a family."""
    family, runs, found = studied.family, studied.runs.table, studied.answer
    anchor = anchor or slug(family.key)
    whole = Section(
        anchor,
        family.key,
        family.title,
        family.goal,
        answer="Not run yet.",
        badge=Badge("not run"),
        blocks=(Block("Design", facts=design(family, runs, profile)),),
        command=studied.coverage.command(family, profile),
        missing=studied.coverage.in_words(),
    )
    if runs.empty:
        return whole
    labels, runs = labels_of(family, runs), studied.compared
    summaries = {each.configuration: each for each in found.seeds} if found else {}
    current = found.unaveraged if found else None
    unaveraged = {each.configuration: each for each in current.seeds} if current else {}
    costs = [(name, column) for name, column in tables.COSTS if tables.tells_apart(runs, name)]
    blocks = [
        _figures(studied, labels, anchor),
        Block(
            "Configurations",
            tables=(tables.configurations(family.names, runs, summaries, unaveraged, labels, costs),),
        ),
        *(_evidence(found, family) if found else ()),
        learning(family, runs, studied.curves),
        halting(family, runs, studied.halting),
        _caveats(studied),
        *whole.blocks,
    ]
    return replace(
        whole,
        answer=found.sentence if found else _refused(studied.refusal),
        badge=Badge(found.verdict, found.reason) if found else Badge("open"),
        numbers=_numbers(found, runs) if found else "",
        dots=_dots(found, runs) if found else (),
        blocks=tuple(block for block in blocks if not block.empty),
    )


def _figures(studied: Studied, labels: Mapping[str, str], prefix: str) -> Block:
    """The family's own figure, its learning curves and its critical batch."""
    family, found, runs = studied.family, studied.answer, studied.compared
    # One configuration alone, which is often the baseline that every family shares, has nothing to show.
    if found is None or not found.seeds:
        return Block("Figures")
    shown = Drawn(family.title, family.axis, family.measure)
    called = {name: f"{name}: {label}" for name, label in labels.items()}
    figures, refusals = [], []
    try:
        drawn = family_figure(runs, shown, fit=found.fit, seeds=found.seeds, labels=called)
        figures.append(Figure(prefix, drawn))
        if studied.curves is not None and not studied.curves.empty:
            drawn = plot_learning_curves(studied.curves, labels=called)
            figures.append(Figure(f"{prefix}-learning-curves", drawn))
        by_step = accuracy_by_step(runs) if family.axis == "halt_max_steps" else None
        if by_step is not None and not by_step.empty:
            figures.append(Figure(f"{prefix}-by-step", plot_accuracy_by_step(by_step, labels=called)))
        if family.measure == "halting_mean_steps" and studied.halting is not None and len(studied.halting):
            drawn = plot_halting_histograms(studied.halting, labels=called)
            figures.append(Figure(f"{prefix}-halting", drawn))
        if found.critical_batch is not None:
            batch, steps = np.array(found.to_target).T
            drawn = plot_critical_batch(found.critical_batch, batch, steps)
            figures.append(Figure(f"{prefix}-critical-batch", drawn))
    except UserError as error:
        refusals.append(f"No figure: {error}.")
    return Block("Figures", figures=tuple(figures), points=tuple(refusals))


def _numbers(found: Answer, runs: pd.DataFrame) -> str:
    """`Highest: exp01f, 94.3 % averaged, 93.6 % unaveraged.` And where the two disagree."""
    if not found.seeds or found.best is None:
        return ""
    means = {each.configuration: each.mean for each in found.seeds}
    done = tables.finished_of(runs)
    others: dict[str, float] = {
        name: other
        for name in means
        if (other := tables.mean(done[done["experiment"] == name], "test_accuracy_unaveraged")) is not None
    }
    if found.best not in others:
        return f"Highest: {found.best}, {percent(means[found.best])}."
    said = f"Highest: {found.best}, {percent(means[found.best])} averaged, "
    said += f"{percent(others[found.best])} unaveraged."
    highest = max(others, key=lambda name: others[name])
    if others[highest] > others[found.best]:
        said += f" Unaveraged: {highest}, {percent(others[highest])}."
    apart = sorted(others, key=lambda name: means[name] - others[name])[:2]
    gaps = [
        f"{name}, {percent(means[name])} averaged, {percent(others[name])} unaveraged"
        for name in apart
        if others[name] - means[name] > _APART
    ]
    said += f" Largest gap{'s' * (len(gaps) > 1)}: {'; '.join(gaps)}." if gaps else ""
    return said


def _dots(found: Answer, runs: pd.DataFrame) -> tuple[Dot, ...]:
    done, dots = tables.finished_of(runs), []
    for each in found.seeds:
        low, high = each.interval.ends if each.interval else (each.mean, each.mean)
        other = tables.mean(done[done["experiment"] == each.configuration], "test_accuracy_unaveraged")
        best = each.configuration == found.best
        dots.append(Dot(each.mean, max(low, 0.0), min(high, 1.0), other, best))
    return tuple(dots)


def _evidence(found: Answer, family: Family) -> list[Block]:
    """A block for each kind of record that the answer holds."""
    blocks = []
    if found.enough is not None:
        blocks.append(_enough(found.enough, family.asks == "batch"))
    if found.comparisons:
        others = found.unaveraged.comparisons if found.unaveraged else ()
        blocks.append(Block("Comparisons", tables=(tables.comparisons(found.comparisons, others),)))
    if found.fit is not None:
        blocks.append(_fit(found.fit))
    if found.critical_batch is not None:
        blocks.append(_critical_batch(found.critical_batch))
    if found.frontier is not None and family.asks == "scaling":
        current = found.unaveraged.frontier if found.unaveraged else None
        table = tables.frontier(found.frontier, current, spent(family.axis))
        blocks.append(Block("Frontier of this family", tables=(table,)))
    return blocks


def _critical_batch(found: CriticalBatch) -> Block:
    interval = found.interval
    ends = (interval.low, interval.high) if interval else (None, None)
    return Block(
        "Critical batch size",
        lead="Where larger batches stop saving steps (McCandlish et al., arXiv 1812.06162).",
        formula="steps = S (1 + C / batch)",
        badge=Badge(found.verdict.word, found.verdict.reason),
        facts=(
            Fact("Critical batch size", f"{compact(found.critical_batch)} puzzles"),
            Fact("95 % interval", " to ".join(compact(end) or "?" for end in ends), interval is None),
            Fact("Least steps to the target", compact(found.least_steps)),
            Fact("Least samples to the target", compact(found.least_examples)),
        ),
    )


def _enough(found: Enough, most: bool) -> Block:
    """`most`: of a batch, of which more is wanted and costs accuracy."""
    which = "largest" if most else "smallest"
    facts = [Fact(f"{which.capitalize()} that is enough, by the means", found.configuration)]
    if found.probability is not None:
        facts.append(Fact(f"P({found.configuration} is it)", f"{found.probability:.2f}"))
        facts.append(Fact("95 % range", f"{found.low} to {found.high}"))
    if found.at_end:
        facts.append(Fact("At the end of what was tried", "yes: values beyond it may still be better"))
    lead = f"The {which} value whose true accuracy is within {100 * WORTH:g} points of the best."
    return Block("How much is enough", lead, facts=tuple(facts))


def _fit(fit: Fit) -> Block:
    facts = [
        Fact("Fitted to", f"{amount(fit.runs, 'run')} of {amount(fit.configurations, 'configuration')}"),
        Fact("Likelihood", f"{fit.likelihood}. Replicates: {fit.replicates}"),
        Fact("Starts that agree", f"{fit.agreeing} of {fit.starts}; condition {significant(fit.condition)}"),
    ]
    if fit.extrapolation is None:
        facts.append(Fact("Extrapolation", "not tested: too few runs without the largest", missing=True))
    else:
        held = fit.extrapolation.held_out
        largest = "the largest configuration" if held == 1 else f"the {held} largest configurations"
        error = f"{100 * fit.extrapolation.error:+.1f} points"
        facts.append(Fact("Extrapolation", f"fitted without {largest}, it misses by {error}"))
    if any(each.disagree for each in fit.predictions):
        facts.append(
            Fact("Forms", "rival forms predict different accuracies: the form decides, not the runs")
        )
    shown = [tables.parameters(fit)]
    shown += [tables.choices(fit)] if fit.choices else []
    shown += [tables.rivals(fit)] if fit.rivals else []
    shown += [tables.held_out(fit)] if fit.held_out else []
    badge = Badge(fit.verdict.word, fit.verdict.reason)
    return Block("Fit", "", fit.formula, badge, tuple(facts), fit.caveats, tables=tuple(shown))


def _refused(why: str) -> str:
    cut = why if len(why) <= _LONGEST else f"{why[:_LONGEST].rsplit(' ', 1)[0]} ..."
    return f"These runs cannot be analysed: {cut.rstrip('.')}."


def slug(text: str) -> str:
    """`text` as an anchor and a file's stem."""
    return re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-") or "section"


def _caveats(studied: Studied) -> Block:
    found = studied.answer
    caveats = [*(found.caveats if found else ()), *studied.doubts]
    caveats += [
        f"{', '.join(names)} are one configuration under this profile, counted once."
        for names in studied.runs.shared
    ]
    excluded = [*studied.runs.excluded, *(found.excluded if found else ())]
    return Block("Caveats and exclusions", points=(*caveats, *(f"Left out: {each}" for each in excluded)))
