"""What a batch does when the disk that all runs share refuses them, or returns errors."""

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.run.test_batch import Watcher, attempts, batch, endings, outcomes
from tests.run.tiny import make_study
from trm_scaling.io.disk_errors import DiskRefused
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.results.scan import standing
from trm_scaling.run.batch.runner_registry import runners

pytestmark = pytest.mark.usefixtures("hurried_batches")


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


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds for which the batch waited for the file system; they pass at once."""
    waited: list[float] = []
    monkeypatch.setattr("trm_scaling.run.batch.retry._clock", lambda: sum(waited))
    monkeypatch.setattr("trm_scaling.run.batch.retry._sleep", waited.append)
    return waited


def stumble(monkeypatch: pytest.MonkeyPatch, stumbles: Callable[[RunFolder], bool], number: int) -> None:
    """Let the file system answer so when it is asked whether a run is finished, if `stumbles` says so."""
    answer = vars(RunFolder)["finished"].fget

    def finished(folder: RunFolder) -> bool:
        if stumbles(folder):
            raise OSError(number, os.strerror(number), str(folder.result))
        return bool(answer(folder))

    monkeypatch.setattr(RunFolder, "finished", property(finished))


@pytest.mark.parametrize(("number", "nth"), [(errno.ESTALE, 1), (errno.ESTALE, 3), (errno.EIO, 4)])
def test_a_file_system_that_stumbles_for_some_turns_costs_the_batch_nothing(
    study: Study, monkeypatch: pytest.MonkeyPatch, hours: list[float], number: int, nth: int
) -> None:
    asked: list[RunFolder] = []

    def stumbles(folder: RunFolder) -> bool:
        asked.append(folder)
        return nth <= len(asked) < nth + 3

    stumble(monkeypatch, stumbles, number)
    view = Watcher()
    status, jobs = batch(study, {0: "finish", 1: "finish"}, view=view)
    assert (status, outcomes(jobs)) == (0, ["finished", "finished"])
    assert [endings(job) for job in jobs] == [["finished"], ["finished"]]
    assert len(hours) == 3
    trouble, over = view.notes
    assert os.strerror(number) in trouble
    assert "trying again" in trouble
    assert over == "the file system answers again"


def test_a_file_system_that_never_recovers_ends_the_batch_with_a_word(
    study: Study, monkeypatch: pytest.MonkeyPatch, hours: list[float]
) -> None:
    view = Watcher()
    with monkeypatch.context() as broken:
        stumble(broken, lambda folder: True, errno.ESTALE)
        with pytest.raises(
            DiskRefused, match=r"nothing but errors for 5 minutes, the last one: .*Stale file handle"
        ):
            batch(study, {0: "finish"}, view=view)
    assert 300 <= sum(hours) < 330
    assert len(view.notes) == 1
    assert runners(study) == []
    status, (job,) = batch(study, {0: "finish"})
    assert (status, job.outcome) == (0, "finished")


def test_a_run_that_is_not_started_for_a_stumble_is_started_later(
    study: Study, monkeypatch: pytest.MonkeyPatch, hours: list[float]
) -> None:
    def popen(*arguments: Any, **options: Any) -> Any:
        if len(hours) < 2:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return started(*arguments, **options)

    started = subprocess.Popen
    monkeypatch.setattr("trm_scaling.run.batch.worker.subprocess.Popen", popen)
    status, (job,) = batch(study, {0: "finish"})
    assert (status, job.outcome, len(hours)) == (0, "finished", 2)


def test_what_ended_while_the_file_system_stumbled_is_decided_once_it_answers(
    study: Study, monkeypatch: pytest.MonkeyPatch, hours: list[float]
) -> None:
    """A killed worker: whether it had saved anything cannot be told at first."""
    steps = vars(RunFolder)["saved_steps"].fget

    def saved_steps(folder: RunFolder) -> list[int]:
        if folder.attempts.exists() and len(hours) < 2:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return list(steps(folder))

    monkeypatch.setattr(RunFolder, "saved_steps", property(saved_steps))
    status, (job,) = batch(study, {0: "die,finish"})
    assert (status, job.outcome, len(hours)) == (0, "finished", 2)
    assert endings(job) == ["preempted", "finished"]
