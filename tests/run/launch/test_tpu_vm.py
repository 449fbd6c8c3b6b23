"""The commands for a TPU pod, held as text; their scripts, held by a real shell; and no secret in any."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.run.launch.launches import LAUNCH, script_of, shell
from tests.run.tiny import ROOT
from trm_scaling.config.compose import compose
from trm_scaling.cost.batch_fitting import choose_micro_batch
from trm_scaling.cost.devices import TARGETS
from trm_scaling.errors import UserError
from trm_scaling.io.study import Study
from trm_scaling.run.launch import tpu_vm
from trm_scaling.run.launch.tpu_vm import Launch, Pod, Session, Step

GOLDEN = Path(__file__).parent / "golden"
ELSEWHERE = Launch(
    Session(Pod("pod 2", "europe-west4-a", "a-project"), "two"),
    "/code/my trm",
    LAUNCH.commit,
    "/mnt/a share",
    ("baseline",),
    "smoke",
    0,
    "5eed",
    wandb=False,
)


IN_BUCKET = Launch(
    *(Session(Pod("trm-1", "us-central2-b")), "/code/trm", LAUNCH.commit, "gs://mine/kellen", ("exp01a",)),
    *("paper", 3, "5eed"),
)


def text_of(launch: Launch) -> str:
    session, pod = launch.session, launch.pod
    steps = [
        *tpu_vm.steps(launch, f"/tmp/{launch.archive}"),
        *(tpu_vm.follow(session), tpu_vm.stop(session), tpu_vm.end(session)),
        *([] if launch.in_bucket else [tpu_vm.pack_results(pod, launch.shared)]),
        *([] if launch.in_bucket else [tpu_vm.fetch_results(pod, f"/tmp/{tpu_vm.RESULTS}")]),
        tpu_vm.health(pod),
    ]
    commands = "\n".join(f"# {step.purpose}\n{step}\n" for step in steps)
    return f"{commands}\n{tpu_vm.afterwards(session, launch.shared)}\n"


@pytest.mark.parametrize(
    ("name", "launch"),
    [("tpu_vm.txt", LAUNCH), ("tpu_vm_elsewhere.txt", ELSEWHERE), ("tpu_vm_bucket.txt", IN_BUCKET)],
)
def test_the_commands_are_these(name: str, launch: Launch) -> None:
    assert text_of(launch) == (GOLDEN / name).read_text()


@pytest.mark.parametrize("launch", [LAUNCH, ELSEWHERE, IN_BUCKET])
def test_every_line_is_one_command_and_every_script_is_a_script(launch: Launch) -> None:
    for line in text_of(launch).splitlines():
        words = shlex.split(line, comments=True)
        for script in (word.removeprefix("--command=") for word in words if word.startswith("--command=")):
            for each in ("bash", "sh"):
                assert subprocess.run([each, "-n", "-c", script], check=False).returncode == 0, script


@pytest.mark.parametrize("name", ["", "a b", "a.b", "a:b", "=a", "-d", "$x", "ä"])
def test_a_session_has_a_name_that_tmux_and_a_shell_take_as_it_is(name: str) -> None:
    with pytest.raises(UserError, match=r"--session=.*letters, digits"):
        Session(LAUNCH.pod, name)


@pytest.mark.parametrize("given", ["mnt/trm", "~/trm", ".", "/"])
def test_the_shared_folder_is_a_whole_path(given: str) -> None:
    with pytest.raises(UserError, match=r"--shared=.*whole path.*/mnt/trm"):
        tpu_vm.shared_folder(given)


def test_a_trailing_slash_is_no_matter() -> None:
    assert tpu_vm.shared_folder("/mnt/trm/") == "/mnt/trm"


def test_the_seeds_describe_command_is_the_health_check() -> None:
    said = "gcloud compute tpus tpu-vm describe stable-1 --zone=us-central2-b"
    assert str(tpu_vm.health(LAUNCH.pod)) == said


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
    begun, *between, ended = (tmp_path / "trm.log").read_text().splitlines(keepends=True)
    assert begun.startswith("trm-begun 20")
    assert ("".join(between), ended) == (said, "trm-ended 0\n")
    assert done.stdout.splitlines()[-1].startswith("trm-started ")


@pytest.fixture
def sharing(tmp_path: Path) -> Launch:
    """A launch whose shared folder is there, and whose code lies unpacked in the home `tmp_path`."""
    for part in ("configs", "utils", "analysis/data/compiled"):
        shutil.copytree(ROOT / "kellen" / part, tmp_path / LAUNCH.code / "kellen" / part)
    (tmp_path / "a share").mkdir()
    return Launch(
        LAUNCH.session, "/code/trm", LAUNCH.commit, str(tmp_path / "a share"), (), "paper", 0, "5eed"
    )


def test_the_pod_knows_what_was_compiled_for_it(tmp_path: Path, sharing: Launch) -> None:
    """As `trm run` asks on a v4-64: by the compiler's answer, not by the estimate."""
    target = TARGETS["v4-64"]
    study = Study(Path(sharing.study))
    run = study.checkpoints / "paper" / "baseline"
    run.mkdir(parents=True)
    placed = shell(tpu_vm.place_study(sharing), tmp_path)
    assert (placed.returncode, placed.stderr) == (0, "")
    config = compose(study.configs, "exp06_f", "paper", [])
    chosen, compiled = choose_micro_batch(study, config, target)
    assert compiled is not None, "what the study has compiled are other programs than these"
    assert chosen.micro_batches == 3
    assert run.is_dir()
    shutil.rmtree(study.path / "analysis")
    assert choose_micro_batch(study, config, target)[1] is None


