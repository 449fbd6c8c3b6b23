"""Several runs as one program in this process: own records, stopped and resumed, one of them failing."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from tests.faults.kill_and_resume import differences
from tests.run.test_single import Recorder, signalled
from tests.run.tiny import copy_of, tiny_folder, tiny_run
from trm_scaling.checkpoint.folder import finished_steps
from trm_scaling.config import RunConfig
from trm_scaling.cost.devices import Chip, Target
from trm_scaling.cost.memory import ACCURACY, training_memory
from trm_scaling.errors import UserError
from trm_scaling.io.jsonl import read_jsonl
from trm_scaling.io.lease import holder
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.results.attempts import read_attempts
from trm_scaling.results.record import RunRecord, read_record
from trm_scaling.results.scan import standing
from trm_scaling.run.planned import Run
from trm_scaling.run.vmapped_runs import execute_together, groups_of, why_apart
from trm_scaling.tasks.task import spec_of
from trm_scaling.train.interrupt import Interrupted
from trm_scaling.train.metrics import NonFiniteLoss

SEEDS = 3


def seeds(study: Study, *overrides: str) -> list[Run]:
    return [tiny_run(study, *overrides).with_seed(seed) for seed in range(SEEDS)]


def recorders() -> list[Recorder]:
    return [Recorder() for _ in range(SEEDS)]


def emptied(trained: Study, folder: Path) -> Study:
    """The trained study's data and configurations, without its runs."""
    study = copy_of(trained, folder)
    shutil.rmtree(study.checkpoints)
    return study


