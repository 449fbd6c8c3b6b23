"""The runs of a study: each once, with all of its names."""

from pathlib import Path

import pytest

from trm_scaling.io.study import Study
from trm_scaling.results.scan import profiles_with_runs, scan_runs


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
