"""This machine as a target, its default profile, and the speeds that finished runs had on it."""

import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from trm_scaling.config import RunConfig
from trm_scaling.cost.devices import Backend, Chip, Target, find_chip
from trm_scaling.cost.estimate import Speed, assumed_speed, measured_speed
from trm_scaling.errors import UserError
from trm_scaling.io.machine import memory_bytes, usable_cores
from trm_scaling.io.study import Study
from trm_scaling.results.record import RunRecord, read_record
from trm_scaling.results.scan import scan_runs
from trm_scaling.tasks.task import USUAL

HERE = "this device"

ALIKE = 10.0
"""Largest ratio of FLOPs a step between a measured run and one whose speed is taken from it."""

MOST_RECORDS = 200
"""The newest records, which are read; more would only say the same again."""


@dataclass(frozen=True)
class Measured:
    """The speed of one finished run."""

    name: str
    profile: str
    task: str
    dtype: str
    device_kind: str
    flops_per_step: float
    """Of one device's share of a batch: what decides how well it is filled."""
    speed: Speed


def this_device() -> Target | None:
    """The devices that a run started here would use; None when JAX cannot open one (it is taken, say)."""
    import jax

    try:
        devices = jax.devices()
    except RuntimeError:
        return None
    # All devices are of one kind.
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        # Virtual devices, if there are several, share its cores and memory.
        return Target(
            HERE, Chip(device.device_kind, "cpu", memory_bytes=memory_bytes(), cores=len(usable_cores())), 1
        )
    backend: Backend = "tpu" if device.platform == "tpu" else "gpu"
    known = find_chip(device.device_kind) or Chip(device.device_kind, backend)
    limit = (device.memory_stats() or {}).get("bytes_limit")
    return Target(
        HERE, replace(known, kind=device.device_kind, memory_bytes=limit or known.memory_bytes), len(devices)
    )


def measured_speeds(study: Study) -> list[Measured]:
    """Of the newest finished runs of `study`. Records that cannot be read are passed over."""
    finished = [found.folder.result for found in scan_runs(study) if found.folder.finished]
    times = {path: path.stat().st_mtime for path in finished}
    found = []
    for path in sorted(finished, key=lambda path: times[path], reverse=True)[:MOST_RECORDS]:
        try:
            record = read_record(path)
        except UserError:
            # Whoever asks for that run is told; here it is one hint among many.
            continue
        if record.examples_per_s and record.runs_together == 1:
            found.append(_measured(record, datetime.fromtimestamp(times[path], UTC)))
    return found


def speed_on(
    target: Target,
    config: RunConfig,
    names: Sequence[str],
    flops_per_step: float,
    measured: Sequence[Measured],
) -> Speed | None:
    """Best from a finished run of the same experiment and profile, else from the likest one of the same
    task on that kind of device in that precision, else assumed; None for a device that nothing is known of.

    `names`: those of the experiment. `flops_per_step` are those of the whole batch, on average over the run.
    """

    def distance(each: Measured) -> float:
        return abs(math.log(each.flops_per_step * target.chips / flops_per_step))

    def same(each: Measured) -> bool:
        return each.profile == config.profile and each.name in names

    alike = [
        each
        for each in measured
        if _is_of(each.device_kind, target.chip)
        and each.task == config.data.task
        and each.dtype == config.arch.forward_dtype
        and distance(each) <= math.log(ALIKE)
    ]
    if alike:
        return min(alike, key=lambda each: (not same(each), distance(each))).speed
    return assumed_speed(target.chip, config.arch.forward_dtype)


def _is_of(device_kind: str, chip: Chip) -> bool:
    """Whether JAX's word names that chip, which stands in the table or was found by that word."""
    return device_kind == chip.kind or find_chip(device_kind) == chip


def _measured(record: RunRecord, when: datetime) -> Measured:
    assert record.examples_per_s is not None
    of_sample = record.training_flops / record.puzzle_steps
    run = f"{record.name} under {record.profile} ({when:%d %b %Y})"
    return Measured(
        name=record.name,
        profile=record.profile,
        # A record from before other tasks does not name its own.
        task=record.config["data"].get("task", USUAL),
        dtype=record.config["arch"]["forward_dtype"],
        device_kind=record.device_kind,
        flops_per_step=record.training_flops / record.steps / record.device_count,
        speed=measured_speed(record.examples_per_s, of_sample, record.device_count, run),
    )


def default_profile(backend: Callable[[], str]) -> str:
    """`$TRM_PROFILE`, else `paper` where there is an accelerator and `laptop` where there is none.

    Raises UserError as `backend` does, which is asked only without the variable.
    """
    return os.environ.get("TRM_PROFILE") or ("laptop" if backend() == "cpu" else "paper")


def own_backend() -> str:
    """JAX's word for this process's devices, which it thereby takes."""
    import jax

    return jax.default_backend()


def worker_backend() -> str:
    """JAX's word for the devices that a process started from here will have.

    Asked in another process, which gives them back when it ends: one that starts workers must not hold
    the accelerator. Raises UserError when JAX does not start.
    """
    program = "import jax; print(jax.default_backend())"
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        reason = (asked.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"JAX does not start here: {reason}; mend that, or name a --profile")
    return asked.stdout.split()[-1]
