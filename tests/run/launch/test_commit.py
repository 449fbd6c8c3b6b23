"""What is sent to a pod: a commit of the study's repository, whatever folder the user stands in."""

import os
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.run.launch import gcloud
from tests.run.tiny import make_study
from trm_scaling.cli.app import app
from trm_scaling.errors import UserError
from trm_scaling.io.study import Study
from trm_scaling.run.launch.commit import sent_commit

ROOT = Path(__file__).resolve().parents[3]


def git(folder: Path, *arguments: str) -> str:
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": os.devnull}
    who |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | who).stdout


def committed(folder: Path) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "work")
    return git(folder, "rev-parse", "HEAD").strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with all that a pod needs, and what a pod needs of nothing else."""
    folder = tmp_path / "clone"
    folder.mkdir()
    make_study(folder)
    for name in ("utils/generate_experiment_configs.py", "experiments/train_tpu.py"):
        (folder / "kellen" / name).parent.mkdir()
        (folder / "kellen" / name).write_text((ROOT / "kellen" / name).read_text())
    (folder / "requirements").mkdir()
    (folder / "requirements" / "constraints.txt").touch()
    (folder / "pyproject.toml").touch()
    git(folder, "init", "-q")
    committed(folder)
    return folder


def study_in(repository: Path) -> Study:
    return Study(repository / "kellen")


def launched(repository: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        app,
        ["launch", "tpu-vm", *arguments, "--tpu", "stable-1", "--shared", "/mnt/trm", "--no-follow"],
        env={"TRM_STUDY": str(repository / "kellen")},
    )


def test_the_study_s_repository_is_packed_wherever_the_user_stands(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = launched(repository, "baseline", "--dry-run")
    assert done.exit_code == 0, done.output
    commit = git(repository, "rev-parse", "HEAD").strip()
    assert f"\ngit -C {repository} archive --format=tar.gz" in done.stdout
    assert f" {commit}\n" in done.stdout


def test_a_dry_run_says_that_nothing_runs(repository: Path) -> None:
    said = launched(repository, "baseline", "--dry-run").stdout
    assert "Nothing was started. Once it runs" in said
    assert "It runs" not in said
    assert "trm launch follow --tpu stable-1 --zone us-central2-b\n" in said


def test_what_was_sent_is_the_commit(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brought by a made-up gcloud, which keeps the archive."""
    log = gcloud.install(tmp_path, monkeypatch)
    (repository / "kellen" / "configs" / "baseline.yaml").write_text("seed: 1\n")
    kept = tmp_path / "sent.tar.gz"
    monkeypatch.setenv("KEEP", str(kept))
    done = launched(repository, "baseline")
    assert done.exit_code == 0, done.output
    assert (
        "1 uncommitted change is left out: kellen/configs/baseline.yaml. The pod runs commit" in done.stderr
    )
    assert "It runs in tmux session trm of every worker" in done.stdout
    assert "new-session" in log.read_text()
    text = subprocess.run(
        ["tar", "-xzOf", kept, "kellen/configs/baseline.yaml"], capture_output=True, text=True, check=True
    ).stdout
    assert text == (ROOT / "kellen" / "configs" / "baseline.yaml").read_text()


def test_a_clean_work_tree_is_not_mentioned(repository: Path) -> None:
    assert sent_commit(study_in(repository), "HEAD").warning is None


def test_many_changes_are_counted(repository: Path) -> None:
    for number in range(5):
        (repository / f"new-{number}").touch()
    warning = sent_commit(study_in(repository), "HEAD").warning
    assert warning is not None
    assert warning.startswith("5 uncommitted changes are left out: new-0, new-1, new-2, ...")


def test_an_experiment_that_is_not_committed_is_refused(repository: Path) -> None:
    experiments = repository / "kellen" / "configs" / "experiments"
    (experiments / "mine.yaml").write_text((experiments / "exp01a.yaml").read_text())
    done = launched(repository, "mine", "--dry-run")
    assert isinstance(done.exception, UserError)
    assert "mine" in str(done.exception)
    assert "which is what the pod would run: commit what is new" in str(done.exception)
    committed(repository)
    assert launched(repository, "mine", "--dry-run").exit_code == 0


@pytest.mark.parametrize("lost", ["kellen/configs", "requirements"])
def test_a_commit_without_what_the_workers_need_is_refused(repository: Path, lost: str) -> None:
    git(repository, "rm", "-rq", "--cached", lost)
    git(repository, "commit", "-qm", "less")
    with pytest.raises(UserError, match=rf"has no {lost}/.*which the workers need.*--commit"):
        sent_commit(study_in(repository), "HEAD")
    assert sent_commit(study_in(repository), "HEAD~1").commit


def test_what_cannot_be_sent_is_refused(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nonsense is no commit of .*clone"):
        sent_commit(study_in(repository), "nonsense")
    with pytest.raises(UserError, match=r"is in no git repository.*--study"):
        sent_commit(make_study(tmp_path / "elsewhere"), "HEAD")
    (repository / "kellen").rename(repository / "other")
    with pytest.raises(UserError, match=r"is not the folder kellen/ of its repository"):
        sent_commit(Study(repository / "other"), "HEAD")
