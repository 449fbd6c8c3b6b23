"""Checkpoints: what is restored, what is kept, and what is refused."""

import itertools
import logging
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trm_scaling.checkpoint.reader import CheckpointReader
from trm_scaling.checkpoint.record import ordered
from trm_scaling.checkpoint.store import CheckpointStore
from trm_scaling.errors import UserError


@jax.tree_util.register_dataclass
@dataclass
class Carry:
    z: jax.Array
    halted: jax.Array
    extra: Any


def full_state() -> dict[str, Any]:
    """One leaf of every kind that a training state may hold."""
    bits = np.array([0x7FC01234, 0xFFC00001, 0x80000000, 0x7F800000, 1], np.uint32)
    half_bits = np.array([0x7E01, 0x8000, 0x7C00, 1], np.uint16)
    return {
        "params": {"w": jax.random.normal(jax.random.key(0), (5, 3)), "no/thing": {}, "none": None},
        "odd": [jnp.asarray(bits.view(np.float32)), (jnp.asarray(half_bits.view(np.float16)),)],
        "carry": Carry(jnp.full((2, 3), -0.0, jnp.bfloat16), jnp.array([True, False]), None),
        "bf16": jnp.asarray(np.arange(65536, dtype=np.uint16).view(jnp.bfloat16)),
        "step": jnp.int32(7),
        "seed": np.array([1, 2**32 - 1], np.uint32),
        "host": np.float32(0.1),
        "empty": jnp.zeros((0, 4)),
    }


def small_state(value: float) -> dict[str, jax.Array]:
    return {"w": jnp.full((4,), value)}


def assert_same_bits(got: Any, expected: Any) -> None:
    assert str(jax.tree.structure(got)) == str(jax.tree.structure(expected))
    for mine, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
        assert np.asarray(mine).tobytes() == np.asarray(theirs).tobytes()


def shapes_of(state: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state)


def test_every_kind_of_leaf_returns_bit_for_bit(tmp_path: Path) -> None:
    state = full_state()
    metadata = {"step": 7, "clock": {"seconds": 1.5}, "note": None, "curve": [1, 2]}
    with CheckpointStore(tmp_path / "c", keep=1) as store:
        store.save(7, state, metadata, score=None)
        restored, found = store.restore(None, state)
    assert found == metadata
    assert_same_bits(restored, state)
    assert isinstance(restored["seed"], np.ndarray)
    assert isinstance(restored["step"], jax.Array)
    assert restored["params"]["none"] is None


def test_a_template_of_shapes_gives_jax_arrays(tmp_path: Path) -> None:
    state = full_state()
    with CheckpointStore(tmp_path, keep=1) as store:
        store.save(0, state, {}, score=None)
    restored, _ = CheckpointReader(tmp_path).restore(0, shapes_of(state))
    assert_same_bits(restored, state)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(restored))


def test_a_saved_state_may_be_donated_and_overwritten_at_once(tmp_path: Path) -> None:
    on_host = np.arange(1 << 20, dtype=np.float32)
    on_device = jax.random.normal(jax.random.key(1), (1 << 20,))
    step = jax.jit(lambda array: array * 2 + 1, donate_argnums=0)
    step(jnp.zeros_like(on_device)).block_until_ready()
    expected = {"host": on_host.copy(), "device": np.array(on_device)}
    with CheckpointStore(tmp_path, keep=1) as store:
        store.save(1, {"host": on_host, "device": on_device}, {}, score=None)
        on_host[:] = -1
        for _ in range(20):
            on_device = step(on_device)
        restored, _ = store.restore(1, {"host": on_host, "device": on_device})
    assert_same_bits(restored, expected)


def test_a_clock_that_jumps_during_a_save_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, told = time.time, itertools.count()
    monkeypatch.setattr(time, "time", lambda: real() + (3e7 if next(told) % 2 else 0))
    with CheckpointStore(tmp_path, keep=2) as store:
        for step in range(1, 5):
            store.save(step, small_state(step), {}, score=None)
    monkeypatch.undo()
    assert_same_bits(CheckpointReader(tmp_path).restore(None, small_state(0))[0], small_state(4))


