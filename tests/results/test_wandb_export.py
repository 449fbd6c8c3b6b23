"""Exports of Weights & Biases: our own runs, the public code's, and whatever a folder holds."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.results.wandb_exports import Run, api_frame, api_json, chart, mirrored, quoted, runs_table
from trm_scaling.errors import UserError
from trm_scaling.experiments import load_catalogue
from trm_scaling.io.study import Study
from trm_scaling.results.columns import columns
from trm_scaling.results.csv_file import read_results, write_results
from trm_scaling.results.table import check_replicates, family_rows, results_table
from trm_scaling.results.wandb_export import files, parse, parse_wandb_export

NOT_EXPORTED = {
    *("folder", "reason", "started", "finished"),
    *("val_solved", "val_total", "val_accuracy", "val_cell_accuracy", "val_loss"),
}
"""W&B has no folder, other times, and of the evaluations the last one alone."""

OURS = ("baseline", "exp01a", "exp08a")


@pytest.fixture(scope="module")
def ours(made_up: Study) -> list[Run]:
    return mirrored(made_up, OURS)


def same(exported: pd.DataFrame, table: pd.DataFrame) -> None:
    """Every column that W&B can hold is what the run folders say."""
    kept = [name for name in columns() if name not in NOT_EXPORTED]
    order = ["identity", "seed"]
    left = exported.sort_values(order)[kept].reset_index(drop=True)
    right = table.sort_values(order)[kept].reset_index(drop=True)
    pd.testing.assert_frame_equal(left, right, check_dtype=False, rtol=1e-6)


def expected(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["experiment"].isin(OURS)]


def test_a_runs_table_of_our_runs_fills_the_columns(
    ours: list[Run], made_up: Study, table: pd.DataFrame, tmp_path: Path
) -> None:
    exported = parse_wandb_export(runs_table(tmp_path / "runs.csv", ours), made_up)
    same(exported, expected(table))
    assert list(exported.columns[: len(columns())]) == list(columns())
    assert (exported["Runtime"] == 1234).all()
    assert "Notes" not in exported


def test_what_the_api_gives_fills_the_columns(
    ours: list[Run], made_up: Study, table: pd.DataFrame, tmp_path: Path
) -> None:
    api_frame(ours).to_csv(tmp_path / "api.csv")
    same(parse_wandb_export(tmp_path / "api.csv", made_up), expected(table))
    same(parse_wandb_export(api_json(tmp_path / "api.json", ours), made_up), expected(table))
    api_frame(ours).to_json(tmp_path / "columns.json")
    same(parse_wandb_export(str(tmp_path / "columns.json"), made_up), expected(table))


def test_the_baseline_is_in_every_family_when_the_study_is_known(
    ours: list[Run], made_up: Study, tmp_path: Path
) -> None:
    exported = parse_wandb_export(runs_table(tmp_path / "runs.csv", ours), made_up)
    families = {family.key: family for family in load_catalogue(made_up.path).families}
    assert set(family_rows(exported, families["exp01"])["experiment"]) == {"exp01a", "exp01c"}
    check_replicates(exported)


def test_a_run_that_failed_says_why(made_up: Study, tmp_path: Path) -> None:
    runs = [run for run in mirrored(made_up, ["exp01f"]) if run["state"] == "failed"]
    row = parse_wandb_export(runs_table(tmp_path / "runs.csv", runs)).iloc[0]
    assert (row["state"], pd.isna(row["test_accuracy"])) == ("failed", True)
    assert "memory was short" in row["reason"]


def test_runs_of_the_public_code_fill_what_has_a_counterpart(tmp_path: Path) -> None:
    values = {
        "Name": "pretrain_mlp_t_sudoku",
        "State": "crashed",
        "Created": "2026-01-02T03:04:05.000Z",
        "arch.hidden_size": 512,
        "arch.L_cycles": 6,
        "arch.mlp_t": True,
        "arch.loss.loss_type": "stablemax_cross_entropy",
        "data_paths": "['data/sudoku-extreme-1k-aug-1000']",
        "lr": 0.0001,
        "ema": "true",
        "seed": 0,
        "num_params": 5028866,
        "all.exact_accuracy": 0.871,
        "all.accuracy": 0.95,
        "train/exact_accuracy": 0.99,
    }
    row = parse_wandb_export(quoted(tmp_path / "public.csv", [values])).iloc[0]
    assert (row["experiment"], row["state"], row["seed"]) == ("pretrain_mlp_t_sudoku", "interrupted", 0)
    assert (row["params"], row["hidden_size"], row["L_cycles"], row["lr"]) == (5028866, 512, 6, 1e-4)
    assert (row["train_size"], row["num_aug"]) == (1000, 1000)
    assert (row["test_accuracy"], row["test_accuracy_last"], row["test_cell_accuracy"]) == (
        0.871,
        0.871,
        0.95,
    )
    assert bool(row["mlp_t"]) is True
    assert row["train/exact_accuracy"] == 0.99
    assert row["arch.loss.loss_type"] == "stablemax_cross_entropy"
    assert row["started"] == "2026-01-02T03:04:05.000Z"
    assert pd.isna(row["test_solved"])


def test_few_columns_make_a_useful_table(tmp_path: Path) -> None:
    rows = [{"Name": "exp01a", "hidden_size": "256", "test_accuracy": "0.0"}, {"Name": "exp01b"}]
    exported = parse_wandb_export(quoted(tmp_path / "few.csv", rows))
    assert exported["experiment"].tolist() == ["exp01a", "exp01b"]
    assert exported["hidden_size"].tolist()[0] == 256
    assert exported["test_accuracy"].isna().tolist() == [False, True]
    assert exported["state"].isna().all()


def test_a_value_that_its_column_cannot_hold_is_kept_beside_it(tmp_path: Path) -> None:
    rows = [{"Name": "a", "lr": "fast", "loss": 0.4, "steps": "1e3"}, {"Name": "b", "lr": "0.1", "loss": 0.5}]
    exported = parse_wandb_export(quoted(tmp_path / "odd.csv", rows))
    assert exported["lr"].isna().tolist() == [True, False]
    assert exported["lr (W&B)"].tolist()[0] == "fast"
    assert exported["steps"].tolist()[0] == 1000
    # A column of numbers is not the kind of loss, which is a word.
    assert exported["loss"].isna().all()
    assert exported["loss (W&B)"].tolist() == [0.4, 0.5]


def test_charts_give_last_values_and_the_peak_on_validation(tmp_path: Path) -> None:
    header = ["Step"]
    for name in ("exp01a - wide - s0", "exp01a - wide - s1"):
        header += [f"{name} - eval/exact_rate{end}" for end in ("", "__MIN", "__MAX")]
    rows: list[list[Any]] = [
        [10, 0.1, 0.1, 0.1, 0.2, 0.2, 0.2],
        [20, 0.7, 0, 0.9, 0.3, 0, 1],
        [30, 0.5, 0, 1, None, None, None],
    ]
    exported = parse_wandb_export(chart(tmp_path / "chart.csv", header, rows))
    assert exported["experiment"].tolist() == ["exp01a - wide", "exp01a - wide"]
    assert exported["seed"].tolist() == [0, 1]
    assert exported["val_accuracy"].tolist() == [0.7, 0.3]
    assert exported["best_step"].tolist() == [20, 20]
    assert exported["eval/exact_rate"].tolist() == [0.5, 0.3]
    assert exported["Step"].tolist() == [30, 20]


def test_two_runs_of_one_name_in_a_chart_are_two_rows_and_no_replicates(tmp_path: Path) -> None:
    header = ["Step", "exp01a - eval/exact_rate", "exp01a - eval/exact_rate"]
    exported = parse_wandb_export(chart(tmp_path / "chart.csv", header, [[1, 0.1, 0.2]]))
    assert exported["val_accuracy"].tolist() == [0.1, 0.2]
    with pytest.raises(UserError, match="2 runs are called 'exp01a'"):
        check_replicates(exported)


def test_files_of_a_folder_are_one_table(
    ours: list[Run], made_up: Study, table: pd.DataFrame, tmp_path: Path
) -> None:
    single = [run for run in ours if run["name"] == "exp01a" and run["config"]["seed"] == 0]
    runs_table(tmp_path / "b.csv", ours)
    header = ["Step", "exp01a - eval/exact_rate"]
    chart(tmp_path / "a.csv", header, [[5, 0.25], [6, 0.125]])
    # The chart may be of either seed of exp01a, so it stays a run of its own.
    assert len(parse_wandb_export(tmp_path, made_up)) == len(ours) + 1
    runs_table(tmp_path / "b.csv", single)
    row = parse_wandb_export(tmp_path, made_up)
    assert len(row) == 1
    assert (row["val_accuracy"].iloc[0], row["params"].iloc[0]) == (0.25, 1483778)
    # The same export twice is the same runs.
    runs_table(tmp_path / "c.csv", single)
    assert len(parse_wandb_export(tmp_path, made_up)) == 1


def test_our_own_tables_in_the_folder_are_read_too(
    table: pd.DataFrame, made_up: Study, tmp_path: Path
) -> None:
    for pattern in ("exp01", "exp05"):
        write_results(results_table(made_up, [pattern]), tmp_path / f"{pattern}_results.csv")
    read = parse_wandb_export(tmp_path)
    # The baseline's two runs are in both.
    assert len(read) == 6 * 2 + 6 * 2 - 2
    quoted(tmp_path / "other.csv", [{"Name": "elsewhere", "test_accuracy": 0.5, "mine": 3}])
    runs_table(tmp_path / "wandb.csv", mirrored(made_up, ["exp01a"]))
    both = parse_wandb_export(tmp_path)
    # Runs that were exported from Weights & Biases too are no other runs.
    assert len(both) == len(read) + 1
    assert both["mine"].notna().sum() == 1


def test_configurations_of_one_name_are_told_apart(tmp_path: Path) -> None:
    rows = [{"Name": "try", "lr": lr, "seed": seed} for lr, seed in ((0.1, 0), (0.1, 1), (0.2, 0))]
    exported = parse_wandb_export(quoted(tmp_path / "t.csv", rows))
    assert exported["experiment"].tolist() == ["try[lr=0.1]", "try[lr=0.1]", "try[lr=0.2]"]
    check_replicates(exported)


@pytest.mark.parametrize("values", [(1, 2), (1, 1)])
def test_runs_that_nothing_tells_apart_are_kept_and_refused_at_analysis(
    values: tuple[int, ...], tmp_path: Path
) -> None:
    rows = [{"Name": "try", "x": value} for value in values]
    exported = parse_wandb_export(quoted(tmp_path / "t.csv", rows))
    assert len(exported) == 2
    with pytest.raises(UserError, match="'try', 2 of them with no seed"):
        check_replicates(exported)


@pytest.mark.parametrize(
    "name",
    [
        "=cmd|'/c calc'!A0",
        "<script>alert(1)</script>",
        "two\nlines",
        "數独 🧩",
        "a - b - c",
        "123",
        "true",
        "nan",
        "'x",
    ],
)
def test_hostile_names_survive_both_ways(name: str, tmp_path: Path) -> None:
    exported = parse_wandb_export(quoted(tmp_path / "t.csv", [{"Name": name, "lr": 0.1, "Notes": name}]))
    assert exported["experiment"].tolist() == [name]
    write_results(exported, tmp_path / "back.csv")
    pd.testing.assert_frame_equal(read_results(tmp_path / "back.csv"), exported)


def test_the_table_of_an_export_comes_back_from_a_file(
    ours: list[Run], made_up: Study, tmp_path: Path
) -> None:
    exported = parse_wandb_export(runs_table(tmp_path / "runs.csv", ours), made_up)
    write_results(exported, tmp_path / "back.csv")
    pd.testing.assert_frame_equal(read_results(tmp_path / "back.csv"), exported)


def test_dictionaries_with_nan_are_read_and_code_is_not_run(tmp_path: Path) -> None:
    rows = [
        {
            "name": "a",
            "summary": "{'all': {'exact_accuracy': nan}, 'x': -1.5, 'y': inf}",
            "config": '{"lr": 0.1, "ema": true}',
        }
    ]
    row = parse_wandb_export(quoted(tmp_path / "api.csv", rows)).iloc[0]
    assert pd.isna(row["test_accuracy"])
    assert (row["x"], row["lr"], bool(row["ema"])) == (-1.5, 0.1, True)
    mark = tmp_path / "ran"
    rows[0]["summary"] = f"{{'a': open({str(mark)!r}, 'w')}}"
    with pytest.raises(UserError, match=r"row 1, column summary.*is no plain value"):
        parse_wandb_export(quoted(tmp_path / "api.csv", rows))
    assert not mark.exists()


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("t.csv", "", "is empty"),
        ("t.csv", "a,b\n1,2\n", "no export of Weights & Biases that is known: its columns are 'a', 'b'"),
        ("t.csv", "Name,lr,lr\na,1,2\n", "two columns of one name: lr"),
        ("t.csv", "name,summary\na,not a dictionary\n", "row 1, column summary"),
        ("t.csv", "name,summary\na," + "{'a':" * 300 + "\n", "row 1, column summary"),
        ("t.csv", "name,summary\na,3\n", "is no dictionary"),
        ("t.json", "{", "is no JSON"),
        ("t.json", "[1]", "no list of runs"),
        ("t.json", '[{"config": {}}]', "row 1: the run has no name"),
        ("t.txt", "", "holds no CSV and no JSON"),
    ],
)
def test_what_is_no_export_is_refused(file: str, content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(content)
    with pytest.raises(UserError, match=said):
        parse_wandb_export(tmp_path)


def test_a_missing_file_is_refused_and_a_byte_order_mark_passed_over(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        parse_wandb_export(tmp_path / "gone.csv")
    (tmp_path / "t.csv").write_text('\ufeff"Name","lr"\n"a","0.5"\n')
    row: Any = parse_wandb_export(tmp_path).iloc[0]
    assert (row["experiment"], row["lr"]) == ("a", 0.5)


def test_a_header_alone_is_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('"Name","State"\n')
    assert parse_wandb_export(tmp_path).empty


@pytest.mark.parametrize("digits", [20, 400, 5000])
def test_numbers_of_too_many_digits_stay_text_under_their_own_key(digits: int, tmp_path: Path) -> None:
    large = "9" * digits
    (tmp_path / "t.csv").write_text(f"Name,num_params,foo,both\na,{large},{large},1e999\nb,7,7,1\n")
    table = parse_wandb_export(tmp_path / "t.csv")
    rows: Any = table.to_dict("records")
    assert rows[0]["params"] != rows[0]["params"]
    assert (rows[0]["num_params"], rows[0]["foo"], rows[0]["both"]) == (large, large, "1e999")
    assert (rows[1]["params"], rows[1]["foo"]) == (7, "7")
    write_results(table, tmp_path / "again.csv")
    assert read_results(tmp_path / "again.csv")["foo"].tolist() == [large, "7"]


def test_json_numbers_that_no_column_holds_stay_text(tmp_path: Path) -> None:
    large = "9" * 400
    (tmp_path / "t.json").write_text(
        f'[{{"name": "a-s{"1" * 30}", "config": {{"lr": {large}, "num_params": {large}, "foo": {large}, '
        '"data_path": "x-' + "1" * 30 + '-aug-5"}}]'
    )
    row: Any = parse_wandb_export(tmp_path / "t.json").to_dict("records")[0]
    assert (row["lr (W&B)"], row["num_params"], row["foo"]) == (large, large, large)
    assert row["lr"] != row["lr"]


def test_a_chart_whose_step_is_no_count_has_no_best_step(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('"Step","a - eval/exact_rate"\n1e300,0.5\n')
    row: Any = parse_wandb_export(tmp_path / "t.csv").to_dict("records")[0]
    assert row["val_accuracy"] == 0.5
    assert row["best_step"] != row["best_step"]


def test_no_supervision_steps_make_no_cost_of_halting(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "Name,inference_flops,test/best/halting_rule_mean_steps,halt_max_steps\na,5,2,0\n"
    )
    assert parse_wandb_export(tmp_path / "t.csv")["halting_inference_flops"].isna().all()


def test_rows_of_one_name_in_one_file_are_not_compared_with_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    is_one, name_of = parse._may_be_one, vars(files.RawRun)["name"].fget

    def may_be_one(a: files.RawRun, b: files.RawRun) -> bool:
        compared.append("rows")
        return is_one(a, b)

    def name(run: files.RawRun) -> str:
        compared.append("name")
        return str(name_of(run))

    monkeypatch.setattr(parse, "_may_be_one", may_be_one)
    monkeypatch.setattr(files.RawRun, "name", property(name))
    (tmp_path / "runs.csv").write_text("Name,lr\n" + "".join(f"a,{n}\n" for n in range(200)))
    assert len(parse_wandb_export(tmp_path / "runs.csv")) == 200
    header = ",".join(f'"{run} - {metric}"' for run in "ab" * 100 for metric in ("err", "acc"))
    (tmp_path / "chart.csv").write_text(f'"Step",{header}\n1,{",".join(["0.5"] * 400)}\n')
    table = parse_wandb_export(tmp_path / "chart.csv")
    assert (len(table), table["err"].count(), table["acc"].count()) == (200, 200, 200)
    assert compared.count("rows") == 0
    assert compared.count("name") < 10 * 400
