"""Slices of a batch that the device has room for, where the configuration leaves the choice."""

from trm_scaling.config import RunConfig
from trm_scaling.counting.devices import Target
from trm_scaling.counting.memory import ACCURACY, fitting_micro_batch, training_memory


def fitted(config: RunConfig, target: Target | None) -> RunConfig:
    """`config` with the largest micro-batch that fits `target`, whose chips share it, if the whole batch
    does not.

    A size that the configuration names is taken as it is. Nothing changes where the device or its
    memory is unknown, or nothing fits by the estimate, which may be a quarter too low or too high.
    """
    limit = None if target is None else target.chip.memory_bytes
    if config.system.micro_batch_size is not None or target is None or limit is None:
        return config
    shapes = (config.data.vocab_size, config.data.seq_len)
    backend, safe = target.chip.backend, int(limit / (1 + ACCURACY))
    devices = config.system.devices or target.chips
    if training_memory(config, *shapes, backend, devices=devices).total <= safe:
        return config
    size = fitting_micro_batch(config, *shapes, backend, safe, devices=devices)
    system = config.system.model_copy(update={"micro_batch_size": size})
    return config.model_copy(update={"system": system})
