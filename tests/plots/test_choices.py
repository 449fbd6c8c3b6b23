"""The best of a few: labels, panels of cost, the baseline's line."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from tests.plots.frames import choices, places, tick_labels
from trm_scaling.plots import (
    StudyFigure,
    plot_adaptive_halting,
    plot_curriculum,
    plot_depth_recursion_tradeoff,
    plot_ema,
    plot_learning_rates,
    plot_optimizers,
    plot_precision,
)
from trm_scaling.plots.marks import MEAN_ID, RUN_ID

Plot = Callable[[pd.DataFrame], StudyFigure]


@pytest.mark.parametrize(
    ("plot", "values", "labels"),
    [
        (
            plot_depth_recursion_tradeoff,
            [{"L_layers": 1, "L_cycles": 12}, {"L_layers": 2, "L_cycles": 6}],
            ["1 layer by 12 L_cycles", "2 layers by 6 L_cycles"],
        ),
        (
            plot_precision,
            [{"forward_dtype": "float32"}, {"forward_dtype": "bfloat16"}],
            ["float32", "bfloat16"],
        ),
        (
            plot_ema,
            [{"ema": False, "ema_rate": 0.999}, {"ema": True, "ema_rate": 0.99}],
            ["no average", "rate 0.99"],
        ),
        (
            plot_ema,
            [{"ema": "false", "ema_rate": 0.9}, {"ema": "true", "ema_rate": 0.9}],
            ["no average", "rate 0.9"],
        ),
        (
            plot_optimizers,
            [{"optimizer": "adam_atan2", "beta1": 0.9, "beta2": 0.95}, {"optimizer": "lion"}],
            ["AdamATan2 (0.9, 0.95)", "Lion"],
        ),
        (
            plot_learning_rates,
            [{"lr": 3e-5, "lr_min_ratio": 1.0}, {"lr": 1e-4, "lr_min_ratio": 0.1}],
            ["3e-05, constant", "0.0001, cosine to 1e-05"],
        ),
        (
            plot_curriculum,
            [{"curriculum.until_epoch": 0}, {"curriculum.until_epoch": 10000}],
            ["fixed depth", "rising until epoch 10,000"],
        ),
        (
            plot_adaptive_halting,
            [
                {"halt_exploration_prob": 0.1},
                {"halt_exploration_prob": 0.3, "halt_exploration_prob_end": 0.05},
            ],
            ["exploration 0.1", "exploration 0.3 to 0.05"],
        ),
        (plot_optimizers, [{}, {}], ["mine_a", "mine_b"]),
        (plot_precision, [{"forward_dtype": "float32"}] * 2, ["mine_a: float32", "mine_b: float32"]),
    ],
)
def test_configurations_are_called_by_what_they_change(
    plot: Plot, values: list[dict[str, object]], labels: list[str]
):
    figure = plot(choices("mine_", values))
    assert tick_labels(figure.axes[0], "y") == labels
    assert figure.axes[0].get_xlabel() == "Test accuracy (% of puzzles)"
    assert figure.axes[0].yaxis_inverted(), "the first stands on top"


def test_costs_have_a_panel_where_they_were_measured():
    values = [
        {"forward_dtype": "float32", "throughput": 50.0, "peak_memory_bytes": 6 * 2**30},
        {"forward_dtype": "bfloat16", "throughput": 100.0, "peak_memory_bytes": 3 * 2**30},
    ]
    table = choices("exp07", values)
    figure = plot_precision(table)
    assert [axes.get_xlabel().replace("\n", " ") for axes in figure.axes] == [
        "Test accuracy (% of puzzles)",
        "Throughput (puzzle-steps/s)",
        "Peak memory (GiB)",
    ]
    assert [len(places(axes, RUN_ID)) for axes in figure.axes] == [6, 6, 6]
    assert [tuple(place) for place in places(figure.axes[1], MEAN_ID)] == [(50.0, 0.0), (100.0, 1.0)]
    assert all(axes.get_xlim()[0] == 0 for axes in figure.axes[1:])
    assert len(plot_precision(table.drop(columns=["throughput"])).axes) == 2
    unknown = table.assign(throughput=float("nan"))
    assert len(plot_precision(unknown).axes) == 2


def test_the_baseline_has_a_line_across_the_others():
    table = choices("exp08", [{"ema": True, "ema_rate": 0.99}, {"ema": True, "ema_rate": 0.999}])
    table["names"] = table["experiment"].map({"exp08a": "exp08a", "exp08b": "baseline, exp01c, exp08b"})
    figure = plot_ema(table)
    dotted = [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert [np.asarray(line.get_xdata())[0] for line in dotted] == [pytest.approx(0.81)]
    assert not [
        line for line in plot_ema(table.drop(columns="names")).axes[0].lines if line.get_linestyle() == ":"
    ]


def test_the_best_is_named_and_every_mean_is_told():
    figure = plot_precision(choices("exp07", [{"forward_dtype": name} for name in ("float32", "float16")]))
    assert figure.finding == "Highest mean of 2: float16, 81.0 % of puzzles."
    assert figure.description == [
        "float32: 80.0 % (79.0 to 81.0 %, 3 runs).",
        "float16: 81.0 % (80.0 to 82.0 %, 3 runs).",
    ]