@pytest.fixture(scope="module")
def group(trained: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study with three seeds of the tiny run, trained together. Read it; change a `copy_of` it."""
    study = emptied(trained, tmp_path_factory.mktemp("group") / "copy")
    ended = execute_together(seeds(study), recorders())
    assert all(isinstance(each, RunRecord) for each in ended)
    return study


def lines(folder: RunFolder, kind: str) -> dict[int, dict[str, float]]:
    return {line["step"]: line for line in read_jsonl(folder.metrics).records if line["kind"] == kind}


# The default suite shows the same of runs that share a trajectory, and of the program in tests/train.
@pytest.mark.slow
def test_each_run_has_its_own_record(trained: Study, group: Study) -> None:
    folders = [run.folder for run in seeds(group)]
    records = [read_record(folder.result) for folder in folders]
    assert [record.seed for record in records] == [0, 1, 2]
    assert {record.runs_together for record in records} == {SEEDS}
    assert len({record.weights_sha256 for record in records}) == SEEDS
    assert len({record.data_fingerprint for record in records}) == 1
    for folder, record in zip(folders, records, strict=True):
        assert [line["step"] for line in record.learning_curve] == [10, 20, 30, 40, 50, 60]
        assert finished_steps(folder.checkpoints) == sorted({record.best_step, 50, 60})
        assert [attempt.ending for attempt in read_attempts(folder.attempts)] == ["finished"]
        assert folder.test_outcomes.exists()
        assert holder(folder.path) is None
    alone, together = lines(tiny_folder(trained), "train"), lines(folders[0], "train")
    assert alone.keys() == together.keys()
    for name in ("train/loss", "train/grad_norm", "train/lr", "train/finished_rate"):
        assert together[4][name] == pytest.approx(alone[4][name], rel=1e-5)
    assert lines(folders[1], "train")[2]["train/loss"] != together[2]["train/loss"]


@pytest.mark.slow
def test_runs_that_were_stopped_go_on_from_a_step_that_all_have(
    trained: Study, group: Study, tmp_path: Path
) -> None:
    study = emptied(trained, tmp_path / "copy")
    runs = seeds(study)
    folders = [run.folder for run in runs]
    with pytest.raises(Interrupted, match="stopped by SIGTERM after step"):
        execute_together(runs, [Recorder(), signalled(signal.SIGTERM, 24), Recorder()])
    assert [standing(folder).state for folder in folders] == ["interrupted"] * SEEDS
    saved = [finished_steps(folder.checkpoints) for folder in folders]
    assert saved[0][-1] == saved[1][-1] == saved[2][-1] >= 24
    # A kill may come when some have saved and others have not.
    shutil.rmtree(folders[1].checkpoints / f"{saved[1][-1]:08d}")
    assert groups_of(runs) == [runs]
    last = recorders()
    execute_together(runs, last)
    assert {recorder.began for recorder in last} == {20}
    for run, whole in zip(runs, seeds(group), strict=True):
        assert differences(whole.folder, run.folder) == []


# In `make e2e`, one poisoned of four does.
@pytest.mark.slow
def test_a_run_that_diverges_fails_alone(trained: Study, tmp_path: Path) -> None:
    study = emptied(trained, tmp_path / "copy")
    save = "system.checkpoint_seconds=0.001"
    bad = tiny_run(study, "lr=1e4", "lr_warmup_steps=0", save)
    runs = [tiny_run(study, save), bad, tiny_run(study, "lr=2e-3", "ema_rate=0.5", save)]
    released: list[bool] = []
    reporters = [Recorder(lambda step: released.append(holder(bad.folder.path) is None)), *recorders()[1:]]
    first, failed, last = execute_together(runs, reporters)
    assert isinstance(first, RunRecord)
    assert isinstance(last, RunRecord)
    assert isinstance(failed, NonFiniteLoss)
    assert failed.exit_status == 65
    step = int(str(failed).split("at step ")[1].split(";")[0])
    assert standing(bad.folder).state == "failed"
    assert json.loads(bad.folder.failure.read_text())["failure"] == "non_finite"
    assert [attempt.ending for attempt in read_attempts(bad.folder.attempts)] == ["non_finite"]
    assert all(line["step"] < step for line in read_jsonl(bad.folder.metrics).records)
    assert finished_steps(bad.folder.checkpoints)[-1] < step < 60
    # Its folder is free at once, while the others go on.
    assert released[0] is False
    assert released[-1] is True
    assert (first.steps, last.steps) == (60, 60)
    assert first.headline().summary["final"]["loss"] != last.headline().summary["final"]["loss"]


def test_a_mixture_is_refused_before_anything_is_made(trained: Study, tmp_path: Path) -> None:
    study = emptied(trained, tmp_path / "copy")
    with pytest.raises(UserError, match=r"differ in arch\.L_cycles, so that no one program"):
        execute_together([tiny_run(study), tiny_run(study, "arch.L_cycles=1")], recorders()[:2])
    assert not study.checkpoints.exists()


def test_a_run_that_is_in_use_stops_the_others_before_they_begin(trained: Study, tmp_path: Path) -> None:
    study = emptied(trained, tmp_path / "copy")
    runs = seeds(study)
    runs[2].folder.path.mkdir(parents=True)
    finished = runs[2].folder.result
    finished.write_text("{}")
    with pytest.raises(UserError, match="was finished by another process just now"):
        execute_together(runs, recorders())
    assert [standing(run.folder).state for run in runs] == ["new", "new", "finished"]
    assert not any(read_attempts(run.folder.attempts) for run in runs)


def test_runs_that_have_gone_different_ways_are_in_different_groups(study_of_steps: Study) -> None:
    runs = seeds(study_of_steps)
    _save(runs[0], 10, 20, 30)
    assert groups_of(runs) == [[runs[0]], [runs[1], runs[2]]]
    _save(runs[2], 10, 20)
    assert groups_of(runs) == [[runs[0], runs[2]], [runs[1]]]
    runs[0].folder.result.write_text("{}")
    assert groups_of(runs) == [[runs[0]], [runs[1]], [runs[2]]]


@pytest.fixture
def study_of_steps(trained: Study, tmp_path: Path) -> Study:
    return emptied(trained, tmp_path / "steps")


def _save(run: Run, *steps: int) -> None:
    for step in steps:
        (run.folder.checkpoints / f"{step:08d}").mkdir(parents=True)


def test_runs_go_together_when_all_fit_the_memory() -> None:
    config = RunConfig.model_validate({"arch": {"hidden_size": 256}, "global_batch_size": 128})
    one = training_memory(config, spec_of(config.data).vocab_size, spec_of(config.data).seq_len, "gpu").total
    for share, fits in ((1.1, False), (2.9, False), (3.1, True)):
        chip = Chip("a GPU", "gpu", memory_bytes=round(share * one * (1 + ACCURACY)))
        reason = why_apart(config, 3, Target("here", chip, 1), 1, None)
        assert (reason is None) is fits
        assert fits or str(reason).startswith("3 of them need about")


GPU = Chip("a GPU", "gpu", memory_bytes=80_000_000_000)
CPU = Chip("a CPU", "cpu", memory_bytes=80_000_000_000)


@pytest.mark.parametrize(
    ("chip", "chips", "processes", "width", "asked", "reason"),
    [
        (GPU, 1, 1, 256, None, None),
        (GPU, 1, 1, 512, None, "width 512 fills this device"),
        (GPU, 1, 1, 512, True, None),
        (GPU, 1, 1, 256, False, "as you asked"),
        (GPU, 4, 1, 256, True, "4 devices share each batch"),
        (GPU, 1, 2, 256, True, "2 processes train one run at a time"),
        (CPU, 1, 1, 64, None, "a CPU is busy with one run"),
        (CPU, 1, 1, 64, True, None),
        (Chip("a GPU", "gpu", memory_bytes=1_000_000_000), 1, 1, 256, True, "3 of them need about"),
        (Chip("a GPU", "gpu"), 1, 1, 256, None, "the memory of this device is unknown"),
        (Chip("a GPU", "gpu"), 1, 1, 256, True, None),
    ],
)
def test_why_runs_are_trained_apart(
    chip: Chip, chips: int, processes: int, width: int, asked: bool | None, reason: str | None
) -> None:
    config = RunConfig.model_validate({"arch": {"hidden_size": width}, "global_batch_size": 128})
    found = why_apart(config, 3, Target("here", chip, chips), processes, asked)
    if reason is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith(reason)
