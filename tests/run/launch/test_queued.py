"""A pod from the queue, with a made-up gcloud: asked for, used, preempted, asked for again, and deleted."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.run.launch import gcloud
from trm_scaling.config import RunConfig
from trm_scaling.errors import UserError
from trm_scaling.run.launch import queued
from trm_scaling.run.launch.bucket_access import refuse
from trm_scaling.run.launch.pod import Interrupted, follow
from trm_scaling.run.launch.queued import Queue, Request
from trm_scaling.run.launch.tpu_types import (
    TPU_TYPES,
    refuse_billed,
    refuse_uneven,
    tpu_type,
    usual_zone,
)
from trm_scaling.run.launch.tpu_vm import Pod, Session

POD = Pod("trm-1", "us-central2-b")
REQUEST = Request(POD, TPU_TYPES["v4-32"], spot=True, valid_until="6h")
DELETE = "gcloud compute tpus queued-resources delete trm-1 --zone=us-central2-b --force --quiet"
WAITING, GIVEN, ACTIVE = "WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"


def test_the_commands_are_these() -> None:
    create, look, delete = (str(step(REQUEST)) for step in (queued.create, queued.look, queued.delete))
    assert create == (
        "gcloud compute tpus queued-resources create trm-1 --node-id=trm-1 --zone=us-central2-b "
        "--accelerator-type=v4-32 --runtime-version=tpu-ubuntu2204-base --spot --valid-until-duration=6h"
    )
    assert look == ("gcloud compute tpus queued-resources describe trm-1 --zone=us-central2-b --format=json")
    assert delete == DELETE
    there = Request(Pod("a", "europe-west4-b", "a-project"), TPU_TYPES["v5e-16"])
    assert str(queued.create(there)) == (
        "gcloud compute tpus queued-resources create a --node-id=a --zone=europe-west4-b --project=a-project "
        "--accelerator-type=v5litepod-16 --runtime-version=v2-alpha-tpuv5-lite"
    )


class Played:
    """One study on pods of the queue. Nothing waits."""

    def __init__(self, folder: Path, log: Path) -> None:
        self._file, self._log = folder / "queue.json", log
        self.notes: list[str] = []
        self.brought = 0
        self.pauses = 0

    def queue(self, *requests: list[object], there: bool = False) -> None:
        self._file.write_text(json.dumps({"requests": requests, "there": there}))

    def run(self, bring: Callable[[], None] | None = None) -> int:
        def counted() -> None:
            self.brought += 1
            (bring or (lambda: None))()

        def pause(seconds: float) -> None:
            self.pauses += 1

        queue = Queue(REQUEST, self.notes.append, pause)
        return queue.run(counted, lambda: follow(Session(POD), lambda line: None))

    @property
    def verbs(self) -> list[str]:
        words = [line.split() for line in self._log.read_text().splitlines()]
        verbs = [each[3] for each in words if each[2] == "queued-resources" and each[3] != "describe"]
        return verbs

    @property
    def left(self) -> bool:
        return bool(json.loads(self._file.read_text())["there"])


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    log = gcloud.install(tmp_path, monkeypatch)
    monkeypatch.setenv("QUEUE", str(tmp_path / "queue.json"))
    return Played(tmp_path, log)


def ended(*statuses: int | None) -> str:
    """What follows say, one after another; None: nothing of an end, as when the connection breaks."""
    return "|".join("trm-begun now" + ("" if each is None else f"\ntrm-ended {each}") for each in statuses)


def test_a_study_that_is_never_preempted(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGS", ended(0))
    played.queue([WAITING, WAITING, GIVEN, ACTIVE])
    assert played.run() == 0
    assert (played.verbs, played.brought, played.left) == (["create", "delete"], 1, False)
    assert [note.split(" (")[0] for note in played.notes if note.startswith("request")] == [
        *("request trm-1: WAITING_FOR_RESOURCES", "request trm-1: PROVISIONING", "request trm-1: ACTIVE"),
    ]


def test_preempted_while_waiting_and_while_running(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for three times; the run ends by the signal of a host that goes, and then with its result."""
    monkeypatch.setenv("LOGS", ended(75, 0))
    suspended = ["SUSPENDING", "SUSPENDING", "SUSPENDED"]
    played.queue([WAITING, GIVEN, *suspended], [WAITING, ACTIVE, ACTIVE, *suspended], [WAITING, ACTIVE])
    assert played.run() == 0
    assert (played.brought, played.left) == (2, False)
    assert played.verbs.count("create") == 3
    assert any("preempted" in note for note in played.notes)


