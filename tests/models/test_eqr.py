"""EqR's ingredients: damping, noise of every update, initial states drawn anew. B rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.tiny import config_of, hyper_of, split_of, state_of
from trm_scaling.config import RunConfig
from trm_scaling.config.identity import identity
from trm_scaling.evaluation.predict import Answers, Predictor
from trm_scaling.evaluation.samples import Budget
from trm_scaling.models.act import reset_halted
from trm_scaling.models.model import empty_state, reset, step
from trm_scaling.train.state import TrainState
from trm_scaling.train.step import Batch, batch_gradients, train_step

B = 8
EQR = {"damping": 0.95, "call_noise": 0.01, "init_states": "random"}


def keys(seed: int = 0) -> jax.Array:
    return jax.random.split(jax.random.key(seed), B)


def answered(config: RunConfig, noise: jax.Array | None = None) -> dict[str, jax.Array]:
    """The states after one step of the tiny network, from its fixed initial states."""
    state, split = state_of(config), split_of(B)
    states = reset(state.buffers, empty_state(config.arch, B, 16), jnp.ones(B, bool))
    return step(config.arch, state.params, states, jnp.asarray(split.inputs), None, keys=noise).state


def test_at_their_defaults_they_are_not_in_the_identity_and_change_nothing() -> None:
    plain = config_of()
    written = config_of(arch={"damping": 1.0, "call_noise": 0.0, "init_states": "fixed"})
    assert identity(written) == identity(plain)
    others = {identity(config_of(arch={name: value})) for name, value in EQR.items()}
    assert len({*others, identity(plain)}) == 4


def test_damping_goes_part_of_the_way() -> None:
    """With one cycle and one update: z_L is 0.3 of the way from where it began to where TRM's would be."""
    small = {"H_cycles": 1, "L_cycles": 1, "puzzle_emb_ndim": 0, "puzzle_emb_len": 1}
    whole, part = (answered(config_of(arch={**small, "damping": d})) for d in (1.0, 0.3))
    start = np.asarray(state_of(config_of(arch=small)).buffers["L_init"])
    np.testing.assert_allclose(part["z_L"], 0.7 * start + 0.3 * np.asarray(whole["z_L"]), atol=1e-5)


@pytest.mark.parametrize("unroll", [True, False])
def test_the_noise_of_a_row_is_that_of_its_key_in_every_update(unroll: bool) -> None:
    config = config_of(arch={"call_noise": 0.5, "L_cycles": 3, "puzzle_emb_ndim": 0, "puzzle_emb_len": 1})
    first, again, other = (np.asarray(answered(config, keys(seed))["z_L"]) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.1
    shuffled = np.asarray(answered(config, keys()[::-1])["z_L"])
    assert np.abs(shuffled - first).mean() > 0.1, "each row has its own"


def test_drawn_states_have_deviation_one_and_differ_by_position_row_and_state() -> None:
    config = config_of()
    old = empty_state(config.arch, B, 16)
    rows = jnp.arange(B) % 2 == 0
    new = reset(state_of(config).buffers, old, rows, keys())
    drawn = np.stack([np.asarray(each)[:, ::2] for each in new.values()])
    assert np.abs(drawn).max() < 2 / 0.87
    assert drawn.std() == pytest.approx(1, abs=0.03)
    assert np.unique(drawn).size > 0.99 * drawn.size
    assert not np.asarray(new["z_H"])[:, 1::2].any(), "rows that go on keep their state"


def stepped(config: RunConfig, state: TrainState) -> TrainState:
    split = split_of(B)
    batch = Batch(jnp.asarray(split.inputs), jnp.asarray(split.labels), jnp.zeros(B, jnp.int32))
    return jax.jit(train_step, static_argnums=0)(config, state, hyper_of(config), batch)[0]


def test_training_draws_by_seed_step_and_slot_whatever_the_slices() -> None:
    """Gradients in two slices are those of the whole batch: each row has its own noise."""
    config = config_of(arch=EQR)
    state = state_of(config)
    one, again = stepped(config, state), stepped(config, state)
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(left, right)
    split, row_keys = split_of(B), keys(3)
    batch = jnp.asarray(split.inputs), jnp.asarray(split.labels), jnp.zeros(B, jnp.int32)
    carry = reset_halted(state.carry, state.buffers, *batch, row_keys)

    def gradients(config: RunConfig, row_keys: jax.Array) -> np.ndarray:
        grads, _ = batch_gradients(config, state.params, carry, jnp.float32(1), None, row_keys)
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(grads)])

    whole, cut = (
        gradients(config, row_keys),
        gradients(config_of(arch=EQR, system={"micro_batch_size": 4}), row_keys),
    )
    np.testing.assert_allclose(cut, whole, atol=1e-5)
    assert np.abs(gradients(config, keys(4)) - whole).max() > 1e-4, "the comparison would see other noise"


def test_answers_of_such_a_network_differ_by_sample_without_more_and_repeat() -> None:
    config = config_of(arch=EQR, system={"eval_batch_size": 5})
    state = state_of(config)

    def answers(seed: int) -> Answers:
        predict = Predictor(config, Budget(2, 3))
        (found,) = predict(state.params, state.buffers, split_of(1), key=jax.random.key(seed))
        return found

    one, again, other = answers(0), answers(0), answers(1)
    np.testing.assert_array_equal(one.loss, again.loss)
    assert np.ptp(np.asarray(one.loss), axis=0).min() > 0
    assert np.abs(np.asarray(one.loss) - other.loss).min() > 0, "the first sample is drawn too"
