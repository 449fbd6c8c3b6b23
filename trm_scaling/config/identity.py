"""Which run a configuration is: a hash of the fields that are science. It survives new fields.

The fields of `HASHED` enter with whatever value they have. A field that came later enters only where it is
not at its default, so that runs made before it keep their identity. A later field's default is written down
in `LATER_DEFAULTS` on the day the field is added and stays there: the schema may then take another default,
and a run of either value is still the run it was.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic_core import to_jsonable_python

from trm_scaling.config.fields import Mark, flattened, marked, nested, schema_fields
from trm_scaling.config.run import RunConfig
from trm_scaling.config.schedule import Schedule

OPERATIONAL, STEPS = marked(RunConfig, Mark.OPERATIONAL), marked(RunConfig, Mark.STEPS)
"""Not hashed: what says how a run is executed; and numbers of steps, which are hashed as the schedule that
they make, so that two ways of saying the same schedule are the same run."""

HASHED = frozenset(
    {
        *("profile", "seed", "global_batch_size", "eval_puzzles", "lr", "lr_min_ratio", "optimizer"),
        *("beta1", "beta2", "weight_decay", "puzzle_emb_lr", "puzzle_emb_weight_decay"),
        *("ema", "ema_rate", "ema_puzzle_emb"),
        *("arch.L_layers", "arch.L_cycles", "arch.H_cycles", "arch.hidden_size", "arch.num_heads"),
        *("arch.expansion", "arch.inner_multiple", "arch.mlp_t", "arch.pos_encodings"),
        *("arch.puzzle_emb_len", "arch.puzzle_emb_ndim", "arch.rms_norm_eps", "arch.rope_theta"),
        *("arch.forward_dtype", "arch.halt_max_steps", "arch.halt_exploration_prob"),
        *("arch.halt_exploration_prob_end", "arch.loss"),
        *("data.path", "data.source", "data.test_source", "data.box_rows", "data.box_cols"),
        *("data.train_size", "data.num_aug", "data.val_size", "data.test_size", "data.min_rating"),
        *("data.max_rating", "data.givens", "data.minimal", "data.seed"),
        *("steps.total_steps", "steps.eval_every", "steps.warmup_steps", "steps.stages"),
    }
)
"""What an identity has been made of since the first run. Never add to it, never take from it."""

LATER_DEFAULTS: Mapping[str, Any] = {
    "ema_rates": [],
    "steps.eval_growth": 1.0,
    "arch.model": "trm",
    "data.task": "sudoku",
    **{"data.side": 30, "data.kind": "random", "data.min_wall_share": 0.37, "data.max_wall_share": 0.42},
    **{"data.min_moves": None, "data.max_moves": None},
    **{"arch.damping": 1.0, "arch.call_noise": 0.0, "arch.init_states": "fixed"},
    **{"data.puzzle_ids": 876_544, "data.subsets": ["training", "evaluation", "concept"]},
    **{"data.test_subset": "evaluation", "data.memory_tasks": 0},
}
"""Every science field (and `steps.` field of Schedule) that is not in `HASHED`, with its default as JSON
has it on the day it was added. Never change an entry. It is also what a record made before the field has."""


def science(config: RunConfig) -> dict[str, Any]:
    """The fields of `config` that decide its result, as plain values, and the schedule they make.

    Later fields at their defaults are left out. Raises UserError when the configuration makes less than
    one step.
    """
    schedule = Schedule.of(config, config.data.train_size)
    stages = [[stage.start, *(stage.depth or ())] for stage in schedule.stages]
    steps = {**dataclasses.asdict(schedule), "stages": stages}
    usual = {f"steps.{field.name}": field.default for field in dataclasses.fields(schedule)}
    fields = flattened({**config.model_dump(mode="json"), "steps": steps})
    fields = {name: value for name, value in fields.items() if name not in OPERATIONAL | STEPS}
    # As the schedule is: what a step keeps of an average is hashed, however it was written.
    fields["ema_rates"] = [config.per_step(rate) for rate in config.ema_rates]
    if config.ema:
        fields["ema_rate"] = config.per_step(config.ema_rate)
    defaults = usual | _defaults(type(config))
    return nested({name: value for name, value in fields.items() if enters(name, value, defaults[name])})


def identity(config: RunConfig) -> str:
    """A 64-digit hexadecimal name shared by all configurations that compute the same, seed aside.

    The seed is science too, but stands in the run folder's name by itself (`<identity8>-s<seed>`).
    """
    fields = science(config)
    del fields["seed"]
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def differing_fields(one: RunConfig, other: RunConfig) -> list[str]:
    """The fields of science, dotted and sorted, in which the two are not the same run."""
    here, there = flattened(science(one)), flattened(science(other))
    absent = object()
    return sorted(name for name in here | there if here.get(name, absent) != there.get(name, absent))


def enters(field: str, value: Any, default: Any) -> bool:
    """Whether `field` is hashed. `default` is the schema's, which holds where the table has none."""
    return field in HASHED or bool(value != LATER_DEFAULTS.get(field, default))


@cache
def _defaults(schema: type[RunConfig]) -> dict[str, Any]:
    """The schema's default of every field, as JSON has it."""
    return {
        name: to_jsonable_python(field.info.get_default(call_default_factory=True), fallback=repr)
        for name, field in schema_fields(schema).items()
    }
