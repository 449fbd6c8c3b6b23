"""`generate_experiment_report`, as the seed calls it."""

from pathlib import Path

import pandas as pd
import pytest

from tests.report.conftest import Reported
from trm_scaling.errors import UserError
from trm_scaling.report import generate_experiment_report


@pytest.fixture(autouse=True)
def in_the_study(reported: Reported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRM_STUDY", str(reported.study.path))


def test_the_seed_s_example(reported: Reported, tmp_path: Path) -> None:
    csv = tmp_path / "exp07_results.csv"
    reported.table.to_csv(csv, index=False)
    folder = tmp_path / "analysis" / "reports"
    written = generate_experiment_report("Exp07", pd.read_csv(csv), f"{folder}/")
    assert written.html == folder / "exp07.html"
    text = written.html.read_text(encoding="utf-8")
    assert "exp07: Precision" in text
    assert "Made-up data." in text
    assert sorted(path.name for path in folder.iterdir()) == ["exp07.html", "exp07.md", "figures"]


def test_it_accepts_an_export_of_wandb(tmp_path: Path) -> None:
    export = pd.DataFrame(
        {
            "Name": ["exp01a", "exp01b", "exp01d", "exp01d", "exp01e", "<script>x</script>"],
            "State": ["finished", "finished", "finished", "finished", "crashed", "finished"],
            "test/best/exact_rate": [0.5, 0.6, 0.7, 0.71, None, 0.1],
            "seed": [0, 0, 0, 0, 0, 0],
            "arch.hidden_size": [256, 384, 768, 768, 1024, 1],
        }
    )
    text = generate_experiment_report("exp01", export, tmp_path).html.read_text(encoding="utf-8")
    assert "<script>x" not in text
    assert "70.0 %" in text
    assert "1 of 6 experiments has no finished run: exp01e" in text
    assert "no replicate" in text, "one name and seed twice is said and counted once"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("Exp02", "there is exp02a, exp02b"),
        ("exp01a", "there is exp01"),
        ("exp99", "there is exp"),
        ("../../x", "there is exp01, exp02a"),
    ],
)
def test_an_unknown_family_is_refused(reported: Reported, tmp_path: Path, asked: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        generate_experiment_report(asked, reported.table, tmp_path)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("exp01.csv", "results is a str"),
        (pd.DataFrame(), "no column experiment.*its columns are none"),
        (pd.DataFrame({"a": [1]}), "its columns are a"),
        (pd.DataFrame({"experiment": ["exp02a_01"]}), "no run of exp01.*its runs are exp02a_01"),
        (pd.DataFrame({"experiment": []}), "its runs are none at all"),
    ],
)
def test_a_table_that_says_nothing_of_it_is_refused(tmp_path: Path, table: object, said: str) -> None:
    with pytest.raises(UserError, match=said):
        generate_experiment_report("Exp01", table, tmp_path)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_nothing_but_names_and_accuracies(tmp_path: Path) -> None:
    table = pd.DataFrame({"experiment": ["exp07a", "exp07b"], "test_accuracy": [0.5, float("nan")]})
    text = generate_experiment_report("exp07", table, tmp_path).html.read_text(encoding="utf-8")
    assert "only exp07a has finished" in text


def test_a_folder_that_cannot_be_made_is_explained(reported: Reported, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"):
        generate_experiment_report("exp07", reported.table, tmp_path / "file" / "reports")


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        *((name, "abc", "'abc' is no") for name in ("test_accuracy", "params", "steps", "cost_usd", "seed")),
        ("test_accuracy", 92.0, "give it as a fraction of 1"),
        ("val_accuracy", -0.1, "fraction of 1"),
        ("params", -5, "-5 is negative"),
        ("hidden_size", 2.5, "2.5 is no count"),
        ("cost_usd", -1.0, "-1 is negative"),
    ],
)
def test_a_cell_that_its_column_cannot_hold_is_refused_by_name(
    tmp_path: Path, column: str, cell: object, said: str
) -> None:
    table = pd.DataFrame({"experiment": ["exp01a", "exp01b"], "test_accuracy": [0.5, 0.6]})
    table = table.assign(**{column: pd.Series([0, cell], dtype=object)})
    with pytest.raises(UserError, match=f"column {column}, row 2 of exp01b: .*{said}"):
        generate_experiment_report("exp01", table, tmp_path / "reports")
    assert not list(tmp_path.iterdir())


def test_percentages_in_an_export_are_refused_too(tmp_path: Path) -> None:
    export = pd.DataFrame({"Name": ["exp01a"], "test/best/exact_rate": [92.0]})
    with pytest.raises(UserError, match=r"column test_accuracy, row 1 of exp01a: 92 .*fraction of 1"):
        generate_experiment_report("exp01", export, tmp_path)


def test_numbers_that_were_read_as_text_are_numbers(tmp_path: Path) -> None:
    table = pd.DataFrame({"experiment": ["exp01a"], "test_accuracy": ["0.5"], "identity": [12345678]})
    text = generate_experiment_report("exp01", table, tmp_path).html.read_text(encoding="utf-8")
    assert "50.0 %" in text
