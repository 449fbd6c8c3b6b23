"""What is written down of an attempt, whatever ends it, and what a run does not need to begin."""

import json
from pathlib import Path

import pytest

from tests.run.test_single import Recorder
from tests.run.tiny import make_study, tiny_run
from trm_scaling.errors import UserError
from trm_scaling.results.attempts import read_attempts
from trm_scaling.run import attempt as attempts
from trm_scaling.run.attempt import attempted
from trm_scaling.run.planned import plan_run
from trm_scaling.run.single import claimed
from trm_scaling.run.vmapped_runs import execute_together


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
