"""FLOPs by arithmetic: the published figures, and XLA's own count of programs without loops."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from trm_scaling.config import (
    CurriculumConfig,
    RecurrentConfig,
    RunConfig,
    Schedule,
    SystemConfig,
    TrmConfig,
)
from trm_scaling.cost import flops_per_sample, inference_flops, peak_flops, training_flops
from trm_scaling.cost.flops import layer_flops
from trm_scaling.models import empty_carry, step
from trm_scaling.models.init import init_params
from trm_scaling.models.model import puzzle_rows
from trm_scaling.tasks.sudoku.description import SudokuData
from trm_scaling.train.step import batch_gradients

VOCAB, CELLS = 11, 81


def test_the_published_baseline() -> None:
    arch = TrmConfig()
    assert layer_flops(arch, CELLS) / 1e9 == pytest.approx(0.61, abs=0.005)
    assert inference_flops(arch, VOCAB, CELLS, steps=1) / 1e9 == pytest.approx(25.6, abs=0.05)
    assert flops_per_sample(arch, VOCAB, CELLS) / 1e9 == pytest.approx(42.7, abs=0.05)


def test_answering_costs_in_proportion_to_the_steps() -> None:
    arch = TrmConfig()
    assert inference_flops(arch, VOCAB, CELLS, 16) == 16 * inference_flops(arch, VOCAB, CELLS, 1)


def test_a_training_spends_the_same_in_every_step() -> None:
    config = RunConfig()
    spent = training_flops(config, Schedule.of(config, 1000), VOCAB, CELLS)
    assert spent == 8138 * 6144 * flops_per_sample(config.arch, VOCAB, CELLS)


def test_a_curriculum_spends_what_each_stage_does() -> None:
    config = RunConfig(curriculum=CurriculumConfig(until_epoch=10_000))
    # (L, H) from (2, 1) up to (6, 3): T + 2 times n + 1 passes; 1,627 steps lie before epoch 10,000.
    layers = 2 * layer_flops(config.arch, CELLS)
    steps_and_passes = [(406, 3 * 3), (407, 3 * 4), (407, 4 * 5), (407, 4 * 6), (8138 - 1627, 5 * 7)]
    head = 8138 * 3 * 2 * CELLS * 512 * VOCAB
    by_hand = 6144 * (layers * sum(steps * passes for steps, passes in steps_and_passes) + head)
    assert training_flops(config, Schedule.of(config, 1000), VOCAB, CELLS) == by_hand


# Sizes at which matrix products dwarf what is elementwise (a SwiGLU's hidden unit costs 6 x 97 against
# a handful), a batch of one, and no loop whose body XLA would count once.
ARCHS = {
    "recurrent": RecurrentConfig(L_layers=2, hidden_size=128, puzzle_emb_ndim=128),
    "mlp_t": TrmConfig(L_layers=1, L_cycles=2, H_cycles=2, hidden_size=128, puzzle_emb_ndim=128),
    "attention": TrmConfig(
        L_layers=1,
        L_cycles=1,
        H_cycles=3,
        hidden_size=256,
        num_heads=2,
        mlp_t=False,
        pos_encodings="rope",
        puzzle_emb_ndim=256,
    ),
}


def counted_by_xla(function: Any, *arguments: Any) -> float:
    costs = jax.jit(function).lower(*arguments).compile().cost_analysis()
    assert costs is not None
    return costs["flops"]


@pytest.mark.parametrize("name", ARCHS)
def test_xla_counts_the_same(name: str) -> None:
    arch = ARCHS[name].model_copy(update={"forward_dtype": "float32"})
    assert isinstance(arch, TrmConfig | RecurrentConfig)
    config = RunConfig(arch=arch, data=SudokuData(), global_batch_size=1, system=SystemConfig(unroll=True))
    params = jax.eval_shape(lambda: init_params(jax.random.key(0), arch, VOCAB, CELLS, 1))
    carry = jax.eval_shape(lambda: empty_carry(arch, 1, CELLS))

    answering = counted_by_xla(
        lambda params, carry: step(
            arch, params, carry.state, carry.inputs, puzzle_rows(params, carry.puzzle_ids)
        ),
        *(params, carry),
    )
    assert answering == pytest.approx(inference_flops(arch, VOCAB, CELLS, 1), rel=0.02)

    training = counted_by_xla(
        lambda params, carry, scale: batch_gradients(config, params, carry, scale),
        *(params, carry, jax.eval_shape(lambda: jnp.float32(1))),
    )
    assert training == pytest.approx(flops_per_sample(arch, VOCAB, CELLS), rel=0.02)


@pytest.mark.parametrize(
    ("kind", "teraflops"),
    [
        ("TPU v4", 275),
        ("TPU v5 lite", 197),
        ("TPU v5p", 459),
        ("TPU v6 lite", 918),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA A100-SXM4-40GB", 312),
    ],
)
def test_the_peak_of_a_device_is_found_by_its_name(kind: str, teraflops: float) -> None:
    assert peak_flops(kind) == teraflops * 1e12


@pytest.mark.parametrize("kind", ["cpu", "NVIDIA GeForce RTX 5090", ""])
def test_an_unknown_peak_is_missing(kind: str) -> None:
    assert peak_flops(kind) is None
