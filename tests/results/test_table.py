"""The table of runs: each run once, none dropped, none mistaken for another."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.results.made_up import PROFILE, bare_study, make_up_run, make_up_study
from trm_scaling.errors import UserError
from trm_scaling.experiments import load_catalogue
from trm_scaling.io.study import Study
from trm_scaling.results.columns import columns
from trm_scaling.results.record import read_record
from trm_scaling.results.table import (
    check_replicates,
    family_rows,
    goes_by,
    one_profile,
    results_table,
)

BASELINE_NAMES = 17


def finished(table: pd.DataFrame, experiment: str) -> pd.DataFrame:
    return table[(table["experiment"] == experiment) & (table["state"] == "finished")]


def test_columns_are_the_documented_ones_and_cells_are_of_their_kinds(table: pd.DataFrame) -> None:
    assert list(table.columns) == list(columns())
    kinds = {
        "text": ["str"],
        "number": ["float64"],
        "flag": ["bool", "object"],
        "count": ["int64", "float64"],
    }
    wrong = [name for name, column in columns().items() if str(table[name].dtype) not in kinds[column.kind]]
    assert not wrong
    assert all(column.meaning and column.source for column in columns().values())


def test_cells_are_what_the_record_says(made_up: Study, table: pd.DataFrame) -> None:
    row = finished(table, "exp05_b").iloc[0]
    record = read_record(Path(row["folder"]) / "result.json")
    final = record.headline().summary["final"]
    assert (row["test_solved"], row["test_total"]) == (final["solved"], final["puzzles"])
    assert [row["test_accuracy_low"], row["test_accuracy_high"]] == final["interval_95"]
    best = next(line for line in record.learning_curve if line["step"] == record.best_step)
    assert best["eval/solved"] == max(line["eval/solved"] for line in record.learning_curve)
    assert (row["val_accuracy"], row["val_loss"]) == (best["eval/exact_rate"], best["eval/loss"])
    scores = {(each.at, each.ema_rate): each.summary["final"]["exact_rate"] for each in record.tested()}
    assert row["test_accuracy_last"] == scores["last", record.config["ema_rate"]]
    assert row["test_accuracy_unaveraged"] == scores["best", None]
    assert row["params"] == record.parameters
    assert row["throughput"] == record.examples_per_s
    assert (row["halt_max_steps"], row["lr"], row["data.seed"]) == (8, 1e-4, 0)
    spent = record.compile_s + record.train_s + record.eval_s + record.checkpoint_s
    assert row["device_hours"] == pytest.approx(spent / 3600 * 32)
    assert row["cost_usd"] == pytest.approx(row["device_hours"] * 3.22)
    assert row["halting_inference_flops"] == pytest.approx(
        record.inference_flops * row["halting_mean_steps"] / 8
    )


def test_a_run_without_average_is_unaveraged_as_it_stands(table: pd.DataFrame) -> None:
    runs = finished(table, "exp08a")
    assert (runs["test_accuracy_unaveraged"] == runs["test_accuracy"]).all()


def test_a_run_without_known_price_misses_those_cells(tmp_path: Path) -> None:
    study = bare_study(tmp_path)
    folder = make_up_run(study, "baseline")
    record = json.loads(folder.result.read_bytes())
    record |= {"device_kind": "cpu", "mfu": None, "commit": None}
    folder.result.write_text(json.dumps(record))
    row = results_table(study).iloc[0]
    assert pd.isna(row["cost_usd"])
    assert pd.isna(row["mfu"])
    assert pd.isna(row["commit"])
    assert row["device_hours"] > 0
    assert row["num_aug"] == 1000


def test_records_from_before_losses_were_measured_miss_them(tmp_path: Path) -> None:
    study = bare_study(tmp_path)
    folder = make_up_run(study, "baseline")
    record = json.loads(folder.result.read_bytes())
    for scores in record["test"]:
        del scores["summary"]["final"]["loss"]
    for line in record["learning_curve"]:
        del line["eval/loss"]
    folder.result.write_text(json.dumps(record))
    row = results_table(study).iloc[0]
    assert row["state"] == "finished"
    assert row[["val_loss", "test_loss"]].isna().all()


def test_unfinished_failed_and_damaged_runs_are_rows_with_a_reason(table: pd.DataFrame) -> None:
    rows = table[table["state"] != "finished"].set_index("experiment")
    assert rows["state"].to_dict() == {
        "exp01f": "failed",
        "exp02a_06": "interrupted",
        "exp05_f": "stopped",
        "exp07c": "failed",
        "exp09e": "damaged",
    }
    assert "memory" in str(rows.loc["exp01f", "reason"])
    assert "non finite" in str(rows.loc["exp07c", "reason"])
    assert "not JSON" in str(rows.loc["exp09e", "reason"])
    assert rows["reason"].notna().all()
    assert rows["test_accuracy"].isna().all()
    assert (rows["hidden_size"].notna() & rows["started"].notna()).all()
    assert table.loc[table["state"] == "finished", "reason"].isna().all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 4}, "version 1 or 2 or 3"),
        ({"config": None}, "no configuration"),
        ({"test": []}, "best"),
        ({"parameters": "many"}, "params should be a count"),
        ({"parameters": 10**30}, "params should be a count"),
        ({"learning_curve": [1]}, "of another kind"),
        ({"device_count": None}, "of another kind"),
    ],
)
def test_a_record_that_is_wrong_somewhere_is_a_row_that_says_so(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    study = bare_study(tmp_path)
    folder = make_up_run(study, "exp01a")
    folder.result.write_text(json.dumps(json.loads(folder.result.read_bytes()) | change))
    row = results_table(study).iloc[0]
    assert (row["experiment"], row["state"], row["seed"]) == ("exp01a", "damaged", 0)
    assert said in row["reason"]
    assert row["hidden_size"] == 256


def test_a_run_that_broke_off_before_it_had_a_configuration_is_a_row(tmp_path: Path) -> None:
    study = make_up_study(tmp_path, 1, names=["baseline"])
    (study.checkpoints / PROFILE / "baseline" / "0123abcd-s3").mkdir()
    table = results_table(study)
    assert table["state"].tolist() == ["finished", "new"]
    assert table["identity"].iloc[1] == "0123abcd"
    assert table["experiment"].iloc[1] != "baseline"


def test_names_that_share_a_run_count_it_once_with_links_or_without(tmp_path: Path) -> None:
    for links in (True, False):
        study = make_up_study(
            tmp_path / str(links), 2, names=["baseline", "exp01c", "exp02a_03"], links=links
        )
        table = results_table(study)
        assert len(table) == 2
        assert set(table["experiment"]) == {"baseline"}
        assert len(table["names"].iloc[0].split(", ")) == BASELINE_NAMES
        assert set(results_table(study, ["exp02a"])["experiment"]) == {"exp02a_03"}
        assert set(results_table(study, ["exp02a"])["family"]) == {"exp02a"}


def test_a_run_is_called_by_the_first_of_its_names_that_was_asked_for(made_up: Study) -> None:
    table = results_table(made_up, ["exp02a", "exp01"])
    assert set(table["experiment"]) == {
        *(f"exp01{x}" for x in "abcdef"),
        *(f"exp02a_0{n}" for n in (1, 2, 4, 5, 6)),
    }


def test_overrides_are_another_experiment(tmp_path: Path) -> None:
    study = make_up_study(tmp_path, 2, names=["baseline"])
    for seed in (0, 1):
        make_up_run(study, "baseline", seed, lr=1e-3)
    make_up_run(study, "baseline", 0, optimizer="lion", data__path="my data")
    table = results_table(study)
    plain = table[table["overrides"] == ""]
    assert set(plain["experiment"]) == {"baseline"}
    assert len(plain) == 2
    assert table["experiment"].tolist()[2:] == [
        "baseline[data.path='my data' optimizer=lion]",
        "baseline[lr=0.001]",
        "baseline[lr=0.001]",
    ]
    assert set(table["names"].iloc[2:]) == {"baseline"}
    family = family_rows(table, load_catalogue(study.path).families[0])
    assert family["experiment"].tolist() == ["exp01c", "exp01c"]


def test_overrides_that_make_another_experiment_are_that_experiment(tmp_path: Path) -> None:
    study = bare_study(tmp_path)
    make_up_run(study, "baseline", 0, lr=3e-4, puzzle_emb_lr=3e-4)
    row = results_table(study).iloc[0]
    assert (row["experiment"], row["names"], row["overrides"]) == ("exp10c", "exp10c", "")


def test_runs_of_a_name_that_is_no_experiment_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    study = bare_study(tmp_path)
    for seed, lr in ((0, 2e-4), (1, 2e-4), (0, 5e-4)):
        folder = make_up_run(study, "baseline", seed, lr=lr).path
        home = study.checkpoints / PROFILE / "imported" / folder.name
        home.parent.mkdir(exist_ok=True)
        folder.rename(home)
    assert results_table(study)["experiment"].tolist() == [
        "imported[lr=0.0002]",
        "imported[lr=0.0002]",
        "imported[lr=0.0005]",
    ]
    shutil.rmtree(home)
    assert results_table(study)["experiment"].tolist() == ["imported", "imported"]


def test_a_run_of_an_older_schema_keeps_its_name_until_a_newer_one_stands_beside_it(tmp_path: Path) -> None:
    study = bare_study(tmp_path)
    folder = make_up_run(study, "exp01a")
    record = json.loads(folder.result.read_bytes()) | {"identity": "f" * 64}
    del record["config"]["arch"]["inner_multiple"]
    folder.result.write_text(json.dumps(record))
    folder.path.rename(folder.path.with_name("ffffffff-s0"))
    assert results_table(study)["experiment"].tolist() == ["exp01a"]
    make_up_run(study, "exp01a")
    assert set(results_table(study)["experiment"]) == {"exp01a", "exp01a[identity=ffffffff]"}


def test_a_copy_of_a_run_counts_once_and_another_training_of_it_is_a_duplicate(tmp_path: Path) -> None:
    study = make_up_study(tmp_path, 1, names=["baseline"])
    home = next(study.checkpoints.glob("*/baseline/*"))
    copy = study.checkpoints / PROFILE / "exp01c" / home.name
    shutil.copytree(home, copy)
    assert results_table(study)["state"].tolist() == ["finished"]
    record = json.loads((copy / "result.json").read_bytes()) | {"weights_sha256": "1" * 64}
    (copy / "result.json").write_text(json.dumps(record))
    table = results_table(study)
    assert sorted(table["state"]) == ["duplicate", "finished"]
    assert str(home) in str(table.set_index("state").loc["duplicate", "reason"])


def test_an_empty_study_is_an_empty_table(tmp_path: Path) -> None:
    table = results_table(bare_study(tmp_path))
    assert table.empty
    assert list(table.columns) == list(columns())


def test_a_pattern_that_fits_nothing_is_refused_with_the_nearest(made_up: Study) -> None:
    with pytest.raises(UserError, match=r"nearest: .*exp01a"):
        results_table(made_up, ["exp1a"])
    assert len(results_table(made_up, ["exp02a_0[12]"])) == 4


def test_profiles_are_never_pooled(tmp_path: Path) -> None:
    study = make_up_study(tmp_path, 1, names=["baseline", "exp01a"])
    make_up_run(study, "baseline", 0, profile="laptop")
    table = results_table(study)
    assert sorted(table["profile"]) == ["laptop", PROFILE, PROFILE]
    with pytest.raises(UserError, match=r"laptop \(1 run\), made-up \(2 runs\).*--profile"):
        one_profile(table)
    assert len(one_profile(table, PROFILE)) == 2
    assert one_profile(one_profile(table, "laptop"))["profile"].tolist() == ["laptop"]
    with pytest.raises(UserError, match="no run of profile 'smoke'"):
        one_profile(table, "smoke")
    assert set(results_table(study, profile="laptop")["profile"]) == {"laptop"}


def test_a_family_has_its_own_name_for_the_baseline(table: pd.DataFrame, made_up: Study) -> None:
    families = {family.key: family for family in load_catalogue(made_up.path).families}
    rows = family_rows(table, families["exp05"])
    assert list(dict.fromkeys(rows["experiment"])) == list(families["exp05"].names)
    assert set(rows["family"]) == {"exp05"}
    assert family_rows(table.iloc[:0], families["exp05"]).empty


def test_rows_are_chosen_by_any_of_their_names(table: pd.DataFrame) -> None:
    assert set(goes_by(table, ["exp01c"])["experiment"]) == {"baseline"}
    assert goes_by(table, ["exp01c"], by="experiment").empty
    assert len(goes_by(table, [])) == len(table)


def test_finished_runs_that_may_be_the_same_are_refused() -> None:
    rows = {"experiment": ["a", "a", "b"], "profile": [None] * 3, "state": ["finished"] * 3}
    check_replicates(pd.DataFrame(rows | {"seed": [0.0, 1.0, 0.0]}))
    with pytest.raises(UserError, match="'a', 2 of them with seed 1"):
        check_replicates(pd.DataFrame(rows | {"seed": [1.0, 1.0, 0.0]}))
    with pytest.raises(UserError, match="'a', 1 of them with no seed"):
        check_replicates(pd.DataFrame(rows | {"seed": [1.0, None, None]}))


def test_jax_is_not_imported(made_up: Study) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from trm_scaling.io.study import Study\n"
        "from trm_scaling.results.table import results_table\n"
        "assert len(results_table(Study(Path(sys.argv[1]))))\n"
        "print([name for name in ('jax', 'matplotlib', 'scipy') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(made_up.path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_record_says_what_its_run_was_when_it_began(tmp_path: Path) -> None:
    """The study may have changed since: nothing is worked out again from what it holds now."""
    study = bare_study(tmp_path)
    folder = make_up_run(study, "exp01a", lr=0.25)
    known = {"names": ["exp01a", "mine"], "family": "exp01", "overrides": {"beta2": 0.5}}
    record = json.loads(folder.result.read_bytes()) | known | {"version": 2}
    folder.result.write_text(json.dumps(record))
    row = results_table(study).iloc[0]
    assert (row["experiment"], row["names"]) == ("exp01a[beta2=0.5]", "exp01a, mine")
    folder.result.write_text(json.dumps(record | dict.fromkeys(known) | {"version": 1}))
    row = results_table(study).iloc[0]
    assert (row["experiment"], row["names"]) == ("exp01a[lr=0.25]", "exp01a")
