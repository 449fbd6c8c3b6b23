"""Bringing a run to a pod with a made-up gcloud: what goes wrong is said, and nothing runs untold."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from trm_scaling.errors import UserError
from trm_scaling.run.launch import tpu_vm
from trm_scaling.run.launch.pod import bring, ready_workers, run_step
from trm_scaling.run.launch.tpu_vm import Launch, Pod

POD = Pod("stable-1", "us-central2-b")

# Eight workers of which the first $WORKING do what they are told; every command is written down.
GCLOUD = """\
#!{python}
import json, os, sys
words = sys.argv[1:]
with open({log!r}, "a") as log:
    print(" ".join(words), file=log)
verb = words[3]
if verb == "describe":
    if os.environ.get("DESCRIBE"):
        sys.exit(os.environ["DESCRIBE"])
    print(json.dumps({{"state": os.environ.get("STATE", "READY"), "networkEndpoints": [{{}}] * 8}}))
script = words[-1]
failing = os.environ.get("FAILING", "nothing")
fails = failing in script
if os.environ.get("ALWAYS", "nothing") in script:
    sys.exit("ERROR: (gcloud.compute.tpus.tpu-vm.ssh) connection lost")
for marker in ("trm-free", "trm-installed", "trm-started"):
    if verb == "ssh" and f"echo {{marker}}" in script:
        for worker in range(4 if fails else 8):
            print(marker, f"t1v-n-w-{{worker}}")
if fails:
    sys.exit("ERROR: No matching distribution found for libtpu\\nworkers 4, 5, 6, 7 failed with status 1")
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that gcloud writes its commands to."""
    tools, log = tmp_path / "tools", tmp_path / "commands.txt"
    tools.mkdir()
    gcloud = tools / "gcloud"
    gcloud.write_text(GCLOUD.format(python=sys.executable, log=str(log)))
    gcloud.chmod(0o755)
    # Packing is git's part, and tried elsewhere.
    (tools / "git").write_text("#!/bin/sh\n")
    (tools / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    log.touch()
    return log


@pytest.fixture
def launch_it(tmp_path: Path) -> Callable[[], None]:
    launch = Launch(POD, "0" * 40, "/mnt/trm", ("baseline",), "paper", 3)
    return lambda: bring(launch, tmp_path / launch.archive, lambda _: None)


def started(log: Path) -> bool:
    return "new-session" in log.read_text()


def ended(log: Path) -> bool:
    return "kill-session" in log.read_text()


def test_all_goes_well(log: Path, launch_it: Callable[[], None]) -> None:
    launch_it()
    verbs = [line.split()[3] for line in log.read_text().splitlines()]
    assert verbs == ["describe", "ssh", "scp", "ssh", "ssh", "ssh", "ssh"]
    assert started(log)
    assert not ended(log)


def test_no_gcloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"no gcloud on this machine.*--dry-run.*Nothing was started"):
        ready_workers(POD, lambda _: None)
    with pytest.raises(
        UserError, match=r"(?s)no gcloud on this machine.*it was to run\n  gcloud compute.*C-c"
    ):
        run_step(tpu_vm.stop(POD), POD, lambda _: None)


def test_what_could_not_be_stopped_is_not_called_ended(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALWAYS", "send-keys")
    with pytest.raises(UserError) as told:
        run_step(tpu_vm.stop(POD), POD, lambda _: None)
    assert "What runs on stable-1 may still do so" in str(told.value)
    assert str(tpu_vm.stop(POD)) in str(told.value)
    assert "Nothing was started" not in str(told.value)


def test_ctrl_c_while_it_starts_tells_how_to_end_what_did(
    log: Path, launch_it: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    really_run = subprocess.run

    def run(command: Sequence[str], **options: Any) -> Any:
        if "new-session" in command[-1]:
            raise KeyboardInterrupt
        return really_run(command, **options)

    monkeypatch.setattr("trm_scaling.run.launch.pod.subprocess.run", run)
    with pytest.raises(UserError) as told:
        launch_it()
    assert str(tpu_vm.end(POD)) in str(told.value)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "ERROR: (gcloud.compute.tpus.tpu-vm.describe) NOT_FOUND: Resource 'nodes/stable-1' was not found",
            r"no TPU VM stable-1 in us-central2-b: `gcloud compute tpus tpu-vm list --zone=us-central2-b`",
        ),
        (
            "ERROR: PERMISSION_DENIED: Permission denied on 'locations/us-central2-b' (or it may not exist).",
            r"zone us-central2-b has no TPU quota",
        ),
        ("ERROR: Quota limit 'TPUV4PodPerProjectPerZone' has been exceeded", r"has no TPU quota.*TPUV4Pod"),
        ("ERROR: You do not currently have an active account selected.", r"gcloud auth login"),
        ("ERROR: something new", r"something new"),
    ],
)
def test_a_pod_that_cannot_be_looked_at(
    log: Path, launch_it: Callable[[], None], monkeypatch: pytest.MonkeyPatch, said: str, told: str
) -> None:
    monkeypatch.setenv("DESCRIBE", said)
    with pytest.raises(UserError, match=rf"{told}.*Nothing was started"):
        launch_it()
    assert not started(log)


def test_a_pod_that_is_not_ready(
    log: Path, launch_it: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE", "PREEMPTED")
    with pytest.raises(UserError, match=r"stable-1 is PREEMPTED, not READY.*Nothing was started"):
        launch_it()
    assert not started(log)


def test_half_the_workers_fail_to_install(
    log: Path, launch_it: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILING", "pip install")
    with pytest.raises(UserError, match=r"4 of 8 workers installed.*libtpu.*4, 5, 6, 7.*Nothing was started"):
        launch_it()
    assert not started(log)


def test_a_session_that_runs_already_is_left_alone(
    log: Path, launch_it: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILING", "has-session")
    with pytest.raises(UserError, match="4 of 8 workers have no tmux session trm"):
        launch_it()
    assert not started(log)
    assert not ended(log)


def test_workers_that_do_not_share_the_folder(
    log: Path, launch_it: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILING", "echo not shared")
    with pytest.raises(UserError, match=r"not every worker of stable-1 sees /mnt/trm.*Nothing was started"):
        launch_it()
    assert not started(log)


def test_half_the_workers_fail_to_start_and_the_others_are_ended(
    log: Path, launch_it: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILING", "new-session")
    with pytest.raises(UserError, match=r"4 of 8 workers started.*Those that had started were ended"):
        launch_it()
    assert ended(log)


def test_what_cannot_be_ended_is_told_with_the_command(
    log: Path, launch_it: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILING", "new-session")
    monkeypatch.setenv("ALWAYS", "kill-session")
    with pytest.raises(UserError) as told:
        launch_it()
    assert "Some may run: end them with" in str(told.value)
    assert str(tpu_vm.end(POD)) in str(told.value)
