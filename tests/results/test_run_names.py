"""What runs are called where they are shown one by one, imported ones among them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.results.made_up import PROFILE, bare_study, make_up_run, make_up_study
from trm_scaling.cli.app import app
from trm_scaling.config.compose import compose
from trm_scaling.config.identity import identity
from trm_scaling.experiments import load_catalogue
from trm_scaling.io.study import Study
from trm_scaling.results.run_names import PlainExperiments, RunNames
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


KELLEN = Path(__file__).resolve().parents[2] / "kellen"
CATALOGUE = load_catalogue(KELLEN)
PLAIN = PlainExperiments(KELLEN / "configs")


@pytest.mark.parametrize("profile", ["paper", "h200", "laptop", "smoke"])
def test_names_of_one_identity_are_the_catalogues_aliases(profile: str) -> None:
    for name in CATALOGUE.names:
        names = CATALOGUE.names_of(identity(compose(KELLEN / "configs", name, profile))[:8], profile)
        assert name in names
        assert (CATALOGUE.alias_of(name, profile) or name) == names[0]


def test_overrides_are_the_fields_of_science_that_differ() -> None:
    config = compose(KELLEN / "configs", "exp01a", "paper", ["lr=3e-4", "system.remat=true", "seed=4"])
    assert PLAIN.overrides("exp01a", "paper", config.model_dump(mode="json")) == {"lr": 3e-4}


def test_a_field_that_follows_another_is_not_named_twice() -> None:
    config = compose(KELLEN / "configs", "baseline", "paper", ["arch.hidden_size=256"])
    assert config.arch.puzzle_emb_ndim == 256
    changed = PLAIN.overrides("baseline", "paper", config.model_dump(mode="json"))
    assert changed == {"arch.hidden_size": 256}


def test_a_record_from_before_a_field_existed_has_its_default() -> None:
    values = compose(KELLEN / "configs", "baseline", "paper").model_dump(mode="json")
    del values["arch"]["inner_multiple"], values["eval_puzzles"]
    assert PLAIN.overrides("baseline", "paper", values) == {}


def test_an_unknown_name_and_an_unknown_profile_are_nothing() -> None:
    assert PLAIN.config("mine", "paper") is None
    assert PLAIN.config("baseline", "gone") is None
    assert CATALOGUE.names_of("16098b21", "gone") == ()


def test_a_file_edited_by_hand_counts_as_it_is(tmp_path: Path) -> None:
    study = bare_study(tmp_path)
    file = study.configs / "experiments" / "exp10a.yaml"
    file.write_text(file.read_text() + "\nweight_decay: 0.5\n")
    config = PlainExperiments(study.configs).config("exp10a", PROFILE)
    assert config is not None
    assert (config.lr, config.weight_decay) == (3e-5, 0.5)


def test_an_experiment_that_only_has_a_file_is_composed(tmp_path: Path) -> None:
    study = bare_study(tmp_path)
    (study.configs / "experiments" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - /baseline\n  - _self_\n\nbeta2: 0.9\n"
    )
    plain = PlainExperiments(study.configs)
    config = plain.config("mine", PROFILE)
    assert config is not None
    assert config.beta2 == 0.9
    assert load_catalogue(study.path).names_of(identity(config)[:8], PROFILE) == ("mine",)
