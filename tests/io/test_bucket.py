"""A bucket, its leases and a mirror of a study in it, against emulators on loopback that also fail."""

import errno
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.io.object_stores import Store, store
from trm_scaling.errors import UserError
from trm_scaling.io import bucket as buckets
from trm_scaling.io import bucket_lease, bucket_study
from trm_scaling.io.bucket import ABSENT, Bucket, BucketUnreachable, Found, bucket_url
from trm_scaling.io.bucket_lease import BucketLease
from trm_scaling.io.bucket_study import claimed_name, held, open_mirror, put_study
from trm_scaling.io.lease import RunInUse, holder, new_lease, request_stop
from trm_scaling.io.mirror import TakenOver, bucket_of, is_committed, mirrored_at, refresh, share
from trm_scaling.io.process import ProcessId
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import find_study
from trm_scaling.results.scan import standing

RUN = "checkpoints/smoke/baseline/0123abcd-s0"


@pytest.fixture(scope="module", params=["s3", "gs"])
def shared_store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with store(request.param) as found:
        yield found


@pytest.fixture
def place(shared_store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    """The store, faultless, and a folder of it that nothing lies in."""
    for name, value in shared_store.environment.items():
        monkeypatch.setenv(name, value)
    shared_store.faults.end()
    # Of a request that is answered by an error in one of three times.
    quick = {"max_retries": 12, "initial_delay": "5ms", "max_delay": "100ms"}
    monkeypatch.setattr(buckets, "_RETRIES", quick)
    return replace(shared_store, url=f"{shared_store.url}-{tmp_path.name}")


def machine(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
    """From here on this process keeps its mirrors in a folder of its own, as another machine would."""
    monkeypatch.setenv("TRM_MIRRORS", str(folder / name))


def make_source(folder: Path) -> Path:
    (folder / "source" / "configs").mkdir(parents=True)
    (folder / "source" / "configs" / "baseline.yaml").write_text("seed: 0\n")
    return folder / "source"


@pytest.fixture
def study(place: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    put_study(make_source(tmp_path), place.url)
    machine(monkeypatch, tmp_path, "one")
    return open_mirror(place.url)


def test_a_url_survives_pathlib() -> None:
    assert bucket_url(Path("gs://mine/a/kellen/")) == "gs://mine/a/kellen"
    assert bucket_url("s3://mine") == "s3://mine"
    assert bucket_url(Path("/mnt/gs")) is None


def test_writes_are_under_conditions(place: Store) -> None:
    """Of sixteen at once that make a key one succeeds; a stale generation replaces and deletes nothing."""
    bucket = Bucket(place.url)
    won: list[bytes] = []

    def write(number: int) -> None:
        if bucket.write("first", str(number).encode(), ABSENT) is not None:
            won.append(str(number).encode())

    writers = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = bucket.read("first")
    assert found is not None
    assert won == [found.data]
    newer = bucket.write("first", b"newer", found.generation)
    assert newer is not None
    assert bucket.write("first", b"stale", found.generation) is None
    assert bucket.write("first", None, found.generation) is None
    assert bucket.read("first", newer) is None
    assert bucket.write("first", None, newer) is not None
    assert bucket.keys("") == []


def test_requests_that_fail_for_a_while_are_repeated(place: Store) -> None:
    """503, 429, and a write that was carried out although its answer was lost: it counts as this one's."""
    place.faults.refused, place.faults.lost = 0.2, 0.4
    bucket = Bucket(place.url)
    generations = [bucket.write(f"k/{number}", str(number).encode(), ABSENT) for number in range(20)]
    assert None not in generations
    place.faults.refused = place.faults.lost = 0.0
    assert len(bucket.keys("k/")) == 20
    assert place.faults.count["refused"] > 0
    assert place.faults.count["lost"] > 0


def test_a_bucket_that_is_away_is_no_failure_of_the_run(
    place: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "_RETRIES", {"max_retries": 2, "initial_delay": "1ms", "max_delay": "1ms"})
    place.faults.refused = 1.0
    with pytest.raises(
        BucketUnreachable, match=r"Cannot write .*/a/kellen.*the same command goes on"
    ) as error:
        Bucket(place.url).write("k", b"")
    assert error.value.exit_status == 74


def test_without_permission_the_role_is_named(place: Store, tmp_path: Path) -> None:
    place.faults.forbidden = True
    with pytest.raises(UserError, match=r"no permission.*objectAdmin.*application-default login"):
        bucket_study.check_access(place.url)


def test_a_folder_without_a_study_says_how_one_is_put_there(
    place: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(monkeypatch, tmp_path, "one")
    with pytest.raises(UserError, match=r"holds no study.*`trm init (gs|s3)://trm-test/a/kellen"):
        find_study(Path(place.url))


def lease(study: Path, **changes: str) -> bytes:
    """Of a process on another machine, or one that died here."""
    values = asdict(new_lease(replace(ProcessId.this(), **changes)))  # type: ignore[arg-type]
    return json.dumps({**values, "renewed": "2026-11-30T00:00:00+00:00"}).encode()


def test_one_machine_holds_a_run_and_the_other_is_told_who(
    study: Path, place: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bucket = Bucket(place.url)
    elsewhere = {"machine": "another boot", "host": "t1v-n-w-0"}
    fresh = lease(study, **elsewhere).replace(b"2026-11-30T00:00:00", _now())
    bucket.write(f"{RUN}/lease.json", fresh)
    with pytest.raises(RunInUse, match=r"in use by process \d+ on t1v-n-w-0"), held(study / RUN):
        raise AssertionError
    refresh(study / RUN)
    seen = holder(study / RUN)
    assert seen is not None
    assert seen.owner.host == "t1v-n-w-0"


def _now() -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()).encode()


def test_a_lease_that_ran_out_is_watched_and_then_taken(
    study: Path, place: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_lease, "WATCH_SECONDS", 0.5)
    bucket, key = Bucket(place.url), f"{RUN}/lease.json"
    bucket.write(key, lease(study, machine="another boot"))
    with held(study / RUN):
        found = bucket.read(key)
        assert found is not None
        assert json.loads(found.data)["owner"]["machine"] == ProcessId.this().machine
    assert bucket.read(key) is None


def test_a_lease_that_is_renewed_while_it_is_watched_lives(
    study: Path, place: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of its machine is an hour behind."""
    monkeypatch.setattr(bucket_lease, "WATCH_SECONDS", 3.0)
    bucket, key, old = Bucket(place.url), f"{RUN}/lease.json", lease(study, machine="another boot")
    bucket.write(key, old)
    renewing = threading.Timer(0.5, bucket.write, (key, old.replace(b"T00:00:00", b"T00:00:09")))
    renewing.start()
    with pytest.raises(RunInUse), held(study / RUN):
        raise AssertionError
    renewing.join()


def test_of_a_dead_process_of_this_machine_it_is_taken_at_once(study: Path, place: Store) -> None:
    Bucket(place.url).write(f"{RUN}/lease.json", lease(study, started="long ago"))
    began = time.monotonic()
    with held(study / RUN):
        assert time.monotonic() - began < 5


def test_of_two_that_take_a_lease_at_once_one_has_it(
    study: Path, place: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one writes between this one's look and its own write."""
    bucket, key, look = Bucket(place.url), f"{RUN}/lease.json", Bucket.read

    def looked(self: Bucket, asked: str, known: bytes | None = None) -> Found | None:
        found = look(self, asked, known)
        monkeypatch.setattr(Bucket, "read", look)
        self.write(key, lease(study, machine="another boot", host="faster"))
        return found

    monkeypatch.setattr(Bucket, "read", looked)
    with pytest.raises(RunInUse, match="on faster"):
        BucketLease(bucket, study / RUN, key).take()


def test_a_holder_that_lost_its_run_ends_and_writes_nothing(
    study: Path, place: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []

    def end(status: int) -> None:
        ended.append(status)
        raise SystemExit(status)

    monkeypatch.setattr("os._exit", end)
    bucket = Bucket(place.url)
    mine = BucketLease(bucket, study / RUN, f"{RUN}/lease.json")
    mine.take()
    mine.renew()
    bucket.write(f"{RUN}/lease.json", lease(study, machine="another boot"))
    with pytest.raises(SystemExit):
        mine.renew()
    assert ended == [69]
    mirrored = mirrored_at(study / RUN)
    (study / RUN).mkdir(parents=True)
    (study / RUN / "metrics.jsonl").write_text("mine\n")
    bucket.write(f"{RUN}/metrics.jsonl", b"theirs\n")
    with pytest.raises(TakenOver, match=r"metrics\.jsonl was written by another process"):
        mirrored.push()
    found = bucket.read(f"{RUN}/metrics.jsonl")
    assert found is not None
    assert found.data == b"theirs\n"


def test_files_go_up_from_the_holder_and_come_down_elsewhere(
    study: Path, place: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A result counts once it is in the bucket, and goes up last; a file that is deleted goes everywhere."""
    run = RunFolder(study / RUN)
    with run.lock():
        run.failure.write_text("{}")
        run.metrics.write_text("1\n")
    machine(monkeypatch, tmp_path, "two")
    there = RunFolder(open_mirror(place.url) / RUN)
    assert there.path != run.path
    assert there.metrics.read_text() == "1\n"
    assert there.failure.exists()
    with there.lock():
        there.failure.unlink()
        there.metrics.write_text("1\n2\n")
        there.result.write_text("{}")
        assert is_committed(there.path) is False
        share(there.path)
        assert there.finished
        # A look before the holder has gone is not the last one.
        monkeypatch.setenv("TRM_MIRRORS", str(tmp_path / "three"))
        late = RunFolder(open_mirror(place.url) / RUN)
        there.attempts.write_text("ended\n")
    assert (late.finished, late.attempts.exists()) == (True, False)
    open_mirror(place.url)
    assert late.attempts.read_text() == "ended\n"
    refresh(run.path)
    assert run.finished
    assert (run.metrics.read_text(), run.failure.exists()) == ("1\n2\n", False)


def test_files_come_down_where_the_disk_has_no_locks(
    study: Path, place: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    Bucket(place.url).write(f"{RUN}/metrics.jsonl", b"theirs")
    refresh(study / RUN)
    assert (study / RUN / "metrics.jsonl").read_bytes() == b"theirs"


def test_what_was_written_before_a_kill_is_kept_on_the_same_machine(study: Path, place: Store) -> None:
    run = RunFolder(study / RUN)
    with run.lock():
        run.metrics.write_text("1\n")
    run.metrics.write_text("1\n2\n")
    run.attempts.touch()
    run.result.write_text("{}")
    assert standing(run).state == "interrupted"
    with run.lock():
        assert run.metrics.read_text() == "1\n2\n"
        assert run.finished


def test_a_request_to_stop_reaches_the_holder_on_another_machine(
    study: Path, place: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bucket_study, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr("trm_scaling.io.lease.os.kill", lambda *_: None)
    run = study / RUN
    with held(run):
        monkeypatch.setenv("TRM_MIRRORS", str(tmp_path / "two"))
        request_stop(_made(open_mirror(place.url) / RUN))
        waited = time.monotonic()
        while not (run / "stop").exists():
            assert time.monotonic() - waited < 20
            time.sleep(0.05)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_two_names_of_a_run_are_one_folder_whoever_asks(
    study: Path, place: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert claimed_name(study, "smoke/0123abcd-s0", "exp01a") == "exp01a"
    machine(monkeypatch, tmp_path, "two")
    other = open_mirror(place.url)
    assert claimed_name(other, "smoke/0123abcd-s0", "exp02a") == "exp01a"
    assert claimed_name(tmp_path, "smoke/0123abcd-s0", "exp02a") == "exp02a"
    assert bucket_of(tmp_path) is None
