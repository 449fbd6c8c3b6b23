"""What is said to a command that is nearly right."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.results.made_up import make_up_study
from tests.run.tiny import TRM
from trm_scaling.cli import main
from trm_scaling.cli.app import app
from trm_scaling.errors import UserError
from trm_scaling.io.study import OtherCode, warn_of_other_code
from trm_scaling.run.planned import find_run

ROOT = Path(__file__).resolve().parents[2]


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["trm", *words])
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("run baseline --profile smoke learning_rate=3e-3", ["'learning_rate'", "did you mean 'lr'"]),
        ("run baseline --profile smoke batch_size=8", ["did you mean 'global_batch_size'"]),
        ("run exp01 --profile smoke", ["6 whose names begin with it", "exp01a", "trm batch --pattern exp01"]),
        ("run", ["trm run baseline", "trm batch --list"]),
        ("list", ["trm batch --list"]),
        ("train baseline", ["trm run"]),
        ("solve 9x9", ["4x4 and 6x6", "import-torch"]),
        ("run baseline --lr 3e-3", ["lr=VALUE"]),
        ("run baseline --learning-rate 3e-3", ["lr=VALUE"]),
        ("run baseline --hidden_size 64", ["arch.hidden_size=VALUE"]),
    ],
)
def test_what_was_meant_is_said(
    words: str, parts: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = " ".join(refused(monkeypatch, capsys, *words.split()).split())
    for part in parts:
        assert part in said


def test_a_run_under_another_profile_is_found_for_the_reader(tmp_path: Path) -> None:
    study = make_up_study(tmp_path, 1, names=["exp01a"])
    with pytest.raises(UserError, match="add --profile made-up"):
        find_run(study, "exp01a", "laptop")
    with pytest.raises(UserError, match="nearest: exp01a"):
        find_run(study, "exp01aa", "laptop")


def test_ctrl_c_before_a_verb_has_begun_leaves_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trm_scaling.cli._run", interrupted)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_verbs_and_names(shell: str) -> None:
    done = subprocess.run(
        [TRM],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "_TRM_COMPLETE": f"source_{shell}", "HOME": "/nowhere"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


WORDS = [
    ("trm run exp02b_0", [f"exp02b_0{number}" for number in range(1, 6)]),
    ("trm solve exp03", [f"exp03{letter}" for letter in "abcde"]),
    ("trm compare exp01a exp01f", ["exp01f"]),
    ("trm launch slurm contrib01_c", ["contrib01_curriculum"]),
    ("trm logs kellen/ut", ["kellen/utils/"]),
    ("trm status --profile lap", ["laptop"]),
    ("trm launch worker --profile smo", ["smoke"]),
    ("trm provenance --st", ["--start", "--study"]),
]


@pytest.mark.parametrize(("typed", "offered"), WORDS, ids=[typed for typed, _ in WORDS])
def test_a_word_is_completed(
    typed: str, offered: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("TRM_STUDY", raising=False)
    # What the shell's function sets, in this process: eight starts of Python would take seconds.
    monkeypatch.setenv("_TRM_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    with pytest.raises(SystemExit):
        app(prog_name="trm")
    assert capfd.readouterr().out.split() == offered


def test_names_of_the_study_are_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    from trm_scaling.cli.options import complete_experiment

    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("TRM_STUDY", raising=False)
    assert complete_experiment("exp02b") == [f"exp02b_{number:02}" for number in range(1, 6)]


def clone(folder: Path) -> Path:
    (folder / "trm_scaling").mkdir(parents=True)
    (folder / "pyproject.toml").write_text("")
    (folder / "trm_scaling" / "__init__.py").write_text("")
    return folder


def test_a_copied_clone_that_runs_the_first_one_s_code_is_told_so(tmp_path: Path) -> None:
    one, other = clone(tmp_path / "one"), clone(tmp_path / "other")
    with pytest.warns(OtherCode, match="make venv"):
        warn_of_other_code(other / "kellen", one / "trm_scaling")
    warn_of_other_code(one / "kellen", one / "trm_scaling")
    # An installed package, or a study by itself, is meant so.
    warn_of_other_code(other / "kellen", tmp_path / "site-packages" / "trm_scaling")
    warn_of_other_code(tmp_path / "study", one / "trm_scaling")


def test_make_makes_the_environment_of_a_moved_clone_anew(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "requirements").symlink_to(ROOT / "requirements")
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    for file in (venv / "bin" / "pip", venv / ".runtime"):
        file.write_text("")

    def would_do(made_for: Path) -> str:
        (venv / "pyvenv.cfg").write_text(f"command = /usr/bin/python3 -m venv --clear {made_for}/.venv\n")
        done = subprocess.run(
            ["make", "-n", "venv"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert "-m venv --clear" not in would_do(tmp_path)
    moved = would_do(Path("/somewhere else/clone"))
    assert "was made in /somewhere else/clone" in moved
    assert "-m venv --clear .venv" in moved
    assert "--editable" in moved
