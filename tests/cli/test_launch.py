"""`trm launch` as it is typed: what is passed on, and the exit status."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.run.launch import gcloud
from tests.run.tiny import ROOT, make_study
from trm_scaling.cli.app import app
from trm_scaling.config.system import SystemConfig
from trm_scaling.errors import UserError
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


NOT_QUEUED = ("tpu-vm", "baseline", "--tpu", "a", "--shared", "/mnt/trm")
QUEUED = ("tpu-vm", "baseline", "--tpu", "trm-1", "--queued", "--study", "gs://mine/kellen")


def test_a_queued_launch_prints_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the look at the bucket to the deleting; nothing is started."""
    monkeypatch.chdir(ROOT)
    done = typed(*QUEUED, "--spot", "--type", "v4-32", "--valid-until", "6h", "--dry-run")
    assert done.exit_code == 0, done.output
    commands = [line.split() for line in done.stdout.splitlines() if line.startswith("gcloud ")]
    assert [words[3:5] if words[1] == "compute" else words[1:4] for words in commands][:4] == [
        *(
            ["storage", "buckets", "describe"],
            ["queued-resources", "create"],
            ["queued-resources", "describe"],
        ),
        ["tpu-vm", "describe"],
    ]
    assert commands[-1][3:6] == ["queued-resources", "delete", "trm-1"]
    assert "--study gs://mine/kellen" in done.stdout
    assert "costs until it is deleted: gcloud compute tpus queued-resources delete trm-1" in done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([*QUEUED, "--spot", "--zone", "us-west1-a"], "v4-64 spot in us-west1-a is not in a usual grant"),
        ([*QUEUED, "--type", "v5e-16"], "v5e-16 on demand in any zone is not in a usual grant"),
        ([*QUEUED, "--type", "v4-32", "global_batch_size=24"], "=24 of baseline does not divide over the 16"),
        ([*QUEUED, "--no-follow"], "--no-follow does not"),
        ([*NOT_QUEUED, "--spot"], "go with --queued"),
        ([*NOT_QUEUED, "--spot", "--no-follow"], "go with --queued"),
        ([*NOT_QUEUED, "--valid-until", "6h", "--no-follow"], "go with --queued"),
        ([*NOT_QUEUED, "--type", "v4-8"], "go with --queued"),
        (
            ["tpu-vm", "baseline", "--tpu", "a", "--queued", "--spot", "--shared", "/mnt/t"],
            "comes back empty",
        ),
        (["tpu-vm", "baseline", "--tpu", "a"], "say where the study is to lie"),
    ],
)
def test_a_launch_that_cannot_be_is_refused_before_gcloud_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    log = gcloud.install(tmp_path, monkeypatch)
    monkeypatch.chdir(ROOT)
    done = typed(*words)
    assert isinstance(done.exception, UserError)
    assert told in str(done.exception)
    assert log.read_text() == ""


def test_a_queued_study_from_the_command_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for, preempted while it runs, asked for again, and deleted; the second pod finds the study
    begun."""
    log = gcloud.install(tmp_path, monkeypatch)
    queue = tmp_path / "queue.json"
    states = [["PROVISIONING", "ACTIVE", "ACTIVE", "SUSPENDED"], ["ACTIVE"]]
    queue.write_text(json.dumps({"requests": states, "there": False}))
    monkeypatch.setenv("QUEUE", str(queue))
    monkeypatch.setenv("LOGS", "trm-begun now\ntrm-ended 75|trm-begun now\ntrm-ended 0")
    monkeypatch.setattr("trm_scaling.run.launch.queued.POLL_SECONDS", 0.0)
    monkeypatch.chdir(ROOT)
    done = typed(*QUEUED, "--spot", "--type", "v4-16", "--profile", "smoke", "global_batch_size=16")
    assert done.exit_code == 0, done.output
    said = log.read_text()
    verbs = [line.split()[3] for line in said.splitlines() if "queued-resources" in line]
    assert [verb for verb in verbs if verb != "describe"] == ["create", "delete", "create", "delete"]
    assert said.count("new-session") == 2
    assert said.count("trm init gs://mine/kellen") == 2
    assert not json.loads(queue.read_text())["there"]
