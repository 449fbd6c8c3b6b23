"""Which configurations share a compiled program, held against what they lower to."""

from typing import Any

import pytest

from tests.run.tiny import ROOT
from trm_scaling.config import RunConfig
from trm_scaling.config.compose import compose
from trm_scaling.cost.compiler_answers import program_key, stage_configs
from trm_scaling.parallel.mesh import make_mesh
from trm_scaling.train.aot_compile import digest, lowered

TINY: dict[str, Any] = {
    "arch": {
        "L_layers": 1,
        "L_cycles": 2,
        "H_cycles": 2,
        "hidden_size": 16,
        "puzzle_emb_ndim": 16,
        "puzzle_emb_len": 1,
        "inner_multiple": 8,
        "halt_max_steps": 3,
    },
    "data": {"box_rows": 2, "box_cols": 2, "source": "generated"},
    "global_batch_size": 8,
}


def config_of(**changed: Any) -> RunConfig:
    values = dict(TINY)
    for field, value in changed.items():
        part, _, name = field.partition("__")
        values[part] = {**values.get(part, {}), name: value} if name else value
    return RunConfig.model_validate(values)


def digest_of(config: RunConfig) -> str:
    return digest(lowered(config, make_mesh(config)))


@pytest.fixture(scope="module")
def plain() -> tuple[str, str]:
    config = config_of()
    return program_key(config), digest_of(config)


DATA = [
    {"lr": 3e-4, "lr_min_ratio": 0.1, "weight_decay": 0.3, "beta2": 0.9, "ema_rate": 0.9, "seed": 7},
    {"epochs": 60_000, "data__train_size": 500, "data__num_aug": 7, "lr_warmup_steps": 5},
    {"arch__halt_exploration_prob": 0.3, "arch__halt_exploration_prob_end": 0.05},
    {"arch__num_heads": 4},
    {"system__micro_batch_size": 8},
]
SHAPES = [
    {"arch__L_cycles": 3},
    {"arch__forward_dtype": "float32"},
    {"arch__halt_max_steps": 4},
    {"global_batch_size": 16},
    {"system__micro_batch_size": 4},
    {"system__remat": True},
    {"ema": False},
    {"optimizer": "lion"},
]


@pytest.mark.parametrize("changed", DATA, ids=lambda changed: next(iter(changed)))
def test_what_is_data_makes_the_same_program(changed: dict[str, Any], plain: tuple[str, str]) -> None:
    config = config_of(**changed)
    assert (program_key(config), digest_of(config)) == plain


@pytest.mark.parametrize("changed", SHAPES, ids=lambda changed: next(iter(changed)))
def test_what_is_traced_makes_another(changed: dict[str, Any], plain: tuple[str, str]) -> None:
    config = config_of(**changed)
    assert program_key(config) != plain[0]
    assert digest_of(config) != plain[1]


@pytest.mark.parametrize("changed", [{"system__parameter_shards": 2}, {"system__devices": 4}], ids=str)
def test_how_a_program_lies_on_the_devices_makes_another(
    changed: dict[str, Any], plain: tuple[str, str]
) -> None:
    assert program_key(config_of(**changed)) != plain[0]


def test_a_curriculum_has_a_program_for_each_depth() -> None:
    config = compose(ROOT / "kellen" / "configs", "contrib01_curriculum", "paper")
    stages = stage_configs(config)
    depths = [each.arch.depth for each in stages]
    assert (depths[0], depths[-1]) == ((2, 1), (6, 3))
    assert len({program_key(each) for each in stages}) == len(stages)
    assert program_key(stages[-1]) == program_key(compose(ROOT / "kellen" / "configs", "baseline", "paper"))
