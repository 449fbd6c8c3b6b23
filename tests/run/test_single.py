"""One run in this process: resumed, refused, diverged."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.kill_and_resume import differences
from tests.run.tiny import copy_of, tiny_folder, tiny_run
from trm_scaling.checkpoint import folder as folder_names
from trm_scaling.checkpoint.folder import finished_steps
from trm_scaling.errors import UserError
from trm_scaling.io.jsonl import read_jsonl
from trm_scaling.io.study import Study
from trm_scaling.run.planned import find_run
from trm_scaling.run.single import execute
from trm_scaling.train.consistency import LostMetrics
from trm_scaling.train.interrupt import Interrupted
from trm_scaling.train.metrics import NonFiniteLoss


class Recorder:
    """A reporter that remembers what it is told, and calls `at` with each step."""

    def __init__(self, at: Callable[[int], None] = lambda step: None) -> None:
        self.notes: list[str] = []
        self.began: int | None = None
        self._at = at

    def working(self, phase: str, done: int, total: int) -> None: ...

    def started(self, step: int, total: int) -> None:
        self.began = step

    def progressed(self, step: int, metrics: dict[str, float], examples_per_s: float | None) -> None:
        self._at(step)

    def evaluated(self, step: int, summary: dict[str, Any]) -> None:
        self._at(step)

    def note(self, text: str) -> None:
        self.notes.append(text)


def signalled(number: signal.Signals, at: int) -> Recorder:
    """A reporter that sends this process a signal once step `at` has come."""

    def ask(step: int) -> None:
        nonlocal at
        if step >= at:
            at = 1 << 30
            signal.raise_signal(number)

    return Recorder(ask)


@pytest.fixture
def untrained(trained: Study, tmp_path: Path) -> Study:
    """The trained study's data and configurations, without its runs."""
    study = copy_of(trained, tmp_path / "copy")
    shutil.rmtree(study.checkpoints)
    return study


def test_a_run_that_was_asked_to_stop_resumes_to_the_same_bytes(trained: Study, untrained: Study) -> None:
    for number, by, at in (
        (signal.SIGTERM, "SIGTERM", 14),
        (signal.SIGINT, "Ctrl-C", 30),
        (signal.SIGTERM, "SIGTERM", 60),
    ):
        with pytest.raises(Interrupted, match=f"stopped by {by} after step") as stopped:
            execute(tiny_run(untrained), signalled(number, at))
        assert stopped.value.exit_status == 75
        step = finished_steps(tiny_folder(untrained).checkpoints)[-1]
        assert at <= step <= at + 4
        assert f"after step {step} of 60" in str(stopped.value)
        assert json.loads(tiny_folder(untrained).failure.read_text())["error"] == "Interrupted"
    last = Recorder()
    record = execute(tiny_run(untrained), last)
    assert last.began == 60
    assert record.attempts == 4
    assert [each.failure for each in record.failures] == ["preempted"] * 3
    assert "stopped by Ctrl-C after step" in record.failures[1].message
    assert not tiny_folder(untrained).failure.exists()
    assert differences(tiny_folder(trained), tiny_folder(untrained)) == []


@pytest.mark.slow
def test_how_a_run_is_executed_may_change_when_it_resumes(untrained: Study) -> None:
    with pytest.raises(Interrupted):
        execute(tiny_run(untrained), signalled(signal.SIGTERM, 14))
    changed = tiny_run(untrained, "system.steps_per_call=5", "system.keep_checkpoints=1")
    resumed = Recorder()
    record = execute(changed, resumed)
    assert resumed.began is not None
    assert resumed.began >= 14
    assert record.steps == 60
    assert record.config["system"]["steps_per_call"] == 5
    assert [line["step"] for line in record.learning_curve] == [10, 20, 30, 40, 50, 60]
    best = record.best_step
    assert finished_steps(tiny_folder(untrained).checkpoints) == sorted({best, 60})


def test_metrics_that_were_lost_before_a_resume_are_an_incident_of_the_record(untrained: Study) -> None:
    with pytest.raises(Interrupted):
        execute(tiny_run(untrained), signalled(signal.SIGTERM, 30))
    metrics = tiny_folder(untrained).metrics
    lines = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join(line for line in lines if json.loads(line)["step"] <= 20))
    with pytest.warns(LostMetrics, match="training lines end at step 20"):
        record = execute(tiny_run(untrained), Recorder())
    (met,) = record.incidents
    assert "hole in its learning curve" in met.message


