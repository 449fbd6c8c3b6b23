"""What a notebook needs to look at a study. From the root of the repository:

    from kellen.utils.analysis_tools import *
    import pandas as pd

    results = pd.read_csv("kellen/analysis/data/exp01_results.csv")
    plot_model_size_scaling(results, "kellen/analysis/plots/model_scaling.png")
    generate_experiment_report("Exp01", results, "kellen/analysis/reports/")

`trm results --pattern exp01 --csv kellen/analysis/data/exp01_results.csv` writes that table;
`parse_wandb_export` makes one of what Weights & Biases exports.

- Families: `plot_model_size_scaling`, `plot_l_cycles_scaling`, `plot_h_cycles_scaling` (both:
  `plot_depth_scaling`), `plot_depth_recursion_tradeoff`, `plot_data_scaling`, `plot_augmentation_scaling`,
  `plot_supervision_steps`, `plot_batch_size_scaling`, `plot_precision`, `plot_ema`, `plot_optimizers`,
  `plot_learning_rates`, `plot_curriculum`, `plot_adaptive_halting`: of (results, path).
- The study: `plot_pareto_frontier`; `plot_learning_curves`, `plot_accuracy_by_step` and
  `plot_halting_histograms` of the tables that `learning_curves`, `accuracy_by_step` and
  `halting_histograms` read from the run folders; `plot_differences`, `plot_factor_importance` and
  `plot_critical_batch` of records of `trm_scaling.analysis`.
- Test-time compute: `plot_test_time_scaling` of the table that `read_surface_tables` reads from the
  `surfaces.json` that `trm eval --surface` writes.
- Numbers and text: `compute_scaling_law`, `parse_wandb_export`, `generate_experiment_report`.

Every plot returns its figure and writes it where it is given a path (.png, .svg or .pdf; `save_all` writes
all three). `help(plot_model_size_scaling)` says what it takes.
"""

from trm_scaling.analysis import compute_scaling_law
from trm_scaling.plots import (
    plot_accuracy_by_step,
    plot_adaptive_halting,
    plot_augmentation_scaling,
    plot_batch_size_scaling,
    plot_critical_batch,
    plot_curriculum,
    plot_data_scaling,
    plot_depth_recursion_tradeoff,
    plot_depth_scaling,
    plot_differences,
    plot_ema,
    plot_factor_importance,
    plot_h_cycles_scaling,
    plot_halting_histograms,
    plot_l_cycles_scaling,
    plot_learning_curves,
    plot_learning_rates,
    plot_model_size_scaling,
    plot_optimizers,
    plot_pareto_frontier,
    plot_precision,
    plot_supervision_steps,
    plot_test_time_scaling,
    save,
    save_all,
)
from trm_scaling.report import generate_experiment_report
from trm_scaling.results.curves import accuracy_by_step, halting_histograms, learning_curves
from trm_scaling.results.surfaces import read_surface_tables
from trm_scaling.results.wandb_export import parse_wandb_export

__all__ = [
    "accuracy_by_step",
    "compute_scaling_law",
    "generate_experiment_report",
    "halting_histograms",
    "learning_curves",
    "parse_wandb_export",
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
    "plot_test_time_scaling",
    "read_surface_tables",
    "save",
    "save_all",
]
