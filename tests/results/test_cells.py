"""Cells that people write: separators, signs, infinities, and what is not certain."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.results.wandb_exports import chart, quoted
from trm_scaling.cli.app import app
from trm_scaling.errors import UserError
from trm_scaling.results.csv_file import read_sheet
from trm_scaling.results.frame import cell_of, cells_of
from trm_scaling.results.table import check_replicates, where
from trm_scaling.results.wandb_export import parse_wandb_export


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("6,830,000", "count", 6_830_000),
        ("112,000", "count", 112_000),
        ("1 730 000", "count", 1_730_000),
        ("1'730'000", "count", 1_730_000),
        ("1_730_000", "count", 1_730_000),
        ("1.730.000", "count", 1_730_000),
        ("6,830,000", "number", 6_830_000.0),
        ("1,234.5", "number", 1234.5),
        ("-1,234.5", "number", -1234.5),
        ("87.4%", "number", 0.874),
        ("87.4 %", "number", 0.874),
        ("Infinity", "number", None),
        ("-inf", "number", None),
        ("inf", "count", None),
        ("NaN", "count", None),
    ],
)
def test_what_is_certain_is_read(text: str, kind: Any, value: object) -> None:
    assert cell_of(text, kind) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *(
            ("1,234", "number"),
            ("0,873", "number"),
            ("0,8735", "number"),
            ("0,873", "count"),
            ("1,5", "count"),
        ),
        *(("1,23,456", "number"), ("1.234", "count"), ("12%", "count"), ("n/a", "number"), ("8e", "number")),
        *(("1,234.567.8", "number"), ("1,000 000", "count"), ("%", "number")),
    ],
)
def test_what_is_not_certain_is_refused(text: str, kind: Any) -> None:
    with pytest.raises(ValueError, match="is no"):
        cell_of(text, kind)


def test_a_column_of_another_program_is_numbers_where_one_cell_makes_it_certain() -> None:
    assert cells_of(["112,000", "1,730,000", None]) == [112_000, 1_730_000, None]
    assert cells_of(["12%", "50%"]) == [0.12, 0.5]
    assert cells_of(["1,234", "5"]) == ["1,234", "5"]
    assert cells_of(["0,1", "0,2"]) == ["0,1", "0,2"]


@pytest.fixture
def cases(shared: Path) -> Path:
    folder = shared / "cases"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


def fit(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["fit", *arguments])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def used(*arguments: str) -> tuple[int, list[str]]:
    """How many runs were fitted, and the reasons of the others."""
    found = json.loads(fit(*arguments, "--json"))
    return found["fit"]["runs"], found["excluded"]


@pytest.mark.parametrize("name", ["thousands.csv", "percent_sign.csv"])
def test_separators_and_percent_signs_change_nothing(cases: Path, name: str) -> None:
    table = parse_wandb_export(cases / "wandb" / name)
    assert table["params"].tolist()[-1] == 15_300_000
    assert table["test_accuracy"].tolist() == pytest.approx([0.3848, 0.5511, 0.6622, 0.7089, 0.7357, 0.7667])


def test_an_empty_column_is_named_with_the_number_of_runs(cases: Path) -> None:
    with pytest.raises(UserError, match=r"none of its 6 runs .* test_accuracy has no value in 6;"):
        fit("--csv", str(cases / "wandb" / "empty_metric.csv"), "--x", "params")


def test_infinities_are_left_out_and_listed(cases: Path) -> None:
    count, excluded = used("--csv", str(cases / "wandb" / "inf_acc.csv"), "--x", "params")
    assert count == 5
    assert excluded == ["trm-h256, seed 0: no test_accuracy"]
    count, excluded = used(
        "--csv", str(cases / "fit" / "loss_inf_cycles.csv"), "--law", "loss", "--x", "params"
    )
    assert count == 8
    assert excluded == ["e5: no test_loss"]


def test_the_message_names_the_option_that_leaves_runs_out(cases: Path) -> None:
    asked = ("--csv", str(cases / "fit" / "zero_x.csv"), "--x", "num_aug")
    with pytest.raises(UserError, match="--where 'num_aug>0'"):
        fit(*asked)
    assert used(*asked, "--where", "num_aug>0")[0] == 5


def test_cells_that_cannot_be_read_are_no_missing_cells(tmp_path: Path) -> None:
    rows = [{"Name": f"run{n}", "num_params": 10**n, "all.exact_accuracy": f"{n}/10"} for n in range(1, 6)]
    file = quoted(tmp_path / "comma.csv", rows)
    with pytest.raises(
        UserError, match=r"has no value in 5; run1: no test_accuracy .all\.exact_accuracy is '1/10'"
    ):
        fit("--csv", str(file), "--x", "params")
    rows[0]["all.exact_accuracy"] = "n/a"
    rows[1:] = [{**row, "all.exact_accuracy": f"{n / 10}"} for n, row in enumerate(rows[1:], start=2)]
    assert used("--csv", str(quoted(tmp_path / "some.csv", rows)), "--x", "params")[1] == [
        "run1: no test_accuracy (all.exact_accuracy is 'n/a')"
    ]


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("x>1", ["b", "c"]),
        ("x >= 2", ["b", "c"]),
        ("x!=2", ["a", "c"]),
        ("x=1e0", ["a"]),
        ("kind=adamw", ["b"]),
        ("kind!=adamw", ["a"]),
        ("flag=true", ["a"]),
        ("x<=1,730,000", ["a", "b", "c"]),
    ],
)
def test_runs_are_chosen_by_their_columns(condition: str, kept: list[str]) -> None:
    table = pd.DataFrame(
        {
            "name": ["a", "b", "c"],
            "x": [1, 2, 3],
            "kind": ["lion", "adamw", None],
            "flag": [True, False, False],
        }
    )
    assert where(table, [condition])["name"].tolist() == kept


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("nam_aug>0", "did you mean num_aug"),
        ("num_aug", "is no condition"),
        ("num_aug>much", "'much' is no number"),
    ],
)
def test_a_condition_that_is_none_is_refused(condition: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        where(pd.DataFrame({"num_aug": [1]}), [condition])


def test_wrapped_configurations_are_unwrapped(cases: Path, tmp_path: Path) -> None:
    table = parse_wandb_export(cases / "wandb" / "api_desc_value.json")
    assert not [name for name in table.columns if name.endswith((".value", ".desc"))]
    assert table["lr"].tolist() == [1e-4] * 6
    assert table["hidden_size"].tolist() == [64, 128, 256, 384, 512, 768]
    runs = json.loads((cases / "wandb" / "api_desc_value.json").read_text())
    texts = [
        {**run, "config": json.dumps(run["config"]), "summary": json.dumps(run["summary"])} for run in runs
    ]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    pd.testing.assert_frame_equal(parse_wandb_export(tmp_path / "texts.json"), table)
    quoted(tmp_path / "texts.csv", texts)
    pd.testing.assert_frame_equal(parse_wandb_export(tmp_path / "texts.csv"), table)


def test_seeds_of_one_configuration_are_replicates(tmp_path: Path) -> None:
    config = {"lr": {"desc": None, "value": 0.1}}
    runs = [
        {"name": "try", "summary": {}, "config": config | {"seed": {"desc": None, "value": seed}}}
        for seed in range(3)
    ]
    (tmp_path / "runs.json").write_text(json.dumps(runs))
    table = parse_wandb_export(tmp_path / "runs.json")
    assert table["seed"].tolist() == [0, 1, 2]
    assert table["experiment"].unique().tolist() == ["try"]
    check_replicates(table)


@pytest.mark.parametrize("group", ["Group: wide", "arch.hidden_size: 512", "optimizer: adamw lr: 0.1"])
def test_the_mean_of_a_group_is_no_run(group: str, tmp_path: Path) -> None:
    header = ["Step", *(f"{group} - all.exact_accuracy{end}" for end in ("", "__MIN", "__MAX"))]
    file = chart(tmp_path / "chart.csv", header, [[1, 0.5, 0.2, 0.7]])
    with pytest.raises(UserError, match="mean of several runs"):
        parse_wandb_export(file)


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("a;b\n1;0,5\n2;0,25\n", [["1", "0.5"], ["2", "0.25"]]),
        ("a\tb\n1\t0.5\n", [["1", "0.5"]]),
        ('a,b\n1,"0,500"\n2,"0,505"\n', [["1", "0.500"], ["2", "0.505"]]),
        # Thousands, or not certain: as they are.
        ('a,b\n1,"1,500"\n2,"2,505"\n', [["1", "1,500"], ["2", "2,505"]]),
        ('a,b\n1,"0,5"\n2,"x"\n', [["1", "0,5"], ["2", "x"]]),
        ('a,b\n1,"2,4,6"\n', [["1", "2,4,6"]]),
    ],
)
def test_other_spreadsheets_signs_are_read_where_they_are_certain(
    text: str, cells: list[list[str]], tmp_path: Path
) -> None:
    (tmp_path / "runs.csv").write_text(text)
    assert read_sheet(tmp_path / "runs.csv").rows == cells