def test_the_metrics_are_on_the_disk_before_the_checkpoint_exists(
    untrained: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics, synced = tiny_folder(untrained).metrics, [0]
    at_commit: list[tuple[int, int]] = []
    sync, commit = os.fsync, folder_names.finish

    def synced_to(descriptor: int) -> None:
        sync(descriptor)
        if metrics.exists() and os.path.samestat(os.fstat(descriptor), metrics.stat()):
            synced.append(read_jsonl(metrics).records[-1]["step"])

    def committed(root: Path, step: int) -> None:
        at_commit.append((step, synced[-1]))
        commit(root, step)

    monkeypatch.setattr(os, "fsync", synced_to)
    monkeypatch.setattr(folder_names, "finish", committed)
    with pytest.raises(Interrupted):
        execute(tiny_run(untrained), signalled(signal.SIGTERM, 14))
    assert len(at_commit) >= 2
    assert all(step <= on_disk for step, on_disk in at_commit)


def test_a_finished_run_is_read_and_not_trained(trained: Study) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.data_root.rglob("*")}
    reporter = Recorder()
    record = execute(tiny_run(trained), reporter)
    assert record.weights_sha256 == json.loads(tiny_folder(trained).result.read_text())["weights_sha256"]
    assert reporter.began is None
    assert "finished already" in reporter.notes[-1]
    assert {path: path.stat().st_mtime_ns for path in trained.data_root.rglob("*")} == before


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_folder_of_another_configuration_is_refused(
    trained: Study, tmp_path: Path, is_finished: bool
) -> None:
    study = copy_of(trained, tmp_path / "copy")
    folder = tiny_folder(study)
    edited = folder.config.read_text().replace("\nlr: 0.001\n", "\nlr: 0.002\n")
    folder.config.write_text(edited)
    if not is_finished:
        folder.result.unlink()
    with pytest.raises(UserError, match=r"another configuration \(it differs in lr\).*move"):
        execute(tiny_run(study), Recorder())
    assert folder.config.read_text() == edited
    assert not folder.failure.exists()


def test_a_folder_whose_configuration_cannot_be_read_is_refused(trained: Study, tmp_path: Path) -> None:
    study = copy_of(trained, tmp_path / "copy")
    folder = tiny_folder(study)
    folder.result.unlink()
    folder.config.write_bytes(folder.config.read_bytes()[:300] + b"\n: [")
    with pytest.raises(UserError, match=r"config\.yaml"):
        execute(tiny_run(study), Recorder())


def test_science_makes_another_run_and_operation_does_not(trained: Study) -> None:
    folder = tiny_folder(trained)
    for operational in (
        "system.steps_per_call=7",
        "system.checkpoint_seconds=9",
        "system.micro_batch_size=4",
    ):
        assert tiny_folder(trained, operational) == folder
    for science in ("lr=2e-3", "seed=1", "arch.L_cycles=3", "data.seed=1", "epochs=31"):
        assert tiny_folder(trained, science) != folder


def test_weights_that_an_update_broke_are_not_saved(untrained: Study) -> None:
    overrides = (
        "lr=3e38",
        "weight_decay=10",
        "lr_warmup_steps=0",
        "system.checkpoint_seconds=0.001",
        "system.steps_per_call=1",
    )
    run = tiny_run(untrained, *overrides)
    with pytest.raises(NonFiniteLoss, match=r"step 1: \S+ holds [\d,]+ values of"):
        execute(run, Recorder())
    assert not finished_steps(run.folder.checkpoints)


def test_a_diverging_run_names_its_step_and_keeps_what_was_saved(untrained: Study) -> None:
    run = tiny_run(untrained, "lr=1e4", "lr_warmup_steps=0", "system.checkpoint_seconds=0.001")
    folder = run.folder
    with pytest.raises(NonFiniteLoss, match=r"the loss is (nan|inf).* at step \d+;.* lower lr") as stopped:
        execute(run, Recorder())
    step = int(str(stopped.value).split("at step ")[1].split(";")[0])
    assert stopped.value.exit_status == 65
    failure = json.loads(folder.failure.read_text())
    assert (failure["failure"], failure["error"]) == ("non_finite", "NonFiniteLoss")
    assert failure["message"] == str(stopped.value)
    assert "Traceback" in failure["traceback"]
    assert not folder.finished
    saved = finished_steps(folder.checkpoints)
    assert saved
    assert saved[-1] < step
    assert all(line["step"] < step for line in read_jsonl(folder.metrics).records)


def test_a_run_is_found_by_name(trained: Study) -> None:
    assert find_run(trained, "baseline", "smoke") == tiny_folder(trained)
    with pytest.raises(UserError, match="there is one under smoke: add --profile smoke"):
        find_run(trained, "baseline", "laptop")


def test_a_second_ctrl_c_stops_at_once(untrained: Study) -> None:
    def twice(step: int) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        execute(tiny_run(untrained), Recorder(twice))
    assert json.loads(tiny_folder(untrained).failure.read_text())["error"] == "KeyboardInterrupt"
    assert finished_steps(tiny_folder(untrained).checkpoints) == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
