"""What is done to a pod, with a made-up gcloud: what goes wrong is said, and nothing runs untold."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.run.launch import gcloud
from trm_scaling.errors import UserError
from trm_scaling.run.launch import pod as pods
from trm_scaling.run.launch.pod import Interrupted, bring, fetch, follow, health, stop
from trm_scaling.run.launch.tpu_vm import Launch, Pod, Session, Step

POD = Pod("stable-1", "us-central2-b", "a-project")
SESSION = Session(POD)
TO_END_IT = "trm launch stop --tpu stable-1 --zone us-central2-b --project a-project --now"


def quiet(_: str) -> None:
    """Nobody listens."""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that gcloud writes its commands to."""
    log = gcloud.install(tmp_path, monkeypatch)
    # Packing is git's part, and tried elsewhere.
    git = tmp_path / "tools" / "git"
    git.write_text("#!/bin/sh\n")
    git.chmod(0o755)
    return log


@pytest.fixture
def launch_it(tmp_path: Path) -> Callable[[], None]:
    launch = Launch(SESSION, "/code/trm", "0" * 40, "/mnt/trm", ("baseline",), "paper", 3, "5eed")
    return lambda: bring(launch, tmp_path / launch.archive, quiet)


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


@pytest.mark.parametrize(
    ("act", "left"),
    [
        ("bring", "Nothing was started"),
        ("stop", "Nothing was stopped: what may run there runs on, and the pod costs"),
        ("fetch", "Nothing was fetched"),
        ("health", "read the commands"),
        ("follow", "What runs there runs on"),
    ],
)
@pytest.mark.parametrize("trouble", ["no gcloud", "not logged in"])
def test_without_gcloud_each_command_says_what_that_leaves(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    launch_it: Callable[[], None],
    act: str,
    left: str,
    trouble: str,
) -> None:
    if trouble == "no gcloud":
        monkeypatch.setenv("PATH", str(tmp_path))
        told = rf"no gcloud on this machine.*--dry-run.*{left}"
    else:
        request.getfixturevalue("log")
        said = "ERROR: You do not currently have an active account selected."
        monkeypatch.setenv("DESCRIBE", said)
        monkeypatch.setenv("ENDS", "1")
        told = r"says no more.*What runs there" if act == "follow" else rf"gcloud auth login.*{left}"
        told = r"gcloud auth login" if act == "health" else told
    acts: dict[str, Callable[[], object]] = {
        "bring": launch_it,
        "stop": lambda: stop(SESSION, False, quiet),
        "fetch": lambda: fetch(POD, "/mnt/trm", tmp_path / "results", quiet),
        "health": lambda: health(POD, quiet),
        "follow": lambda: follow(SESSION, quiet),
    }
    with pytest.raises(UserError, match=told) as error:
        acts[act]()
    assert ("Nothing was started" in str(error.value)) == (act == "bring")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "ERROR: (gcloud.compute.tpus.tpu-vm.describe) NOT_FOUND: Resource 'nodes/stable-1' was not found",
            r"no TPU VM stable-1 in us-central2-b: `gcloud .* list --zone=us-central2-b --project=a-project`",
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
    with pytest.raises(UserError, match=r"PREEMPTED, not READY.*start stable-1 .*=a-project.*was started"):
        launch_it()
    assert not started(log)