def test_a_commit_without_anything_compiled_is_placed_too(tmp_path: Path, sharing: Launch) -> None:
    shutil.rmtree(tmp_path / sharing.code / "kellen" / "analysis")
    assert shell(tpu_vm.place_study(sharing), tmp_path).returncode == 0
    assert {"baseline", "contrib01_baseline"} <= set(Study(Path(sharing.study)).experiments)


def test_a_worker_without_the_shared_folder_says_so(tmp_path: Path, sharing: Launch) -> None:
    check = tpu_vm.check_shared(sharing)
    missing = shell(check, tmp_path)
    assert (missing.returncode, missing.stderr.split(":")[0]) == (1, "not shared")
    shell(tpu_vm.place_study(sharing), tmp_path)
    seen = shell(check, tmp_path)
    assert (seen.returncode, seen.stdout.split()[0]) == (0, "trm-shared")
    # What an earlier launch left proves nothing.
    (Path(sharing.proof) / "token").write_text("earlier\n")
    assert shell(check, tmp_path).returncode == 1


def test_a_shared_folder_in_which_no_folder_can_be_renamed_is_found_out(
    tmp_path: Path, sharing: Launch
) -> None:
    """As a bucket through gcsfuse."""
    (tmp_path / "mv").write_text("#!/bin/sh\necho mv: Function not implemented >&2; exit 1\n")
    (tmp_path / "mv").chmod(0o755)
    step = tpu_vm.place_study(sharing)
    command = (*step.command[:-1], f"--command=PATH={tmp_path}:$PATH; {script_of(step)}")
    placed = shell(Step(step.purpose, command), tmp_path)
    assert (placed.returncode, placed.stderr) == (1, "mv: Function not implemented\n")
    assert shell(tpu_vm.check_shared(sharing), tmp_path).returncode == 1


def packed(home: Path, shared: Path) -> list[str]:
    done = shell(tpu_vm.pack_results(LAUNCH.pod, str(shared)), home)
    assert done.returncode == 0, done.stderr
    listed = subprocess.run(["tar", "-tzf", home / tpu_vm.RESULTS], capture_output=True, text=True)
    return listed.stdout.splitlines()


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A shared folder with a run that goes on, a finished one, and another name of it."""
    under = tmp_path / "share" / "kellen" / "checkpoints" / "paper"
    for run in ("baseline/1111-s0", "exp01a/2222-s0"):
        (under / run / "checkpoints" / "00000010").mkdir(parents=True)
        for name in ("config.yaml", "metrics.jsonl", "lock", "lease.json", "stop", ".lease.json.tmp"):
            (under / run / name).touch()
    (under / "baseline" / "1111-s0" / "result.json").touch()
    (under / "exp01c").mkdir()
    (under / "exp01c" / "1111-s0").symlink_to("../baseline/1111-s0")
    return tmp_path / "share"


def test_results_are_packed_records_first_and_nothing_that_belongs_to_the_pod(
    tmp_path: Path, results: Path
) -> None:
    names = [name.removeprefix("checkpoints/paper/") for name in packed(tmp_path, results)]
    assert names[0] == "baseline/1111-s0/result.json"
    assert sorted(names[1:]) == [
        *("baseline/1111-s0/config.yaml", "baseline/1111-s0/metrics.jsonl"),
        *("exp01a/2222-s0/config.yaml", "exp01a/2222-s0/metrics.jsonl", "exp01c/1111-s0"),
    ]


@pytest.mark.parametrize(("status", "ends"), [(1, 0), (2, 1)])
def test_a_file_that_grows_while_it_is_packed_is_no_failure(
    tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch, status: int, ends: int
) -> None:
    """GNU tar says so by its exit status 1, and what is worse by 2."""
    (tmp_path / "tar").write_text(f"#!/bin/sh\ncat >/dev/null; exit {status}\n")
    (tmp_path / "tar").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert shell(tpu_vm.pack_results(LAUNCH.pod, str(results)), tmp_path).returncode == ends


def test_a_folder_without_runs_is_named(tmp_path: Path) -> None:
    done = shell(tpu_vm.pack_results(LAUNCH.pod, str(tmp_path / "share")), tmp_path)
    assert (done.returncode, done.stderr) == (2, f"no runs in {tmp_path}/share/kellen\n")


def test_the_pods_state_and_workers_are_read() -> None:
    assert tpu_vm.workers_of('{"state": "READY", "networkEndpoints": [{}, {}]}') == ("READY", 2)


pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux here")

# Saves at Ctrl-C for half a second, and ends with status 75; ends by itself once a file is there.
RUN = """\
import os, pathlib, signal, sys, time
def save(*_):
    time.sleep(0.5); print("saved", flush=True); sys.exit(75)
