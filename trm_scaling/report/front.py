"""What concerns the study as a whole: definitions, all configurations, frontiers, factors, what ran."""

from collections.abc import Mapping, Sequence

import pandas as pd

from trm_scaling.analysis import (
    Frontier,
    Importance,
    SeedSummary,
    at_common_seeds,
    common_seeds,
    factor_importance,
    pareto_frontier,
    seeds_in_words,
    speed_at_budget,
    summarise_seeds,
)
from trm_scaling.analysis.answers import FilteredRuns, StudyVariance, filter_runs
from trm_scaling.analysis.answers.answer import LIKELY, SURE
from trm_scaling.analysis.answers.choice import LIKELY_BEST
from trm_scaling.analysis.answers.plateau import WORTH
from trm_scaling.analysis.seeds import PooledVariance, run_logits
from trm_scaling.errors import UserError
from trm_scaling.experiments.catalogue import BASELINE
from trm_scaling.plots import Cost, plot_factor_importance, plot_pareto_frontier
from trm_scaling.plots.quantity import quantity_of
from trm_scaling.report import tables
from trm_scaling.report.family import Studied, labels_of, slug
from trm_scaling.report.page import Block, Column, Fact, Figure, Table
from trm_scaling.results.counted import each_once
from trm_scaling.results.device_time import timed_alone
from trm_scaling.results.format import joined, number
from trm_scaling.results.table import names_of

_FRONTIERS: tuple[Cost, ...] = ("params", "training_flops", "inference_flops", "device_hours", "cost_usd")
"""What accuracy may be bought with."""

DEFINITIONS = (
    Fact(
        "Accuracy", "Exact: the share of test puzzles with every cell right after the last supervision step."
    ),
    Fact(
        "Averaged, unaveraged",
        "With the moving average of the weights (EMA), or with the last step's weights. The headline is the "
        "averaged one, where a run keeps an average. A short run's average still holds early weights.",
    ),
    Fact(
        "[low, high]",
        "A 95 % interval of the mean over seeds. How it was made stands under each table. There is none "
        "where every puzzle or no puzzle is solved, unless replicates differ.",
    ),
    Fact(
        "At seed 0",
        "Seeds have an effect of their own, so configurations are compared at the seeds that all have.",
    ),
    Fact("Sample", "One puzzle through one supervision step: training steps x batch size."),
    Fact(
        "Experiment, configuration",
        "A name of the study, and what it trains. Several names may be one configuration.",
    ),
    Fact(
        "Enough",
        f"The smallest value whose true accuracy is within {100 * WORTH:g} points of the best one tried.",
    ),
    Fact("P", "A probability over the true mean accuracies, given how much seeds differ in this study."),
    Fact(
        "Answered, tentative, open",
        f"How much is enough: P at least {SURE:g}; at least {LIKELY:g}; less. Which is best: better than "
        f"each other by a corrected test, or all within {100 * WORTH:g} points; P at least {LIKELY_BEST:g}; "
        "less. Open as well: an experiment with one run; another answer, or P below "
        f"{LIKELY:g}, for unaveraged weights. Tentative at most: runs that were still improving.",
    ),
    Fact(
        "Identified, weakly, not",
        "Of a fit. Identified: the runs determine its parameters, and rival forms explain them less well. "
        "Weakly: something speaks against that, such as a rival that explains the runs as well, or an "
        "exponent that changes with the analyst's choices. Not: any exponent, or a constant, fits the runs.",
    ),
    Fact("On the frontier", "No configuration costs as little or less and solves more."),
)


def speed_of_learning(table: pd.DataFrame) -> str:
    """What it means where most runs ended at their best; "" where most did not."""
    caveat = speed_at_budget(tables.finished_of(table))
    if caveat is None:
        return ""
    return f"{caveat} Accuracy says how fast a configuration learns; no fit is a scaling law."


def all_configurations(table: pd.DataFrame, studied: Sequence[Studied], elsewhere: StudyVariance) -> Block:
    """Every configuration once, with every cost, at the seeds that all of them have."""
    once = at_common_seeds(tables.measured(each_once(table)))
    if once.empty:
        return Block("All configurations")
    labels: dict[str, str] = {}
    for each in studied:
        for name, label in labels_of(each.family, each.runs.table).items():
            labels.setdefault(name, label)
    try:
        found = filter_runs(once)
        summaries = _summaries(found, elsewhere.averaged)
        unaveraged = _summaries(current, elsewhere.unaveraged) if (current := found.unaveraged()) else {}
        frontier = pareto_frontier(found.runs("training_flops"), elsewhere.averaged)
        likely: Mapping[str, float | None] = {
            each.configuration: each.probability for each in frontier.points
        }
    except UserError:
        summaries, unaveraged, likely = {}, {}, {}
    costs = [(name, column) for name, column in tables.COSTS if name in once and once[name].notna().any()]
    names = list(dict.fromkeys(once["experiment"].astype(str)))
    shown = tables.configurations(
        names, once, summaries, unaveraged, labels, costs, folded=True, probability=likely
    )
    return Block("All configurations", tables=(shown,))


def _summaries(runs: FilteredRuns, elsewhere: PooledVariance | None) -> dict[str, SeedSummary]:
    return {each.configuration: each for each in summarise_seeds(runs.runs(), elsewhere)}


