"""A run beside which a mirror works, with the real client of W&B, offline: what it wrote is read back."""

import importlib.machinery
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tracking.wandb_runs import CONFIG, FAILED, ID, fail, finish, make_run, offline_runs, train
from tests.tracking.wandb_server import KEY
from trm_scaling.io.jsonl import truncate_after
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.tracking.wandb_mirror import Mirror, start_mirror

pytestmark = pytest.mark.usefixtures("logged_out")


def started(run: RunFolder) -> Mirror:
    mirror = start_mirror(run.path, "exp01")
    assert mirror is not None
    return mirror


def ended(mirror: Mirror) -> int:
    """Its exit status, once its run is over."""
    mirror.close()
    return mirror.process.wait(timeout=60)


def log_of(run: RunFolder) -> str:
    return (run.path / "wandb.log").read_text()


def test_a_run_is_mirrored_whole(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with started(run) as mirror:
        train(run, 10, 200)
        finish(run)
    assert ended(mirror) == 0, log_of(run)
    (read,) = offline_runs(run)

    assert read.run["run_id"] == ID
    assert read.run["project"] == "TRM-Scaling-Research"
    assert (read.run["display_name"], read.run["run_group"]) == ("exp01a", "exp01")
    assert (read.run["job_type"], read.run["tags"]) == ("smoke", ["exp01", "smoke"])
    config = {key: value for key, value in read.run["config"]["update"].items() if key != "_wandb"}
    assert config == CONFIG.model_dump(mode="json")

    assert read.steps == list(range(10, 201, 10))
    assert [row["train/loss"] for row in read.rows] == [100 / step for step in range(10, 201, 10)]
    evaluated = {row["_step"]: row["eval/exact_rate"] for row in read.rows if "eval/exact_rate" in row}
    assert evaluated == {100: 0.1, 200: 0.2}
    assert read.rows[0]["train/halt.values"] == [1, 0, 3]
    assert read.rows[0]["train/halt.bins"] == [0.5, 1.5, 2.5, 3.5]
    assert not any("time/rate" in row for row in read.rows), "null is missing, not a value"

    assert read.exit_code == 0
    assert read.summary["status"] == "finished"
    assert (read.summary["parameters"], read.summary["training_flops"]) == (1234, 5e12)
    assert "mfu" not in read.summary
    assert (read.summary["test/best/exact_rate"], read.summary["test/best_current/exact_rate"]) == (0.5, 0)
    histogram = read.summary["test/best/halting_rule_steps_histogram"]
    assert histogram == {"_type": "histogram", "bins": [0.5, 1.5, 2.5], "values": [1, 1]}
    assert read.summary["eval/exact_rate"] == 0.2


def test_a_resumed_run_keeps_its_id_and_gives_no_step_twice(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with started(run) as mirror:
        train(run, 10, 150)
        fail(run)
    assert ended(mirror) == 0, log_of(run)
    truncate_after(run.metrics, 100)  # what a resumed run does first
    with started(run) as mirror:
        train(run, 110, 200)
        finish(run)
    assert ended(mirror) == 0, log_of(run)
    first, second = offline_runs(run)
    assert (first.run["run_id"], second.run["run_id"]) == (ID, ID)
    assert first.steps + second.steps == list(range(10, 201, 10))
    assert (first.exit_code, first.summary["status"]) == (1, FAILED)
    assert (second.exit_code, second.summary["status"]) == (0, "finished")


def test_it_ends_with_a_trainer_that_was_killed(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from trm_scaling.tracking.wandb_mirror import start_mirror\n"
        "mirror = start_mirror(Path(sys.argv[1]), 'exp01')\n"
        "print('started', flush=True)\n"
        "time.sleep(100)\n"
    )
    train(run, 10, 50)
    trainer = subprocess.Popen([sys.executable, "-c", program, run.path], stdout=subprocess.PIPE)
    with trainer:
        assert trainer.stdout is not None
        trainer.stdout.readline()
        trainer.kill()
    while "5 steps: " not in log_of(run):
        time.sleep(0.05)  # bounded by the test's time limit
    (read,) = offline_runs(run)
    assert read.steps == [10, 20, 30, 40, 50]
    assert read.exit_code == 1
    assert "status" not in read.summary


@pytest.mark.e2e
def test_two_mirrors_of_one_run_take_turns(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    train(run, 10, 50)
    first, second = started(run), started(run)
    fail(run)
    first.close()
    second.close()  # either may have come first
    assert (ended(first), ended(second)) == (0, 0), log_of(run)
    assert [step for read in offline_runs(run) for step in read.steps] == [10, 20, 30, 40, 50]


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of a server that accepts every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def refusing_server() -> str:
    """An address that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("server", ["silent_server", "refusing_server"])
def test_without_a_working_server_it_goes_on_offline(
    server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", request.getfixturevalue(server))
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    run = make_run(tmp_path)
    with started(run) as mirror:
        assert mirror.process.poll() is None, "nobody waited for it"
        assert os.getsid(mirror.process.pid) == mirror.process.pid, "Ctrl-C must not reach it"
        train(run, 10, 50)
        finish(run)
    assert ended(mirror) == 0, log_of(run)
    assert "going on offline" in log_of(run)
    (read,) = offline_runs(run)
    assert read.steps == [10, 20, 30, 40, 50]
    leaks = [path for path in run.path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert leaks == []


def test_what_hangs_after_the_run_is_killed(
    silent_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", silent_server)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1000")
    run = make_run(tmp_path)
    program = (
        "from trm_scaling.tracking import wandb_mirror\nwandb_mirror.LINGER_S = 1\nwandb_mirror.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program, run.path, "exp01"], input=b"", timeout=60)
    assert done.returncode == -signal.SIGALRM


def test_nothing_is_started_where_wandb_is_disabled_or_absent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = make_run(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert start_mirror(run.path, "exp01") is None
    monkeypatch.delenv("WANDB_MODE")
    # A folder of W&B's files in the working directory can be imported, and is not the client.
    (tmp_path / "wandb").mkdir()
    monkeypatch.chdir(tmp_path)
    spec = importlib.machinery.PathFinder.find_spec("wandb", [str(tmp_path)])
    assert spec is not None
    monkeypatch.setattr("trm_scaling.tracking.wandb_run.find_spec", lambda name: spec)
    assert start_mirror(run.path, "exp01") is None
    monkeypatch.setattr("trm_scaling.tracking.wandb_run.find_spec", lambda name: None)
    assert start_mirror(run.path, "exp01") is None
    assert os.listdir(run.path) == ["config.yaml"]


def test_disabled_in_the_settings_of_wandb_is_disabled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    (tmp_path / "settings").write_text("[default]\nmode = disabled\n")
    run = make_run(tmp_path)
    train(run, 10, 50)
    assert ended(started(run)) == 0
    assert "switched off" in log_of(run)
    assert offline_runs(run) == []


def test_a_mirror_that_cannot_be_started_is_a_warning(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="no W&B mirror of .*: .*No such file"):
        assert start_mirror(tmp_path / "nowhere", "exp01") is None
