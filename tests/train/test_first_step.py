"""One whole update from a fixed seed, pinned: what the code computes today is what it computed before."""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.tiny import config_of, feed_of, hyper_of, state_of
from trm_scaling.models.layers import PUZZLE_EMB
from trm_scaling.train.multi_step import make_train_call
from trm_scaling.train.state import TrainState, network_of

DIGEST = "4cd0c6a70eb5442705970aa732978def5744ec70154bec8d5e0b0bbb967efcec"
"""Of every leaf's name, shape and dtype, and of the content of those that hold whole numbers or flags."""

NUMBERS = {
    "loss": 1.97878718,
    "gradient norm": 2.81062293,
    "parameters": -1.17295322,
    "change of the parameters": 1.14939843,
    "puzzle embeddings": 0.0282842706,
    "moments": 0.281192615,
    "moments, projected": -0.826367792,
    "average": -1.17380484,
    "z_H": 0.52941917,
    "z_L": 1.12063356,
}
"""Of the floats, which round otherwise on another CPU: norms, and projections on a fixed direction."""


def after_one_step() -> tuple[TrainState, TrainState, dict[str, Any]]:
    """The state before and after, and the step's metrics."""
    config = config_of(arch={"L_layers": 2, "L_cycles": 2})
    before = jax.tree.map(np.asarray, state_of(config))
    call = make_train_call(config, augmentation_seed=3)
    after, metrics = call(state_of(config), hyper_of(config), feed_of(1), jnp.int32(1))
    return before, jax.tree.map(np.asarray, after), {name: value[0] for name, value in metrics.items()}


def digest(state: TrainState) -> str:
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        found.update(f"{jax.tree_util.keystr(path)} {leaf.shape} {leaf.dtype}".encode())
        if not np.issubdtype(leaf.dtype, np.floating):
            found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()


def projected(tree: Any) -> float:
    """All numbers of a tree against a direction that tells each of them apart."""
    flat = np.concatenate([np.ravel(leaf).astype(np.float64) for leaf in jax.tree.leaves(tree)])
    direction = np.random.Generator(np.random.Philox(7)).standard_normal(flat.size)
    return float(flat @ direction / np.linalg.norm(flat))


def norm(tree: Any) -> float:
    return float(np.sqrt(sum(np.square(leaf, dtype=np.float64).sum() for leaf in jax.tree.leaves(tree))))


def numbers(before: TrainState, after: TrainState, metrics: dict[str, Any]) -> dict[str, float]:
    moments = [leaf for leaf in jax.tree.leaves(after.optimizer) if np.issubdtype(leaf.dtype, np.floating)]
    change = jax.tree.map(np.subtract, network_of(after.params), network_of(before.params))
    return {
        "loss": float(metrics["train/loss"]),
        "gradient norm": float(metrics["train/grad_norm"]),
        "parameters": projected(network_of(after.params)),
        "change of the parameters": norm(change),
        "puzzle embeddings": norm(after.params[PUZZLE_EMB]),
        "moments": norm(moments),
        "moments, projected": projected(moments),
        "average": projected(after.ema),
        "z_H": projected(after.carry.state["z_H"]),
        "z_L": projected(after.carry.state["z_L"]),
    }


def test_the_first_step_is_what_it_was() -> None:
    before, after, metrics = after_one_step()
    assert int(after.step) == 1
    assert numbers(before, after, metrics) == pytest.approx(NUMBERS, rel=2e-4)
    assert digest(after) == DIGEST
