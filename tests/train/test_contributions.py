"""The two contributions in real runs: a curriculum of recursion, and annealed exploration of halting."""

import signal
from itertools import pairwise
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from tests.faults.kill_and_resume import differences
from tests.run.test_single import Recorder, signalled
from tests.run.tiny import make_study, tiny_run
from trm_scaling.config import Depth, RunConfig, Schedule
from trm_scaling.cost import flops_per_sample
from trm_scaling.io.jsonl import read_jsonl
from trm_scaling.io.study import Study
from trm_scaling.run.single import execute
from trm_scaling.train import loop
from trm_scaling.train.interrupt import Interrupted

# 60 steps of two an epoch; a stage ends between two of the calls of four steps.
CURRICULUM = (
    *("curriculum.until_epoch=15", "arch.L_cycles=3", "arch.H_cycles=3", "system.steps_per_call=4"),
    *("arch.L_layers=1", "system.unroll=false"),  # which compile faster
)
STARTS = [0, 15, 30]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_study(tmp_path_factory.mktemp("curriculum"))


def depths_compiled(monkeypatch: pytest.MonkeyPatch) -> list[Depth | None]:
    """(L_cycles, H_cycles) of each program that is made from now on, as it is made."""
    compiled: list[Depth | None] = []
    make = loop.make_train_call

    def counted(config: RunConfig, seed: int, mesh: Mesh, runs: int) -> jax.stages.Wrapped:
        compiled.append(config.arch.depth)
        return make(config, seed, mesh, runs)

    monkeypatch.setattr(loop, "make_train_call", counted)
    return compiled


@pytest.mark.e2e
def test_a_curriculum_is_one_program_a_stage_and_costs_what_it_spends(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = depths_compiled(monkeypatch)
    run = tiny_run(study, *CURRICULUM)
    schedule = Schedule.of(run.config, 32)
    assert [(stage.start, *(stage.depth or ())) for stage in schedule.stages] == [
        (0, 1, 1),
        (15, 2, 2),
        (30, 3, 3),
    ]
    reporter = Recorder()
    record = execute(run, reporter)
    assert compiled == [(1, 1), (2, 2), (3, 3)]
    assert [note for note in reporter.notes if note.startswith("recursion")] == [
        f"recursion from step {start}: L_cycles {depth}, H_cycles {depth}"
        for start, depth in zip(STARTS, (1, 2, 3), strict=True)
    ]
    arch = run.config.arch
    spent = sum(
        steps * 16 * flops_per_sample(arch.at(stage.depth), 6, 16)
        for stage, steps in schedule.steps_of_stages()
    )
    assert record.training_flops == spent
    assert spent < 60 * 16 * flops_per_sample(arch, 6, 16)


@pytest.mark.slow
def test_a_curriculum_that_is_stopped_resumes_in_its_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = depths_compiled(monkeypatch)
    run = tiny_run(make_study(tmp_path / "whole"), *CURRICULUM)
    execute(run, Recorder())
    other = make_study(tmp_path / "stopped")
    with pytest.raises(Interrupted):
        execute(tiny_run(other, *CURRICULUM), signalled(signal.SIGTERM, 20))
    compiled.clear()
    execute(tiny_run(other, *CURRICULUM), Recorder())
    assert compiled == [(2, 2), (3, 3)]
    assert differences(run.folder, tiny_run(other, *CURRICULUM).folder) == []


def test_annealed_exploration_is_in_the_log_and_compiles_nothing_new(study: Study) -> None:
    run = tiny_run(study, "arch.halt_exploration_prob=0.3", "arch.halt_exploration_prob_end=0.05", "seed=5")
    record = execute(run, Recorder())
    lines = read_jsonl(run.folder.metrics).records
    annealed = [line["train/halt_exploration_prob"] for line in lines if line["kind"] == "train"]
    # Each line is the mean of two steps of the sixty.
    np.testing.assert_allclose(annealed, np.linspace(0.3, 0.05, 60).reshape(-1, 2).mean(1), rtol=1e-5)
    assert all(high > low for high, low in pairwise(annealed))

    for line in lines:
        counts = line["train/finished_steps_histogram" if line["kind"] == "train" else HALTING]
        assert len(counts) == 2
        if line["kind"] == "eval":
            assert sum(counts) == line["eval/puzzles"]
            mean = np.average([1, 2], weights=counts)
            assert line["eval/halting_rule_mean_steps"] == pytest.approx(mean)
        else:
            assert sum(counts) == pytest.approx(line["train/finished_rate"] * 16 * 2)
            if sum(counts):
                assert 1 <= np.average([1, 2], weights=counts) <= 2
    assert record.headline().summary["halting_rule"]["mean_steps"] <= 2


HALTING = "eval/halting_rule_steps_histogram"
