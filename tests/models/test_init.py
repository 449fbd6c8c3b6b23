"""Initial parameters: the published deviations, cut at two, and nothing shared."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trm_scaling.config import ArchConfig, TrmConfig
from trm_scaling.models.init import TRUNCATED_STD, init_buffers, init_params
from trm_scaling.models.layers import PUZZLE_EMB

D, CELLS, VOCAB = 256, 81, 101
MLP_T = TrmConfig(hidden_size=D, puzzle_emb_ndim=D, pos_encodings="learned")
ATTENTION = TrmConfig(hidden_size=D, puzzle_emb_ndim=D, pos_encodings="learned", mlp_t=False)


def params_of(arch: ArchConfig, seed: int = 0):
    return init_params(jax.random.key(seed), arch, VOCAB, CELLS, num_puzzle_ids=3)


@pytest.mark.parametrize("arch", [MLP_T, ATTENTION], ids=["mlp_t", "attention"])
def test_weights_have_the_lecun_deviation_and_no_tail(arch) -> None:
    params = params_of(arch)
    for table in ("embed_tokens", "embed_pos"):  # undone by the sqrt(D) that scales the input
        assert_truncated_normal(params[table], D**-0.5)
    assert_truncated_normal(params["lm_head"], D**-0.5)
    for layer in params["layers"]:
        weights = jax.tree.leaves(layer)
        assert len(weights) == 4
        for weight in weights:
            assert_truncated_normal(weight, weight.shape[0] ** -0.5)  # stored (in, out)


def assert_truncated_normal(weight: jax.Array, std: float) -> None:
    values = np.asarray(weight, np.float64)
    assert values.std() == pytest.approx(std, rel=0.02)
    assert abs(values.mean()) < 4 * std / np.sqrt(values.size)
    assert np.abs(values).max() <= 2 * std / TRUNCATED_STD * (1 + 1e-6)
    assert np.abs(values).max() > 1.9 * std / TRUNCATED_STD


def test_the_truncated_deviation_is_that_of_a_normal_cut_at_two() -> None:
    """Simpson's rule over the density."""
    x = np.linspace(-2, 2, 2001)
    density = np.exp(-(x**2) / 2)
    weights = np.r_[1, np.tile([4, 2], 999), 4, 1] * density
    assert np.sqrt((weights * x**2).sum() / weights.sum()) == pytest.approx(TRUNCATED_STD, rel=1e-9)


def test_halting_and_puzzle_embeddings_start_out_flat() -> None:
    params = params_of(MLP_T)
    assert not params["q_head"]["weight"].any()
    np.testing.assert_array_equal(params["q_head"]["bias"], [-5, -5])
    assert params[PUZZLE_EMB].shape == (3, D)
    assert not params[PUZZLE_EMB].any()


def test_every_parameter_is_float32_whatever_the_forward_precision() -> None:
    arch = MLP_T.model_copy(update={"forward_dtype": "bfloat16"})
    for leaf in jax.tree.leaves((params_of(arch), init_buffers(jax.random.key(0), arch))):
        assert leaf.dtype == jnp.float32


def test_no_two_tensors_share_their_draws() -> None:
    leaves = [
        np.asarray(leaf).ravel()[:50]
        for leaf in jax.tree.leaves((params_of(MLP_T), init_buffers(jax.random.key(1), MLP_T)))
        if np.asarray(leaf).std() > 0
    ]
    scaled = [leaf / leaf.std() for leaf in leaves]
    for i, one in enumerate(scaled):
        for other in scaled[:i]:
            assert not np.allclose(one, other, rtol=1e-3)


def test_the_seed_decides() -> None:
    one, again, other = params_of(MLP_T), params_of(MLP_T), params_of(MLP_T, seed=1)
    jax.tree.map(np.testing.assert_array_equal, one, again)
    assert (one["lm_head"] != other["lm_head"]).mean() > 0.99


def test_initial_states_are_fixed_vectors_of_unit_deviation() -> None:
    wide = TrmConfig(hidden_size=20_000, puzzle_emb_ndim=0)
    buffers = init_buffers(jax.random.key(0), wide)
    assert buffers.keys() == {"H_init", "L_init"}
    for vector in buffers.values():
        assert vector.shape == (20_000,)
        assert_truncated_normal(vector, 1.0)


def test_without_a_puzzle_embedding_there_is_no_table() -> None:
    arch = MLP_T.model_copy(update={"puzzle_emb_ndim": 0, "pos_encodings": "none"})
    assert {PUZZLE_EMB, "embed_pos"}.isdisjoint(params_of(arch))
