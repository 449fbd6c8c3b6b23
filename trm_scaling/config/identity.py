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
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined, to_jsonable_python

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

LATER_DEFAULTS: Mapping[str, Any] = {}
"""Every science field (and `steps.` field of Schedule) that is not in `HASHED`, with its default as JSON
has it on the day it was added. Never change an entry. It is also what a record made before the field has."""


def science(config: RunConfig) -> dict[str, Any]:
    """The fields of `config` that decide its result, as plain values, and the schedule they make.

    Later fields at their defaults are left out. Raises UserError when the configuration makes less than
    one step.
    """
    schedule = Schedule.of(config, config.data.train_size)
    stages = [[stage.start, *stage.depth] for stage in schedule.stages]
    steps = {**dataclasses.asdict(schedule), "stages": stages}
    usual = {field.name: field.default for field in dataclasses.fields(schedule)}
    return {
        **_entering(config, config.model_dump(exclude={*OPERATIONAL, *SCHEDULED}, mode="json")),
        "steps": {
            name: value for name, value in steps.items() if _enters(f"steps.{name}", value, usual[name])
        },
    }


def identity(config: RunConfig) -> str:
    """A 64-digit hexadecimal name shared by all configurations that compute the same, seed aside.

    The seed is science too, but stands in the run folder's name by itself (`<identity8>-s<seed>`).
    """
    fields = science(config)
    del fields["seed"]
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def differing_fields(one: RunConfig, other: RunConfig) -> list[str]:
    """The fields of science, dotted and sorted, in which the two are not the same run."""
    here, there = _flat(science(one)), _flat(science(other))
    missing = object()
    return sorted(name for name in here | there if here.get(name, missing) != there.get(name, missing))


def _entering(model: BaseModel, values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The part of `values`, which are those of `model`, that a hash is made of."""
    entering: dict[str, Any] = {}
    for name, value in values.items():
        inner = getattr(model, name)
        if isinstance(inner, BaseModel):
            if part := _entering(inner, value, f"{prefix}{name}."):
                entering[name] = part
        else:
            default = type(model).model_fields[name].get_default(call_default_factory=True)
            if _enters(f"{prefix}{name}", value, default):
                entering[name] = value
    return entering


def _enters(field: str, value: Any, default: Any) -> bool:
    """Whether `field` is hashed. `default` is the schema's, which holds where the table has none."""
    if field in HASHED:
        return True
    if field in LATER_DEFAULTS:
        return bool(value != LATER_DEFAULTS[field])
    if default is PydanticUndefined or default is dataclasses.MISSING:
        return True
    return bool(value != to_jsonable_python(default))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
