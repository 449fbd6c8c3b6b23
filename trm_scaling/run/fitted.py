"""How a batch is worked through on the devices there are, where the configuration leaves the choice."""

from trm_scaling.config import RunConfig
from trm_scaling.counting.devices import Target
from trm_scaling.counting.fitting import first_fitting, safe_bytes


def fitted(config: RunConfig, target: Target | None) -> RunConfig:
    """`config` with the cheapest micro-batch and rematerialisation that fit `target`, if the whole batch
    does not.

    A micro-batch size that the configuration names is taken as it is. Nothing changes where the device
    or its memory is unknown, or nothing fits by the estimate (`counting.memory`).
    """
    limit = None if target is None else target.chip.memory_bytes
    if config.system.micro_batch_size is not None or target is None or limit is None:
        return config
    shapes = (config.data.vocab_size, config.data.seq_len)
    devices = config.system.devices or target.chips
    found = first_fitting(config, *shapes, target.chip.backend, safe_bytes(limit), devices=devices)
    return config if found is None else found
