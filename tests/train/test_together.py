"""Several runs as one program: each computes what it computes alone."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.run.test_single import Recorder
from tests.train.tiny import config_of, feed_of, hyper_of, state_of
from trm_scaling.config import RunConfig, Schedule
from trm_scaling.config.traced_fields import TRACED_FIELDS, refuse_other_programs
from trm_scaling.errors import UserError
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.optim import TracedHparams
from trm_scaling.tasks.build import ensure_dataset
from trm_scaling.train.interrupt import stop_on_signals
from trm_scaling.train.loop import train, train_together
from trm_scaling.train.metrics import HostMetrics
from trm_scaling.train.multi_step import make_train_call
from trm_scaling.train.run_context import TrainJob
from trm_scaling.train.state import TrainState
from trm_scaling.train.vmap_runs import Stacking

STEPS, SLICE = 5, 4
SEEDS = [config_of(seed=seed, system={"micro_batch_size": SLICE}) for seed in range(3)]
NUMBERS = [
    config_of(
        seed=7,
        lr=lr,
        ema_rate=rate,
        weight_decay=decay,
        beta2=beta2,
        arch={"halt_exploration_prob": explores},
        system={"micro_batch_size": SLICE},
    )
    for lr, rate, decay, beta2, explores in ((1e-3, 0.9, 1.0, 0.95, 0.0), (1e-2, 0.5, 0.1, 0.9, 1.0))
]


def compute(configs: list[RunConfig]) -> list[tuple[TrainState, HostMetrics]]:
    """State and metrics of each after five steps, in one program."""
    stacking = Stacking(len(configs))
    call = make_train_call(configs[0], augmentation_seed=0, runs=len(configs))
    state, metrics = call(
        stacking.join([state_of(config) for config in configs]),
        stacking.join([hyper_of(config) for config in configs]),
        stacking.join([feed_of(STEPS, config.seed) for config in configs]),
        jnp.int32(STEPS),
    )
    of_runs = stacking.on_host(metrics)
    return [(stacking.part(state, number), of_runs[number]) for number in range(len(configs))]


def leaves(tree: Any) -> list[tuple[str, np.ndarray]]:
    return [(jax.tree_util.keystr(at), np.asarray(leaf)) for at, leaf in jax.tree.leaves_with_path(tree)]


@pytest.mark.parametrize(
    "configs",
    [pytest.param(SEEDS, id="seeds"), pytest.param(NUMBERS, id="numbers", marks=pytest.mark.slow)],
)
def test_each_run_is_what_it_is_alone(configs: list[RunConfig]) -> None:
    together = compute(configs)
    for config, (state, metrics) in zip(configs, together, strict=True):
        ((alone, of_alone),) = compute([config])
        for kept in ("step", "params", "buffers", "ema", "key"):
            for (name, found), (_, wanted) in zip(
                leaves(getattr(state, kept)), leaves(getattr(alone, kept)), strict=True
            ):
                np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5, err_msg=f"{kept}{name}")
        np.testing.assert_array_equal(state.carry.halted, alone.carry.halted)
        np.testing.assert_array_equal(state.carry.inputs, alone.carry.inputs)
        assert metrics.keys() == of_alone.keys()
        for name, values in metrics.items():
            np.testing.assert_allclose(values, of_alone[name], rtol=1e-5, atol=1e-5, err_msg=name)
    (_, first), *_ = leaves(together[0][0].params["layers"])
    (_, second), *_ = leaves(together[1][0].params["layers"])
    assert (first != second).any()


@pytest.mark.slow
def test_each_run_has_its_own_stream_of_puzzles(tmp_path: Path) -> None:
    tiny = config_of(system={"steps_per_call": 5})
    data = {**tiny.data.model_dump(), "train_size": 20, "val_size": 4, "test_size": 4, "givens": 8}
    changes = {"data": data, "schedule": "as_written", "epochs": 2, "eval_interval": 2, "eval_puzzles": 4}
    whole = RunConfig.model_validate({**tiny.model_dump(), **changes})
    dataset = ensure_dataset(whole.data, tmp_path)
    assert Schedule.of(whole, dataset.num_puzzles).total_steps == STEPS
    runs = [
        TrainJob(whole.model_copy(update={"seed": seed}), RunFolder(tmp_path / str(seed)), {}, Recorder())
        for seed in range(2)
    ]
    with stop_on_signals() as stop:
        together = train_together(runs, dataset, stop)
        for run, trained in zip(runs, together, strict=True):
            assert trained is not None
            alone = train(
                run.config,
                dataset,
                RunFolder(tmp_path / "alone" / run.folder.path.name),
                {},
                Recorder(),
                stop,
            )
            np.testing.assert_array_equal(trained.state.carry.inputs, alone.state.carry.inputs)
            for kept in ("params", "ema", "key"):
                for (name, found), (_, wanted) in zip(
                    leaves(getattr(trained.state, kept)), leaves(getattr(alone.state, kept)), strict=True
                ):
                    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5, err_msg=f"{kept}{name}")
    inputs = [np.asarray(trained.state.carry.inputs) for trained in together if trained is not None]
    assert (inputs[0] != inputs[1]).any()


def test_what_a_program_is_given_is_what_its_runs_may_differ_in() -> None:
    changed = {
        **{name: 0.5 for name in TRACED_FIELDS if not name.startswith("arch.") and name != "lr_warmup_steps"},
        "lr_warmup_steps": 9,
        "arch": {"halt_exploration_prob": 0.25, "halt_exploration_prob_end": 0.75},
    }
    other = config_of(seed=5, **changed)
    refuse_other_programs([config_of(), other])
    before, after = hyper_of(config_of()), hyper_of(other)
    same = {name for name in TracedHparams.__annotations__ if getattr(before, name) == getattr(after, name)}
    assert same == {"total_steps", "ema_rates"}, (
        "a number that reaches the program, and is not among those that may differ"
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"arch": {"L_cycles": 2}}, "arch.L_cycles"),
        ({"global_batch_size": 16}, "global_batch_size"),
        ({"ema": False, "lr": 1e-4}, "ema"),
        ({"optimizer": "lion", "system": {"unroll": False}}, "optimizer, system.unroll"),
    ],
)
def test_other_programs_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=f"differ in {named}, so that no one program"):
        refuse_other_programs([config_of(), config_of(seed=1), config_of(**changes)])
