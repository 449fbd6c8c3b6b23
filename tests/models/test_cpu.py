"""bfloat16 on a CPU: every product is of the fast kind, is executed, and rounds no worse."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.run.tiny import ROOT
from tests.train.tiny import IDS, VOCAB, C, config_of, feed_of, hyper_of, puzzles, split_of, state_of
from trm_scaling.config import RunConfig
from trm_scaling.evaluation.score import Evaluator
from trm_scaling.models import Carry, Execution, cpu, empty_carry, reset_halted
from trm_scaling.models.init import init_buffers, init_params
from trm_scaling.models.model import puzzle_rows, step
from trm_scaling.parallel.mesh import make_mesh
from trm_scaling.train.multi_step import make_train_call
from trm_scaling.train.step import batch_gradients
from trm_scaling.train.vmap_runs import Stacking

ATTENTION = {"mlp_t": False, "pos_encodings": "rope"}
ODD = {"hidden_size": 12, "puzzle_emb_len": 3, "puzzle_emb_ndim": 12, "inner_multiple": 1}
"""No axis of a weight or of a batch of three divides by 8."""
HALTING_HEAD = re.compile(r"f32\[\d+,2\]")
"""In the products of the halting head: float32 as in the public code, and too small to matter."""
VARIANTS: dict[str, dict[str, Any]] = {
    "positions": {},
    "attention": {"arch": ATTENTION},
    "odd": {"arch": ODD, "batch": 3},
    "odd attention": {"arch": ODD | ATTENTION, "batch": 3},
    "scanned, slices, rematerialised": {
        "system": {"unroll": False, "remat": True, "micro_batch_size": 2},
    },
    "attention, slices, rematerialised": {
        "arch": ATTENTION,
        "system": {"remat": True, "micro_batch_size": 2},
    },
}


def variant(name: str, dtype: str = "bfloat16", batch: int = 4) -> RunConfig:
    changes = VARIANTS[name]
    return config_of(
        arch={"forward_dtype": dtype} | changes.get("arch", {}),
        system=changes.get("system", {}),
        global_batch_size=changes.get("batch", batch),
    )


def start(config: RunConfig) -> tuple[dict[str, Any], Carry]:
    """Parameters with a halting head that is not zero, and a batch in every row."""
    arch, batch, key = config.arch, config.global_batch_size, jax.random.key(0)
    params = init_params(key, arch, VOCAB, C, IDS)
    head = params["q_head"]["weight"]
    params["q_head"]["weight"] = 0.1 * jax.random.normal(key, head.shape)
    inputs, labels = puzzles(batch)
    empty = empty_carry(arch, batch, C)
    return params, reset_halted(
        empty, init_buffers(key, arch), jnp.asarray(inputs), jnp.asarray(labels), jnp.zeros(batch, jnp.int32)
    )


def gradients(config: RunConfig, devices: int = 1, plain: bool = False) -> dict[str, np.ndarray]:
    """Of the whole step, by leaf; `plain` by the formulation that accelerators have."""
    mesh = make_mesh(config, jax.devices()[:devices])
    with mock.patch.object(cpu, "applies", return_value=False) if plain else nullcontext():
        found, _ = jax.jit(partial(batch_gradients, config, mesh=mesh))(*start(config), jnp.float32(1))
    return {
        jax.tree_util.keystr(at): np.asarray(leaf, np.float64)
        for at, leaf in jax.tree.leaves_with_path(found)
    }


def errors(found: dict[str, np.ndarray], exact: dict[str, np.ndarray]) -> dict[str, float]:
    """Of each leaf, as a share of its norm."""
    return {
        name: float(np.linalg.norm(found[name] - leaf) / np.linalg.norm(leaf)) for name, leaf in exact.items()
    }


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name",
    [*list(VARIANTS)[:3], *(pytest.param(name, marks=pytest.mark.slow) for name in list(VARIANTS)[3:])],
)
def test_the_gradients_of_a_step_are_as_near_float32_as_the_plain_formulations(name: str) -> None:
    exact = gradients(variant(name, "float32"))
    ours, plain = (errors(gradients(variant(name), plain=way), exact) for way in (False, True))
    assert ours.keys() == plain.keys() != set()
    for leaf, error in ours.items():
        # Single leaves are luck of the rounding; together they are not.
        assert error <= 1.6 * plain[leaf] + 1e-3, f"{leaf}: {error:.4f}, plain {plain[leaf]:.4f}"
    assert sum(ours.values()) <= 1.1 * sum(plain.values())


@pytest.mark.parametrize("name", ["positions", "attention", "odd attention"])
def test_every_product_is_of_the_kind_that_the_fast_kernel_takes(name: str) -> None:
    """bfloat16 by bfloat16 into float32, the left operand contracted over its last axis."""
    config = variant(name)
    compiled = jax.jit(partial(batch_gradients, config)).lower(*start(config), jnp.float32(1)).compile()
    # XLA (jax 0.10.2) multiplies a stack of small matrices, as heads are, in float32 whatever it is given.
    products = [each for each in dots_of(compiled.as_text() or "") if each[0].count(",") < 2]
    products = [each for each in products if HALTING_HEAD.search(" ".join(each)) is None]
    assert len(products) > 40
    for result, left, right, contracted in products:
        assert (result.split("[")[0], left.split("[")[0], right.split("[")[0]) == ("f32", "bf16", "bf16")
        rank = left.count(",") + 1
        assert contracted == str(rank - 1), f"{left} contracted over axis {contracted}"


def dots_of(text: str) -> Iterator[tuple[str, str, str, str]]:
    """(type of the result, of left and right operand, contracted axis on the left) of every product."""
    line = re.compile(r"= (\w+\[[\d,]*\])\S* dot\(%(\S+), %(\S+)\).* lhs_contracting_dims=\{([\d,]*)\}")
    for computation in text.split("\n\n"):
        types = dict(re.findall(r"%?(\S+) = (\w+\[[\d,]*\])", computation))
        for result, left, right, contracted in line.findall(computation):
            yield result, types[left], types[right], contracted


@pytest.mark.e2e
def test_on_a_mesh() -> None:
    """In a process of its own, since JAX counts the devices once."""
    flags = {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"}
    code = "from tests.models import test_cpu; test_cpu.assert_meshes_agree()"
    subprocess.run([sys.executable, "-c", code], env=os.environ | flags, cwd=ROOT, check=True, timeout=300)


def assert_meshes_agree() -> None:
    """Two devices compute what one does, but for the order of a sum."""
    assert len(jax.devices()) == 2
    for name in ("positions", "attention"):
        one, two = (gradients(variant(name), devices) for devices in (1, 2))
        exact = gradients(variant(name, "float32"))
        assert max(errors(two, one).values()) <= max(errors(one, exact).values())


@pytest.mark.parametrize("arch", [{}, pytest.param(ATTENTION, marks=pytest.mark.slow)], ids=str)
def test_runs_side_by_side_train_as_alone(arch: dict[str, Any]) -> None:
    """Vmapped, each product has one axis more."""
    configs = [config_of(arch={"forward_dtype": "bfloat16"} | arch, seed=seed) for seed in (0, 1)]
    stacking = Stacking(2)
    call = make_train_call(configs[0], augmentation_seed=0, runs=2)
    together = call(
        stacking.join([state_of(config) for config in configs]),
        stacking.join([hyper_of(config) for config in configs]),
        stacking.join([feed_of(1, config.seed) for config in configs]),
        jnp.int32(1),
    )
    for run, config in enumerate(configs):
        alone, metrics = make_train_call(config, augmentation_seed=0)(
            state_of(config), hyper_of(config), feed_of(1, config.seed), jnp.int32(1)
        )
        of_run = stacking.on_host(together[1])[run]
        np.testing.assert_allclose(of_run["train/loss"], metrics["train/loss"], rtol=1e-2)
        moments = zip(
            jax.tree.leaves(stacking.part(together[0], run).optimizer.m),
            jax.tree.leaves(alone.optimizer.m),
            strict=True,
        )
        for ours, theirs in moments:
            error = float(np.linalg.norm(ours - theirs)) / max(float(np.linalg.norm(theirs)), 1e-12)
            assert error < 0.05


@pytest.mark.parametrize("arch", [{}, ATTENTION], ids=["positions", "attention"])
def test_evaluation_answers_as_in_float32(arch: dict[str, Any]) -> None:
    outcomes = {}
    for dtype in ("float32", "bfloat16"):
        config = config_of(arch={"forward_dtype": dtype} | arch)
        state = state_of(config)
        outcomes[dtype] = Evaluator(config, 2)(state.params, state.buffers, split_of(9))
    np.testing.assert_allclose(outcomes["bfloat16"].loss, outcomes["float32"].loss, rtol=0.05)
    assert np.mean(outcomes["bfloat16"].cells_right == outcomes["float32"].cells_right) > 0.5


def test_the_sigmoid_is_finer_than_bfloat16() -> None:
    x = np.linspace(-80, 80, 320_001)
    found, exact = np.asarray(cpu.sigmoid(jnp.float32(x)), np.float64), 1 / (1 + np.exp(-x))
    assert np.abs(found - exact).max() < 5e-5  # half of bfloat16's smallest step below 1 is 2e-3
    assert np.abs(x * (found - exact)).max() < 5e-4  # silu: also where its argument is large
    assert np.diff(found).min() > -1e-6, "rises, but for rounding"


@pytest.mark.parametrize(("dtype", "platform"), [("float32", "cpu"), ("float16", "cpu"), ("bfloat16", "tpu")])
def test_other_precisions_and_platforms_have_the_plain_formulation(dtype: str, platform: str) -> None:
    config = variant("positions", dtype)
    params, carry = start(config)
    arguments = (params, carry.state, carry.inputs, puzzle_rows(params, carry.puzzle_ids))
    with mock.patch.object(cpu, "block", side_effect=AssertionError("computed as on a CPU")):
        jax.eval_shape(partial(step, config.arch, how=Execution(platform=platform)), *arguments)
        if dtype == "bfloat16":
            with pytest.raises(AssertionError, match="as on a CPU"):
                jax.eval_shape(partial(step, config.arch, how=Execution(platform="cpu")), *arguments)


@pytest.mark.parametrize(
    "shape", [(8, 16), (5, 24), (16, 7), (5, 7), (1, 1), (3, 5, 16), (2, 3, 16, 5), (2, 3, 5, 7)]
)
def test_turning_is_transposing(shape: tuple[int, ...]) -> None:
    x = np.arange(np.prod(shape)).reshape(shape).astype(np.float32)
    np.testing.assert_array_equal(jax.jit(cpu.turn)(x), np.swapaxes(x, -1, -2))
