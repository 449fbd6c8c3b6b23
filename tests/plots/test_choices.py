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
from trm_scaling.plots.figure import short
from trm_scaling.plots.marks import MEAN_ID, RUN_ID, UNAVERAGED_ID

Plot = Callable[[pd.DataFrame], StudyFigure]


@pytest.mark.parametrize(
    ("plot", "values", "labels"),
    [
        (
            plot_precision,
            [{"forward_dtype": "float32"}, {"forward_dtype": "bfloat16"}],
            ["forward_dtype float32", "forward_dtype bfloat16"],
        ),
        (
            plot_ema,
            [{"ema": False, "ema_rate": 0.999}, {"ema": True, "ema_rate": 0.99}],
            ["ema off, ema_rate 0.999", "ema on, ema_rate 0.99"],
        ),
        (
            plot_optimizers,
            [{"optimizer": "adam_atan2", "beta1": 0.9}, {"optimizer": "lion", "beta1": 0.9}],
            ["optimizer adam_atan2", "optimizer lion"],
        ),
        (
            plot_learning_rates,
            [{"lr": 3e-5, "lr_min_ratio": 1.0}, {"lr": 1e-4, "lr_min_ratio": 0.1}],
            ["lr 3e-05, lr_min_ratio 1", "lr 0.0001, lr_min_ratio 0.1"],
        ),
        (
            plot_curriculum,
            [{"curriculum.until_epoch": 0}, {"curriculum.until_epoch": 10000}],
            ["curriculum.until_epoch 0", "curriculum.until_epoch 10,000"],
        ),
        (
            plot_adaptive_halting,
            [{"halt_exploration_prob": 0.1}, {"halt_exploration_prob": 0.3}],
            ["halt_exploration_prob 0.1", "halt_exploration_prob 0.3"],
        ),
    ],
)
def test_configurations_are_called_by_what_they_change(
    plot: Plot, values: list[dict[str, object]], labels: list[str]
):
    figure = plot(choices("mine_", values))
    wanted = [f"mine_{letter}: {label}" for letter, label in zip("ab", labels, strict=True)]
    assert [each.replace("\N{HORIZONTAL ELLIPSIS}", "") for each in tick_labels(figure.axes[0], "y")] == [
        short(each).replace("\N{HORIZONTAL ELLIPSIS}", "") for each in wanted
    ]
    assert figure.axes[0].get_xlabel() == "Test accuracy (% of puzzles)"
    assert figure.axes[0].yaxis_inverted(), "the first stands on top"


def test_configurations_that_change_nothing_known_have_their_names():
    figure = plot_optimizers(choices("mine_", [{}, {}]))
    assert tick_labels(figure.axes[0], "y") == ["mine_a", "mine_b"]


def test_a_tradeoff_has_its_axis_and_its_cost():
    layers: list[dict[str, object]] = [
        {"L_layers": n, "L_cycles": 12 // n, "training_flops": n * 1e12} for n in (1, 2, 3)
    ]
    left, right = plot_depth_recursion_tradeoff(choices("exp03", layers)).axes
    assert tick_labels(left) == ["1", "2", "3"]
    assert right.get_ylabel() == "Training compute (TFLOP)"


def test_the_mean_without_averaging_stands_beside_the_mean_with_it():
    table = choices("exp08", [{"ema_rate": 0.9}, {"ema_rate": 0.99}])
    table["test_accuracy_unaveraged"] = table["test_accuracy"] + 0.1
    figure = plot_ema(table)
    assert np.allclose(places(figure.axes[0], UNAVERAGED_ID)[:, 0], [0.9, 0.91])
    assert "open diamonds" in " ".join(figure.caption)
    assert "unaveraged 90.0 %" in figure.description[0]
    assert not len(places(plot_ema(choices("exp08", [{}, {}])).axes[0], UNAVERAGED_ID))


def test_the_axis_holds_every_interval_whole():
    table = choices("exp08", [{"ema_rate": 0.9}, {"ema_rate": 0.99}], seeds=2)
    table.loc[0, "test_accuracy"] = 0.2
    axes = plot_ema(table).axes[0]
    drawn = [x for line in axes.lines if np.size(line.get_xdata()) == 2 for x in np.asarray(line.get_xdata())]
    assert axes.get_xlim()[0] <= max(min(drawn), 0)
    assert axes.get_xlim()[1] >= min(max(drawn), 1)


def test_costs_have_a_panel_where_they_were_measured():
    values = [
        {"forward_dtype": "float32", "throughput": 50.0},
        {"forward_dtype": "bfloat16", "throughput": 100.0},
    ]
    table = choices("exp07", values)
    figure = plot_precision(table)
    assert [axes.get_xlabel().replace("\n", " ") for axes in figure.axes] == [
        "Test accuracy (% of puzzles)",
        "Samples per second",
    ]
    assert [len(places(axes, RUN_ID)) for axes in figure.axes] == [6, 6]
    assert [tuple(place) for place in places(figure.axes[1], MEAN_ID)] == [(50.0, 0.0), (100.0, 1.0)]
    assert all(axes.get_xlim()[0] == 0 for axes in figure.axes[1:])
    assert len(plot_precision(table.drop(columns=["throughput"])).axes) == 1
    unknown = table.assign(throughput=float("nan"))
    assert len(plot_precision(unknown).axes) == 1


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
    assert "forward_dtype float16" in figure.finding
    assert "81.0 % [80.0, 82.0]" in figure.finding
    assert [each.split(": ", 1)[1] for each in figure.description] == [
        "forward_dtype float32: 80.0 % [79.0, 81.0] (3 runs).",
        "forward_dtype float16: 81.0 % [80.0, 82.0] (3 runs).",
    ]
