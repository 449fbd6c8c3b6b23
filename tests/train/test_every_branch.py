"""Every branch that the catalogue can take: one training step of each, and every field of the schema read."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import BaseModel

from tests.run.test_single import Recorder
from tests.run.tiny import make_study, tiny_run
from trm_scaling.config import ArchConfig, CurriculumConfig, RunConfig, Schedule, SystemConfig
from trm_scaling.config.compose import compose
from trm_scaling.config.validate import field_names
from trm_scaling.experiments import load_catalogue
from trm_scaling.optim import TracedHparams
from trm_scaling.run.single import execute
from trm_scaling.tasks.sudoku.description import SudokuData
from trm_scaling.tasks.task import spec_of
from trm_scaling.train.state import init_state, network_of
from trm_scaling.train.step import Batch, train_step

KELLEN = Path(__file__).resolve().parents[2] / "kellen"
CATALOGUE = load_catalogue(KELLEN)

# Small enough to compile in a second, with nothing that a family studies changed.
SMALL = ("arch.hidden_size=16", "arch.puzzle_emb_len=1", "system.unroll=false", "lr_warmup_steps=0")


def branches() -> dict[tuple[Any, ...], str]:
    """For every combination of the fields that choose code: the first experiment that has it."""
    found: dict[tuple[Any, ...], str] = {}
    for name in CATALOGUE.names:
        config = compose(KELLEN / "configs", name, "smoke")
        arch = config.arch
        branch = (
            *(config.optimizer, config.ema, config.lr_min_ratio < 1, config.micro_batches > 1),
            *(arch.forward_dtype, arch.halt_max_steps == 1, arch.halt_exploration_prob_end is None),
            *(arch.depth == (arch.passes - 1, 1), arch.L_layers == 1, len(Schedule.of(config, 1).stages)),
        )
        found.setdefault(branch, name)
    return found


# In `make test`, `test_step` trains a run of every kind; in `make e2e`, a member of every family is trained.
@pytest.mark.slow
@pytest.mark.parametrize("name", branches().values())
def test_one_training_step(name: str) -> None:
    config = compose(KELLEN / "configs", name, "smoke", SMALL)
    vocab, cells, batch = (
        spec_of(config.data).vocab_size,
        spec_of(config.data).seq_len,
        config.global_batch_size,
    )
    state = init_state(config, vocab, cells, 1)
    before = [np.asarray(leaf) for leaf in jax.tree.leaves(network_of(state.params))]
    tokens = jnp.full((batch, cells), 2, jnp.uint8)
    hyper = TracedHparams.of(config, Schedule.of(config, config.data.train_size))
    step = jax.jit(train_step, static_argnums=0)
    after, metrics = step(config, state, hyper, Batch(tokens, tokens, jnp.zeros(batch, jnp.int32)))
    assert int(after.step) == 1
    assert np.isfinite(metrics["train/loss"]).all()
    leaves = jax.tree.leaves(network_of(after.params))
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    moved = [np.abs(np.asarray(leaf) - old).max() for leaf, old in zip(leaves, before, strict=True)]
    assert sum(step > 0 for step in moved) >= len(moved) - 1, "the halting head's weight begins at zero"
    assert (after.ema is None) == (not config.ema)


@contextmanager
def fields_read(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The dotted names of the configuration's fields that are read while the block runs."""
    read: set[str] = set()
    prefixes: dict[type[BaseModel], str] = {
        RunConfig: "",
        ArchConfig: "arch.",
        SudokuData: "data.",
        SystemConfig: "system.",
        CurriculumConfig: "curriculum.",
    }
    with monkeypatch.context() as patched:
        for model, prefix in prefixes.items():

            def get(self: Any, name: str, prefix: str = prefix, fields: Any = model.model_fields) -> Any:
                # Refusing impossible combinations is no use of a field.
                if name in fields and sys._getframe(1).f_code.co_name != "_possible":
                    read.add(prefix + name)
                return object.__getattribute__(self, name)

            patched.setattr(model, "__getattribute__", get, raising=False)
        yield read


OF_SEVERAL_PROCESSES = {f"system.{name}_seconds" for name in ("lost_host", "stall", "startup")}
"""What a run by itself has no use for; `tests/parallel` reads them."""


@pytest.mark.slow
def test_every_field_of_the_schema_is_read_by_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(tmp_path)
    quick = ("schedule=matched", "reference_train_size=32", "epochs=4", "eval_interval=2")
    attention = ("arch.mlp_t=false", "arch.pos_encodings=rope", "arch.num_heads=4")
    runs = [
        tiny_run(study, *quick, "curriculum.until_epoch=2"),
        tiny_run(study, *quick, *attention),
    ]
    with fields_read(monkeypatch) as read:
        for run in runs:
            execute(run, Recorder())
    unread = set(field_names()) - read - OF_SEVERAL_PROCESSES
    assert not unread, f"nothing reads {sorted(unread)}: use the field, or take it out of the schema"
