"""How a batch is worked through on the devices there are, where the configuration leaves the choice."""

from trm_scaling.config import RunConfig
from trm_scaling.counting.devices import Target
from trm_scaling.counting.fitting import first_fitting, safe_bytes
from trm_scaling.counting.memory import training_memory
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
