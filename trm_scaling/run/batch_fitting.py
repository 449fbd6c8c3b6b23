"""How a batch is worked through on the devices there are, where the configuration leaves the choice.

As the compiler said of such a device, where it was asked (`trm plan --compile`), else by an estimate.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from trm_scaling.config import RunConfig
from trm_scaling.counting.devices import Target
from trm_scaling.counting.memory import choices, first_fitting, safe_bytes, training_memory
from trm_scaling.io.study import Study
from trm_scaling.run.compiler_answers import Compilation, Compilations, Fits, described_as
from trm_scaling.run.programs import stage_configs
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


def fitted(config: RunConfig, target: Target | None) -> RunConfig:
    """`config` with the cheapest micro-batch and rematerialisation that fit `target`, if the whole batch
    does not.

    A micro-batch size that the configuration names is taken as it is. Nothing changes where the device
    or its memory is unknown, or nothing fits by the estimate (`counting.memory`).
    """
    limit = None if target is None else target.chip.memory_bytes
    if config.system.micro_batch_size is not None or target is None or limit is None:
        return config
    shapes = spec_of(config.data)[:2]
    devices = config.system.devices or target.chips
    found = first_fitting(config, *shapes, target.chip.backend, safe_bytes(limit), devices=devices)
    return config if found is None else found


class Answer(NamedTuple):
    """A program, and what the compiler said of it."""

    config: RunConfig
    compilation: Compilation


class Accepted(NamedTuple):
    """A program that fits."""

    config: RunConfig
    compilation: Compilation
    outcome: Fits


class Fitting(NamedTuple):
    """A way to work through a batch, all of whose programs fit."""

    config: RunConfig
    programs: tuple[Accepted, ...]
    """One for each depth of the curriculum, in its order; most have one."""

    @property
    def largest(self) -> Fits:
        """What the compiler said of the program that needs most memory."""
        return max((each.outcome for each in self.programs), key=lambda each: each.total_bytes)


def candidates(config: RunConfig, target: Target) -> list[RunConfig]:
    """What is tried for `config`: the way that a run would take, then those that need less memory."""
    order = list(choices(config, target.chip.backend, config.system.devices or target.chips))
    return order[order.index(fitted(config, target)) :]


def fit(
    config: RunConfig, target: Target, compilations: Compilations, tell: Callable[[Answer], None]
) -> Fitting | None:
    """The first of the `candidates` that the compiler accepts; None when none is.

    Each answer is told as it comes. Raises UserError as `Compilations.ask` does.
    """

    def asked(way: RunConfig) -> Iterable[Answer]:
        for stage in stage_configs(way):
            answer = Answer(stage, compilations.ask(stage))
            tell(answer)
            yield answer

    return next(filter(None, (_fitting(way, asked(way)) for way in candidates(config, target))), None)


def known(config: RunConfig, target: Target, compilations: Compilations) -> Fitting | None:
    """What `fit` found earlier, without asking a compiler; None when it did not, or not to the end."""
    for way in candidates(config, target):
        answers = []
        for stage in stage_configs(way):
            compilation = compilations.of(stage)
            if compilation is None:
                return None
            answers.append(Answer(stage, compilation))
        found = _fitting(way, answers)
        if found is not None:
            return found
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
        found = known(config, target, Compilations(study, name))
        if found is not None:
            return found.config, found.largest
    return fitted(config, target), None


def _fitting(way: RunConfig, answers: Iterable[Answer]) -> Fitting | None:
    accepted = []
    for config, compilation in answers:
        if not isinstance(compilation.outcome, Fits):
            return None
        accepted.append(Accepted(config, compilation, compilation.outcome))
    return Fitting(way, tuple(accepted))
