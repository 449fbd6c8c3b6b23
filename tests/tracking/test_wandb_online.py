"""The mirror online: W&B's real client against a server in this process."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tracking.wandb_runs import CONFIG, FAILED, ID, fail, finish, make_run, train
from tests.tracking.wandb_server import KEY, Server, wandb_server
from trm_scaling.io.jsonl import truncate_after
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.tracking.wandb_mirror import start_mirror

pytestmark = pytest.mark.usefixtures("logged_out")


def mirrored(run: RunFolder, first: int, last: int, success: bool) -> None:
    """Train those steps with a mirror beside, which must come to its end."""
    mirror = start_mirror(run.path, "exp01")
    assert mirror is not None
    with mirror:
        train(run, first, last)
        (finish if success else fail)(run)
    assert mirror.process.wait(timeout=60) == 0, (run.path / "wandb.log").read_text()


def log_in_by_variable(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)


def log_in_by_netrc(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    host = server.url.removeprefix("http://")
    (home / ".netrc").write_text(f"machine {host}\n  login user\n  password {KEY}\n")


@pytest.mark.parametrize("log_in", [log_in_by_variable, log_in_by_netrc])
def test_who_is_logged_in_is_mirrored_online(
    log_in: Callable[[Server, Path, pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path)
    with wandb_server() as server:
        log_in(server, tmp_path / "home", monkeypatch)
        mirrored(run, 10, 200, success=True)
    assert server.asked == {"RunResumeStatus", "UpsertBucket", "CreateRunFiles"}, "no reports, no greeting"
    kept = server.runs[ID]
    assert (kept.project, kept.group, kept.name) == ("TRM-Scaling-Research", "exp01", "exp01a")
    assert (kept.job_type, kept.tags) == ("smoke", ["exp01", "smoke"])
    assert {key: value for key, value in kept.config.items() if key != "_wandb"} == CONFIG.model_dump(
        mode="json"
    )
    assert kept.steps == list(range(10, 201, 10))
    assert (kept.summary["status"], kept.summary["test/best/exact_rate"]) == ("finished", 0.5)
    assert kept.exit_code == 0
    leaks = [path for path in run.path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert leaks == []


def test_a_resumed_run_goes_on_where_the_server_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = make_run(tmp_path)
    with wandb_server() as server:
        log_in_by_variable(server, tmp_path, monkeypatch)
        mirrored(run, 10, 150, success=False)
        kept = server.runs[ID]
        assert (kept.exit_code, kept.summary["status"]) == (1, FAILED)
        # What the last mirror handed over need not have arrived.
        kept.history = kept.history[:8]
        kept.summary["_step"] = 80
        truncate_after(run.metrics, 100)
        mirrored(run, 110, 200, success=True)
    assert kept.steps == list(range(10, 201, 10))
    assert (kept.exit_code, kept.summary["status"]) == (0, "finished")


@pytest.mark.e2e
def test_a_run_that_was_offline_before_is_sent_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    mirrored(run, 10, 100, success=False)
    assert len(list(run.path.glob("wandb/offline-run-*"))) == 1
    with wandb_server() as server:
        log_in_by_variable(server, tmp_path, monkeypatch)
        mirrored(run, 110, 200, success=True)
    assert server.runs[ID].steps == list(range(10, 201, 10))
    assert list(run.path.glob("wandb/offline-run-*")) == [], "`wandb sync` would send them a second time"


@pytest.mark.e2e
def test_a_server_that_goes_away_does_not_keep_the_mirror(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = make_run(tmp_path)
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "1")
    with wandb_server() as server:
        log_in_by_variable(server, tmp_path, monkeypatch)
        mirror = start_mirror(run.path, "exp01")
        assert mirror is not None
        while ID not in server.runs:
            time.sleep(0.05)  # bounded by the test's time limit
    with mirror:
        train(run, 10, 200)
        finish(run)
    assert mirror.process.wait(timeout=60) == 1
    assert "`trm sync` sends what is missing" in (run.path / "wandb.log").read_text()
