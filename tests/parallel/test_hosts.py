"""How processes meet, or say why they do not."""

import subprocess
import sys
from typing import Any

import pytest
from jax._src.clusters.cloud_tpu_cluster import GceTpuCluster

from trm_scaling.errors import UserError
from trm_scaling.parallel import hosts
from trm_scaling.parallel.hosts import SINGLE_PROCESS, HostLost, Rendezvous, join, rendezvous
from trm_scaling.run.launch.supervisor import free_port

LONELY = """
import sys
from trm_scaling.parallel.hosts import Rendezvous, join
join(Rendezvous(sys.argv[1], 2, int(sys.argv[2])), seconds=2)
"""


def test_nothing_said_is_no_rendezvous() -> None:
    assert rendezvous(None, None, None) is None
    assert rendezvous("10.0.0.2:8476", 4, 3) == Rendezvous("10.0.0.2:8476", 4, 3)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (("10.0.0.2:8476", 4, None), "all three"),
        ((None, None, 0), "all three"),
        (("10.0.0.2", 4, 0), "no HOST:PORT"),
        ((":8476", 4, 0), "no HOST:PORT"),
        (("10.0.0.2:8476", 4, 4), "numbered from 0"),
    ],
)
def test_half_a_rendezvous_is_refused(
    said: tuple[str | None, int | None, int | None], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        rendezvous(*said)


def test_by_itself_a_process_agrees_with_itself() -> None:
    assert join(None) is SINGLE_PROCESS
    assert (SINGLE_PROCESS.count, SINGLE_PROCESS.index, SINGLE_PROCESS.is_first) == (1, 0, True)
    assert SINGLE_PROCESS.broadcast("call", (True, None)) == (True, None)
    assert SINGLE_PROCESS.any_asked("SIGTERM") == "SIGTERM"


@pytest.mark.parametrize(
    ("platforms", "is_one"), [("", True), ("tpu", True), ("tpu,cpu", True), ("cpu", False)]
)
def test_a_host_of_a_pod_is_one_of_many_wherever_its_tpu_is_used(
    platforms: str, is_one: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GceTpuCluster, "is_env_present", classmethod(lambda _: True))
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    assert hosts._is_one_of_many() is is_one


@pytest.mark.parametrize(("nodes", "devices"), [(4, []), (2, None)])
def test_under_srun_a_process_that_has_its_node_has_all_its_devices(
    monkeypatch: pytest.MonkeyPatch, nodes: int, devices: list[int] | None
) -> None:
    """To JAX an empty list is every device, and None the one with the process's number on its node."""
    told: dict[str, Any] = {}
    monkeypatch.setattr("jax.distributed.initialize", lambda *_, **options: told.update(options))
    step = {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": str(nodes)}
    for name, value in step.items():
        monkeypatch.setenv(name, value)
    join(None)
    assert told["local_device_ids"] == devices


@pytest.mark.parametrize("index", [0, 1])
def test_a_process_that_meets_nobody_ends_with_the_reason(index: int) -> None:
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-c", LONELY, address, str(index)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == HostLost.exit_status
    (said,) = done.stderr.splitlines()
    assert said.startswith(
        f"error: process {index} of 2 at {address} did not meet the others (not within 2 s)"
    )


class Service:
    """JAX's coordination service, for two processes in one."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.met: list[str] = []

    def key_value_set(self, key: str, value: str) -> None:
        self.values[key] = value

    def blocking_key_value_get(self, key: str, _: int) -> str:
        return self.values[key]

    def key_value_delete(self, key: str) -> None:
        del self.values[key]

    def wait_at_barrier(self, name: str, _: int) -> None:
        self.met.append(name)


def test_values_that_all_have_read_are_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "Heartbeat", lambda *_: None)
    service = Service()
    first, second = (hosts.ProcessGroup(2, index, service) for index in (0, 1))
    for number in range(5 * hosts.KEPT_VALUES):
        assert first.broadcast("call", number) == number
        assert second.broadcast("call", None) == number
        assert len(service.values) <= hosts.KEPT_VALUES
    # Nothing is deleted before both were at one place, and each place is a place of its own.
    assert [service.met.count(place) for place in service.met] == [2] * len(service.met)
    assert len(service.met) == 8
