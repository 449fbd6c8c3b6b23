"""What is asked of Slurm, and what a job's process does when it is told to save. Slurm itself is not here."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from trm_scaling.errors import UserError
from trm_scaling.run.launch.slurm import Cluster, SlurmRun, parameters


def test_what_is_not_asked_for_is_left_to_the_cluster() -> None:
    asked = parameters(Cluster(nodes=4, gpus_per_node=8, partition="gpu"), "trm")
    assert asked == {
        "job_name": "trm",
        "nodes": 4,
        "ntasks_per_node": 1,
        "gpus_per_node": 8,
        "time": 1440,
        "partition": "gpu",
        "array_parallelism": 256,
        "signal_delay_s": 120,
        "srun_args": ["--kill-on-bad-exit=1"],
        "additional_parameters": {"requeue": True},
    }


def run_that_saves(ready: Path, status: int) -> SlurmRun:
    program = (
        "import pathlib, signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: sys.exit({status}))\n"
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    )
    return SlurmRun([sys.executable, "-c", program])


def test_a_run_is_asked_to_save_and_slurms_signal_alone_does_not_end_it(tmp_path: Path) -> None:
    ready, statuses = tmp_path / "ready", list[int]()
    run = run_that_saves(ready, 75)

    def preempt() -> None:
        while not ready.exists():
            time.sleep(0.02)
        child = run._child
        assert child is not None
        os.kill(child.pid, signal.SIGUSR2)
        time.sleep(0.2)
        assert child.poll() is None
        statuses.append(run.save())

    teller = threading.Thread(target=preempt)
    teller.start()
    with pytest.raises(UserError, match="ended with status 75"):
        run()
    teller.join()
    assert statuses == [75]


def test_a_run_that_ends_well_says_nothing() -> None:
    SlurmRun([sys.executable, "-c", ""])()


def test_a_job_that_saved_is_queued_again_and_one_that_failed_is_not(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="takes the extra [slurm]")
    for status, again in ((75, True), (68, True), (2, False)):
        run = SlurmRun([sys.executable, "-c", f"raise SystemExit({status})"])
        with pytest.raises(UserError):
            run()
        delayed = run.checkpoint()
        assert (delayed is not None) == again
        if delayed is not None:
            assert delayed.function.command == run.command
