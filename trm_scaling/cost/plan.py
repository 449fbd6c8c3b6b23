"""What each experiment of a study, and all of them together, would take: time, memory, disk, price."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trm_scaling.config import DataConfig, RunConfig, Schedule
from trm_scaling.config.identity import identity
from trm_scaling.cost.compiler_answers import Fits
from trm_scaling.cost.devices import PRICES_OF, Target
from trm_scaling.cost.estimate import Estimate, Speed, estimate
from trm_scaling.cost.flops import (
    count_parameters,
    count_puzzle_emb,
    described_test_puzzles,
    inference_flops,
    training_flops,
    work_of,
)
from trm_scaling.cost.memory import Storage, safe_bytes, storage_of, training_memory
from trm_scaling.errors import UserError
from trm_scaling.tasks.task import spec_of

PRIORITIZED = ("exp01", "exp02a", "exp02b", "exp03", "exp05", "exp06", "contrib01", "contrib02")
"""Families of the study's recommended subset."""

CONTRIBUTIONS = "contrib"
"""What the names of the contributions' families begin with; all others are core experiments."""

Named = Sequence[tuple[str, str, RunConfig]]
"""Name, key of its family, configuration."""

SpeedOf = Callable[[RunConfig, float], Speed | None]
"""Speed of one device for a configuration whose steps take so many FLOPs; None: nothing is known."""

FittingOf = Callable[[RunConfig], tuple[RunConfig, Fits | None]]
"""A configuration as the target works through its batch, and what a compiler said of that, if one did."""


@dataclass(frozen=True)
class Planned:
    """One configuration, however many names it has."""

    names: tuple[str, ...]
    families: tuple[str, ...]
    """Keys of the families that those names belong to (a name without a family: itself)."""
    config: RunConfig
    """With the micro-batch and rematerialisation chosen."""
    parameters: int
    puzzle_emb_parameters: int
    training_flops: int
    inference_flops: int
    """Of one puzzle in all its supervision steps."""
    steps: int
    estimated_bytes: int
    """Of memory, on each device."""
    compiled: Fits | None
    """What the compiler said of it, if it was asked."""
    fits: bool | None
    """Whether that is within the device's memory, by an estimate with a margin; None where unknown."""
    estimate: Estimate
    storage: Storage

    @property
    def step_s(self) -> float:
        """Seconds of one training step, on average."""
        return self.estimate.training_s / self.steps

    @property
    def memory_bytes(self) -> int:
        """On each device: as compiled, else as estimated."""
        return self.estimated_bytes if self.compiled is None else self.compiled.total_bytes

    @property
    def is_core(self) -> bool:
        """Whether one of its names is no contribution."""
        return any(not family.startswith(CONTRIBUTIONS) for family in self.families)

    @property
    def is_prioritized(self) -> bool:
        """Whether one of its names is of the recommended subset."""
        return any(family in PRIORITIZED for family in self.families)


@dataclass(frozen=True)
class Total:
    """Several runs together."""

    runs: int
    sequence_s: float
    """One after another on one target."""
    parallel_s: float
    """On `jobs` targets at once, the longest runs first."""
    device_hours: float
    usd: float | None
    spot_usd: float | None


def plan_configurations(
    named: Named, target: Target, speed_of: SpeedOf, fitting_of: FittingOf
) -> list[Planned]:
    """Each configuration of `named` once, in their order.

    Raises UserError when nothing is known of the target's speed.
    """
    groups: dict[tuple[str, int], list[tuple[str, str, RunConfig]]] = {}
    for each in named:
        groups.setdefault((identity(each[2]), each[2].seed), []).append(each)
    return [_planned(group, target, speed_of, fitting_of) for group in groups.values()]


def total(planned: Sequence[Planned], jobs: int) -> Total:
    """The runs of `planned` together, on `jobs` targets at once."""
    estimates = [each.estimate for each in planned]
    ends = [0.0] * jobs
    for seconds in sorted((each.total_s for each in estimates), reverse=True):
        heapq.heappush(ends, heapq.heappop(ends) + seconds)
    return Total(
        runs=len(planned),
        sequence_s=sum(each.total_s for each in estimates),
        parallel_s=max(ends),
        device_hours=sum(each.device_hours for each in estimates),
        usd=price_of([each.usd for each in estimates]),
        spot_usd=price_of([each.spot_usd for each in estimates]),
    )


