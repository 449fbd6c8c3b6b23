"""One configuration, several names: one folder, whoever asks, in whichever order."""

import json
import threading
from pathlib import Path

import pytest

from tests.run.test_single import Recorder
from tests.run.tiny import TINY, copy_of, make_study
from trm_scaling.config.compose import load
from trm_scaling.errors import UserError
from trm_scaling.io.study import Study
from trm_scaling.results.scan import scan_runs
from trm_scaling.run.planned import Run, find_run, plan_run
from trm_scaling.run.single import execute

ALIAS, OTHER_ALIAS, OWN = "exp02a_03", "exp09a", "exp01a"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path)


def planned(study: Study, name: str, *overrides: str) -> Run:
    return plan_run(study, name, "smoke", overrides)


def test_planning_makes_nothing(study: Study) -> None:
    before = sorted(study.data_root.rglob("*"))
    assert planned(study, ALIAS).folder.path.parent.name == "baseline"
    assert planned(study, OWN).folder.path.parent.name == OWN
    assert sorted(study.data_root.rglob("*")) == before


def test_names_of_the_baseline_share_its_folder(study: Study) -> None:
    shared = planned(study, ALIAS).path.claim()
    assert shared.path.parent.name == "baseline"
    assert planned(study, "baseline").path.claim() == shared
    link = study.checkpoints / "smoke" / ALIAS / shared.path.name
    assert link.readlink() == Path("../baseline") / shared.path.name
    assert planned(study, OTHER_ALIAS).folder == shared
    assert planned(study, OTHER_ALIAS, "seed=1").folder != shared
    assert planned(study, OTHER_ALIAS, "lr=0.5").folder != shared


def test_overrides_can_make_two_names_one_run(study: Study) -> None:
    makes_both_equal = [f"arch.{key}" for key in ("hidden_size=20", "num_heads=4", "puzzle_emb_ndim=20")]
    runs = [planned(study, name, *makes_both_equal, "lr=0.5") for name in (OWN, "exp01b", "baseline")]
    assert len({run.folder.path for run in runs}) == 1
    assert {run.preferred for run in runs} == {"baseline"}


def test_a_run_that_is_there_keeps_its_place(study: Study) -> None:
    """As one has that was begun when its name was not yet the baseline's."""
    run = planned(study, ALIAS)
    there = study.run_folder("smoke", ALIAS, run.path.identity, 0)
    there.path.mkdir(parents=True)
    assert planned(study, "baseline").path.claim() == there
    assert planned(study, OTHER_ALIAS).path.claim() == there
    assert (study.checkpoints / "smoke" / "baseline" / there.path.name).is_symlink()
    assert not there.path.is_symlink()


def test_imported_weights_are_no_run_of_an_experiment(study: Study) -> None:
    run = planned(study, "baseline")
    study.run_folder("smoke", "imported", run.path.identity, 0).path.mkdir(parents=True)
    assert run.folder.path.parent.name == "baseline"


def test_a_link_to_a_folder_that_is_gone_is_made_anew(study: Study) -> None:
    run = planned(study, ALIAS)
    shared = run.path.claim()
    shared.path.rmdir()
    assert planned(study, ALIAS).folder == shared
    assert not shared.path.exists()
    assert run.path.claim() == shared
    assert shared.path.is_dir()


def test_names_that_claim_at_once_get_one_folder(study: Study) -> None:
    names = [ALIAS, OTHER_ALIAS, "baseline", "exp08d", "exp10b", "exp05_d"]
    places = [planned(study, name).path for name in names]
    barrier = threading.Barrier(len(places))
    found: list[Path] = []

    def claim(index: int) -> None:
        barrier.wait()
        found.append(places[index].claim().path)

    threads = [threading.Thread(target=claim, args=(index,)) for index in range(len(places))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    (run,) = scan_runs(study)
    assert run.names[0] == "baseline"
    assert sorted(run.names) == sorted(names)
    assert not list(study.checkpoints.rglob("*.tmp"))


def test_a_study_that_moved_keeps_its_links(study: Study, tmp_path: Path) -> None:
    name = planned(study, ALIAS).path.claim().path.name
    moved = study.data_root.rename(tmp_path.with_name(tmp_path.name + "_moved"))
    assert (moved / "kellen" / "checkpoints" / "smoke" / ALIAS / name).is_dir()


def test_a_run_is_found_by_each_of_its_names(study: Study) -> None:
    with pytest.raises(UserError, match=f"train it with `trm run {ALIAS} --profile smoke`"):
        find_run(study, ALIAS, "smoke")
    folder = planned(study, "baseline").path.claim()
    (folder.checkpoints / "00000010").mkdir(parents=True)
    assert find_run(study, "baseline", "smoke") == folder
    # Nobody asked for it by this name yet, and it is the same run.
    assert find_run(study, ALIAS, "smoke") == folder
    variant = planned(study, ALIAS, "lr=0.5").path.claim()
    variant.config.write_text("{}")
    assert find_run(study, ALIAS, "smoke") == folder


def test_the_configuration_is_called_after_the_folder(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def instead_of_training(*_: object) -> None:
        raise UserError("not now")

    monkeypatch.setattr("trm_scaling.train.train_and_evaluate.train_and_test", instead_of_training)
    run = planned(study, ALIAS)
    assert run.config.name == ALIAS
    with pytest.raises(UserError, match="not now"):
        execute(run, Recorder())
    assert load(run.folder.config).name == "baseline"


def test_the_record_is_called_after_the_folder(trained: Study, tmp_path: Path) -> None:
    study = copy_of(trained, tmp_path / "copy")
    reporter = Recorder()
    run = plan_run(study, ALIAS, "smoke", [*TINY])
    assert run.config.name == ALIAS
    record = execute(run, reporter)
    assert "finished already" in reporter.notes[-1]
    assert (record.name, load(run.folder.config).name) == ("baseline", "baseline")
    assert json.loads(run.folder.result.read_text())["attempts"] == 1
    (found,) = scan_runs(study)
    assert found.names == ("baseline", ALIAS)
