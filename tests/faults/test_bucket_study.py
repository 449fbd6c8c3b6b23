"""A study in a bucket, worked on by two runners that are killed, while the store fails: as on a disk."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.io.object_stores import Scheme, Store, store
from tests.run.tiny import ROOT, TINY, TRM, environment, make_study, run_command
from trm_scaling.io.bucket import Bucket
from trm_scaling.io.bucket_study import put_study
from trm_scaling.io.jsonl import read_jsonl
from trm_scaling.io.lease import read_lease
from trm_scaling.results.attempts import read_attempts
from trm_scaling.run.launch.supervisor import free_port

SEEDS = 4
BATCH = ["batch", "baseline", "--profile", "smoke", *TINY, "system.checkpoint_seconds=0.5", "--no-wandb"]
BATCH += ["--replicates", str(SEEDS), "--apart", "--jobs", "1"]


@pytest.fixture(scope="module")
def on_a_disk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The weights that each run ends with."""
    study = make_study(tmp_path_factory.mktemp("disk"))
    done = subprocess.run(
        [TRM, *BATCH], cwd=study.data_root, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return weights({path.parent.name: path.read_bytes() for path in study.checkpoints.rglob("result.json")})


def weights(records: dict[str, bytes]) -> dict[str, str]:
    return {run: json.loads(record)["weights_sha256"] for run, record in records.items()}


@pytest.fixture(params=["s3", "gs"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    scheme: Scheme = request.param
    with store(scheme) as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        put_study(ROOT / "kellen", found.url)
        yield found


def start(place: Store, machine: Path) -> "subprocess.Popen[bytes]":
    """A runner with mirrors of its own."""
    machine.mkdir(exist_ok=True)
    with (machine / "log").open("ab") as log:
        return subprocess.Popen(
            [TRM, *BATCH, "--study", place.url],
            cwd=machine,
            env={**environment(), **place.environment, "TRM_MIRRORS": str(machine / "mirrors")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def kill_a_worker(machine: Path, seconds: float = 120.0) -> str | None:
    """Kill a worker of that machine that has saved, as the machine's end would. Returns its run."""
    waited = time.monotonic()
    while time.monotonic() - waited < seconds:
        for record in machine.glob(
            "mirrors/*/kellen/checkpoints/*/*/*/checkpoints/[0-9]*[0-9]/checkpoint.json"
        ):
            run = record.parents[2]
            lease = read_lease(run)
            if lease and lease.owner.is_here and lease.owner.lives and not (run / "result.json").exists():
                os.kill(lease.owner.pid, signal.SIGKILL)
                return run.name
        time.sleep(0.05)
    return None


@pytest.mark.slow
@pytest.mark.timeout(900, func_only=True)  # of it alone, not of the study on a disk that it is compared with
def test_two_runners_that_are_killed_end_with_what_a_disk_has(
    place: Store, tmp_path: Path, on_a_disk: dict[str, str]
) -> None:
    place.faults.refused = place.faults.lost = place.faults.cut = 0.01
    place.faults.slow_list_seconds = 0.2
    one, two = tmp_path / "one", tmp_path / "two"
    runners = {one: start(place, one), two: start(place, two)}
    try:
        killed = [kill_a_worker(one), kill_a_worker(two)]
        # A runner with its worker: a host that is preempted. The other machine, or the next pod, goes on.
        worker = kill_a_worker(one, 20)
        os.killpg(runners[one].pid, signal.SIGKILL)
        runners[one].wait()
        runners[one] = start(place, one)
        for machine, runner in runners.items():
            assert runner.wait(600) == 0, (machine / "log").read_text()[-3000:]
    finally:
        for runner in runners.values():
            runner.terminate()
            runner.wait()
    place.faults.end()
    assert any(killed), worker
    bucket = Bucket(place.url)
    keys = [key for key in bucket.keys("checkpoints/") if key.endswith("result.json")]
    records = {key.split("/")[-2]: found.data for key in keys if (found := bucket.read(key)) is not None}
    assert weights(records) == on_a_disk
    for key in keys:
        folder = key.removesuffix("/result.json")
        mirrors = [tmp_path / name / "mirrors" for name in ("one", "two")]
        attempts_file = tmp_path / "attempts.jsonl"
        attempts_file.write_bytes(_read(bucket, f"{folder}/attempts.jsonl"))
        endings = [attempt.ending for attempt in read_attempts(attempts_file)]
        assert endings.count("finished") == 1, (endings, mirrors)
        metrics = tmp_path / "metrics.jsonl"
        metrics.write_bytes(_read(bucket, f"{folder}/metrics.jsonl"))
        evaluated = [line["step"] for line in read_jsonl(metrics).records if line.get("kind") == "eval"]
        assert evaluated == [10, 20, 30, 40, 50, 60]
        assert not [key for key in bucket.keys(f"{folder}/") if key.endswith("lease.json")]
    assert sum(place.faults.count.values()) > 0


def _read(bucket: Bucket, key: str) -> bytes:
    found = bucket.read(key)
    assert found is not None, key
    return found.data


def start_hosts(place: Store, folder: Path) -> "list[subprocess.Popen[bytes]]":
    """One run in two processes, each with mirrors and data of its own, as two hosts of a pod have them."""
    many = ["--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", "2"]
    started = []
    for index in range(2):
        host = folder / f"host-{index}"
        host.mkdir(exist_ok=True)
        command = [
            str(TRM),
            *run_command("system.checkpoint_seconds=0.5"),
            "--no-wandb",
            "--study",
            place.url,
        ]
        variables = {**environment(), **place.environment, "TRM_MIRRORS": str(host / "mirrors")}
        with (host / "log").open("ab") as log:
            started.append(
                subprocess.Popen(
                    [*command, *many, "--process-id", str(index)],
                    cwd=host,
                    env=variables,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )
    return started


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_hosts_that_share_nothing_but_a_bucket_go_on_after_one_is_lost(
    place: Store, tmp_path: Path
) -> None:
    """The first host's mirror is gone as well, as on a pod that was made anew."""
    hosts = start_hosts(place, tmp_path)
    try:
        assert kill_a_worker(tmp_path / "host-0", 400) is not None
        assert all(host.wait(180) != 0 for host in hosts)
        (tmp_path / "host-0").rename(tmp_path / "gone")
        hosts = start_hosts(place, tmp_path)
        said = [(tmp_path / f"host-{index}" / "log").read_text()[-2000:] for index in range(2)]
        assert [host.wait(300) for host in hosts] == [0, 0], said
    finally:
        for host in hosts:
            host.kill()
            host.wait()
    bucket = Bucket(place.url)
    (result,) = [key for key in bucket.keys("checkpoints/") if key.endswith("result.json")]
    record = json.loads(_read(bucket, result))
    assert (record["steps"], record["device_count"], record["attempts"]) == (60, 2, 2)
    assert not list(tmp_path.glob("host-1/mirrors/*/kellen/checkpoints/*/*/*/result.json"))
