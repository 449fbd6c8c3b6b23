"""Which configurations make one compiled program: everything else about them is data to it."""

import hashlib
import json
from typing import Any

from pydantic_core import to_jsonable_python

from trm_scaling.config import RunConfig, Schedule
from trm_scaling.config.fields import Mark, flattened, schema_fields, value_of
from trm_scaling.config.identity import HASHED, LATER_DEFAULTS
from trm_scaling.tasks.task import task_of


def stage_configs(config: RunConfig) -> list[RunConfig]:
    """`config` at each depth of its curriculum, a program each; itself where it has none."""
    schedule = Schedule.of(config, config.data.train_size)
    depths = dict.fromkeys(stage.depth for stage in schedule.stages)
    return [config.model_copy(update={"arch": config.arch.at(depth)}) for depth in depths]


ALWAYS_NAMED = HASHED | {"system.remat", "system.unroll", "system.steps_per_call"}
"""Fields that a key names whatever their value. Another one, which came later or is seldom used, is named
only where it is not at its default, so that what was compiled before keeps its key."""

_ELSEWHERE = {"system.micro_batch_size"}
"""Fields that stand in a key as what they make: the number of slices."""


def program_fields(config: RunConfig) -> dict[str, Any]:
    """What the training call at one depth is traced with: the fields marked `Program`, by group."""
    unused = set(_ELSEWHERE)
    if config.arch.mlp_t:
        # Nothing has heads then; exp01a and exp01b differ in width alone.
        unused |= {"arch.num_heads", "arch.rope_theta"}
    arch: dict[str, Any] = {}
    others: dict[str, Any] = {}
    own = flattened(config.model_dump(mode="json")).keys()
    for name, field in schema_fields(RunConfig).items():
        if name not in own:
            continue  # of another model
        if name.startswith("data.") and name != "data.task":
            continue  # what shapes the puzzles is `board`
        # A curriculum is a program for each of its depths.
        if Mark.PROGRAM in field.marks and Mark.STEPS not in field.marks and name not in unused:
            # As JSON has it, which knows no tuples: keys and later defaults are JSON.
            value = to_jsonable_python(value_of(config, name))
            usual = LATER_DEFAULTS.get(name, to_jsonable_python(field.info.default))
            if name in ALWAYS_NAMED or value != usual:
                (arch if name.startswith("arch.") else others)[field.leaf] = value
    return {
        "arch": arch,
        "board": list(task_of(config.data).board.values()),
        "micro_batches": config.micro_batches,
        **others,
    }


def program_key(config: RunConfig) -> str:
    """Twelve hexadecimal digits of `program_fields`: equal keys are one program."""
    text = json.dumps(program_fields(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
