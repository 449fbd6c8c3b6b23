"""The commands for a TPU pod, held as text; their scripts, held by a real shell; and no secret in any."""

import shlex
import subprocess
from pathlib import Path

import pytest

from trm_scaling.run.launch import tpu_vm
from trm_scaling.run.launch.tpu_vm import Launch, Pod, Step

GOLDEN = Path(__file__).parent / "golden"
LAUNCH = Launch(
    pod=Pod("stable-1", "us-central2-b"),
    commit="0123456789abcdef0123456789abcdef01234567",
    shared="/mnt/trm",
    experiments=("baseline", "exp01a", "lr=3e-4"),
    profile="paper",
    restarts=3,
)
ELSEWHERE = Launch(
    Pod("pod 2", "europe-west4-a", "a-project"),
    LAUNCH.commit,
    "/mnt/a share",
    ("baseline",),
    "smoke",
    0,
    "two",
)


def text_of(launch: Launch) -> str:
    after = [
        *(
            tpu_vm.follow(launch),
            tpu_vm.stop(launch.pod, launch.session),
            tpu_vm.end(launch.pod, launch.session),
        ),
        tpu_vm.pack_results(launch.pod, launch.shared, "trm-results.tar.gz"),
        tpu_vm.fetch_results(launch.pod, "trm-results.tar.gz", "trm-results.tar.gz"),
        tpu_vm.health(launch.pod),
    ]
    steps = [*tpu_vm.steps(launch, launch.archive), *after]
    return "\n".join(f"# {step.purpose}\n{step}\n" for step in steps)


@pytest.mark.parametrize(("name", "launch"), [("tpu_vm.txt", LAUNCH), ("tpu_vm_elsewhere.txt", ELSEWHERE)])
def test_the_commands_are_these(name: str, launch: Launch) -> None:
    assert text_of(launch) == (GOLDEN / name).read_text()


@pytest.mark.parametrize("launch", [LAUNCH, ELSEWHERE])
def test_every_line_is_one_command_and_every_script_is_a_script(launch: Launch) -> None:
    for line in text_of(launch).splitlines():
        words = shlex.split(line, comments=True)
        for script in (word.removeprefix("--command=") for word in words if word.startswith("--command=")):
            assert subprocess.run(["bash", "-n", "-c", script], check=False).returncode == 0, script


def test_the_seeds_describe_command_is_the_health_check() -> None:
    said = "gcloud compute tpus tpu-vm describe stable-1 --zone=us-central2-b"
    assert str(tpu_vm.health(LAUNCH.pod)) == said


def script_of(step: Step) -> str:
    return next(word for word in step.command if word.startswith("--command=")).removeprefix("--command=")


def test_the_session_runs_the_seeds_script_and_keeps_what_it_says(tmp_path: Path) -> None:
    """The start script against a tmux that runs its session at once."""
    tools, code = tmp_path / "tools", tmp_path / LAUNCH.code
    (code / ".venv" / "bin").mkdir(parents=True)
    tools.mkdir()
    (tools / "tmux").write_text('#!/bin/sh\n[ "$1" = new-session ] && exec sh -c "$5"\n')
    (code / ".venv" / "bin" / "python").write_text('#!/bin/sh\necho "$@"\n')
    for made in (tools / "tmux", code / ".venv" / "bin" / "python"):
        made.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", script_of(tpu_vm.start(LAUNCH))],
        cwd=tmp_path,
        env={"PATH": f"{tools}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said = (
        "kellen/experiments/train_tpu.py baseline exp01a lr=3e-4 "
        "--profile paper --study /mnt/trm/kellen --restarts 3\n"
    )
    assert (tmp_path / "trm.log").read_text() == said
    assert done.stdout.splitlines()[-1].startswith("trm-started ")


def test_a_worker_without_the_shared_folder_says_so(tmp_path: Path) -> None:
    check = [
        "sh",
        "-c",
        script_of(tpu_vm.check_shared(Launch(LAUNCH.pod, LAUNCH.commit, str(tmp_path), (), "", 0))),
    ]
    missing = subprocess.run(check, capture_output=True, text=True)
    assert (missing.returncode, missing.stderr.split(":")[0]) == (1, "not shared")
    (tmp_path / f".{LAUNCH.code}").touch()
    assert subprocess.run(check).returncode == 0


def test_the_pods_state_and_workers_are_read() -> None:
    assert tpu_vm.workers_of('{"state": "READY", "networkEndpoints": [{}, {}]}') == ("READY", 2)
