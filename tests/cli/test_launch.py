"""`trm launch` as it is typed: what is passed on, and the exit status."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.run.launch import gcloud
from tests.run.tiny import make_study
from trm_scaling.cli.app import app
from trm_scaling.config.system import SystemConfig
from trm_scaling.parallel.hosts import parting_seconds


def typed(*words: str, study: Path | None = None) -> Result:
    return CliRunner().invoke(app, ["launch", *words], env={"TRM_STUDY": str(study)} if study else {})


def test_following_ends_with_the_status_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gcloud.install(tmp_path, monkeypatch)
    monkeypatch.setenv("LOG", "trm-begun 2026-11-23T00:00:00Z\nerror: the loss is nan\ntrm-ended 65")
    done = typed("follow", "--tpu", "stable-1")
    assert done.exit_code == 65
    assert "error: the loss is nan\n" in done.stdout


def test_a_session_of_another_name_is_named_to_tmux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = gcloud.install(tmp_path, monkeypatch)
    assert typed("stop", "--tpu", "stable-1", "--session", "trm-2").stdout == (
        "8 of 8 workers asked to save and end\n"
    )
    assert "send-keys -t '=trm-2:' C-c" in log.read_text()


@pytest.mark.parametrize("wandb", [True, False])
def test_a_worker_passes_on_what_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wandb: bool
) -> None:
    """The overrides, whether W&B is wanted, and how long the others take to notice a loss."""
    given: dict[str, Any] = {}

    def run_all(commands: Sequence[Sequence[str]], restarts: int, note: object, parting: float) -> int:
        given.update(commands=commands, restarts=restarts, parting=parting)
        return 68

    monkeypatch.setattr("trm_scaling.run.launch.supervisor.run_all", run_all)
    study = make_study(tmp_path).path
    slow = "system.lost_host_seconds=90"
    words = ["worker", "baseline", "exp01a", slow, "--profile", "smoke", "--restarts", "2"]
    done = typed(*words, *([] if wandb else ["--no-wandb"]), study=study)
    assert done.exit_code == 68
    options = [slow, "--profile", "smoke", "--study", str(study), *([] if wandb else ["--no-wandb"])]
    assert [command[3:] for command in given["commands"]] == [
        ["run", "baseline", *options],
        ["run", "exp01a", *options],
    ]
    assert given["restarts"] == 2
    assert given["parting"] == parting_seconds(SystemConfig(lost_host_seconds=90))
