"""What is written down of an attempt, whatever ends it, and what a run does not need to begin."""

import json
import warnings
from pathlib import Path

import pytest

from tests.run.test_single import Recorder
from tests.run.tiny import make_study, tiny_run
from trm_scaling.errors import Damage, UserError
from trm_scaling.results.attempts import read_attempts
from trm_scaling.run import attempt as attempts
from trm_scaling.run.attempt import attempted, damage_kept
from trm_scaling.run.compilation import cache_folder, remove_torn_programs
from trm_scaling.run.planned import plan_run
from trm_scaling.run.single import claimed
from trm_scaling.run.vmapped_runs import execute_together
from trm_scaling.train.consistency import LostCheckpoint, LostMetrics, warn_of_lost_best, warn_of_lost_metrics


def test_a_run_does_not_execute_the_studys_table(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    table = study.path / "utils" / "generate_experiment_configs.py"
    table.parent.mkdir()
    table.write_text("raise RuntimeError('the table was executed')\n")
    run, folder = claimed(tiny_run(study, "lr=0.5"))
    with folder.lock(), attempted(run, folder) as attempt:
        attempt.finished()
    (written,) = read_attempts(folder.attempts)
    assert written.ending == "finished"
    assert written.known is not None
    assert (written.known["names"], written.known["family"]) == (["baseline"], "baseline")
    assert written.known["overrides"]["lr"] == 0.5


def test_names_and_family_are_those_of_the_day_it_began(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    run, folder = claimed(plan_run(study, "exp01a", "smoke"))
    with folder.lock(), attempted(run, folder):
        pass
    (written,) = read_attempts(folder.attempts)
    assert written.known == {"names": ["exp01a"], "family": "exp01", "overrides": {}}
    run, folder = claimed(plan_run(study, "baseline", "smoke"))
    with folder.lock(), attempted(run, folder):
        pass
    (written,) = read_attempts(folder.attempts)
    assert written.known is not None
    assert written.known["names"][0] == "baseline"
    assert "exp07a" in written.known["names"]


def test_what_ends_an_attempt_before_training_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UserError("no mirror")

    monkeypatch.setattr(attempts, "start_mirror", refuse)
    run, folder = claimed(tiny_run(make_study(tmp_path)))
    with folder.lock(), pytest.raises(UserError, match="no mirror"), attempted(run, folder):
        pass
    (written,) = read_attempts(folder.attempts)
    assert (written.ending, written.message) == ("configuration", "no mirror")
    assert json.loads(folder.failure.read_bytes())["message"] == "no mirror"


def test_a_group_with_a_member_in_use_leaves_no_attempt_open(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    runs = [tiny_run(study).with_seed(seed) for seed in range(3)]
    (_, first), _, (_, last) = (claimed(run) for run in runs)
    with last.lock(), pytest.raises(UserError, match="use"):
        execute_together(runs, [Recorder() for _ in runs])
    assert not [each for each in read_attempts(first.attempts) if each.ending is None]


def test_damage_is_kept_and_shown_and_other_warnings_are_shown(recwarn: pytest.WarningsRecorder) -> None:
    kept: list[str] = []
    warnings.simplefilter("always")
    with damage_kept(kept.append):
        warnings.warn("a file is damaged", Damage, stacklevel=1)
        warnings.warn("the weather is bad", UserWarning, stacklevel=1)
    warnings.warn("another file is damaged", Damage, stacklevel=1)
    assert kept == ["a file is damaged"]
    assert [str(each.message) for each in recwarn] == [
        "a file is damaged",
        "the weather is bad",
        "another file is damaged",
    ]


def test_a_record_that_cannot_be_written_does_not_hide_the_warning(recwarn: pytest.WarningsRecorder) -> None:
    def full(message: str) -> None:
        raise UserError("no space left")

    warnings.simplefilter("always")
    with damage_kept(full):
        warnings.warn("a file is damaged", Damage, stacklevel=1)
    assert len(recwarn) == 1


def test_the_cache_is_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/ann")
    assert cache_folder() == Path("/ann/.cache/trm-scaling/jax")
    monkeypatch.setenv("XDG_CACHE_HOME", "/scratch/ann")
    assert cache_folder() == Path("/scratch/ann/trm-scaling/jax")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/jax")
    assert cache_folder() == Path("/jax")


def test_torn_programs_of_a_module_are_deleted_and_whole_ones_kept(tmp_path: Path) -> None:
    from jax._src.compilation_cache import compress_executable

    whole = compress_executable(bytes(1000))
    contents = {
        "jit_f-0123-cache": whole,
        "jit_f-4567-cache": whole[:-3],
        "jit_f-89ab-cache": b"",
        "jit_g-0123-cache": b"half of another",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    torn = remove_torn_programs(tmp_path, "jit_f")
    assert sorted(path.name for path in torn) == ["jit_f-4567-cache", "jit_f-89ab-cache"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jit_f-0123-cache", "jit_g-0123-cache"]


def evaluation(step: int, solved: int, cell_rate: float) -> str:
    return (
        f'{{"step": {step}, "time": 1.0, "kind": "eval", "eval/solved": {solved}, '
        f'"eval/cell_rate": {cell_rate}}}\n'
    )


def test_a_best_checkpoint_that_is_gone_is_told(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    lines = [evaluation(10, 3, 0.5), evaluation(20, 3, 0.75), evaluation(30, 3, 0.75), evaluation(40, 2, 0.9)]
    metrics.write_text("".join(lines))
    warn_of_lost_best(metrics, 20)
    with pytest.warns(LostCheckpoint, match=r"step 20, the best on validation, is lost; that of step 30"):
        warn_of_lost_best(metrics, 30)


def training(*steps: int) -> str:
    return "".join(f'{{"step": {step}, "time": 1.0, "kind": "train"}}\n' for step in steps)


def test_training_lines_that_do_not_reach_the_checkpoint_are_told(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    warn_of_lost_metrics(metrics, 0)
    metrics.write_text(training(10, 17) + evaluation(17, 3, 0.5))
    warn_of_lost_metrics(metrics, 17)
    metrics.write_text(training(10, 20) + evaluation(40, 3, 0.5))
    with pytest.warns(LostMetrics, match=r"end at step 20, and the checkpoint is of step 40"):
        warn_of_lost_metrics(metrics, 40)
    metrics.unlink()
    with pytest.warns(LostMetrics, match="end at step 0"):
        warn_of_lost_metrics(metrics, 40)
