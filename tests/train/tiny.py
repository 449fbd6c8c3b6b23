"""Runs small enough to compile in a second: 4x4 Sudoku, width 16, batch 8.

B batch, C cells, K steps a call.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from trm_scaling.config import RunConfig, Schedule
from trm_scaling.optim import TracedHparams
from trm_scaling.tasks.dataset import Split
from trm_scaling.train.input_pipeline import Feed
from trm_scaling.train.state import TrainState, init_state

B, C, VOCAB, IDS, TOTAL_STEPS = 8, 16, 6, 2, 40
GRID = np.array([[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]]) + 1
"""A solved board, as tokens."""


def config_of(**changes: Any) -> RunConfig:
    """The tiny run with `changes`; `arch={...}` and `system={...}` are laid over the tiny ones."""
    arch = {
        "L_layers": 1,
        "L_cycles": 1,
        "H_cycles": 2,
        "hidden_size": 16,
        "num_heads": 2,
        "puzzle_emb_len": 1,
        "puzzle_emb_ndim": 16,
        "forward_dtype": "float32",
        "halt_max_steps": 3,
        "halt_exploration_prob": 0.5,
        **changes.pop("arch", {}),
    }
    system = {"steps_per_call": 5, **changes.pop("system", {})}
    values = {"global_batch_size": B, "lr": 1e-2, "lr_warmup_steps": 2, "puzzle_emb_lr": 1e-2, **changes}
    data = {"source": "generated", "box_rows": 2, "box_cols": 2}
    return RunConfig.model_validate({"arch": arch, "system": system, "data": data, **values})


def hyper_of(config: RunConfig) -> TracedHparams:
    return TracedHparams.of(config, Schedule(TOTAL_STEPS, TOTAL_STEPS, config.lr_warmup_steps, ()))


def state_of(config: RunConfig) -> TrainState:
    return init_state(config, VOCAB, C, IDS)


def puzzles(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(inputs, labels), (count, C): relabelled boards with about half of their cells blanked."""
    random = np.random.default_rng(seed)
    digits = np.array([random.permutation(4) + 2 for _ in range(count)])
    labels = np.take_along_axis(digits, np.broadcast_to(GRID.reshape(-1) - 2, (count, C)), axis=1)
    inputs = np.where(random.random((count, C)) < 0.5, 1, labels)
    return inputs.astype(np.uint8), labels.astype(np.uint8)


def split_of(count: int, seed: int = 0) -> Split:
    return Split(*puzzles(count, seed))


def feed_of(steps: int, seed: int = 0, size: int = B) -> Feed:
    """`steps` different batches; both puzzle identifiers appear, the second now and then."""
    random = np.random.default_rng(seed)
    inputs, labels = puzzles(steps * size, seed)
    shape = (steps, size)
    return Feed(
        inputs=jnp.asarray(inputs.reshape(*shape, C)),
        labels=jnp.asarray(labels.reshape(*shape, C)),
        puzzle_ids=jnp.asarray(random.random(shape) < 0.1, jnp.int32),
        puzzle=jnp.asarray(random.integers(0, 50, shape), jnp.int32),
        augmentation=jnp.asarray(random.integers(0, 9, shape), jnp.int32),
    )
