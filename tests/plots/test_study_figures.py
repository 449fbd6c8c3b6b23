"""Figures of the whole study: frontiers, curves, halting, differences, importance, critical batch."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from tests.plots.frames import choices, drawn_ids, model_sizes, places, tick_labels
from trm_scaling.analysis import (
    Frontier,
    compare,
    correct_family,
    critical_batch_size,
    factor_importance,
)
from trm_scaling.analysis.frontier import FrontierPoint
from trm_scaling.errors import UserError
from trm_scaling.plots import (
    StudyFigure,
    plot_accuracy_by_step,
    plot_adaptive_halting,
    plot_critical_batch,
    plot_differences,
    plot_factor_importance,
    plot_halting_histograms,
    plot_learning_curves,
    plot_pareto_frontier,
)
from trm_scaling.plots.marks import BAND_ID, LAW_ID, MEAN_ID


def legend_of(figure: StudyFigure) -> list[str]:
    legend = figure.axes[0].get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def test_the_frontier_is_drawn_and_its_configurations_are_named():
    table = model_sizes()
    worse = table["experiment"] == "exp01d"
    table.loc[worse, "test_accuracy"] = 0.2
    figure = plot_pareto_frontier(table, cost="params")
    axes = figure.axes[0]
    assert len(places(axes, MEAN_ID)) == 5
    assert "below" in drawn_ids(axes)
    (line,) = [line for line in axes.lines if line.get_gid() == "frontier"]
    assert np.asarray(line.get_xdata()).size == 5
    assert {text.get_text() for text in axes.texts} <= {"exp01a", "exp01b", "exp01c", "exp01e", "exp01f"}
    assert "exp01f" in {text.get_text() for text in axes.texts}
    assert figure.finding.startswith("5 of 6 configurations are on the frontier")
    assert "knee" in drawn_ids(axes)
    assert not any("exp01d" in text for text in figure.description)


def test_a_frontier_that_was_made_before_is_shown_as_it_is():
    points = tuple(
        FrontierPoint(f"exp01{letter}", cost, 0.1 * cost, 3, letter == "b", 0.5, 0.5)
        for letter, cost in (("a", 1.0), ("b", 2.0), ("z", 3.0))
    )
    figure = plot_pareto_frontier(model_sizes(), frontier=Frontier(points, None, "made up"))
    assert np.allclose(places(figure.axes[0], MEAN_ID), [(2.0, 0.2)]), "z is not in the table"
    assert "made up" in figure.caption[-1]


def test_configurations_of_one_cost_are_one_bar_with_their_number():
    table = model_sizes(params=1e6)
    axes = plot_pareto_frontier(table, cost="params").axes[0]
    assert len([line for line in axes.lines if line.get_gid() == "below"]) == 1
    assert "5" in {text.get_text() for text in axes.texts}


@pytest.mark.parametrize(
    ("cost", "label"),
    [
        ("params", "Parameters, without puzzle embeddings"),
        ("training_flops", "Training compute (EFLOP)"),
        ("device_hours", "Device time (h)"),
        ("cost_usd", "Cost of a run (USD)"),
        ("inference_flops", "Compute for one answer (TFLOP)"),
    ],
)
def test_every_cost_has_its_unit(cost, label: str):
    scale = {"training_flops": 1e12, "inference_flops": 1e6, "device_hours": 1e-6, "cost_usd": 1e-6}.get(
        cost, 1
    )
    table = model_sizes(seeds=1).assign(**{cost: np.array([1.4, 2.7, 5, 9.8, 17.6, 38]) * 1e6 * scale})
    figure = plot_pareto_frontier(table, cost=cost)
    assert figure.axes[0].get_xlabel() == label
    with pytest.raises(UserError, match=f"no column '{cost}'"):
        plot_pareto_frontier(table.drop(columns=cost), cost=cost)


def curves(configurations: int, seeds: int = 2) -> pd.DataFrame:
    """Rising by 10 points an evaluation to a peak at the third of four."""
    rows = [
        (f"exp01{index:02}", seed, 1000 * step, accuracy + index / 1000 + seed / 100)
        for index in range(configurations)
        for seed in range(seeds)
        for step, accuracy in ((1, 0.5), (2, 0.6), (3, 0.7), (4, 0.65))
    ]
    return pd.DataFrame(rows, columns=["experiment", "seed", "puzzle_steps", "val_accuracy"])


def test_learning_curves_are_means_with_their_peaks_in_words():
    figure = plot_learning_curves(curves(3), labels={"exp0101": "twice as wide"})
    axes = figure.axes[0]
    assert len([line for line in axes.lines if line.get_gid() == "curve"]) == 3
    assert legend_of(figure) == ["twice as wide", "exp0100", "exp0102"]
    assert axes.get_xlabel() == "Samples (training steps x batch)"
    assert axes.get_ylabel() == "Validation accuracy (% of puzzles)"
    assert "exp0100 peaks at 70.5 % after 3,000 samples and ends at 65.5 %." in figure.description


def test_of_many_learning_curves_the_best_are_named():
    figure = plot_learning_curves(curves(20))
    assert legend_of(figure) == [f"exp01{index}" for index in range(13, 20)]
    assert "Of 20 configurations, the 7" in figure.caption[-1]
    with pytest.raises(UserError, match="no column val_accuracy"):
        plot_learning_curves(curves(1).drop(columns="val_accuracy"))
    with pytest.raises(UserError, match="no evaluation"):
        plot_learning_curves(curves(1).assign(val_accuracy=np.nan))


def histograms() -> pd.DataFrame:
    rows = [
        (name, seed, at, step, count)
        for name, counts in (("contrib02_a", (10, 20, 70)), ("contrib02_b", (40, 40, 20)))
        for seed in range(2)
        for at in ("train step 5", "test")
        for step, count in enumerate(counts if at == "test" else (999, 0, 0), start=1)
    ]
    return pd.DataFrame(rows, columns=["experiment", "seed", "at", "supervision_step", "count"])


def test_halting_steps_are_shares_of_the_test_puzzles():
    figure = plot_halting_histograms(histograms(), labels={"contrib02_b": "adaptive"})
    axes = figure.axes[0]
    lines = [np.asarray(line.get_ydata(), float) for line in axes.lines if line.get_gid() == "curve"]
    assert np.allclose(lines, [[40, 40, 20], [10, 20, 70]])
    assert legend_of(figure) == ["adaptive", "contrib02_a"]
    assert axes.get_ylabel() == "Share of test puzzles (%)"
    assert (
        "contrib02_a halts after 2.6 of 3 steps in the mean, half of the puzzles by step 3."
        in figure.description
    )
    with pytest.raises(UserError, match="no puzzle of the test split"):
        plot_halting_histograms(histograms().query("at != 'test'"))


def test_adaptive_halting_has_its_steps_beside_it():
    table = choices("contrib02_", [{"halting_mean_steps": 2.6}, {"halting_mean_steps": 1.8}])
    _, right = plot_adaptive_halting(table).axes
    assert right.get_xlabel() == "Mean steps before halting"


def test_accuracy_by_step_names_the_best_of_many():
    names = [f"exp{index:02}" for index in range(12)]
    table = pd.DataFrame(
        {
            "experiment": np.repeat(names, 3),
            "supervision_step": [1, 2, 3] * 12,
            "accuracy": [0.2 + index / 100 + step / 10 for index in range(12) for step in range(3)],
        }
    )
    figure = plot_accuracy_by_step(table)
    assert legend_of(figure) == names[5:]
    assert len(figure.axes[0].lines) == 12
    with pytest.raises(UserError, match="no column accuracy"):
        plot_accuracy_by_step(table.drop(columns="accuracy"))
    with pytest.raises(UserError, match="no rows"):
        plot_accuracy_by_step(table[:0])


def comparisons():
    rng = np.random.default_rng(1)
    base = rng.normal(0.80, 0.005, 6)
    found = [
        compare("base", name, base, rng.normal(mean, 0.005, 6)) for name, mean in (("up", 0.9), ("same", 0.8))
    ]
    return correct_family(found)


def test_differences_stand_on_one_side_of_zero_with_their_word():
    figure = plot_differences(comparisons(), labels={"up": "AdamW"})
    axes = figure.axes[0]
    marks = places(axes, MEAN_ID)
    assert marks[0, 0] == pytest.approx(10, abs=1)
    assert abs(marks[1, 0]) < 1
    assert axes.get_xlabel() == "Difference in test accuracy (percentage points)"
    assert axes.get_xlim()[0] < 0 < axes.get_xlim()[1]
    assert tick_labels(axes, "y") == ["AdamW", "same"]
    (words,) = axes.child_axes
    assert tick_labels(words, "y") == ["significant", "no difference shown"]
    assert figure.title == "Differences to base"
    assert figure.finding.startswith("1 of 2")


def test_a_difference_without_an_interval_is_drawn_and_said():
    one = compare("base", "up", np.array([0.8]), np.array([0.9]))
    assert "a side has one run" in " ".join(plot_differences([one]).caption)
    both = plot_differences([one, replace(one, a="other")])
    assert tick_labels(both.axes[0], "y") == ["up less base", "up less other"]
    with pytest.raises(UserError, match="no comparisons"):
        plot_differences([])


def test_an_interval_that_goes_beyond_the_axis_has_an_arrow():
    wide = compare("base", "up", np.array([0.5, 0.9]), np.array([0.7, 0.8]))
    assert "beyond" in drawn_ids(plot_differences([wide]).axes[0])
    assert "beyond" not in drawn_ids(plot_differences(comparisons()).axes[0])


def test_importance_has_a_bar_for_each_factor_and_one_for_the_rest():
    rng = np.random.default_rng(0)
    width, lr = np.tile([256, 512], 20), np.repeat([0.0001, 0.00014142135623], 20)
    rates = 0.5 + 0.1 * (width == 512) + 0.02 * (lr > 0.00012) + rng.normal(0, 0.02, 40)
    importance = factor_importance({"hidden_size": width, "lr": lr, "copy": width}, rates)
    figure = plot_factor_importance(importance, labels={"lr": "learning rate"})
    axes = figure.axes[0]
    assert tick_labels(axes, "y")[-1] == "unexplained"
    bars = [patch.get_width() for patch in axes.patches if isinstance(patch, Rectangle)]
    expected = [*(100 * each.share for each in importance.factors), 100 * importance.unexplained]
    assert bars == pytest.approx(expected)
    assert any("of freedom" in text.get_text() for text in figure.axes[1].texts)
    assert axes.get_xlabel() == "Share of the variance (%)"
    assert "hidden_size" in figure.caption[-1], "it cannot be told from its copy"


def test_the_critical_batch_has_its_hyperbola_and_interval():
    batch = np.repeat([1500.0, 3000, 6000, 12000, 24000], 3)
    steps = 2000 * (1 + 6000 / batch) * np.exp(np.random.default_rng(0).normal(0, 0.03, batch.size))
    critical = critical_batch_size(batch, steps)
    figure = plot_critical_batch(critical, batch, steps)
    axes = figure.axes[0]
    assert {LAW_ID, BAND_ID} <= drawn_ids(axes)
    assert axes.get_ylabel() == "Training steps to the target"
    assert "identified" in figure.finding
    with pytest.raises(UserError, match="positive"):
        plot_critical_batch(critical, batch, steps - 1e9)
