"""Several processes that run as one, over the coordination service of `jax.distributed`.

Process 0 decides and the others are told; it alone writes what is not a checkpoint's arrays. All
processes see the run's folder on one file system.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from trm_scaling.config.system import SystemConfig
from trm_scaling.errors import UserError
from trm_scaling.parallel.heartbeat import Heartbeat, Progress, Verdict

JOIN_SECONDS = 300.0
"""How long a process waits for the others to come."""

SERVICE_HEARTBEAT_SECONDS = 100
"""After which JAX's own service gives a silent process up: longer than `system.lost_host_seconds`, which
says why and ends with a status of its own."""

FOREVER_MS = 7 * 24 * 3600 * 1000
"""Waiting for process 0 ends with process 0, or with the heartbeat; never by itself."""

KEPT_VALUES = 100
"""Values of one topic that process 0 has told before the read ones are deleted: about one a device call."""

VERDICT_SECONDS = 5.0
"""Until the judge, which looks every second, has come to its verdict."""

LINGER_SECONDS = 5.0
"""How much earlier than the others process 0 may find out."""

PARTING_MS = 10_000
"""How long a process that ends early tries to tell the others."""

CROWDED_SECONDS = 10.0
"""What a crowded machine may add to all that: the beats of its judge come late."""

STOPPED = 75
"""Exit status of a run that was asked to stop and has saved (`train.interrupt`)."""


class HostLost(UserError):
    """A process of the run was lost, is stuck, or never came; the same command goes on from the last save."""

    exit_status = 68  # EX_NOHOST of sysexits.h


def parting_seconds(system: SystemConfig) -> float:
    """How long after the loss of one process the others may take to end by themselves: they wait for its
    silence, come to a verdict, tell each other, and process 0 writes it down and goes last."""
    silence = system.lost_host_seconds + VERDICT_SECONDS
    return silence + PARTING_MS / 1000 + LINGER_SECONDS + CROWDED_SECONDS


@dataclass(frozen=True)
class Rendezvous:
    """Where processes meet, and which of them this is."""

    coordinator: str
    """HOST:PORT of process 0, which opens it."""
    count: int
    index: int


class Hosts:
    """The processes of a run as one of them sees them. By itself a process needs no agreement."""

    def __init__(self, count: int = 1, index: int = 0) -> None:
        self.count = count
        self.index = index
        self.progress = Progress()

    @property
    def is_first(self) -> bool:
        """Whether this process decides and writes."""
        return self.index == 0

    def broadcast(self, topic: str, value: Any) -> Any:
        """Process 0's `value` (plain JSON), on every process; what the others pass is not looked at."""
        return value

    def barrier(self, place: str) -> None:
        """Wait until every process is at `place`."""

    def any_asked(self, asked: str | None) -> str | None:
        """On process 0: what a process was asked to stop by, this one or (within seconds) another."""
        return asked

    @contextmanager
    def watched(self, system: SystemConfig, verdict: Verdict) -> Iterator[None]:
        """For the block: `verdict`, in a thread, when the processes cannot go on together."""
        yield

    def await_verdict(self) -> None:
        """Wait as long as a verdict may take, after an error that the loss of another process may explain."""

    def linger(self) -> None:
        """Before this process ends early: give the others the time to end by themselves."""

    def end(self) -> None:
        """Part from the others, each having done its work."""

    def leave(self, status: int, why: str) -> None:
        """Tell the others what ended this process, then end it, without waiting for them to agree."""


class ProcessGroup(Hosts):
    """One of several processes, joined."""

    def __init__(self, count: int, index: int, client: Any) -> None:
        super().__init__(count, index)
        self._heartbeat = Heartbeat(client, count, index)
        self._longest_verdict = 0.0
        self._client = client
        self._topics: dict[str, int] = {}

    def broadcast(self, topic: str, value: Any) -> Any:
        number = self._topics[topic] = self._topics.get(topic, -1) + 1
        if number and number % KEPT_VALUES == 0:
            self._forget(topic, range(number - KEPT_VALUES, number))
        key = f"trm/broadcast/{topic}/{number}"
        if self.is_first:
            self._client.key_value_set(key, json.dumps(value))
            return value
        return json.loads(self._client.blocking_key_value_get(key, FOREVER_MS))

    def _forget(self, topic: str, numbers: range) -> None:
        """Delete values that every process has read; the service keeps all others in memory for good."""
        self._client.wait_at_barrier(f"trm/read/{topic}/{numbers.stop}", FOREVER_MS)
        if self.is_first:
            for number in numbers:
                self._client.key_value_delete(f"trm/broadcast/{topic}/{number}")

    def barrier(self, place: str) -> None:
        number = self._topics[place] = self._topics.get(place, -1) + 1
        self._client.wait_at_barrier(f"trm/barrier/{place}/{number}", FOREVER_MS)

    def any_asked(self, asked: str | None) -> str | None:
        self._heartbeat.asked = asked
        return asked or self._heartbeat.asked_of_others

    @contextmanager
    def watched(self, system: SystemConfig, verdict: Verdict) -> Iterator[None]:
        self.progress = Progress(system.stall_seconds, system.startup_seconds)
        self._longest_verdict = system.lost_host_seconds + VERDICT_SECONDS
        with self._heartbeat.watch(system.lost_host_seconds, self.progress, verdict):
            yield

    def await_verdict(self) -> None:
        # A sum that a process did not come to fails here with the words of whatever carried it, as this
        # exception or that; within this time the judge has ended this process, or nobody is lost.
        time.sleep(self._longest_verdict)

    def linger(self) -> None:
        if self.is_first:
            # The service ends with this process, and ends the others by SIGABRT, without a word.
            time.sleep(LINGER_SECONDS)

    def end(self) -> None:
        import jax

        self.barrier("end")
        self._heartbeat.end()
        jax.distributed.shutdown()

    def leave(self, status: int, why: str) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            if status == STOPPED:
                # All stop after the same step, and need not be told.
                self._client.wait_at_barrier("trm/stopped", PARTING_MS)
            else:
                self._heartbeat.fail(status, why, PARTING_MS / 1000)
        except RuntimeError:
            pass  # nobody is left to part from
        self.linger()
        # Not sys.exit: threads of JAX and Orbax would wait for the other processes.
        os._exit(status)


