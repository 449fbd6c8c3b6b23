"""The runs of a study: each once, with all of its names."""

import json
from pathlib import Path

import pytest

from trm_scaling.io.lease import request_stop
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.results.row import reason
from trm_scaling.results.scan import Failure, Standing, profiles_with_runs, scan_runs, standing


@pytest.fixture
def study(tmp_path: Path) -> Study:
    made = Study(tmp_path / "kellen")
    for path in ("smoke/baseline/0000000a-s0", "smoke/baseline/0000000a-s1", "smoke/exp01a/0000000b-s0"):
        (made.checkpoints / path).mkdir(parents=True)
    (made.checkpoints / "laptop" / "baseline" / "0000000c-s0").mkdir(parents=True)
    (made.checkpoints / "paper").mkdir()
    for alias in ("exp02a_03", "exp01c"):
        (made.checkpoints / "smoke" / alias).mkdir()
        (made.checkpoints / "smoke" / alias / "0000000a-s0").symlink_to("../baseline/0000000a-s0")
    return made


def test_a_shared_run_is_one_run_with_several_names(study: Study) -> None:
    found = {(run.profile, *run.names, run.identity8, run.seed) for run in scan_runs(study)}
    assert found == {
        ("laptop", "baseline", "0000000c", 0),
        ("smoke", "baseline", "exp01c", "exp02a_03", "0000000a", 0),
        ("smoke", "baseline", "0000000a", 1),
        ("smoke", "exp01a", "0000000b", 0),
    }
    assert [run.folder.path.name for run in scan_runs(study, ["laptop"])] == ["0000000c-s0"]
    assert scan_runs(study, ["paper", "unheard_of"]) == []
    assert profiles_with_runs(study) == ["laptop", "smoke"]


def test_what_is_no_run_is_passed_over(study: Study) -> None:
    smoke = study.checkpoints / "smoke"
    (smoke / "exp01b").mkdir()
    (smoke / "exp01b" / "0000000d-s0").symlink_to("../nowhere/0000000d-s0")
    (smoke / "exp01b" / "my-notes").mkdir()
    (smoke / "exp01b" / "0000000e-s0").write_text("")
    (smoke / ".claims.lock").touch()
    assert len(scan_runs(study, ["smoke"])) == 3


def test_a_run_goes_by_each_of_its_names(study: Study) -> None:
    shared = next(run for run in scan_runs(study) if len(run.names) == 3)
    for pattern in ("baseline", "exp01", "exp02a_03", "exp*_03", "*01?"):
        assert shared.goes_by(pattern)
    assert not shared.goes_by("exp03")


def test_a_study_without_runs_has_none(tmp_path: Path) -> None:
    assert scan_runs(Study(tmp_path)) == []


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def fail(folder: RunFolder, failure: str) -> None:
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.failure.write_text(json.dumps({"failure": failure, "message": "why"}))


def test_from_nothing_to_finished(folder: RunFolder) -> None:
    assert standing(folder).state == "new"
    with folder.lock():
        folder.config.write_text("")
        now = standing(folder)
        assert now.state == "running"
        assert now.lease is not None
    assert standing(folder).state == "interrupted"
    fail(folder, "preempted")
    assert standing(folder).state == "interrupted"
    request_stop(folder.path)
    assert standing(folder).state == "stopped"
    with folder.lock():
        assert standing(folder).state == "running"
    folder.result.write_text("{}")
    assert standing(folder).state == "finished"
    with folder.lock():
        assert standing(folder).state == "finished"


@pytest.mark.parametrize("failure", ["configuration", "out_of_memory", "non_finite", "other"])
def test_a_failure_is_told_with_its_class(folder: RunFolder, failure: str) -> None:
    fail(folder, failure)
    request_stop(folder.path)
    now = standing(folder)
    assert now.state == "failed"
    assert now.failure is not None
    assert (now.failure.failure, now.failure.message) == (failure, "why")
    with folder.lock():
        assert standing(folder).state == "running"


@pytest.mark.parametrize("text", ['{"failure": "unheard of"}', '{"error": "ValueError"}'])
def test_a_failure_of_no_known_class_is_one_all_the_same(folder: RunFolder, text: str) -> None:
    folder.path.mkdir()
    folder.failure.write_text(text)
    now = standing(folder)
    assert now.state == "failed"
    assert now.failure is not None
    assert now.failure.failure == "other"


def test_a_folder_that_was_claimed_and_not_begun_is_new(folder: RunFolder) -> None:
    folder.path.mkdir()
    folder.stdout.touch()
    assert standing(folder).state == "new"


def test_who_stopped_a_run_is_said_where_it_could_still_say_so() -> None:
    stopped = Standing("interrupted", failure=Failure("preempted", "stopped by Ctrl-C after step 3 of 60"))
    assert reason(stopped) == "stopped by Ctrl-C after step 3 of 60"
    assert "died" in reason(Standing("interrupted", failure=Failure("preempted", "")))
