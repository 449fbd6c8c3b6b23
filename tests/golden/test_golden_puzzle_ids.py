"""A public model of 40 puzzle identifiers on ARC's tokens: its answers, its losses, the rows of its table."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.golden.golden import Golden, assert_close
from trm_scaling.config import RunConfig, Schedule, TrmConfig
from trm_scaling.models import reset_halted
from trm_scaling.models.interchange import read_tensors, to_public, write_tensors
from trm_scaling.models.layers import PUZZLE_EMB
from trm_scaling.models.model import STATES, puzzle_rows, step
from trm_scaling.optim import TracedHparams
from trm_scaling.tasks.arc.description import ArcData
from trm_scaling.train.puzzle_table import write_rows
from trm_scaling.train.step import batch_gradients
from trm_scaling.train.weights import weights_from_public

FILE = Path(__file__).parent / "tasks" / "trm_puzzle_ids.npz"
TOLERANCE = 2e-5
CALLS = (0, 1)


@pytest.fixture(scope="module")
def golden() -> Golden:
    with np.load(FILE, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    known = {key.removeprefix("config/"): arrays[key].item() for key in arrays if key.startswith("config/")}
    arch = TrmConfig(**{key: value for key, value in known.items() if key in TrmConfig.model_fields})
    config = RunConfig(
        arch=arch,
        data=ArcData(side=10, puzzle_ids=known["num_puzzle_identifiers"], val_size=1000),
        global_batch_size=known["batch_size"],
        puzzle_emb_lr=float(arrays["sparse/lr"]),
        puzzle_emb_weight_decay=float(arrays["sparse/weight_decay"]),
    )
    return Golden("trm_puzzle_ids", arrays, config)


def test_the_vectors_are_those_of_the_shared_folder(shared: Path) -> None:
    assert FILE.read_bytes() == (shared / "golden_tasks" / FILE.name).read_bytes()


@pytest.mark.parametrize("call", CALLS)
def test_each_slot_answers_with_the_embedding_of_its_puzzle(golden: Golden, call: int) -> None:
    weights = weights_from_public(golden.config, golden.state_dict, "the vectors")
    carry = reset_halted(golden.carry_before(call), weights.buffers, *golden.batch(call))
    after = golden.carry_after(call)
    np.testing.assert_array_equal(carry.puzzle_ids, after.puzzle_ids)
    rows = puzzle_rows(weights.params, carry.puzzle_ids)
    out = step(golden.config.arch, weights.params, carry.state, carry.inputs, rows)
    assert_close(out.logits, golden.arrays[f"call{call}/out/logits"], TOLERANCE, "logits")
    assert_close(out.q_halt, golden.arrays[f"call{call}/out/q_halt_logits"], TOLERANCE, "halting")
    for name in STATES:
        assert_close(out.state[name], np.asarray(after.state[name]), TOLERANCE, name)
    others = puzzle_rows(weights.params, (carry.puzzle_ids + 1) % 40)
    changed = step(golden.config.arch, weights.params, carry.state, carry.inputs, others)
    assert np.abs(np.asarray(changed.logits - out.logits)).max() > 0.01


@pytest.mark.parametrize("call", CALLS)
def test_the_rows_take_the_public_step(golden: Golden, call: int) -> None:
    """Equal identifiers in one batch among them. The padding row (identifier 0, no label) has no loss here;
    the public code gives it one, and so moves row 0.
    """
    weights = weights_from_public(golden.config, golden.state_dict, "the vectors")
    carry = reset_halted(golden.carry_before(call), weights.buffers, *golden.batch(call))
    gradients = jax.jit(batch_gradients, static_argnums=0)
    grads, answer = gradients(golden.config, weights.params, carry, jnp.float32(1))
    labelled = np.asarray((carry.labels > 0).any(axis=1))
    logits = np.asarray(answer.q_halt, np.float64)
    padding = 0.5 * np.log1p(np.exp(-logits[~labelled])).sum()
    total = float(jnp.sum(answer.losses.total)) + padding
    assert total == pytest.approx(float(golden.arrays[f"call{call}/loss"]), rel=TOLERANCE)
    public = golden.arrays[f"call{call}/grad/puzzle_emb_rows"]
    ours = np.asarray(grads[PUZZLE_EMB])
    assert_close(ours[labelled], public[labelled], TOLERANCE, "rows")
    assert not ours[~labelled].any()

    hyper = TracedHparams.of(golden.config, Schedule.of(golden.config, 1000))
    after = np.asarray(
        write_rows(weights.params[PUZZLE_EMB], carry.puzzle_ids, grads[PUZZLE_EMB], hyper, jnp.float32(1))
    )
    wanted = golden.arrays[f"sparse/after_call{call}"]
    rows = np.setdiff1d(np.arange(40), [] if labelled.all() else [0])
    np.testing.assert_allclose(after[rows], wanted[rows], rtol=0, atol=1e-6)
    ids = golden.arrays[f"sparse/ids_call{call}"]
    assert (len(set(ids.tolist())) < len(ids)) == (call == 1)
    assert labelled.all() == (call == 0)


def test_weights_and_table_go_out_as_they_came_in(golden: Golden, tmp_path: Path) -> None:
    weights = weights_from_public(golden.config, golden.state_dict, "the vectors")
    for name in ("weights.npz", "weights.safetensors"):
        prefix = "_orig_mod.model."
        out = to_public(golden.config.arch, weights.params, weights.buffers, prefix)
        write_tensors(tmp_path / name, out)
        again = read_tensors(tmp_path / name)
        assert len(again) == len(golden.state_dict)
        for key, array in golden.state_dict.items():
            np.testing.assert_array_equal(again[prefix + key], array, err_msg=key)
        assert again[f"{prefix}inner.puzzle_emb.weights"].shape == (40, 32)
