"""The long tables: what happened inside the finished runs."""

import json
from pathlib import Path

import pandas as pd

from tests.results.made_up import bare_study, make_up_run
from trm_scaling.io.study import Study
from trm_scaling.results.curves import (
    ACCURACY_BY_STEP,
    HALTING_HISTOGRAMS,
    LEARNING_CURVES,
    accuracy_by_step,
    halting_histograms,
    learning_curves,
)
from trm_scaling.results.table import results_table

RUN = ["experiment", "identity", "profile", "seed"]


def of(long: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
    return long[(long["experiment"] == row["experiment"]) & (long["seed"] == row["seed"])]


def test_learning_curves_are_the_evaluations_and_peak_where_the_table_says(table: pd.DataFrame) -> None:
    rows = table[table["experiment"].isin(["exp01a", "exp06_f", "exp09e"])]
    curves = learning_curves(rows)
    assert list(curves.columns) == [*RUN, *LEARNING_CURVES]
    for _, row in rows[rows["state"] == "finished"].iterrows():
        own = of(curves, row)
        assert own["step"].is_monotonic_increasing
        assert own["val_accuracy"].max() == row["val_accuracy"]
        assert own["puzzle_steps"].iloc[-1] == row["puzzle_steps"]
        assert own.loc[own["step"] == row["best_step"], "val_loss"].tolist() == [row["val_loss"]]
        assert own["seconds"].is_monotonic_increasing
    assert len(curves.drop_duplicates(RUN)) == (rows["state"] == "finished").sum() < len(rows)


def test_accuracy_after_each_step_ends_at_the_headline(table: pd.DataFrame) -> None:
    rows = table[table["experiment"].isin(["exp05_a", "exp05_e"]) & (table["state"] == "finished")]
    steps = accuracy_by_step(rows)
    assert list(steps.columns) == [*RUN, *ACCURACY_BY_STEP]
    for _, row in rows.iterrows():
        own = of(steps, row)
        assert own["supervision_step"].tolist() == list(range(1, row["halt_max_steps"] + 1))
        assert own["accuracy"].iloc[-1] == row["test_accuracy"]
        assert (own["solved"] / own["total"]).tolist() == own["accuracy"].tolist()


def test_halting_histograms_count_every_puzzle(table: pd.DataFrame) -> None:
    row = table[table["experiment"] == "exp05_a"].iloc[:1]
    histograms = halting_histograms(row)
    assert list(histograms.columns) == [*RUN, *HALTING_HISTOGRAMS]
    counts = histograms.groupby("at", sort=False)["count"].sum()
    assert counts.index[-1] == "test"
    assert counts.index[0].startswith("train step ")
    assert counts["test"] == row["test_total"].iloc[0]
    assert set(counts.iloc[:-1]) == set(row["val_total"])


def test_a_table_from_elsewhere_has_no_curves(table: pd.DataFrame, tmp_path: Path) -> None:
    moved = table.assign(folder=str(tmp_path / "gone"))
    for long in (learning_curves, accuracy_by_step, halting_histograms):
        assert long(moved).empty
        assert long(pd.DataFrame({"experiment": ["a"]})).empty
        assert long(table.iloc[:0]).columns.tolist()[:4] == RUN


def test_what_is_missing_or_odd_in_a_curve_is_missing(tmp_path: Path) -> None:
    study: Study = bare_study(tmp_path)
    folder = make_up_run(study, "exp01a")
    record = json.loads(folder.result.read_bytes())
    record["learning_curve"][0] |= {"eval/loss": None, "eval/halting_rule_mean_steps": "soon"}
    folder.result.write_text(json.dumps(record))
    first = learning_curves(results_table(study)).iloc[0]
    assert first[["val_loss", "halting_mean_steps"]].isna().all()
    assert first["val_accuracy"] > 0
