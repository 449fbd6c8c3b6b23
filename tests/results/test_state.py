"""How a run stands, read from what lies in its folder."""

import json
from pathlib import Path

import pytest

from trm_scaling.io.lease import request_stop
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.results.row import reason
from trm_scaling.results.scan import Failure, Standing, standing


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
