"""What each experiment of a study would take of a target, and all of them together. Pure arithmetic."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trm_scaling.config import RunConfig, Schedule
from trm_scaling.config.identity import identity
from trm_scaling.counting import count_parameters, count_puzzle_emb, inference_flops, training_flops
from trm_scaling.counting.devices import Target
from trm_scaling.counting.estimate import Estimate, Speed, estimate
from trm_scaling.counting.fitting import safe_bytes
from trm_scaling.counting.memory import training_memory
from trm_scaling.counting.storage import Storage, storage_of
from trm_scaling.counting.work import described_test_puzzles, work_of
from trm_scaling.errors import UserError
from trm_scaling.run.compiler_answers import Fits
from trm_scaling.tasks.task import spec_of

PRIORITIZED = ("exp01", "exp02a", "exp02b", "exp03", "exp05", "exp06", "contrib01", "contrib02")
"""Families of the study's recommended subset."""

CONTRIBUTIONS = "contrib"
"""What the names of the contributions' families begin with; all others are core experiments."""

SpeedOf = Callable[[RunConfig, float], Speed | None]
"""Speed of one device for a configuration whose steps take so many FLOPs; None: nothing is known."""

WayOf = Callable[[RunConfig], tuple[RunConfig, Fits | None]]
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
    named: Sequence[tuple[str, str, RunConfig]], target: Target, speed_of: SpeedOf, way_of: WayOf
) -> list[Planned]:
    """Each configuration of `named` (name, family's key, configuration) once, in their order.

    Raises UserError when nothing is known of the target's speed.
    """
    groups: dict[tuple[str, int], list[tuple[str, str, RunConfig]]] = {}
    for each in named:
        groups.setdefault((identity(each[2]), each[2].seed), []).append(each)
    return [
        _planned(
            tuple(name for name, _, _ in group),
            tuple(dict.fromkeys(family for _, family, _ in group)),
            group[0][2],
            target,
            speed_of,
            way_of,
        )
        for group in groups.values()
    ]


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
        usd=_sum([each.usd for each in estimates]),
        spot_usd=_sum([each.spot_usd for each in estimates]),
    )


def _planned(
    names: tuple[str, ...],
    families: tuple[str, ...],
    config: RunConfig,
    target: Target,
    speed_of: SpeedOf,
    way_of: WayOf,
) -> Planned:
    vocab, cells = spec_of(config.data)[:2]
    config, compiled = way_of(config)
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
        names=names,
        families=families,
        config=config,
        parameters=count_parameters(config.arch, vocab, cells),
        puzzle_emb_parameters=count_puzzle_emb(
            config.arch, num_puzzle_ids=spec_of(config.data).num_puzzle_ids
        ),
        training_flops=training_flops(config, schedule, vocab, cells),
        inference_flops=inference_flops(config.arch, vocab, cells, config.arch.halt_max_steps),
        steps=schedule.total_steps,
        estimated_bytes=memory,
        compiled=compiled,
        fits=fits,
        estimate=estimate(work, target, speed),
        storage=storage_of(config, schedule, vocab, cells, tested),
    )


def _sum(prices: Sequence[float | None]) -> float | None:
    known = [price for price in prices if price is not None]
    return sum(known) if len(known) == len(prices) else None