SINGLE_PROCESS = Hosts()


def rendezvous(coordinator: str | None, count: int | None, index: int | None) -> Rendezvous | None:
    """What was said on the command line; None when nothing was.

    Raises UserError when it was said in part, or cannot be.
    """
    if coordinator is None or count is None or index is None:
        if coordinator is None and count is None and index is None:
            return None
        raise UserError("several processes need --coordinator, --num-processes and --process-id, all three")
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"--coordinator={coordinator} is no HOST:PORT, as in 10.0.0.2:8476")
    if not 0 <= index < count:
        raise UserError(f"--process-id={index} of --num-processes={count}: they are numbered from 0")
    return Rendezvous(coordinator, count, index)


def join(at: Rendezvous | None, seconds: float = JOIN_SECONDS) -> Hosts:
    """Meet the other processes: those of `at`, else those that Slurm or the TPU pod started.

    Must come before JAX opens its devices. Alone where there are no others. Raises HostLost when they
    cannot come together, and ends this process with its message and exit status when they have not within
    `seconds`: a process that should be one of many never goes on by itself.
    """
    import jax

    if at is None and not _is_one_of_many():
        return SINGLE_PROCESS
    # The service would take SIGTERM for itself, which asks a run to save and stop.
    jax.config.update("jax_enable_preemption_service", False)
    # JAX's own timeout ends the process too, with a stack trace of its service and by SIGABRT.
    timer = threading.Timer(seconds, _give_up, (at, seconds))
    timer.daemon = True
    timer.start()
    try:
        jax.distributed.initialize(
            at.coordinator if at else None,
            at.count if at else None,
            at.index if at else None,
            local_device_ids=[] if _has_its_node() else None,
            initialization_timeout=int(seconds) + 60,
            heartbeat_timeout_seconds=SERVICE_HEARTBEAT_SECONDS,
            cluster_detection_method="deactivate" if at else None,
        )
    except (RuntimeError, ValueError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise HostLost(_why_not_joined(at, reason)) from error
    finally:
        timer.cancel()
    if jax.process_count() == 1:
        return SINGLE_PROCESS
    from jax._src.distributed import global_state  # the public module has no way to the client

    return ProcessGroup(jax.process_count(), jax.process_index(), global_state.client)


def _is_one_of_many() -> bool:
    """Whether `srun` started several processes of this step, or this is a host of a TPU pod."""
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1 and "SLURM_PROCID" in os.environ:
        return True
    from jax._src.clusters.cloud_tpu_cluster import GceTpuCluster, GkeTpuCluster

    platforms = os.environ.get("JAX_PLATFORMS", "")
    has_tpu = not platforms or "tpu" in platforms.split(",")
    return has_tpu and (GceTpuCluster.is_env_present() or GkeTpuCluster.is_env_present())


def _has_its_node() -> bool:
    """Whether `srun` started one process a node. It drives all devices there (an empty list, to JAX), where
    JAX would give it the one with its number on the node, the first."""
    nodes, tasks = os.environ.get("SLURM_STEP_NUM_NODES"), os.environ.get("SLURM_STEP_NUM_TASKS")
    return tasks is not None and tasks == nodes


def _give_up(at: Rendezvous | None, seconds: float) -> None:
    error = HostLost(_why_not_joined(at, f"not within {seconds:.0f} s"))
    print(f"error: {error}", file=sys.stderr, flush=True)
    os._exit(error.exit_status)


def _why_not_joined(at: Rendezvous | None, reason: str) -> str:
    who = f"process {at.index} of {at.count} at {at.coordinator}" if at else "this process"
    return (
        f"{who} did not meet the others ({reason}). Start all processes, see that the coordinator's port is "
        "free there and reachable from here, and run the same command again"
    )
