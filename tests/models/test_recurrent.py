"""The plain recurrent network: one state, one pass a step; trained, resumed and exported as TRM is."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.tiny import IDS, VOCAB, C, config_of, feed_of, hyper_of, state_of
from trm_scaling.checkpoint.store import CheckpointStore
from trm_scaling.config import RecurrentConfig, RunConfig
from trm_scaling.models import empty_carry, step
from trm_scaling.models.init import init_buffers, init_params
from trm_scaling.models.interchange import from_public, public_names, to_public
from trm_scaling.models.layers import rotation_table, split_gates
from trm_scaling.models.model import apply_network, embed, puzzle_rows
from trm_scaling.train.multi_step import make_train_call
from trm_scaling.train.state import TrainState, state_digest

D = 16
ATTENTION = {"mlp_t": False, "pos_encodings": "rope"}


def recurrent(**changes: Any) -> RunConfig:
    """The tiny run with this model in place of TRM."""
    tiny = config_of()
    lacking = set(type(tiny.arch).model_fields) - set(RecurrentConfig.model_fields)
    arch = {**tiny.arch.model_dump(exclude=lacking), "model": "recurrent", "L_layers": 2, **changes}
    return RunConfig.model_validate({**tiny.model_dump(), "arch": arch})


def trained(config: RunConfig, state: TrainState, calls: range) -> tuple[TrainState, list[float]]:
    """`state` after calls of five steps each, which are fed by number, and the losses."""
    call, losses = make_train_call(config, augmentation_seed=3), []
    for number in calls:
        state, metrics = call(state, hyper_of(config), feed_of(5, seed=number), jnp.int32(5))
        losses += np.asarray(metrics["train/cell_loss"]).tolist()
    return state, losses


@pytest.mark.parametrize("changes", [{}, ATTENTION])
def test_a_step_adds_the_input_and_applies_every_block_once(changes: dict[str, Any]) -> None:
    arch = recurrent(**changes).arch
    params = init_params(jax.random.key(0), arch, VOCAB, C, IDS)
    inputs = jnp.ones((3, C), jnp.uint8)
    rows = puzzle_rows(params, jnp.zeros(3, jnp.int32))
    z = jax.random.normal(jax.random.key(1), (arch.prefix_len + C, 3, D))
    out = step(arch, params, {"z_H": z}, inputs, rows)
    rotation = rotation_table(z.shape[0], D // 2, arch.rope_theta) if changes else None
    x = embed(arch, params, inputs, rows)
    layers = [split_gates(layer) for layer in params["layers"]]
    expected = apply_network(arch, layers, z + x, rotation)
    assert list(out.state) == ["z_H"]
    np.testing.assert_allclose(out.state["z_H"], expected, atol=1e-5)
    np.testing.assert_allclose(
        out.logits, jnp.swapaxes(expected[arch.prefix_len :] @ params["lm_head"], 0, 1), atol=1e-4
    )


def test_the_carry_has_one_state_and_its_names_in_a_checkpoint() -> None:
    config = recurrent()
    carry = empty_carry(config.arch, 4, C)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(carry)]
    assert paths == [".z_H", ".steps", ".halted", ".inputs", ".labels", ".puzzle_ids"]
    assert jax.tree.map(lambda leaf, axis: leaf.shape[axis], carry, carry.batch_axes) == jax.tree.map(
        lambda leaf: 4, carry
    )
    assert set(init_buffers(jax.random.key(0), config.arch)) == {"H_init"}


def test_it_trains_and_a_resumed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    config = recurrent()
    half, before = trained(config, state_of(config), range(6))
    with CheckpointStore(tmp_path, keep=1) as store:
        store.save(30, half, {}, score=None)
        store.wait()
        saved = store.restore(30, like=jax.eval_shape(lambda: state_of(config)))[0]
    resumed, after = trained(config, saved, range(6, 12))
    whole, losses = trained(config, state_of(config), range(12))
    assert before + after == losses
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    assert state_digest(resumed) == state_digest(whole)


@pytest.mark.parametrize("changes", [{}, ATTENTION])
def test_its_weights_go_out_under_the_public_names_and_come_back(changes: dict[str, Any]) -> None:
    arch = recurrent(**changes).arch
    like = init_params(jax.random.key(0), arch, VOCAB, C, IDS), init_buffers(jax.random.key(1), arch)
    tensors = to_public(arch, *like)
    names = {name for name, _, _ in public_names(arch)}
    assert set(tensors) == names
    assert "inner.H_level.layers.1.mlp.down_proj.weight" in names
    assert "inner.L_init" not in names
    back = from_public(arch, tensors, like, "here")
    jax.tree.map(np.testing.assert_array_equal, back, like)