def _planned(group: Named, target: Target, speed_of: SpeedOf, fitting_of: FittingOf) -> Planned:
    config, compiled = fitting_of(group[0][2])
    vocab, cells, puzzle_ids = spec_of(config.data)[:3]
    schedule = Schedule.of(config, config.data.train_size)
    tested = described_test_puzzles(config.data)
    work = work_of(config, schedule, vocab, cells, tested)
    speed = speed_of(config, work.training.flops / schedule.total_steps)
    if speed is None:
        raise UserError(
            f"nothing is known of the speed of a {target.chip.kind}: run something on it, and plan again"
        )
    memory = training_memory(config, vocab, cells, target.chip.backend, devices=target.chips).total
    limit = target.chip.memory_bytes
    # A compiler that accepted it has the last word; an estimate may be too low.
    fits = True if compiled else None if limit is None else memory <= safe_bytes(limit)
    return Planned(
        names=tuple(name for name, _, _ in group),
        families=tuple(dict.fromkeys(family for _, family, _ in group)),
        config=config,
        parameters=count_parameters(config.arch, vocab, cells),
        puzzle_emb_parameters=count_puzzle_emb(config.arch, puzzle_ids),
        training_flops=training_flops(config, schedule, vocab, cells),
        inference_flops=inference_flops(config.arch, vocab, cells, config.arch.halt_max_steps),
        steps=schedule.total_steps,
        estimated_bytes=memory,
        compiled=compiled,
        fits=fits,
        estimate=estimate(work, target, speed),
        storage=storage_of(config, schedule, vocab, cells, tested),
    )


def price_of(prices: Sequence[float | None]) -> float | None:
    """The sum of `prices`; None where one of them is unknown."""
    known = [price for price in prices if price is not None]
    return sum(known) if len(known) == len(prices) else None


SOFTWARE_BYTES = 2_300_000_000
"""An environment with the extra [tpu]: 1.6 GB, and 0.7 GB of libtpu (measured)."""


@dataclass(frozen=True)
class Resources:
    """Of all runs of a plan."""

    disk_bytes: int
    """When the last run ends and nothing was removed: checkpoints, records, puzzles, software."""
    results_bytes: int
    """What the analysis needs of it elsewhere: everything but checkpoints, puzzles and software."""
    storage_usd_a_month: float
    """Of the disk, at the price of the study's first estimate."""


def resources_of(planned: Sequence[Planned]) -> Resources:
    """Of the runs of `planned`, one after another."""
    datasets = {_content(each.config.data): _dataset_bytes(each.config.data) for each in planned}
    runs = sum(each.storage.disk for each in planned)
    # Only one run at a time writes the checkpoint that is counted beside those kept.
    runs -= sum(each.storage.checkpoint for each in planned)
    runs += max(each.storage.checkpoint for each in planned)
    disk = runs + sum(datasets.values()) + SOFTWARE_BYTES
    results = sum(each.storage.results for each in planned)
    return Resources(disk, results, disk * USD_A_BYTE_MONTH)


def _content(data: DataConfig) -> str:
    """Augmentations are made on the device, so folders differ by everything else."""
    return data.model_dump_json(exclude={"num_aug"})


def _dataset_bytes(data: DataConfig) -> int:
    puzzles = data.train_size + data.val_size + (described_test_puzzles(data) or 0)
    return puzzles * 2 * spec_of(data).seq_len


CORE_HOURS = 2460
"""One after another on a v4-64."""

CONTRIBUTION_HOURS = 860

DAYS_IN_SEQUENCE = 139
DAYS_FOUR_AT_ONCE = 35
PRIORITIZED_DAYS_FOUR_AT_ONCE = 15

DISK_BYTES_LEAST = 100 * 10**9
DISK_BYTES = 500 * 10**9
"""Recommended."""

USD_A_MONTH = 50.0
"""Of that disk."""

NETWORK_BYTES = 100 * 10**9
"""Results, at the most."""

USD_A_BYTE_MONTH = USD_A_MONTH / DISK_BYTES
"""Its price of a persistent disk: ten cents a gigabyte and month."""


def as_json(planned: Sequence[Planned], target: Target, profile: str, jobs: int) -> dict[str, Any]:
    """Seconds, bytes, USD; missing is null."""
    subset = [each for each in planned if each.is_prioritized]
    return {
        "target": {"name": target.name, "device_kind": target.chip.kind, "devices": target.chips},
        "profile": profile,
        "jobs": jobs,
        "prices_of": PRICES_OF,
        "runs": [_run(each) for each in planned],
        "total": asdict(total(planned, jobs)),
        "total_of_recommended_subset": asdict(total(subset, jobs)) if subset else None,
        "resources": asdict(resources_of(planned)),
    }


def _run(each: Planned) -> dict[str, Any]:
    config, system = each.config, each.config.system
    return {
        "names": list(each.names),
        "families": list(each.families),
        "parameters": each.parameters,
        "puzzle_emb_parameters": each.puzzle_emb_parameters,
        "training_flops": each.training_flops,
        "inference_flops": each.inference_flops,
        "steps": each.steps,
        "step_s": each.step_s,
        "global_batch_size": config.global_batch_size,
        "micro_batches": config.micro_batches,
        "micro_batch_size": system.micro_batch_size,
        "remat": system.remat,
        "memory_bytes": each.memory_bytes,
        "memory_from": "estimate" if each.compiled is None else "compiler",
        "fits": each.fits,
        "estimate": asdict(each.estimate),
        "storage": asdict(each.storage),
    }
