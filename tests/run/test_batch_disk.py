"""What a batch does when the disk that all runs share refuses them."""

from pathlib import Path
from typing import Any

import pytest

from tests.run.scripted import ROOT
from tests.run.test_batch import Watcher, attempts, batch, endings, outcomes
from tests.run.tiny import make_study
from trm_scaling.io.study import Study
from trm_scaling.results.state import standing


@pytest.fixture(autouse=True)
def from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("trm_scaling.run.batch.runner.POLL_SECONDS", 0.05)
    monkeypatch.setattr("trm_scaling.run.batch.runner.ELSEWHERE_SECONDS", 0.2)
    monkeypatch.setattr("trm_scaling.run.failure._counters", list)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path)


@pytest.mark.parametrize("act", ["disk", "disk_so_full_that_it_cannot_say_so"])
@pytest.mark.parametrize("continue_on_failure", [False, True])
def test_a_full_disk_ends_the_batch_and_the_same_command_completes_it(
    study: Study, act: str, continue_on_failure: bool
) -> None:
    view = Watcher()
    scripts = {0: "finish:1", 1: f"{act},{act},finish", 2: "finish:1", 3: "finish"}
    options: dict[str, Any] = {"places": 2, "continue_on_failure": continue_on_failure}
    status, jobs = batch(study, scripts, view=view, **options)
    # What was at work is let finish; nothing else is begun.
    assert (status, outcomes(jobs)) == (74, ["finished", "interrupted", None, None])
    assert jobs[1].message == "no space left on the disk"
    assert standing(jobs[1].folder).state == "interrupted"
    (note,) = view.notes
    assert note.startswith("baseline: no space left on the disk (")
    assert "no further run is begun" in note

    status, jobs = batch(study, scripts, **options)
    assert (status, outcomes(jobs)) == (74, ["finished", "interrupted", "finished", None])
    status, jobs = batch(study, scripts, **options)
    assert (status, outcomes(jobs)) == (0, ["finished"] * 4)
    assert endings(jobs[1]) == ["disk", "disk", "finished"]
    assert [len(attempts(job)) for job in (jobs[0], *jobs[2:])] == [1, 1, 1]


def test_a_disk_on_which_no_run_can_be_started_fails_none(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("trm_scaling.run.batch.worker.subprocess.Popen", refuse)
        status, jobs = batch(study, {0: "finish", 1: "finish"}, continue_on_failure=True)
    assert (status, outcomes(jobs)) == (74, ["interrupted", None])
    assert "cannot be started: [Errno 28] No space left on device" in jobs[0].message
    status, jobs = batch(study, {0: "finish", 1: "finish"})
    assert (status, outcomes(jobs)) == (0, ["finished", "finished"])
