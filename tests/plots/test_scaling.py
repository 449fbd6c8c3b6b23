"""Accuracy against one quantity: what the panels show, and what is said of the runs that they do not."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.plots.frames import PARAMS, drawn_ids, law, model_sizes, places, tick_labels
from trm_scaling.analysis import AccuracyRuns, Fit, summarise_seeds
from trm_scaling.errors import UserError
from trm_scaling.plots import (
    plot_augmentation_scaling,
    plot_batch_size_scaling,
    plot_depth_scaling,
    plot_l_cycles_scaling,
    plot_model_size_scaling,
)
from trm_scaling.plots.marks import BAND_ID, LAW_ID, MEAN_ID, RUN_ID


def runs_of(table: pd.DataFrame) -> AccuracyRuns:
    return AccuracyRuns.of(table, "params", configuration="experiment", accuracy="test_accuracy")


def test_every_run_is_a_dot_and_every_configuration_a_mean_with_its_interval():
    table = model_sizes(seeds=4)
    figure = plot_model_size_scaling(table, fit=law())
    axes = figure.axes[0]
    runs, means = places(axes, RUN_ID), places(axes, MEAN_ID)
    assert sorted(map(tuple, runs)) == sorted(zip(table["params"], table["test_accuracy"], strict=True))
    expected = table.groupby("params")["test_accuracy"].mean()
    assert np.allclose(means, np.column_stack([expected.index, expected]))
    bars = [line for line in axes.lines if line.get_gid() != LAW_ID]
    assert len(bars) == len(PARAMS)
    first = np.asarray(bars[0].get_ydata(), dtype=float)
    assert first[0] < means[0, 1] < first[1]


@pytest.mark.parametrize("call", [plot_model_size_scaling, plot_l_cycles_scaling, plot_depth_scaling])
def test_runs_with_overrides_are_not_pooled(call: Any) -> None:
    """exp01c is the baseline, under whose name its overrides lie."""
    table = model_sizes().assign(names=lambda rows: rows["experiment"], overrides="")
    table["L_cycles"] = 2 + table.index % 3
    if call is not plot_model_size_scaling:
        table["experiment"] = table["names"] = table["experiment"].str.replace("exp01", "exp02a_0")
    changed = table[table["experiment"].str.endswith("c")].assign(
        overrides="lr=0.1", names="baseline, " + table["names"], test_accuracy=0.01
    )
    changed["experiment"] = changed["experiment"] + "[lr=0.1]"
    changed["params"] *= 1.0
    both = pd.concat([table, changed.assign(experiment="baseline[lr=0.1]")], ignore_index=True)
    plain, figure = call(table), call(both)
    for one, other in zip(plain.axes, figure.axes, strict=True):
        assert np.array_equal(places(one, RUN_ID), places(other, RUN_ID))
    assert any("3 runs with overrides are left out" in line for line in figure.caption)


def test_axes_say_what_they_are_and_in_which_unit():
    figure = plot_model_size_scaling(model_sizes(), fit=law())
    (left,) = figure.axes
    assert left.get_xlabel() == "Parameters, without puzzle embeddings"
    assert left.get_ylabel() == "Test accuracy (% of puzzles)"
    assert left.get_xscale() == "log"
    assert tick_labels(left) == ["1.40 M", "2.70 M", "5.03 M", "9.80 M", "17.6 M", "38.1 M"]
    assert all(0 <= float(label) <= 100 for label in tick_labels(left, "y"))


def test_the_law_is_drawn_with_its_band_and_its_verdict():
    figure = plot_model_size_scaling(model_sizes(), fit=law("identified"))
    assert {LAW_ID, BAND_ID} <= drawn_ids(figure.axes[0])
    assert "c 0.38 [0.342, 0.418]" in " ".join(figure.caption)
    weak = plot_model_size_scaling(model_sizes(), fit=law("not identified", "It might be anything."))
    (line,) = [line for line in weak.axes[0].lines if line.get_gid() == LAW_ID]
    assert line.get_linestyle() == "--", "a law that is not identified does not look like one that is"
    assert "It might be anything." in weak.caption


def test_records_that_were_made_before_are_not_made_again(monkeypatch: pytest.MonkeyPatch):
    table = model_sizes()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("was computed again")

    seeds = summarise_seeds(runs_of(table))
    monkeypatch.setattr("trm_scaling.plots.families.fit_accuracy", refuse)
    monkeypatch.setattr("trm_scaling.plots.configurations.summarise_seeds", refuse)
    plot_model_size_scaling(table, fit=law(), seeds=seeds)
    with pytest.raises(AssertionError, match="computed again"):
        plot_model_size_scaling(table, seeds=seeds)


def test_a_law_is_fitted_where_none_is_given(monkeypatch: pytest.MonkeyPatch):
    asked: dict[str, Any] = {}

    def fit(runs: AccuracyRuns, **options: Any) -> Fit:
        asked.update(options, runs=runs)
        return law()

    monkeypatch.setattr("trm_scaling.plots.families.fit_accuracy", fit)
    table = model_sizes()
    figure = plot_model_size_scaling(table)
    assert sorted(asked["runs"].accuracy) == sorted(table["test_accuracy"])
    assert (min(asked["predict"]), max(asked["predict"])) == pytest.approx((PARAMS[0], PARAMS[-1]))
    assert any(each.startswith("accuracy = a - b x^-c, identified") for each in figure.caption)


def test_two_sizes_carry_no_law_and_the_figure_says_so():
    table = model_sizes()
    figure = plot_model_size_scaling(table[table["params"] < 3e6])
    assert LAW_ID not in drawn_ids(figure.axes[0])
    assert any(each.startswith("No fit: ") for each in figure.caption)


def test_runs_without_a_value_are_counted_in_the_caption():
    table = model_sizes()
    table.loc[[0, 1], "test_accuracy"] = np.nan
    table.loc[0, "state"] = "failed"
    table.loc[3, "params"] = np.nan
    figure = plot_model_size_scaling(table, fit=law())
    caption = " ".join(figure.caption)
    assert "15 runs of 6 configurations" in caption
    assert "1 failed" in caption
    assert "2 without test_accuracy or params" in caption


def test_one_seed_borrows_its_interval_and_the_caption_says_so():
    table = model_sizes()
    table = table[(table["experiment"] != "exp01a") | (table["seed"] == 0)]
    figure = plot_model_size_scaling(table, fit=law())
    assert "the seed variance of the replicated configurations (6)" in " ".join(figure.caption)
    alone = plot_model_size_scaling(table[table["seed"] == 0], fit=law())
    assert "No intervals" in " ".join(alone.caption)
    assert len(places(alone.axes[0], RUN_ID)) == 0, "one run is its own mean"


def test_a_frame_with_two_columns_is_enough():
    frame = pd.DataFrame({"params": [1e6, 2e6, 4e6], "test_accuracy": [0.5, 0.6, 0.65]})
    figure = plot_model_size_scaling(frame, fit=law())
    assert len(figure.axes) == 1
    assert len(places(figure.axes[0], MEAN_ID)) == 3


def test_an_export_of_weights_and_biases_is_read_as_it_is(tmp_path: Path):
    runs = [
        f'"exp01{letter}-s{seed}","finished","-","{params}","{0.6 + index / 10 + seed / 100}","true"'
        for index, (letter, params) in enumerate((("a", 1_400_000), ("b", 5_028_866), ("c", 20_000_000)))
        for seed in range(3)
    ]
    header = '"Name","State","Notes","parameters","test/best/exact_rate","ema"'
    (tmp_path / "wandb.csv").write_text("\n".join([header, *runs]) + "\n")
    figure = plot_model_size_scaling(pd.read_csv(tmp_path / "wandb.csv"), fit=law())
    assert len(places(figure.axes[0], RUN_ID)) == 9
    assert [text.split(":")[0] for text in figure.description] == ["exp01a", "exp01b", "exp01c"]


def test_the_family_is_taken_out_of_the_table_of_all_runs_under_its_own_names():
    table = model_sizes().assign(names=lambda rows: rows["experiment"])
    shared = table["experiment"] == "exp01c"
    table.loc[shared, ["experiment", "names"]] = ["baseline", "baseline, exp01c, exp02a_03"]
    others = model_sizes(params=7e9).assign(experiment="exp06_a", names="exp06_a")[:3]
    figure = plot_model_size_scaling(pd.concat([table, others], ignore_index=True), fit=law())
    assert len(places(figure.axes[0], MEAN_ID)) == 6
    assert any(text.startswith("exp01c:") for text in figure.description)


def test_made_up_runs_are_marked():
    figure = plot_model_size_scaling(model_sizes(profile="made-up"), fit=law())
    assert figure.caption[0] == "Made-up numbers, not results."


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"test_accuracy": 87.4}, "reaches 87.4.*divide it by 100"),
        ({"test_accuracy": -0.1}, "below 0"),
        ({"test_accuracy": "good"}, "not a column of numbers"),
        ({"test_accuracy": None}, "none of the 18 runs"),
    ],
)
def test_an_accuracy_that_is_no_fraction_is_refused(columns: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        plot_model_size_scaling(model_sizes().assign(**columns))


def test_what_cannot_be_drawn_is_refused_with_what_was_found():
    with pytest.raises(UserError, match=r"no column 'params'; it has experiment"):
        plot_model_size_scaling(model_sizes().drop(columns="params"))
    both = pd.concat([model_sizes(profile="paper"), model_sizes(profile="laptop")])
    with pytest.raises(UserError, match=r"2 profiles \(laptop, paper\)"):
        plot_model_size_scaling(both)
    with pytest.raises(UserError, match="more than once"):
        plot_model_size_scaling(pd.concat([model_sizes(), model_sizes()]))
    with pytest.raises(UserError, match="results is a list"):
        plot_model_size_scaling([1, 2])  # what a notebook may hand over


def test_a_zero_on_the_axis_is_drawn_and_not_fitted():
    table = model_sizes().assign(num_aug=lambda rows: rows["params"].rank(method="dense") - 1)
    figure = plot_augmentation_scaling(table.drop(columns="training_flops"))
    axes = figure.axes[0]
    assert axes.get_xscale() == "linear"
    assert len(places(axes, MEAN_ID)) == 6
    assert "holds 0" in " ".join(figure.caption)


def test_depth_that_does_not_vary_is_said():
    figure = plot_depth_scaling(model_sizes())
    assert "L_cycles 6 and H_cycles 3" in figure.caption[-1]
    assert len(places(figure.axes[0], MEAN_ID)) == 6


def test_depth_has_a_panel_for_each_recursion_that_varies():
    first = model_sizes().assign(experiment=lambda rows: "exp02a_0" + rows["experiment"].str[-1])
    first["L_cycles"] = first["params"].rank(method="dense") * 2
    second = first.assign(experiment=lambda rows: rows["experiment"].str.replace("02a", "02b"), L_cycles=6)
    second["H_cycles"] = second["params"].rank(method="dense")
    figure = plot_depth_scaling(pd.concat([first, second]), fits=(law(), law()))
    left, right = figure.axes
    assert left.get_xlabel().startswith("L_cycles")
    assert right.get_xlabel().startswith("H_cycles")
    assert tick_labels(left) == ["2", "4", "6", "8", "10", "12"]
    one = plot_depth_scaling(first, fits=(law(), None))
    assert [axes.get_xlabel()[:8] for axes in one.axes] == ["L_cycles"]
    assert "H_cycles 6" in one.caption[-1] or "H_cycles 3" in one.caption[-1]
    with pytest.raises(UserError, match="neither a column 'L_cycles' nor 'H_cycles'"):
        plot_depth_scaling(first.drop(columns=["L_cycles", "H_cycles"]))


def test_batches_have_their_throughput_beside_them():
    table = model_sizes().assign(
        global_batch_size=lambda rows: 1536 * 2 ** (rows["params"].rank(method="dense") - 1),
        throughput=lambda rows: 100 + rows["seed"],
    )
    figure = plot_batch_size_scaling(table)
    left, right = figure.axes
    assert LAW_ID not in drawn_ids(left)
    assert tick_labels(left)[0] == "1,536"
    assert right.get_ylabel() == "Samples per second"
    assert right.get_ylim()[0] == 0
    assert len(places(right, RUN_ID)) == len(table)
    assert "exp01f" in figure.finding
    assert len(plot_batch_size_scaling(table.drop(columns="throughput")).axes) == 1


def test_a_table_of_many_columns_from_a_file_is_drawn_without_a_warning(tmp_path: Path):
    few = model_sizes()
    fields = pd.DataFrame({f"config.field_{number}": [number] * len(few) for number in range(120)})
    pd.concat([few, fields], axis=1).to_csv(tmp_path / "runs.csv", index=False)
    plot_model_size_scaling(pd.read_csv(tmp_path / "runs.csv"), tmp_path / "sizes.png")
