"""What runs are called where they are shown one by one, imported ones among them."""

import json
from pathlib import Path

from typer.testing import CliRunner

from tests.results.made_up import PROFILE, make_up_run, make_up_study
from trm_scaling.cli.app import app
from trm_scaling.io.study import Study
from trm_scaling.results.run_names import RunNames
from trm_scaling.results.scan import scan_runs, standing
from trm_scaling.results.table import results_table


def said(study: Study, *arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, env={"TRM_STUDY": str(study.path), "COLUMNS": "160"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_two_experiments_of_one_name_are_told_apart(tmp_path: Path) -> None:
    study = make_up_study(tmp_path, 1, names=["exp01a", "exp01c"])
    make_up_run(study, "exp01a", lr=0.25)
    make_up_run(study, "baseline", arch__halt_max_steps=5, seed=3)
    names = RunNames(study)
    called = sorted(names(run)[0] for run in scan_runs(study))
    assert called == ["baseline", "baseline[arch.halt_max_steps=5]", "exp01a", "exp01a[lr=0.25]"]
    # As the table of results calls them.
    assert set(called) == set(results_table(study)["experiment"])
    rows = json.loads(said(study, "status", "--json"))
    assert sorted(row["names"][0] for row in rows) == called


def test_the_list_shows_how_the_experiment_itself_stands(tmp_path: Path) -> None:
    study = make_up_study(tmp_path, 1, names=["exp01a"])
    make_up_run(study, "exp01b", lr=0.25)
    lines = {
        line.split()[0]: line.split()[1]
        for line in said(study, "batch", "--list").splitlines()
        if line[:2] == "  "
    }
    assert (lines["exp01a"], lines["exp01b"]) == ("finished", "new")


def test_imported_weights_are_called_so_and_are_no_run_of_the_baseline(tmp_path: Path) -> None:
    study = make_up_study(tmp_path, 2, names=["baseline"])
    (first, _) = scan_runs(study)
    folder = study.run_folder(PROFILE, "public", first.identity8, 0)
    folder.path.mkdir(parents=True)
    folder.config.write_bytes(first.folder.config.read_bytes())
    folder.imported.write_text(json.dumps({"from": "w.npz"}))
    assert standing(folder).state == "imported"
    table = results_table(study)
    assert table.groupby("experiment")["state"].agg(list).to_dict() == {
        "baseline": ["finished", "finished"],
        "public": ["imported"],
    }
    (row,) = json.loads(said(study, "status", "--json", "--pattern", "public"))
    assert (row["names"], row["state"]) == (["public"], "imported")
    assert "public" in said(study, "results", "--pattern", "public")