signal.signal(signal.SIGINT, save)
print("works", flush=True)
while not pathlib.Path("../enough").exists(): time.sleep(0.02)
print("done", flush=True)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A worker's home, with code that plays a run, and a tmux server of its own."""
    code = tmp_path / LAUNCH.code
    (code / ".venv" / "bin").mkdir(parents=True)
    (code / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (code / "kellen" / "experiments").mkdir(parents=True)
    (code / "kellen" / "experiments" / "train_tpu.py").write_text(RUN)
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.setenv("TMUX_TMPDIR", str(tmp_path))
    # A server that outlives its sessions and is ended by its own number.
    subprocess.run(["tmux", "new-session", "-d", "-s", "trm-2", "sleep 120"], check=True)
    # A plain shell, unlike bash, does not wait for what it runs when Ctrl-C comes.
    subprocess.run(["tmux", "set-option", "-g", "default-shell", "/bin/sh"], check=True)
    yield tmp_path
    subprocess.run(["tmux", "kill-server"], check=False)


def log(home: Path) -> list[str]:
    file = home / "trm.log"
    return file.read_text().splitlines() if file.exists() else []


def await_line(home: Path, text: str) -> None:
    while not any(line.startswith(text) for line in log(home)):
        time.sleep(0.02)


def lives(name: str) -> bool:
    return subprocess.run(["tmux", "has-session", "-t", f"={name}"], capture_output=True).returncode == 0


def started(home: Path) -> None:
    done = shell(tpu_vm.start(LAUNCH), home)
    assert done.stdout.startswith("trm-started "), done.stderr
    await_line(home, "works")


def test_a_session_whose_name_begins_alike_is_another_one(home: Path) -> None:
    """`trm-2` runs, `trm` does not: it is free, and nothing is stopped or ended."""
    session = LAUNCH.session
    assert shell(tpu_vm.check_free(session), home).stdout.startswith("trm-free ")
    for step in (tpu_vm.stop(session), tpu_vm.end(session)):
        assert shell(step, home).stdout.startswith("trm-none ")
    assert lives("trm-2")
    taken = shell(tpu_vm.check_free(Session(LAUNCH.pod, "trm-2")), home)
    assert (taken.returncode, taken.stderr.split(" on ")[0]) == (1, "tmux session trm-2 runs already")


def test_a_run_that_is_stopped_saves_and_its_status_stands_in_the_log(home: Path) -> None:
    started(home)
    assert shell(tpu_vm.stop(LAUNCH.session), home).stdout.startswith("trm-asked ")
    await_line(home, "trm-ended")
    assert log(home)[1:] == ["works", "saved", "trm-ended 75"]


def test_a_run_that_is_ended_at_once_says_no_status(home: Path) -> None:
    started(home)
    assert shell(tpu_vm.end(LAUNCH.session), home).stdout.startswith("trm-killed ")
    assert not lives("trm")
    assert tpu_vm.status_said(log(home)) is None


def test_following_ends_with_the_run_and_shows_all_of_it(home: Path) -> None:
    started(home)
    follow = subprocess.Popen(
        ["sh", "-c", script_of(tpu_vm.follow(LAUNCH.session))],
        cwd=home,
        env=os.environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    with follow:
        (home / "enough").touch()
        said = follow.communicate()[0].splitlines()
    assert said[1:] == ["works", "done", "trm-ended 0"]
    # It has ended: the last of what it said, again.
    again = shell(tpu_vm.follow(LAUNCH.session), home)
    assert again.stdout.splitlines() == said
    assert tpu_vm.status_said(said) == 0
