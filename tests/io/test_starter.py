"""The study that `trm init` copies."""

import subprocess
from pathlib import Path

import pytest

from trm_scaling.errors import UserError
from trm_scaling.experiments import load_catalogue
from trm_scaling.io import study as starter
from trm_scaling.io.study import find_study

ROOT = Path(__file__).resolve().parents[2]


def test_a_new_study_is_the_catalogue_without_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = starter.make_laboratory(tmp_path / "lab")
    assert load_catalogue(study).names == load_catalogue(ROOT / "kellen").names
    assert (tmp_path / "lab" / "dataset" / "build_sudoku_dataset.py").is_file()
    assert not (study / "checkpoints").exists()
    assert not list(study.rglob("__pycache__"))
    monkeypatch.chdir(tmp_path / "lab")
    monkeypatch.delenv("TRM_STUDY", raising=False)
    assert find_study().path == study
    assert find_study().data_root == tmp_path / "lab"


def test_no_part_holds_what_git_ignores() -> None:
    for part in starter.PARTS:
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", part]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if listed.returncode != 0:
            pytest.skip("not a git checkout")
        kept = set(listed.stdout.split())
        there = {
            str(file.relative_to(ROOT))
            for file in [ROOT / part, *(ROOT / part).rglob("*")]
            if file.is_file() and "__pycache__" not in file.parts
        }
        assert there <= kept, f"{part}: results are no part of a new study"


def test_a_study_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kellen").mkdir()
    with pytest.raises(UserError, match="exists already"):
        starter.make_laboratory(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "kellen"]


def test_an_installation_without_the_study_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "trm_scaling"
    monkeypatch.setattr(starter, "__file__", str(package / "io" / "study.py"))
    with pytest.raises(UserError, match="installed without the study"):
        starter.make_laboratory(tmp_path / "lab")
    starter.copy_laboratory(ROOT, package / starter.PACKAGED)
    assert starter.make_laboratory(tmp_path / "lab") == tmp_path / "lab" / "kellen"
