"""Which configurations make one compiled program: everything else about them is data to it."""

import hashlib
import json
from typing import Any

from trm_scaling.config import RunConfig, Schedule


def stage_configs(config: RunConfig) -> list[RunConfig]:
    """`config` at each depth of its curriculum, a program each; itself where it has none."""
    schedule = Schedule.of(config, config.data.train_size)
    depths = dict.fromkeys(stage.depth for stage in schedule.stages)
    return [
        config.model_copy(update={"arch": config.arch.model_copy(update=depth._asdict())}) for depth in depths
    ]


def program_fields(config: RunConfig) -> dict[str, Any]:
    """Every field that the training call is traced with. Rates, seeds, sizes of data sets and lengths are
    data (`optim.Hyper`), as are the probabilities of exploration.
    """
    arch = config.arch.model_dump(mode="json", exclude={"halt_exploration_prob", "halt_exploration_prob_end"})
    if config.arch.mlp_t:
        # Nothing has heads then; exp01a and exp01b differ in width alone.
        del arch["num_heads"], arch["rope_theta"]
    system = config.system
    # Named where they are used, which is seldom: they decide how the program lies on the devices.
    placement = {name: getattr(system, name) for name in ("parameter_shards", "devices")}
    used = {name: value for name, value in placement.items() if value not in (None, 1)}
    return {
        "arch": arch,
        "board": [config.data.box_rows, config.data.box_cols],
        "global_batch_size": config.global_batch_size,
        "micro_batches": config.micro_batches,
        "optimizer": config.optimizer,
        "ema": config.ema,
        **({"further_averages": len(config.ema_rates)} if config.ema_rates else {}),
        "ema_puzzle_emb": config.ema_puzzle_emb,
        "remat": system.remat,
        "unroll": system.unroll,
        "steps_per_call": system.steps_per_call,
        **used,
    }


def program_key(config: RunConfig) -> str:
    """Twelve hexadecimal digits of `program_fields`: equal keys are one program."""
    text = json.dumps(program_fields(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
