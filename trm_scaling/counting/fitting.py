"""How a batch is worked through on a device that has no room for it whole: slices, then rematerialisation."""

from collections.abc import Iterator

from trm_scaling.config import RunConfig
from trm_scaling.counting.devices import Backend
from trm_scaling.counting.memory import ACCURACY, training_memory

LEAST_AT_ONCE = 32
"""Puzzles a device that still fill it (3,000 rows of every product on 9x9). Slices down to this many cost
no time; below it, computing the inner values again (a third more time) costs less than smaller slices."""


def safe_bytes(memory_bytes: int) -> int:
    """What an estimate may come to, so that the program fits even if the estimate is too low."""
    return int(memory_bytes / (1 + ACCURACY))


def choices(config: RunConfig, backend: Backend, devices: int) -> Iterator[RunConfig]:
    """`config` as it may be executed on `devices`, the cheapest first; every one computes the same.

    A `system.micro_batch_size` that the configuration names is kept, and so is `system.remat=true`.
    Each slice holds equally many puzzles, and at least one, for each device.
    """
    yield config
    system, batch = config.system, config.global_batch_size
    if system.micro_batch_size is not None or batch % devices:
        return
    # What an unrolled remat computes twice, XLA merges again on a CPU (`counting.memory`).
    helps = not (backend == "cpu" and system.unroll)
    share = batch // devices
    counts = [slices for slices in range(1, share + 1) if share % slices == 0]
    for remat in (False, True):
        if (remat and not helps) or (system.remat and not remat):
            continue
        for slices in counts:
            large_enough = share // slices >= LEAST_AT_ONCE or remat or not helps
            if large_enough and (slices > 1 or remat != system.remat):
                size = None if slices == 1 else batch // slices
                cut = system.model_copy(update={"micro_batch_size": size, "remat": remat})
                yield config.model_copy(update={"system": cut})


def first_fitting(
    config: RunConfig, vocab_size: int, seq_len: int, backend: Backend, memory_bytes: int, *, devices: int = 1
) -> RunConfig | None:
    """The first of the `choices` whose estimate is at most `memory_bytes`; None when none is."""
    for each in choices(config, backend, devices):
        if training_memory(each, vocab_size, seq_len, backend, devices=devices).total <= memory_bytes:
            return each
    return None
