"""Each field's mark, held against the program that the training call is traced to."""

from dataclasses import asdict
from typing import Any

import pytest

from tests.config.test_identity import BASE, NEEDS, OTHER, base_of, changed
from trm_scaling.config import RunConfig, Schedule
from trm_scaling.config.fields import Mark, marked, schema_fields
from trm_scaling.config.traced_fields import TRACED_FIELDS
from trm_scaling.cost.compiler_answers import program_key, stage_configs
from trm_scaling.optim import TracedHparams
from trm_scaling.parallel.mesh import make_mesh
from trm_scaling.train.aot_compile import call_arguments
from trm_scaling.train.multi_step import make_train_call

PLAIN = changed(BASE, {"system.unroll": False, "system.devices": 1})
PROGRAM = marked(RunConfig, Mark.PROGRAM)
VALUES: dict[str, Any] = {
    **OTHER,
    "name": "exp01a",
    "seed": 1,
    "system.micro_batch_size": 4,
    "system.remat": True,
    "system.unroll": True,
    "system.gate_kernel": True,
    "system.steps_per_call": 3,
    "system.devices": 2,
    "system.parameter_shards": 2,
    "system.eval_batch_size": 7,
    "system.test_weights": "all",
    "system.checkpoint_seconds": 9.0,
    "system.keep_checkpoints": 9,
    "system.lost_host_seconds": 9.0,
    "system.stall_seconds": 9.0,
    "system.startup_seconds": 9.0,
}
"""For every field a value that `PLAIN` does not have."""

ATTENTION = {"arch.mlp_t": False, "arch.pos_encodings": "rope"}
BESIDE: dict[str, dict[str, Any]] = {
    **NEEDS,
    "arch.num_heads": ATTENTION,
    "arch.rope_theta": ATTENTION,
    "system.parameter_shards": {"system.devices": 2},
}
"""What both configurations need so that the field is used at all."""

PLACEMENT = {"system.devices", "system.parameter_shards"}
"""How a program lies on several devices, which this process has not: `tests/parallel` compiles those."""

TOGETHER = (
    {"data.source", "data.test_source"},
    {"data.givens"},
    {"data.minimal"},
    {"data.path"},
)
"""Fields that describe different sources of puzzles, and cannot be changed all at once."""


def programs(config: RunConfig) -> list[str]:
    """What the training call is traced to, at each depth of the configuration's curriculum."""
    mesh = make_mesh(config)
    calls = [make_train_call(stage, 0, mesh).trace(*call_arguments(stage)) for stage in stage_configs(config)]
    return [f"{dict(mesh.shape)} {call.jaxpr}" for call in calls]


def keys(config: RunConfig) -> list[str]:
    return [program_key(stage) for stage in stage_configs(config)]


@pytest.fixture(scope="module")
def plain() -> list[str]:
    return programs(PLAIN)


def test_every_field_has_another_value_here() -> None:
    assert set(VALUES) == set(schema_fields(RunConfig)) - {"data.task"}


def pair(field: str) -> tuple[RunConfig, RunConfig]:
    """Two configurations that differ in `field` alone, and use it."""
    plain = changed(base_of(field), {"system.unroll": False, "system.devices": 1})
    base = changed(plain, BESIDE.get(field, {}))
    return base, changed(base, {field: VALUES[field]})


@pytest.mark.parametrize("field", sorted(PROGRAM - {"data.task"}))
def test_a_program_field_makes_another_key(field: str) -> None:
    base, other = pair(field)
    assert keys(other) != keys(base)


@pytest.mark.slow
@pytest.mark.parametrize("field", sorted(PROGRAM - PLACEMENT - marked(RunConfig, Mark.STEPS) - {"data.task"}))
def test_a_program_field_makes_another_program(field: str, plain: list[str]) -> None:
    """A curriculum's programs are those of the architecture at other depths, which are among these."""
    base, other = pair(field)
    assert programs(other) != (plain if base == PLAIN else programs(base))


@pytest.mark.parametrize(
    "apart", [set[str](), *TOGETHER], ids=lambda fields: "-".join(sorted(fields)) or "all"
)
def test_no_other_field_does(apart: set[str], plain: list[str]) -> None:
    """All at once, but for those that exclude each other."""
    alone = set().union(*TOGETHER)
    fields = apart or {field for field in VALUES if base_of(field) is BASE} - PROGRAM - alone
    other = changed(PLAIN, {field: VALUES[field] for field in fields})
    assert keys(other) == keys(PLAIN)
    assert programs(other) == plain


@pytest.mark.parametrize("field", sorted(TRACED_FIELDS))
def test_a_traced_field_is_given_to_the_program(field: str) -> None:
    other = changed(PLAIN, {field: VALUES[field]})
    before, after = (TracedHparams.of(each, Schedule.of(each, 1000)) for each in (PLAIN, other))
    assert {name for name, value in asdict(before).items() if asdict(after)[name] != value}
