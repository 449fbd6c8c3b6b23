"""How a batch is worked through on the devices there are, where the configuration leaves the choice.

As the compiler said of such a device, where it was asked (`trm plan --compile`), else by an estimate.
"""

from collections.abc import Callable
from typing import NamedTuple

from trm_scaling.config import RunConfig
from trm_scaling.cost.compiler_answers import Compilation, Compilations, Fits, described_as, stage_configs
from trm_scaling.cost.devices import Target
from trm_scaling.cost.memory import choices, first_fitting, safe_bytes, training_memory
from trm_scaling.io.study import Study
from trm_scaling.tasks.task import spec_of


def shortage(config: RunConfig, target: Target | None) -> str | None:
    """What a user should know before training starts where the estimate is beyond the memory there is."""
    limit = None if target is None else target.chip.memory_bytes
    if target is None or limit is None:
        return None
    shapes = spec_of(config.data)[:2]
    devices = config.system.devices or target.chips
    needed = training_memory(config, *shapes, target.chip.backend, devices=devices).total
    if needed <= limit:
        return None
    return (
        f"training takes about {needed / 2**30:,.0f} GiB of memory a device, by estimate, and there are "
        f"{limit / 2**30:,.1f}: it may end for want of memory. A smaller --profile or "
        "system.micro_batch_size takes less; --dry-run says how much"
    )


def cut_to_fit(config: RunConfig, target: Target | None) -> RunConfig:
    """`config` with the cheapest micro-batch and rematerialisation that fit `target`, if the whole batch
    does not.

    A micro-batch size that the configuration names is taken as it is. Nothing changes where the device
    or its memory is unknown, or nothing fits by the estimate (`cost.memory`).
    """
    limit = None if target is None else target.chip.memory_bytes
    if config.system.micro_batch_size is not None or target is None or limit is None:
        return config
    shapes = spec_of(config.data)[:2]
    devices = config.system.devices or target.chips
    found = first_fitting(config, *shapes, target.chip.backend, safe_bytes(limit), devices=devices)
    return config if found is None else found


class Accepted(NamedTuple):
    """A program that fits."""

    config: RunConfig
    compilation: Compilation
    outcome: Fits


class Fitting(NamedTuple):
    """How a batch is worked through, and the programs of that, all of which fit."""

    config: RunConfig
    programs: tuple[Accepted, ...]
    """One for each depth of the curriculum, in its order; most have one."""

    @property
    def largest(self) -> Fits:
        """What the compiler said of the program that needs most memory."""
        return max((each.outcome for each in self.programs), key=lambda each: each.total_bytes)


def candidates(config: RunConfig, target: Target) -> list[RunConfig]:
    """What is tried for `config`: what a run would take by the estimate, then what needs less memory."""
    order = list(choices(config, target.chip.backend, config.system.devices or target.chips))
    return order[order.index(cut_to_fit(config, target)) :]


def first_accepted(
    config: RunConfig, target: Target, ask: Callable[[RunConfig], Compilation | None]
) -> Fitting | None:
    """The first of the `candidates` all of whose programs the compiler accepts, by what `ask` says of each;
    None when no candidate is accepted, or when `ask` knows nothing of a program that the choice depends on.

    `ask` is `Compilations.ask`, which compiles, or `Compilations.of`, which looks up what was compiled.
    """
    for candidate in candidates(config, target):
        accepted = []
        for stage in stage_configs(candidate):
            compilation = ask(stage)
            if compilation is None:
                return None
            if not isinstance(compilation.outcome, Fits):
                break
            accepted.append(Accepted(stage, compilation, compilation.outcome))
        else:
            return Fitting(candidate, tuple(accepted))
    return None


def choose_micro_batch(
    study: Study, config: RunConfig, target: Target | None
) -> tuple[RunConfig, Fits | None]:
    """How a run on `target` works through its batch: as the study has it compiled for such a device,
    with what the compiler said, else by the estimate.

    Raises UserError for a file of the study's compilations that holds something else.
    """
    name = None if target is None else described_as(target)
    if target is not None and name is not None and config.system.devices in (None, target.chips):
        found = first_accepted(config, target, Compilations(study, name).of)
        if found is not None:
            return found.config, found.largest
    return cut_to_fit(config, target), None
