"""Which run a configuration is: a hash of the fields that are science."""

import hashlib
import json
from dataclasses import asdict
from typing import Any

from trm_scaling.config.run import RunConfig
from trm_scaling.config.schedule import Schedule

OPERATIONAL = frozenset({"name", "system"})
"""Top-level fields that say how or under which name a run is executed, not what it computes."""

SCHEDULED = frozenset(
    {
        *("schedule", "reference_train_size", "reference_batch_size", "curriculum"),
        *("epochs", "eval_interval", "lr_warmup_steps"),
    }
)
"""Fields whose meaning is a number of steps: two ways of saying the same schedule are the same run."""


def science(config: RunConfig) -> dict[str, Any]:
    """The fields of `config` that decide its result, as plain values, and the schedule they make.

    Raises UserError when the configuration makes less than one step.
    """
    fields = config.model_dump(exclude={*OPERATIONAL, *SCHEDULED}, mode="json")
    if config.ema:
        # Two ways of saying what a step keeps are the same run, too.
        fields["ema_rate"] = config.per_step(config.ema_rate)
    fields["ema_rates"] = [config.per_step(rate) for rate in config.ema_rates]
    if not fields["ema_rates"]:
        # Younger than the identities of the published runs, so it is left out where it says nothing.
        del fields["ema_rates"]
    schedule = Schedule.of(config, config.data.train_size)
    stages = [[stage.start, *stage.depth] for stage in schedule.stages]
    return {**fields, "steps": {**asdict(schedule), "stages": stages}}


def identity(config: RunConfig) -> str:
    """A 64-digit hexadecimal name shared by all configurations that compute the same, seed aside.

    The seed is science too, but stands in the run folder's name by itself (`<identity8>-s<seed>`).
    """
    fields = science(config)
    del fields["seed"]
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