def test_the_newest_stay_and_the_best_besides(tmp_path: Path) -> None:
    with CheckpointStore(tmp_path, keep=2) as store:
        assert (store.latest_step(), store.best_step(), store.steps()) == (None, None, [])
        scores = {10: None, 20: 0.5, 30: 0.5, 40: float("nan"), 50: None, 60: 0.4}
        for step, score in scores.items():
            store.save(step, small_state(step), {"step": step}, score=score)
        store.wait()
        assert store.steps() == [20, 50, 60]
        assert (store.latest_step(), store.best_step()) == (60, 20)
        store.save(70, small_state(70), {"step": 70}, score=0.6)
        store.wait()
        assert store.steps() == [60, 70]
        assert store.read_metadata(60) == {"step": 60}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000060", "00000070"]


def test_the_best_is_known_after_reopening(tmp_path: Path) -> None:
    with CheckpointStore(tmp_path, keep=1) as store:
        for step, score in ((1, -2.0), (2, -1.0), (3, -3.0)):
            store.save(step, small_state(step), {}, score=score)
    with CheckpointStore(tmp_path, keep=1) as store:
        assert (store.best_step(), store.steps()) == (2, [2, 3])
        store.save(4, small_state(4), {}, score=None)
        best, _ = store.restore(store.best_step(), small_state(0))
        assert store.steps() == [2, 4]
    assert_same_bits(best, small_state(2))


def narrower(state: dict[str, Any]) -> None:
    state["params"]["w"] = jnp.zeros((5, 2))


def other_dtype(state: dict[str, Any]) -> None:
    state["carry"].z = jnp.zeros((2, 3))


def unknown_leaf(state: dict[str, Any]) -> None:
    state["params"]["b"] = jnp.zeros(3)


def lost_leaf(state: dict[str, Any]) -> None:
    del state["step"]


def none_for_an_array(state: dict[str, Any]) -> None:
    state["odd"][0] = None


def array_for_a_none(state: dict[str, Any]) -> None:
    state["carry"].extra = jnp.zeros(2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (narrower, r"params/w is float32\[5,3\] in the checkpoint and float32\[5,2\] in the run"),
        (other_dtype, r"carry/z is bfloat16\[2,3\] in the checkpoint and float32\[2,3\] in the run"),
        (unknown_leaf, r"params/b is absent in the checkpoint and float32\[3\] in the run"),
        (lost_leaf, r"step is int32\[\] in the checkpoint and absent in the run"),
        (none_for_an_array, r"odd/0 is float32\[5\] in the checkpoint and None in the run"),
        (array_for_a_none, r"carry/extra is None in the checkpoint and float32\[2\] in the run"),
    ],
)
def test_another_template_is_refused_naming_the_leaf(tmp_path: Path, change: Any, words: str) -> None:
    with CheckpointStore(tmp_path, keep=1) as store:
        store.save(1, full_state(), {}, score=None)
        template = full_state()
        change(template)
        with pytest.raises(UserError, match=words):
            store.restore(None, template)
        assert store.latest_step() == 1


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    reader = CheckpointReader(tmp_path / "none")
    assert (reader.latest_step(), reader.best_step()) == (None, None)
    with pytest.raises(UserError, match=r"No checkpoint in .*none\. Train"):
        reader.restore(None, {})
    with CheckpointStore(tmp_path, keep=2) as store:
        for step in (3, 4):
            store.save(step, small_state(0), {}, score=None)
        store.wait()
        with pytest.raises(UserError, match=r"No checkpoint of step 5 .* Choose another: 3, 4\."):
            store.restore(5, small_state(0))
        with pytest.raises(UserError, match="No checkpoint of step 5"):
            store.read_metadata(5)


