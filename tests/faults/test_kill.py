"""Killed at any moment and resumed, a run ends with the same bytes as one left alone."""

import json
from pathlib import Path

import pytest

from tests.faults.kill_and_resume import differences, finish, kill_at, plan
from tests.faults.moments import STAGES
from tests.run.tiny import copy_of, make_study, tiny_folder
from trm_scaling.io.study import Study


@pytest.mark.e2e
def test_a_run_killed_during_a_save_ends_as_one_left_alone(tmp_path: Path, trained: Study) -> None:
    study = make_study(tmp_path)
    ((moment, delay),) = plan(1, seed=0)
    kill = kill_at(moment, delay, study)
    assert any(name.endswith(".partial") for name in kill.leftovers), "the kill missed the save"
    assert kill.saved is not None
    assert differences(tiny_folder(trained), finish(study)) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_killed_ten_times_ends_as_one_left_alone(tmp_path: Path, trained: Study) -> None:
    study = make_study(tmp_path)
    moments = plan(10, seed=0)
    assert {moment.stage for moment, _ in moments} == set(STAGES)
    kills = [kill_at(moment, delay, study) for moment, delay in moments]
    assert any(name.endswith(".partial") for kill in kills for name in kill.leftovers)
    assert differences(tiny_folder(trained), finish(study)) == []


def test_what_writers_left_half_written_is_deleted_at_the_next_start(tmp_path: Path, trained: Study) -> None:
    folder = tiny_folder(copy_of(trained, tmp_path / "copy"))
    rubbish = folder.path / ".test_outcomes.npz.abcdefgh.tmp"
    rubbish.write_bytes(b"half")
    with folder.lock():
        assert not rubbish.exists()
    assert differences(tiny_folder(trained), folder) == []


def test_the_comparison_sees_a_difference(tmp_path: Path, trained: Study) -> None:
    folder = tiny_folder(copy_of(trained, tmp_path / "copy"))
    record = json.loads(folder.result.read_text())
    folder.result.write_text(json.dumps(record | {"weights_sha256": "0"}))
    lines = folder.metrics.read_text().splitlines(keepends=True)
    folder.metrics.write_text("".join([lines[0].replace('"train/', '"other/'), *lines[1:-1]]))
    folder.failure.write_text("{}")
    found = "\n".join(differences(tiny_folder(trained), folder))
    assert "weights_sha256" in found
    assert f"{len(lines)} and {len(lines) - 1} lines" in found
    assert "metrics.jsonl, line 1:" in found
    assert "failure.json" in found