def test_half_the_workers_fail_to_install(
    log: Path, launch_it: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILING", "pip install")
    with pytest.raises(UserError, match=r"4 of 8 workers installed.*libtpu.*4 to 7.*Nothing was started"):
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
    with pytest.raises(UserError, match=r"NFS.*4 of 8 workers read and write /mnt/trm.*Nothing was started"):
        launch_it()
    assert not started(log)


def test_what_a_step_said_is_shown_as_it_is(
    log: Path, launch_it: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk on a worker is no want of TPU quota."""
    monkeypatch.setenv("FAILING", "tar.gz")
    monkeypatch.setenv("SAID", "scp: write remote: Disk quota exceeded")
    with pytest.raises(UserError) as told:
        launch_it()
    assert str(told.value) == (
        "could not copy it to all workers: scp: write remote: Disk quota exceeded. Nothing was started."
    )


def test_half_the_workers_fail_to_start_and_the_others_are_ended(
    log: Path, launch_it: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILING", "new-session")
    monkeypatch.setenv("WITHOUT_SESSION", "4")
    with pytest.raises(UserError, match=r"4 of 8 workers started.*The 4 that had begun were ended"):
        launch_it()
    assert ended(log)


@pytest.mark.parametrize("trouble", ["ALWAYS", "FAILING"])
def test_what_cannot_be_ended_is_told_with_the_command(
    log: Path, launch_it: Callable[[], None], monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """No worker can be reached to end it, or half of them."""
    monkeypatch.setenv(trouble, "kill-session")
    if trouble == "FAILING":
        monkeypatch.setenv("FAILING", "session")
        monkeypatch.setattr(pods, "_made_ready", lambda *_: 8)
    else:
        monkeypatch.setenv("FAILING", "new-session")
    with pytest.raises(UserError) as told:
        launch_it()
    assert f"Some may run: end them with\n  {TO_END_IT}" in str(told.value)
    assert "were ended" not in str(told.value)


@pytest.mark.parametrize(
    ("purpose", "left"), [("install on all workers", "Nothing was started"), ("start it in tmux", TO_END_IT)]
)
def test_ctrl_c_says_what_may_run(
    log: Path, launch_it: Callable[[], None], monkeypatch: pytest.MonkeyPatch, purpose: str, left: str
) -> None:
    executed = pods.run_step

    def interrupted(step: Step, note: Callable[[str], None], closing: str) -> object:
        if step.purpose.startswith(purpose):
            raise KeyboardInterrupt
        return executed(step, note, closing)

    monkeypatch.setattr(pods, "run_step", interrupted)
    with pytest.raises(Interrupted, match=left) as told:
        launch_it()
    assert told.value.exit_status == 130


@pytest.mark.parametrize(("now", "done"), [(False, "asked to save and end"), (True, "ended")])
def test_a_stop_counts_the_workers(log: Path, monkeypatch: pytest.MonkeyPatch, now: bool, done: str) -> None:
    assert stop(SESSION, now, quiet) == f"8 of 8 workers {done}"
    monkeypatch.setenv("WITHOUT_SESSION", "3")
    assert stop(SESSION, now, quiet) == f"5 of 8 workers {done}"
    monkeypatch.setenv("WITHOUT_SESSION", "8")
    with pytest.raises(UserError, match=r"no worker of stable-1 has a tmux session trm.*trm launch follow"):
        stop(SESSION, now, quiet)
    monkeypatch.setenv("FAILING", "tmux")
    monkeypatch.setenv("WITHOUT_SESSION", "1")
    with pytest.raises(UserError, match=rf"4 of 8 workers answered; 3 were {done}.*may go on"):
        stop(SESSION, now, quiet)


def test_a_stop_that_reaches_nobody_says_that_the_run_goes_on(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALWAYS", "tmux")
    with pytest.raises(UserError, match=r"could not save and stop.*connection lost.*runs on, and the pod"):
        stop(SESSION, False, quiet)


def test_health_is_what_gcloud_knows(log: Path) -> None:
    said = health(POD, quiet)
    assert said.startswith("stable-1 is READY with 8 workers\n{")


def test_a_fetch_that_fails_says_that_the_pod_is_as_it_was(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILING", "tar --null")
    monkeypatch.setenv("SAID", "no runs in /mnt/trm/kellen")
    with pytest.raises(UserError, match=r"could not pack the results: no runs in .*Nothing was fetched"):
        fetch(POD, "/mnt/trm", tmp_path / "results", quiet)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("trm-begun 2026-11-23T00:00:00Z\nstep 10\ntrm-ended 0", 0),
        ("trm-begun 2026-11-23T00:00:00Z\nerror: mend it\ntrm-ended 65", 65),
        ("trm-ended 68\ntrm-begun 2026-11-23T00:00:00Z\ntrm-ended 75", 75),
    ],
)
def test_following_to_the_end_gives_the_runs_status(
    log: Path, monkeypatch: pytest.MonkeyPatch, said: str, status: int
) -> None:
    monkeypatch.setenv("LOG", said)
    shown: list[str] = []
    assert follow(SESSION, shown.append) == status
    assert "".join(shown) == f"{said}\n"


def test_a_run_that_is_no_longer_heard_has_not_ended(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG", "trm-ended 0\ntrm-begun 2026-11-23T00:00:00Z\nstep 10")
    with pytest.raises(UserError, match=r"ended and did not say with which status.*goes on from the newest"):
        follow(SESSION, quiet)
    monkeypatch.setenv("ENDS", "255")
    with pytest.raises(UserError, match=r"status 255\). What runs there runs on.*\n.*launch follow"):
        follow(SESSION, quiet)


def test_ctrl_c_ends_the_following_alone(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("LOG", "step 10")
    assert follow(SESSION, interrupt) is None
