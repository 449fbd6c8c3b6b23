"""A supervision step: input layout, precisions, gradients, and the order of the recursion."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trm_scaling.config import TrmConfig
from trm_scaling.models import Execution, Output
from trm_scaling.models import step as model_step
from trm_scaling.models.init import init_buffers, init_params
from trm_scaling.models.layers import PUZZLE_EMB, rotation_table, split_gates
from trm_scaling.models.model import States, apply_network, embed, puzzle_rows

B, C, V, D, IDS = 3, 16, 6, 16, 4
SMALL = TrmConfig(
    L_layers=1, L_cycles=2, H_cycles=2, hidden_size=D, num_heads=2, puzzle_emb_len=2, puzzle_emb_ndim=20
)
VARIANTS: dict[str, dict[str, Any]] = {
    "mlp_t": {},
    "mlp_t_learned": {"pos_encodings": "learned"},
    "rope": {"mlp_t": False, "pos_encodings": "rope"},
    "learned": {"mlp_t": False, "pos_encodings": "learned"},
    "no_puzzle": {"puzzle_emb_ndim": 0},
    "no_prefix": {"puzzle_emb_ndim": 0, "puzzle_emb_len": 0},
}
INPUTS = jnp.asarray(np.random.default_rng(0).integers(1, V, (B, C)), jnp.uint8)
IDENTIFIERS = jnp.array([2, 0, 2], jnp.int32)
ALL, PLAIN = slice(None), Execution()


def arch_of(**changes: Any) -> TrmConfig:
    return TrmConfig.model_validate({**SMALL.model_dump(), "forward_dtype": "float32", **changes})


def params_of(arch: TrmConfig) -> dict[str, Any]:
    params = init_params(jax.random.key(0), arch, V, C, IDS)
    if PUZZLE_EMB in params:
        params[PUZZLE_EMB] = jax.random.normal(jax.random.key(7), params[PUZZLE_EMB].shape)
    params["q_head"]["weight"] = jax.random.normal(jax.random.key(8), (D, 2))
    return params


def states_of(arch: TrmConfig) -> States:
    length = arch.prefix_len + C
    z_H, z_L = jax.random.normal(jax.random.key(9), (2, length, B, D)).astype(arch.forward_dtype)
    return {"z_H": z_H, "z_L": z_L}


def forward(
    arch: TrmConfig, params: dict[str, Any], state: States, how: Execution = PLAIN, rows: slice = ALL
) -> Output:
    ids = puzzle_rows(params, IDENTIFIERS[rows])
    return model_step(arch, params, {name: z[:, rows] for name, z in state.items()}, INPUTS[rows], ids, how)


def step(arch: TrmConfig, params: dict[str, Any], *, unroll: bool = True, remat: bool = False) -> Output:
    return forward(arch, params, states_of(arch), Execution(unroll=unroll, remat=remat))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_runs_in_every_precision(variant: str, dtype: str) -> None:
    arch = arch_of(forward_dtype=dtype, **VARIANTS[variant])
    params = params_of(arch)
    out = jax.jit(step, static_argnums=0)(arch, params)
    assert out.logits.shape == (B, C, V)
    assert out.state["z_H"].shape == out.state["z_L"].shape == (arch.prefix_len + C, B, D)
    assert out.logits.dtype == out.state["z_H"].dtype == out.state["z_L"].dtype == jnp.dtype(dtype)
    assert out.q_halt.dtype == out.q_continue.dtype == jnp.float32
    assert out.q_halt.shape == out.q_continue.shape == (B,)
    assert all(np.isfinite(np.asarray(leaf, np.float32)).all() for leaf in jax.tree.leaves(out))
    if dtype != "float32":
        wide = step(arch.model_copy(update={"forward_dtype": "float32"}), params)
        assert np.abs(np.asarray(out.logits, np.float32) - np.asarray(wide.logits)).max() < 0.3


@pytest.mark.parametrize("variant", ["mlp_t", "rope"])
def test_a_step_is_the_published_recursion(variant: str) -> None:
    """z_L = net(z_L + z_H + x) n times, then z_H = net(z_H + z_L); T such cycles."""
    arch = arch_of(L_cycles=3, H_cycles=2, **VARIANTS[variant])
    params = params_of(arch)
    x = embed(arch, params, INPUTS, puzzle_rows(params, IDENTIFIERS))
    rotation = rotation_table(x.shape[0], D // 2, arch.rope_theta) if variant == "rope" else None
    z_H, z_L = states_of(arch).values()
    layers = [split_gates(layer) for layer in params["layers"]]
    for _ in range(2):
        for _ in range(3):
            z_L = apply_network(arch, layers, z_L + z_H + x, rotation)
        z_H = apply_network(arch, layers, z_H + z_L, rotation)
    out = step(arch, params)
    np.testing.assert_allclose(out.state["z_H"], z_H, atol=2e-4)
    np.testing.assert_allclose(out.state["z_L"], z_L, atol=2e-4)
    logits = np.einsum("lbd,dv->blv", np.asarray(z_H)[arch.prefix_len :], np.asarray(params["lm_head"]))
    np.testing.assert_allclose(out.logits, logits, atol=1e-3)
    first = np.asarray(z_H[0] @ params["q_head"]["weight"] + params["q_head"]["bias"][None])
    np.testing.assert_allclose(np.stack([out.q_halt, out.q_continue], 1), first, atol=1e-3)


def test_the_blocks_are_applied_in_turn() -> None:
    arch = arch_of(L_layers=2)
    params = params_of(arch)
    z = states_of(arch)["z_H"]
    one, two = (split_gates(layer) for layer in params["layers"])
    expected = apply_network(arch, [two], apply_network(arch, [one], z, None), None)
    np.testing.assert_allclose(apply_network(arch, [one, two], z, None), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"unroll": False, "remat": True},
        pytest.param({"unroll": False}, marks=pytest.mark.slow),
        pytest.param({"remat": True}, marks=pytest.mark.slow),
    ],
)
def test_how_it_is_executed_is_not_what_it_computes(options: dict[str, bool]) -> None:
    arch = arch_of()
    params = params_of(arch)
    both = (jax.tree.leaves(each) for each in (step(arch, params, **options), step(arch, params)))
    for ours, plain in zip(*both, strict=True):
        np.testing.assert_allclose(ours, plain, atol=2e-4)


def test_only_the_last_cycle_carries_gradients() -> None:
    """More cycles before it do not change what the gradient is taken through: it equals that of one
    cycle from the states they leave."""
    arch, one_cycle = arch_of(H_cycles=3), arch_of(H_cycles=1)
    params = params_of(arch)
    before = forward(arch_of(H_cycles=2), params, states_of(arch))

    def loss(params: dict[str, Any], arch: TrmConfig, state: States) -> jax.Array:
        out = forward(arch, params, state)
        return jnp.sum(jnp.square(out.logits)) + jnp.sum(out.q_halt)

    whole = jax.grad(loss)(params, arch, states_of(arch))
    last = jax.grad(loss)(params, one_cycle, before.state)
    for ours, expected in zip(jax.tree.leaves(whole), jax.tree.leaves(last), strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-3 * max(1, np.abs(np.asarray(expected)).max()))
    for gradient in jax.grad(loss, 2)(params, arch, states_of(arch)).values():
        assert not gradient.any()


def test_the_puzzle_row_fills_the_prefix_position_by_position() -> None:
    arch = arch_of(puzzle_emb_len=3, puzzle_emb_ndim=20)  # 20 of 3 x 16: one and a quarter
    params = params_of(arch)
    x = np.asarray(embed(arch, params, INPUTS, puzzle_rows(params, IDENTIFIERS)))
    rows = np.asarray(params[PUZZLE_EMB])[np.asarray(IDENTIFIERS)]
    for b in range(B):
        laid_out = np.concatenate([rows[b], np.zeros(28)]).reshape(3, D)
        np.testing.assert_allclose(x[:3, b], 4 * laid_out, rtol=1e-6)  # sqrt(16)
    tokens = np.asarray(params["embed_tokens"])[np.asarray(INPUTS)]
    np.testing.assert_allclose(x[3:], 4 * tokens.swapaxes(0, 1), rtol=1e-6)


def test_a_prefix_without_a_puzzle_is_zero() -> None:
    arch = arch_of(puzzle_emb_ndim=0)
    x = embed(arch, params_of(arch), INPUTS, None)
    assert x.shape == (2 + C, B, D)
    assert not x[:2].any()
    assert x[2:].all()


def test_learned_positions_are_added_before_scaling_by_the_root_of_a_half() -> None:
    arch, plain = arch_of(pos_encodings="learned"), arch_of()
    params = params_of(arch)
    without = np.asarray(embed(plain, params, INPUTS, puzzle_rows(params, IDENTIFIERS))) / 4
    expected = 4 * 0.707106781 * (without + np.asarray(params["embed_pos"])[:, None])
    np.testing.assert_allclose(
        embed(arch, params, INPUTS, puzzle_rows(params, IDENTIFIERS)), expected, rtol=1e-5, atol=1e-6
    )


def test_slots_do_not_see_each_other() -> None:
    for variant in ("mlp_t", "rope"):
        arch = arch_of(**VARIANTS[variant])
        params = params_of(arch)
        whole = step(arch, params)
        alone = forward(arch, params, states_of(arch), rows=slice(1, 2))
        np.testing.assert_allclose(whole.logits[1:2], alone.logits, atol=2e-4)


def test_the_halting_head_reads_the_first_position() -> None:
    arch = arch_of()
    params = params_of(arch)
    buffers = init_buffers(jax.random.key(1), arch)
    assert buffers["H_init"].shape == (D,)
    out = step(arch, params)
    weight, bias = params["q_head"]["weight"], params["q_head"]["bias"]
    np.testing.assert_allclose(out.q_halt, out.state["z_H"][0] @ weight[:, 0] + bias[0], atol=1e-5)
    np.testing.assert_allclose(out.q_continue, out.state["z_H"][0] @ weight[:, 1] + bias[1], atol=1e-5)
