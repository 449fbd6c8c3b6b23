"""Every figure of a study. The one room that imports matplotlib; pyplot and its global state stay out.

A plot function takes a table, or records of the analysis, writes the figure where it is given a path
(.png, .svg or .pdf) and returns it. `save_all` writes all three; `inline_svg` is for a page.
"""

from trm_scaling.plots.batch import plot_batch_size_scaling, plot_critical_batch
from trm_scaling.plots.by_step import plot_accuracy_by_step
from trm_scaling.plots.choices import (
    plot_curriculum,
    plot_depth_recursion_tradeoff,
    plot_ema,
    plot_learning_rates,
    plot_optimizers,
    plot_precision,
)
from trm_scaling.plots.comparisons import plot_differences, plot_factor_importance
from trm_scaling.plots.depth import plot_depth_scaling
from trm_scaling.plots.figure import StudyFigure
from trm_scaling.plots.halting import plot_adaptive_halting, plot_halting_histograms
from trm_scaling.plots.learning_curves import plot_learning_curves
from trm_scaling.plots.pareto import Cost, plot_pareto_frontier
from trm_scaling.plots.saving import inline_svg, save, save_all, theme_css
from trm_scaling.plots.scaling import (
    plot_augmentation_scaling,
    plot_data_scaling,
    plot_h_cycles_scaling,
    plot_l_cycles_scaling,
    plot_model_size_scaling,
    plot_supervision_steps,
)

__all__ = [
    "Cost",
    "StudyFigure",
    "inline_svg",
    "plot_accuracy_by_step",
    "plot_adaptive_halting",
    "plot_augmentation_scaling",
    "plot_batch_size_scaling",
    "plot_critical_batch",
    "plot_curriculum",
    "plot_data_scaling",
    "plot_depth_recursion_tradeoff",
    "plot_depth_scaling",
    "plot_differences",
    "plot_ema",
    "plot_factor_importance",
    "plot_h_cycles_scaling",
    "plot_halting_histograms",
    "plot_l_cycles_scaling",
    "plot_learning_curves",
    "plot_learning_rates",
    "plot_model_size_scaling",
    "plot_optimizers",
    "plot_pareto_frontier",
    "plot_precision",
    "plot_supervision_steps",
    "save",
    "save_all",
    "theme_css",
]
