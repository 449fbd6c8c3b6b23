"""Puzzle embeddings: read and written by the row, alike on one device and on a mesh."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.tiny import VOCAB, B, C, config_of, hyper_of, puzzles
from trm_scaling.models.layers import PUZZLE_EMB
from trm_scaling.parallel.sharding import FEWEST_CUT, WHOLE, cut_by_rows, read_rows
from trm_scaling.train.puzzle_table import write_rows
from trm_scaling.train.state import init_state
from trm_scaling.train.step import Batch, train_step

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "tasks" / "sparse_embedding.npz"
ONE = jnp.float32(1)


def public_hyper():
    """As the vectors were made: learning rate 1e-2, decay 0.1."""
    hyper = hyper_of(config_of())
    rates = {"puzzle_emb_lr": jnp.float32(1e-2), "puzzle_emb_weight_decay": jnp.float32(0.1)}
    return type(hyper)(**{**vars(hyper), **rates})


def test_the_vectors_are_those_of_the_shared_folder(shared: Path) -> None:
    assert GOLDEN.read_bytes() == (shared / "golden_tasks" / GOLDEN.name).read_bytes()


def test_three_steps_are_the_public_optimisers() -> None:
    write = jax.jit(write_rows)
    with np.load(GOLDEN, allow_pickle=False) as golden:
        table = jnp.asarray(golden["table0"])
        for step in range(3):
            ids, grads = golden[f"ids{step}"], golden[f"grad{step}"]
            before = np.asarray(table)
            table = write(table, jnp.asarray(ids), jnp.asarray(grads), public_hyper(), ONE)
            np.testing.assert_allclose(table, golden[f"table{step + 1}"], rtol=0, atol=1e-6)
            others = np.setdiff1d(np.arange(40), ids)
            np.testing.assert_array_equal(np.asarray(table)[others], before[others])
    assert len(set(ids.tolist())) < len(ids), "equal identifiers are among them"


def test_gradients_of_equal_identifiers_are_added_before_their_sign_is_taken() -> None:
    grads = jnp.array([[1.0], [-3.0], [1.0], [5.0]])
    after = write_rows(jnp.ones((3, 1)), jnp.array([2, 2, 2, 0]), grads, public_hyper(), ONE)
    kept = 1 - 1e-2 * 0.1
    np.testing.assert_allclose(after[:, 0], [kept - 1e-2, 1, kept + 1e-2], rtol=1e-6)


def test_a_step_that_does_not_count_writes_nothing() -> None:
    table, ids = jnp.ones((3, 2)), jnp.array([1, 1])
    grads = jnp.full((2, 2), jnp.inf)
    np.testing.assert_array_equal(write_rows(table, ids, grads, public_hyper(), ONE, jnp.bool_(False)), table)


def test_a_table_is_cut_where_each_device_has_an_equal_part_of_many_rows() -> None:
    assert cut_by_rows(1_000_000, 64) != WHOLE
    assert [cut_by_rows(*each) for each in ((1_000_000, 1), (FEWEST_CUT - 8, 8), (1_000_001, 8))] == [
        WHOLE
    ] * 3


def test_a_step_reads_and_writes_rows_alone() -> None:
    """Of the compiled update nothing but the table itself, which is updated in place, has its size."""
    rows, width, batch = 100_000, 64, 32
    step = jax.jit(write_rows, donate_argnums=0)
    table = jax.ShapeDtypeStruct((rows, width), jnp.float32)
    ids, grads = jax.ShapeDtypeStruct((batch,), jnp.int32), jax.ShapeDtypeStruct((batch, width), jnp.float32)
    memory = step.lower(table, ids, grads, public_hyper(), ONE).compile().memory_analysis()
    assert memory is not None
    assert memory.alias_size_in_bytes == rows * width * 4
    assert memory.temp_size_in_bytes < 20 * batch * width * 4


PROGRAM = """
import json
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding
from tests.train.test_puzzle_table import public_hyper
from trm_scaling.parallel.mesh import device_mesh
from trm_scaling.parallel.sharding import cut_by_rows, read_rows
from trm_scaling.parallel.sharding import batch_spec
from trm_scaling.train.puzzle_table import write_rows

mesh = device_mesh(jax.devices())
random = np.random.default_rng(0)
found = {}
for rows in (8192, 24):
    table = random.normal(size=(rows, 4)).astype(np.float32)
    ids = random.integers(0, rows, 32).astype(np.int32)
    ids[::3] = ids[0]
    grads = random.normal(size=(32, 4)).astype(np.float32)
    spec = cut_by_rows(rows, mesh.size)
    lying = jax.device_put(table, NamedSharding(mesh, spec))
    batch = NamedSharding(mesh, batch_spec())
    there = jax.device_put(ids, batch), jax.device_put(grads, batch)
    read = jax.jit(lambda t, i: read_rows(t, i, mesh))(lying, there[0])
    write = jax.jit(lambda t, i, g: write_rows(t, i, g, public_hyper(), jnp.float32(1), None, mesh))
    written = write(lying, *there)
    alone = write_rows(*map(jnp.asarray, (table, ids, grads)), public_hyper(), jnp.float32(1))
    found[str(rows)] = {
        "cut": str(spec),
        "part": [shard.data.shape[0] for shard in written.addressable_shards][:1],
        "read": bool((np.asarray(read) == table[ids]).all()),
        "written": float(np.abs(np.asarray(written) - np.asarray(alone)).max()),
        "moved": int((np.asarray(written) != table).any(1).sum()),
        "distinct": int(len(np.unique(ids))),
    }
print(json.dumps(found))
"""


def test_a_mesh_reads_and_writes_the_same_rows() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    many, few = json.loads(done.stdout.splitlines()[-1]).values()
    assert (many["part"], few["part"]) == ([8192 // 4], [24])
    for found in (many, few):
        assert found["read"]
        assert found["written"] < 1e-6
        assert found["moved"] == found["distinct"]


def test_rows_are_read_as_they_stand() -> None:
    table = jnp.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(read_rows(table, jnp.array([3, 0, 3])), np.asarray(table)[[3, 0, 3]])


@pytest.mark.parametrize("rows", [7, 5000])
def test_identifiers_reach_the_rows_of_a_training_step(rows: int) -> None:
    config = config_of()
    state = init_state(config, VOCAB, C, rows)
    ids = jnp.asarray(np.arange(B) % 3 + rows - 3, jnp.int32)
    inputs, labels = map(jnp.asarray, puzzles(B))
    batch = Batch(inputs, labels, ids)
    after, _ = jax.jit(train_step, static_argnums=0)(config, state, hyper_of(config), batch)
    moved = (np.asarray(after.params[PUZZLE_EMB]) != np.asarray(state.params[PUZZLE_EMB])).any(1)
    assert np.flatnonzero(moved).tolist() == [rows - 3, rows - 2, rows - 1]
