"""`trm results` as a user types it."""

import csv
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.results.made_up import PROFILE, bare_study, make_up_run, make_up_study
from tests.results.wandb_exports import quoted
from trm_scaling.cli.app import app
from trm_scaling.errors import UserError
from trm_scaling.io.study import Study
from trm_scaling.results.columns import columns
from trm_scaling.results.csv_file import read_results
from trm_scaling.results.table import results_table


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two families and the baseline, two seeds, a failed run."""
    names = ["baseline", *(f"exp01{x}" for x in "acf"), "exp07a", "exp07b"]
    return make_up_study(tmp_path_factory.mktemp("results"), 2, names=names, troubles=True)


@pytest.fixture(autouse=True)
def _no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRM_PROFILE", raising=False)


def call(study: Study, *arguments: str) -> str:
    """What `trm results` prints."""
    done = CliRunner().invoke(app, ["results", *arguments], env={"TRM_STUDY": str(study.path)})
    if done.exception is not None:
        raise done.exception
    return done.stdout


def line_of(printed: str, name: str) -> list[str]:
    """The words of the line of the experiment `name`."""
    return next(line for line in printed.splitlines() if line.split()[:1] == [name]).split()


def test_experiments_are_listed_by_family_with_accuracy_and_interval(study: Study) -> None:
    printed = call(study)
    table = results_table(study, ["exp01a"])
    words = line_of(printed, "exp01a")
    assert words[1:3] == ["2", f"{table['test_accuracy'].mean():.1%}"]
    assert words[4] == "to"
    assert "1,483,778" in words
    assert "exp01c = baseline" in printed
    titles = [printed.index(title) for title in ("exp01 Model size", "exp07 Precision")]
    assert titles == sorted(titles)
    assert "exp01f seed 1 failed: out of memory: made up: memory was short" in printed
    assert line_of(printed, "exp01f")[1:4] == ["1", "of", "2"]
    assert printed.splitlines()[-1] == "8 runs: 7 finished, 1 failed"


def test_a_pattern_chooses_and_names_runs(study: Study) -> None:
    printed = call(study, "--pattern", "exp01")
    assert "exp07a" not in printed
    assert "= baseline" not in printed
    assert line_of(printed, "exp01c")[1] == "2"
    with pytest.raises(UserError, match="nearest"):
        call(study, "--pattern", "exp1a")


def test_a_family_without_runs_of_its_own_is_not_listed_for_the_baselines(study: Study) -> None:
    assert "exp05" not in call(study)
    assert line_of(call(study, "--pattern", "exp05"), "exp05_d")[1] == "2"


def test_csv_makes_folders_and_holds_every_column(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "kellen" / "analysis" / "data" / "exp01_results.csv"
    printed = call(study, "--pattern", "exp01", "--csv", str(path))
    assert f"{path}: 6 runs: 5 finished, 1 failed, {len(columns())} columns" in printed
    pd.testing.assert_frame_equal(read_results(path), results_table(study, ["exp01"]))


def test_json_is_every_run_with_null_for_what_is_missing(study: Study) -> None:
    rows: list[dict[str, Any]] = json.loads(call(study, "--json"))
    assert len(rows) == 8
    assert list(rows[0]) == list(columns())
    failed = next(row for row in rows if row["state"] == "failed")
    assert (failed["test_accuracy"], failed["seed"]) == (None, 1)
    assert rows[0]["reason"] is None


def test_columns_are_explained(study: Study) -> None:
    printed = call(study, "--columns")
    assert len(printed.splitlines()) == len(columns())
    assert "throughput" in printed
    assert "number, samples/s" in printed
    described = json.loads(call(study, "--columns", "--json"))
    assert [each["name"] for each in described] == list(columns())


def test_an_empty_study_says_how_to_get_runs(tmp_path: Path) -> None:
    study = bare_study(tmp_path)
    assert "trm run baseline --profile smoke" in call(study)
    assert "`trm batch --pattern exp01` trains some" in call(study, "--pattern", "exp01")
    assert json.loads(call(study, "--json")) == []
    with pytest.raises(UserError, match=r"t\.csv was not written: no runs yet"):
        call(study, "--csv", str(tmp_path / "t.csv"))
    assert not (tmp_path / "t.csv").exists()


def test_profiles_stand_apart(tmp_path: Path) -> None:
    study = make_up_study(tmp_path, 1, names=["baseline"])
    make_up_run(study, "baseline", 0, profile="laptop")
    printed = call(study)
    assert [line for line in printed.splitlines() if line.startswith("profile ")] == [
        "profile laptop",
        f"profile {PROFILE}",
    ]
    assert "choose one with --profile" in printed
    assert "made-up" not in call(study, "--profile", "laptop")


def test_an_export_of_wandb_takes_the_place_of_runs(study: Study, tmp_path: Path) -> None:
    rows = [
        {"Name": "exp01a", "State": "finished", "all.exact_accuracy": 0.5, "seed": 0},
        {"Name": "=x\n\x1b[31mred", "State": "crashed", "seed": 0},
    ]
    export = quoted(tmp_path / "export.csv", rows)
    printed = call(study, "--wandb", str(export))
    assert line_of(printed, "exp01a")[1:3] == ["1", "50.0%"]
    assert "\x1b" not in printed
    assert r"=x\n\x1b[31mred seed 0 interrupted: W&B: crashed" in printed
    call(study, "--wandb", str(export), "--csv", str(tmp_path / "t.csv"))
    with (tmp_path / "t.csv").open(newline="") as file:
        assert [row["experiment"] for row in csv.DictReader(file)] == ["exp01a", "'=x\n\x1b[31mred"]
    assert "is of what was asked for" in call(study, "--wandb", str(export), "--pattern", "exp02a")


def test_an_export_needs_no_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRM_STUDY", raising=False)
    export = quoted(tmp_path / "export.csv", [{"Name": "exp01a", "test_accuracy": 0.25}])
    done = CliRunner().invoke(app, ["results", "--wandb", str(export)])
    assert "25.0%" in done.stdout
