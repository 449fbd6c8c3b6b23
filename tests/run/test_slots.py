"""How a machine is shared out among workers."""

import os
import subprocess
from pathlib import Path

import pytest

from trm_scaling.run.batch.worker import Slot, make_slots, visible_gpus


def test_one_job_gets_the_machine_as_it_is() -> None:
    assert make_slots(1, [0, 1, 2, 3], ["0", "1"], {}) == [Slot(0)]


@pytest.mark.parametrize(
    ("jobs", "cores", "shares"),
    [
        (2, [0, 1, 2, 3], [{0, 1}, {2, 3}]),
        (2, [4, 5, 6], [{4}, {5, 6}]),
        (3, [0, 1], [{0}, {1}, {0}]),
        (2, [], [set(), set()]),
    ],
)
def test_cores_are_dealt_out_in_equal_runs(jobs: int, cores: list[int], shares: list[set[int]]) -> None:
    assert [set(slot.cores) for slot in make_slots(jobs, cores, [], {})] == shares


def test_each_worker_has_a_gpu_and_those_that_share_one_share_its_memory() -> None:
    alone = make_slots(2, [], ["0", "1"], {})
    assert [dict(slot.environment) for slot in alone] == [
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "1"},
    ]
    shared = make_slots(3, [], ["4", "7"], {})
    assert [dict(slot.environment) for slot in shared] == [
        {"CUDA_VISIBLE_DEVICES": "4", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.450"},
        {"CUDA_VISIBLE_DEVICES": "7"},
        {"CUDA_VISIBLE_DEVICES": "4", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.450"},
    ]
    told = make_slots(2, [], ["0"], {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"})
    assert all(dict(slot.environment) == {"CUDA_VISIBLE_DEVICES": "0"} for slot in told)


def test_gpus_are_those_that_the_environment_leaves(tmp_path: Path) -> None:
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()
    assert visible_gpus({}, tmp_path) == ["0", "1"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "1, GPU-3a"}, tmp_path) == ["1", "GPU-3a"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == []
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "-1"}, tmp_path) == []
    assert visible_gpus({}, tmp_path / "none") == []


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no processes")
def test_a_worker_stays_on_its_cores() -> None:
    core = min(os.sched_getaffinity(0))
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        Slot(0, frozenset({core})).pin(sleeper.pid)
        assert os.sched_getaffinity(sleeper.pid) == {core}
    finally:
        sleeper.kill()
        sleeper.wait()
    Slot(0, frozenset({core})).pin(sleeper.pid)