def frontiers(table: pd.DataFrame, elsewhere: StudyVariance) -> Block:
    """Accuracy against each cost, over all configurations at the seeds that all of them have."""
    title = "Accuracy against cost"
    lead = "A configuration is on a frontier when none costs as little or less and solves more."
    once = at_common_seeds(tables.measured(each_once(table)))
    lead += f" Compared at {seeds_in_words(seeds)}." if (seeds := common_seeds(once)) else ""
    if once["experiment"].nunique() < 2:
        return Block(title, lead, points=("It takes two configurations at least.",))
    figures, shown, points = [], [], []
    standing: dict[str, None] = {}
    for cost in _FRONTIERS:
        words = quantity_of(cost).name.lower()
        try:
            runs = filter_runs(once)
            left_out = timed_alone(runs.table, cost)[1]
            found: Frontier = pareto_frontier(runs.runs(cost), elsewhere.averaged, left_out=left_out)
            if len(found.points) < 2:
                points.append(f"Against {words}: not drawn; {left_out or 'one configuration has a value'}.")
                continue
            seeds_of = summarise_seeds(runs.runs(cost), elsewhere.averaged)
            drawn = plot_pareto_frontier(once, cost=cost, frontier=found, seeds=seeds_of)
            figures.append(Figure(f"frontier-{slug(cost)}", drawn))
        except UserError as error:
            points.append(f"Against {words}: not drawn, since {error}.")
            continue
        current = runs.unaveraged()
        other = pareto_frontier(current.runs(cost), elsewhere.unaveraged) if current else None
        shown.append(tables.frontier(found, other, cost))
        standing |= {point.configuration: None for point in found.points if point.on_frontier}
    if more := _with_more_data(once, list(standing)):
        points.append(
            f"{joined(more, most=8)}: more data than the baseline (train_size or num_aug). Data are no "
            "axis of cost here, so their place on a frontier does not show that they cost less."
        )
    return Block(title, lead, figures=tuple(figures), tables=tuple(shown), points=tuple(points))


def _called(table: pd.DataFrame, names: set[str]) -> "pd.Series[bool]":
    """Which rows go by one of `names`."""
    return pd.Series([not names.isdisjoint(each) for each in names_of(table)], table.index, dtype=bool)


def _with_more_data(table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Those of `names` with more puzzles, or more variants of each, than the baseline has in `table`."""
    baseline, found = table[_called(table, {BASELINE})], set()
    for column in ("train_size", "num_aug"):
        usual = number(baseline[column].max()) if column in baseline and not baseline.empty else None
        if usual is not None:
            most = table.groupby("experiment")[column].max()
            found |= {name for name in names if (own := number(most.get(name))) is not None and own > usual}
    return [name for name in names if name in found]


def factors(table: pd.DataFrame, studied: Sequence[Studied]) -> Block:
    """Which families explain the differences in accuracy.

    A factor is a family and not a field, since fields that a family changes together cannot be told apart:
    a run of another family stands where the baseline does.
    """
    title = "What matters"
    lead = "Each family against a model of all others, over every finished run. A share depends on the range "
    lead += "that a family tries."
    try:
        every = filter_runs(each_once(table))
        current = every.unaveraged()
        found = _importance(every.table, studied)
        other = _importance(current.table, studied) if current else None
    except UserError as error:
        return Block(title, lead=lead, points=(f"Not computed: {error}.",))
    figure = Figure("importance", plot_factor_importance(found))
    return Block(title, lead=lead, figures=(figure,), tables=(tables.importance(found, other),))


def _importance(runs: pd.DataFrame, studied: Sequence[Studied]) -> Importance:
    runs = runs[_called(runs, {BASELINE, *(name for each in studied for name in each.family.names)})]
    names = names_of(runs)
    levels = {}
    for each in studied:
        own = [next((name for name in each.family.names if name in called), None) for called in names]
        usual = next(
            (name for name, called in zip(own, names, strict=True) if name and BASELINE in called),
            BASELINE,
        )
        levels[each.family.title] = [name or usual for name in own]
    if "seed" in runs and runs["seed"].notna().all():
        levels["Seed"] = runs["seed"].astype(int).astype(str).tolist()
    logits = run_logits(FilteredRuns(runs, ()).runs())
    return factor_importance(levels, logits)


def what_ran(table: pd.DataFrame, studied: Sequence[Studied], profile: str | None) -> Block:
    """Families by how far they have come, with the commands for the rest, and every run."""
    rows = []
    for each in studied:
        reached = each.coverage
        rows.append(
            {
                "family": f"{each.family.key} {each.family.title}",
                "done": f"{len(reached.complete) + len(reached.partial)} of {len(reached.planned)}",
                "runs": len(tables.finished_of(each.runs.table)) or None,
                "missing": joined(list(reached.missing), most=6),
                "command": reached.command(each.family, profile),
            }
        )
    columns = (
        ("family", Column("family")),
        ("done", Column("experiments with a finished run")),
        ("runs", Column("finished runs", "count")),
        ("missing", Column("incomplete")),
        ("command", Column("runs the rest", "code")),
    )
    shown: list[Table] = [tables.listed("Families", columns, rows)]
    if not table.empty:
        shown.append(tables.every_run(table))
    lead = "A run that several families share, as the baseline is, counts in each of them."
    return Block("What ran", lead=lead if not table.empty else "No run was found.", tables=tuple(shown))