@pytest.mark.parametrize("statuses", [(None, 0), (68, 0)])
def test_a_pod_that_goes_without_a_word(
    played: Played, monkeypatch: pytest.MonkeyPatch, statuses: tuple[int | None, ...]
) -> None:
    monkeypatch.setenv("LOGS", ended(*statuses))
    played.queue([ACTIVE, ACTIVE, "SUSPENDED"], [ACTIVE])
    assert (played.run(), played.brought, played.left) == (0, 2, False)


def test_a_broken_connection_is_no_preemption(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGS", ended(None, None, 0))
    played.queue([ACTIVE])
    assert (played.run(), played.verbs) == (0, ["create", "delete"])


@pytest.mark.parametrize("status", [74, 69])
def test_a_bucket_that_was_away_or_a_lease_that_is_left_is_no_end(
    played: Played, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("LOGS", ended(status, 0))
    played.queue([ACTIVE])
    assert (played.run(), played.brought, played.verbs) == (0, 2, ["create", "delete"])


@pytest.mark.parametrize("status", [65, 75])
def test_a_run_that_ends_by_itself_ends_the_command(
    played: Played, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """Its loss is no number, or somebody asked it to stop: the pod is not asked for again, and deleted."""
    monkeypatch.setenv("LOGS", ended(status))
    played.queue([WAITING, ACTIVE])
    assert (played.run(), played.verbs, played.left) == (status, ["create", "delete"], False)


def test_a_request_that_is_there_is_taken_over(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGS", ended(0))
    played.queue([GIVEN, ACTIVE], there=True)
    assert (played.run(), played.verbs) == (0, ["delete"])


def test_no_quota_is_said_before_anything_is_there(played: Played) -> None:
    quota = (
        "ERROR: RESOURCE_EXHAUSTED: Quota limit 'TPUV4sPreemptiblePodPerProjectPerZone' has been exceeded."
    )
    played.queue([["error", quota]])
    with pytest.raises(UserError, match=r"no TPU quota.*TPUV4sPreemptible.*Nothing was created\."):
        played.run()


def test_quota_that_comes_back_after_a_preemption(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deleted pod still counts for a while."""
    monkeypatch.setenv("LOGS", ended(0))
    quota = ["error", "ERROR: RESOURCE_EXHAUSTED: Quota limit has been exceeded."]
    played.queue([WAITING, "SUSPENDED"], [quota, quota, ACTIVE])
    assert played.run() == 0


def test_a_request_that_runs_out_is_deleted(played: Played) -> None:
    played.queue(
        [WAITING, WAITING, ["FAILED", "There is no more capacity in the zone; valid until has passed"]]
    )
    with pytest.raises(
        UserError, match=r"no more capacity.*was deleted.*32 or 16.*Nothing was created"
    ) as error:
        played.run()
    assert (played.verbs, played.left) == (["create", "delete"], False)
    assert DELETE not in str(error.value)


def test_gcloud_that_fails_for_a_while_is_asked_again(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGS", ended(0))
    away = ["error", "ERROR: gcloud crashed (ConnectionError): network is unreachable"]
    played.queue([WAITING, *[away] * 5, ACTIVE])
    assert played.run() == 0


def test_what_is_left_is_named_with_the_command_that_deletes_it(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    played.queue([ACTIVE])

    def half_fail() -> None:
        raise UserError("4 of 8 workers installed.")

    with pytest.raises(UserError, match=r"4 of 8 workers installed.*may still exist and cost") as error:
        played.run(half_fail)
    assert str(error.value).endswith(DELETE)
    assert (played.brought, played.left) == (queued.MOST_TRIES, True)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=r"interrupted.*The same command goes on") as stopped:
        played.run(interrupt)
    assert str(stopped.value).endswith(DELETE)


def test_the_table_of_types() -> None:
    chips = {name: (kind.chips, kind.hosts) for name, kind in TPU_TYPES.items()}
    assert chips["v4-8"] == (4, 1)
    assert (chips["v4-16"], chips["v4-32"], chips["v4-64"]) == ((8, 2), (16, 4), (32, 8))
    assert (chips["v5e-8"], chips["v5e-16"], chips["v6e-64"]) == ((8, 1), (16, 4), (64, 16))
    with pytest.raises(UserError, match=r"--type=v4-24 is no TPU type.*v4-16, v4-32"):
        tpu_type("v4-24")


def test_the_zone_is_the_first_in_which_a_grant_has_that_type() -> None:
    zones = [usual_zone(tpu_type(name), True) for name in ("v4-8", "v5e-8", "v6e-8")]
    assert zones == ["us-central2-b", "europe-west4-b", "europe-west4-a"]
    assert usual_zone(tpu_type("v4-64"), False) == "us-central2-b"
    with pytest.raises(UserError, match="v6e-8 on demand in any zone"):
        usual_zone(tpu_type("v6e-8"), False)


@pytest.mark.parametrize(
    ("name", "zone", "spot", "told"),
    [
        ("v4-32", "us-central1-a", True, r"v4-32 spot in us-central1-a is not in a usual grant.*about \$16"),
        (
            "v5e-16",
            "europe-west4-b",
            False,
            r"v5e-16 on demand in europe-west4-b.*64 spot v5e chips in europe",
        ),
        (
            "v6e-16",
            "us-central2-b",
            True,
            r"64 spot v6e chips in us-east1-d: choose one.*Nothing was created",
        ),
    ],
)
def test_what_a_grant_does_not_cover_is_refused(name: str, zone: str, spot: bool, told: str) -> None:
    with pytest.raises(UserError, match=told):
        refuse_billed(tpu_type(name), zone, spot, False)
    refuse_billed(tpu_type(name), zone, spot, True)


def test_what_a_grant_covers_is_not() -> None:
    for kind in TPU_TYPES.values():
        refuse_billed(kind, usual_zone(kind, True), True, False)


def test_a_batch_that_does_not_divide_is_refused_with_what_fits() -> None:
    config = RunConfig.model_validate({"name": "baseline", "global_batch_size": 24, "profile": "smoke"})
    with pytest.raises(
        UserError, match=r"=24 of baseline.*16 chips of v4-32\. TPU types that fit: v4-8, v4-16, v5e-1"
    ):
        refuse_uneven("v4-32", 16, [config])
    refuse_uneven("v4-16", 8, [config])


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        (
            "BUCKET_ERROR",
            "ERROR: (gcloud.storage.buckets.describe) HTTPError 403: me@x does not have "
            "storage.buckets.get access",
            r"no permission on gs://mine.*add-iam-policy-binding gs://mine.*objectAdmin.*Nothing was started",
        ),
        ("BUCKET_ERROR", "ERROR: gs://mine not found: 404.", r"no bucket gs://mine.*--location=us-central2"),
        (
            "LOCATION",
            "EUROPE-WEST4",
            r"lies in europe-west4 and the pod in us-central2.*\$0\.08 a GB.*--yes-billed",
        ),
        ("LOCATION", "US", r"lies in us and.*\$0\.02 a GB, \$0\.\d\d for each checkpoint of \d\.\d GB"),
    ],
)
def test_a_bucket_that_is_not_for_this_pod(
    played: Played, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    config = RunConfig.model_validate({"name": "baseline", "profile": "paper"})
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match=told):
        refuse("gs://mine/kellen", "us-central2-b", [config], False, played.notes.append)
    if variable == "LOCATION":
        refuse("gs://mine/kellen", "us-central2-b", [config], True, played.notes.append)
        assert played.notes[-1].startswith("warning: gs://mine lies in")


def test_a_bucket_beside_the_pod_is_taken(played: Played) -> None:
    refuse("gs://mine/kellen", "us-central2-b", [], False, played.notes.append)
    config = RunConfig.model_validate({"name": "baseline", "profile": "paper"})
    with pytest.raises(UserError, match=r"another provider's network.*\$0\.12 a GB"):
        refuse("s3://mine/kellen", "us-central2-b", [config], False, played.notes.append)