def test_a_step_is_never_overwritten(tmp_path: Path) -> None:
    with CheckpointStore(tmp_path, keep=2) as store:
        store.save(1, small_state(1), {}, score=None)
        with pytest.raises(UserError, match="already holds a checkpoint of step 1"):
            store.save(1, small_state(2), {}, score=None)
        assert_same_bits(store.restore(1, small_state(0))[0], small_state(1))


def test_what_a_checkpoint_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with CheckpointStore(tmp_path, keep=1) as store:
        with pytest.raises(TypeError, match="leaf 'a/1' is a float"):
            store.save(1, {"a": [jnp.zeros(1), 2.0]}, {}, score=None)
        with pytest.raises(ValueError, match="two leaves of the state have the name 'a/b'"):
            store.save(1, {"a": {"b": jnp.zeros(1)}, "a/b": jnp.zeros(1)}, {}, score=None)
        with pytest.raises(ValueError, match="not JSON compliant"):
            store.save(1, small_state(1), {"loss": float("nan")}, score=None)
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="keep=0"):
        CheckpointStore(tmp_path, keep=0)


def test_reading_while_training_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "00000009.partial").mkdir()
    with CheckpointStore(tmp_path, keep=1) as store:
        assert list(tmp_path.iterdir()) == []
        store.save(1, small_state(1), {}, score=None)
    (tmp_path / "00000002.partial" / "arrays").mkdir(parents=True)
    reader = CheckpointReader(tmp_path)
    assert reader.latest_step() == 1
    reader.restore(None, small_state(0))
    assert (tmp_path / "00000002.partial" / "arrays").is_dir()


RESHARD = """
import sys
from pathlib import Path
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P, SingleDeviceSharding
from trm_scaling.checkpoint.reader import CheckpointReader
from trm_scaling.checkpoint.store import CheckpointStore

def rows_over(count):
    return NamedSharding(jax.make_mesh((count,), ("d",), devices=jax.devices()[:count]), P("d"))

values = np.arange(64, dtype=np.float32).reshape(8, 8)
with CheckpointStore(Path(sys.argv[1]), keep=1) as store:
    store.save(1, {"w": jax.device_put(values, rows_over(4))}, {}, score=None)
for sharding in (rows_over(2), rows_over(4), None):
    like = {"w": jax.ShapeDtypeStruct(values.shape, values.dtype, sharding=sharding)}
    got = CheckpointReader(Path(sys.argv[1])).restore(None, like)[0]["w"]
    assert got.sharding == (sharding or SingleDeviceSharding(jax.devices()[0])), got.sharding
    assert np.array_equal(got, values)
"""


def test_a_sharded_state_returns_on_another_mesh(tmp_path: Path) -> None:
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", RESHARD, str(tmp_path / "c")]
    subprocess.run(command, check=True, env=os.environ | flags)


def test_progress_is_silent_and_warnings_are_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with CheckpointStore(tmp_path, keep=1) as store:
        store.save(1, small_state(1), {}, score=None)
        store.restore(1, small_state(1))
    from_absl = [record for record in caplog.records if record.name == "absl"]
    assert [record.getMessage() for record in from_absl] == []
    logging.getLogger("absl").info("another library's")
    assert caplog.messages[-1] == "another library's"


def test_scores_are_compared_number_by_number(tmp_path: Path) -> None:
    with CheckpointStore(tmp_path, keep=1) as store:
        for step, score in (
            (1, (3, 1.0)),
            (2, (4, 0.1)),
            (3, (4, 0.1)),
            (4, (4, float("nan"))),
            (5, (2, 0.9)),
        ):
            store.save(step, small_state(step), {}, score)
        store.wait()
        assert store.best_step() == 2


@pytest.mark.parametrize(("old", "new"), [(3.75, (3.0, 0.75)), (-1.5, (-2.0, 0.5)), (None, None)])
def test_a_score_written_as_one_number_is_still_one(old: float | None, new: tuple[float, ...] | None) -> None:
    assert ordered(old) == new
