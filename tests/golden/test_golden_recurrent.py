"""The public network without hierarchy (`transformers_baseline`, Model_ACTV2): three steps and a gradient.

The vectors were made with commit e7b6871 of the public code and PyTorch 2.13 (float32, CPU): random
weights, states after three supervision steps, logits, and the gradient of a weighted sum of the third step's
answers.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.golden.golden import assert_close
from trm_scaling.config import RecurrentConfig
from trm_scaling.models.init import init_buffers, init_params
from trm_scaling.models.interchange import from_public, to_public
from trm_scaling.models.layers import PUZZLE_EMB
from trm_scaling.models.model import empty_state, puzzle_rows, reset, step

FILE = Path(__file__).parent / "recurrent_rope.npz"
TOLERANCE = 2e-5
STEPS = 3

Arrays = dict[str, np.ndarray]


def group(arrays: Arrays, prefix: str) -> Arrays:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    with np.load(FILE, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


@pytest.fixture(scope="module")
def arch(arrays: Arrays) -> RecurrentConfig:
    known = {name: value.item() for name, value in group(arrays, "config/").items()}
    fields = {name: value for name, value in known.items() if name in RecurrentConfig.model_fields}
    return RecurrentConfig(
        **fields,
        L_layers=known["H_layers"],  # the public name of a single level's layers
        mlp_t=False,
        # As wide as the public code makes it: the embedding's width over the network's, rounded up.
        puzzle_emb_len=-(-known["puzzle_emb_ndim"] // known["hidden_size"]),
    )


@pytest.fixture(scope="module")
def weights(arrays: Arrays, arch: RecurrentConfig) -> tuple[Any, Any]:
    vocab, length, ids = (
        int(arrays[f"config/{name}"]) for name in ("vocab_size", "seq_len", "num_puzzle_identifiers")
    )
    key = jax.random.key(0)
    like = init_params(key, arch, vocab, length, ids), init_buffers(key, arch)
    return jax.tree.map(jnp.asarray, from_public(arch, group(arrays, "state/"), like, "the vectors"))


def test_each_step_has_the_public_state_and_answers(
    arrays: Arrays, arch: RecurrentConfig, weights: tuple[Any, Any]
) -> None:
    params, buffers = weights
    batch, length = arrays["inputs"].shape
    state = reset(buffers, empty_state(arch, batch, length), jnp.ones(batch, bool))
    inputs, rows = jnp.asarray(arrays["inputs"]), puzzle_rows(params, jnp.asarray(arrays["puzzle_ids"]))
    for call in range(STEPS):
        out = step(arch, params, state, inputs, rows)
        assert_close(out.logits, arrays[f"call{call}/logits"], TOLERANCE, f"logits of call {call}")
        assert_close(out.q_halt, arrays[f"call{call}/q_halt_logits"], TOLERANCE, f"halting of call {call}")
        assert_close(jnp.swapaxes(out.state["z_H"], 0, 1), arrays[f"call{call}/z_H"], TOLERANCE, "z_H")
        state = out.state


def test_a_step_has_the_public_gradient(
    arrays: Arrays, arch: RecurrentConfig, weights: tuple[Any, Any]
) -> None:
    params, buffers = weights
    state = {"z_H": jnp.swapaxes(jnp.asarray(arrays[f"call{STEPS - 2}/z_H"]), 0, 1)}
    ids = jnp.asarray(arrays["puzzle_ids"])

    def weighted(params: Any) -> jax.Array:
        out = step(arch, params, state, jnp.asarray(arrays["inputs"]), puzzle_rows(params, ids))
        return jnp.sum(out.logits * arrays["weight/logits"]) + jnp.sum(out.q_halt * arrays["weight/q"])

    ours = to_public(arch, jax.grad(weighted)(params), buffers)
    public = group(arrays, "grad/")
    # In evaluation the public table of puzzle embeddings takes no gradient, and initial states never do.
    assert set(public) == set(ours) - {"inner.H_init", f"inner.{PUZZLE_EMB}.weights"}
    for name, gradient in public.items():
        assert_close(ours[name], gradient, TOLERANCE, name)
