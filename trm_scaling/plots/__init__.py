"""Every figure of a study. The one package that imports matplotlib; pyplot and its global state stay out.

A plot function takes a table, or records of the analysis, writes the figure where it is given a path
(.png, .svg or .pdf) and returns it. `save_all` writes all three; `inline_svg` is for a page.
"""

from trm_scaling.plots.comparisons import plot_differences, plot_factor_importance
from trm_scaling.plots.curves import plot_accuracy_by_step, plot_halting_histograms, plot_learning_curves
from trm_scaling.plots.families import (
    plot_adaptive_halting,
    plot_augmentation_scaling,
    plot_batch_size_scaling,
    plot_critical_batch,
    plot_curriculum,
    plot_data_scaling,
    plot_depth_recursion_tradeoff,
    plot_depth_scaling,
    plot_ema,
    plot_h_cycles_scaling,
    plot_l_cycles_scaling,
    plot_learning_rates,
    plot_model_size_scaling,
    plot_optimizers,
    plot_precision,
    plot_supervision_steps,
)
from trm_scaling.plots.figure import StudyFigure
from trm_scaling.plots.pareto import Cost, plot_pareto_frontier
from trm_scaling.plots.saving import inline_svg, save, save_all, theme_css
from trm_scaling.plots.test_time import plot_test_time_scaling
