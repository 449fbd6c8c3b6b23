"""The figures of a report, drawn from the records of the analysis."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trm_scaling import plots
from trm_scaling.analysis import Fit, Frontier, Importance
from trm_scaling.analysis.answers import Answer
from trm_scaling.errors import UserError
from trm_scaling.experiments import Family
from trm_scaling.plots.choice_labels import labelled
from trm_scaling.plots.choices import choice_figure
from trm_scaling.plots.scaling import law_figure
from trm_scaling.report.page import Figure
from trm_scaling.report.quantities import said
from trm_scaling.report.question import label_of
from trm_scaling.results.curves import accuracy_by_step, halting_histograms


@dataclass(frozen=True)
class Drawn:
    """Figures, and why there are not more of them."""

    figures: tuple[Figure, ...]
    refusals: tuple[str, ...]


def family_figures(
    family: Family, runs: pd.DataFrame, found: Answer, curves: pd.DataFrame | None, prefix: str
) -> Drawn:
    """The family's own figure, its learning curves, and its comparisons; `runs` are under its names."""
    labels = {name: f"{name}: {label_of(family, name, runs)}" for name in family.names}
    short = {name: f"{name}: {_on_axis(family, name, runs)}" for name in family.names}
    wanted: list[tuple[str, Callable[[], plots.StudyFigure]]] = [
        ("", lambda: _own(family, runs, found)),
    ]
    critical = found.critical_batch
    if critical is not None:
        batch, steps = np.array(found.to_target).T
        wanted.append(("critical-batch", lambda: plots.plot_critical_batch(critical, batch, steps)))
    if found.comparisons:
        wanted.append(("differences", lambda: plots.plot_differences(found.comparisons, labels=labels)))
    if curves is not None and not curves.empty:
        wanted.append(("learning-curves", lambda: plots.plot_learning_curves(curves, labels=short)))
    figures, refusals = [], []
    for suffix, draw in wanted:
        try:
            figures.append(Figure(f"{prefix}-{suffix}" if suffix else prefix, draw()))
        except UserError as error:
            refusals.append(f"No figure of {suffix.replace('-', ' ') or 'accuracies'}: {error}.")
    return Drawn(tuple(figures), tuple(refusals))


def _on_axis(family: Family, name: str, runs: pd.DataFrame) -> str:
    """Its value on the family's axis, which is shorter than all that it changes."""
    own = runs.loc[runs["experiment"] == name]
    if family.axis == "experiment" or family.axis not in own or own[family.axis].isna().all():
        return label_of(family, name, runs)
    return f"{family.axis} {said(own[family.axis].dropna().iloc[0])}"


def _own(family: Family, runs: pd.DataFrame, found: Answer) -> plots.StudyFigure:
    """What the study's families are shown as; those that a user adds, as a few configurations."""
    fit: Fit | None = found.fit
    seeds = found.seeds or None
    match family.key:
        case "exp01":
            return plots.plot_model_size_scaling(runs, fit=fit, seeds=seeds)
        case "exp02a":
            return plots.plot_l_cycles_scaling(runs, fit=fit, seeds=seeds)
        case "exp02b":
            return plots.plot_h_cycles_scaling(runs, fit=fit, seeds=seeds)
        case "exp03":
            return plots.plot_depth_recursion_tradeoff(runs, seeds=seeds)
        case "exp04a":
            return plots.plot_data_scaling(runs, fit=fit, seeds=seeds)
        case "exp04b":
            return plots.plot_augmentation_scaling(runs, fit=fit, seeds=seeds)
        case "exp05":
            by_step = accuracy_by_step(runs)
            return plots.plot_supervision_steps(
                runs, fit=fit, seeds=seeds, by_step=None if by_step.empty else by_step
            )
        case "exp06":
            return plots.plot_batch_size_scaling(runs, seeds=seeds)
        case "exp07":
            return plots.plot_precision(runs, seeds=seeds)
        case "exp08":
            return plots.plot_ema(runs, seeds=seeds)
        case "exp09":
            return plots.plot_optimizers(runs, seeds=seeds)
        case "exp10":
            return plots.plot_learning_rates(runs, seeds=seeds)
        case "contrib01":
            return plots.plot_curriculum(runs, seeds=seeds)
        case "contrib02":
            histograms = halting_histograms(runs)
            return plots.plot_adaptive_halting(
                runs, seeds=seeds, histograms=None if histograms.empty else histograms
            )
        case _ if family.asks == "scaling":
            return law_figure(runs, None, family.key, family.title, family.axis, "light", fit, found.seeds)
        case _:
            own_label = labelled(lambda row: label_of(family, str(row["experiment"]), runs) or None)
            return choice_figure(runs, None, family.key, family.title, "light", seeds, own_label)


def frontier_figure(table: pd.DataFrame, found: Frontier, cost: plots.Cost, name: str) -> Figure:
    """Accuracy against `cost`. Raises UserError as `plot_pareto_frontier` does."""
    return Figure(name, plots.plot_pareto_frontier(table, cost=cost, frontier=found))


def importance_figure(found: Importance, name: str) -> Figure:
    """The share of the variance that each factor explains."""
    return Figure(name, plots.plot_factor_importance(found))
