"""What is measured is what a run does, and the figures agree with each other."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from tests.train.tiny import B, config_of
from trm_scaling.bench.data import bench_data
from trm_scaling.bench.evaluation import bench_evaluation
from trm_scaling.bench.step import bench_step, compile_call, stand_in_dataset
from trm_scaling.config import RunConfig, Schedule
from trm_scaling.cost import flops_per_sample, training_flops
from trm_scaling.optim import TracedHparams
from trm_scaling.parallel.mesh import make_mesh
from trm_scaling.tasks.build import ensure_dataset
from trm_scaling.tasks.task import spec_of
from trm_scaling.train.aot_compile import digest
from trm_scaling.train.input_pipeline import HostBatcher
from trm_scaling.train.multi_step import make_train_call
from trm_scaling.train.state import init_state_on

DATA = {"source": "generated", "box_rows": 2, "box_cols": 2, "train_size": 16, "val_size": 8, "test_size": 8}


def config() -> RunConfig:
    tiny = config_of(system={"steps_per_call": 3, "micro_batch_size": 4, "eval_batch_size": 4})
    values = tiny.model_dump() | {"data": {**DATA, "givens": 8}, "eval_puzzles": 6}
    return RunConfig.model_validate(values)


def test_the_program_is_the_one_that_training_compiles(tmp_path: Path) -> None:
    """Of a real dataset, as `train` lowers it before its first step."""
    run = config()
    real = ensure_dataset(run.data, tmp_path)
    schedule = Schedule.of(run, real.num_puzzles)
    mesh = make_mesh(run)
    state = init_state_on(mesh, run, real.vocab_size, real.seq_len, real.num_puzzle_ids)
    feed = HostBatcher(run, real, mesh).feed(0, 1)
    call = make_train_call(run, real.augmentation_seed, mesh)
    lowered = call.lower(state, TracedHparams.of(run, schedule), feed, jnp.int32(1))
    assert digest(compile_call(run, stand_in_dataset(run)).lowered) == digest(lowered)


def test_the_stand_in_has_the_sizes_of_the_run() -> None:
    run = config()
    dataset = stand_in_dataset(run)
    assert [len(split) for split in (dataset.train, dataset.val, dataset.test)] == [16, 8, 8]
    assert dataset.train.labels.min() >= 2
    assert dataset.train.labels.max() < dataset.vocab_size == spec_of(run.data).vocab_size
    given = dataset.train.inputs != 1
    assert (dataset.train.inputs[given] == dataset.train.labels[given]).all()
    large = run.model_copy(update={"data": run.data.model_copy(update={"test_size": None})})
    assert 0 < len(stand_in_dataset(large).test) <= 1024


def test_the_figures_of_a_step_agree() -> None:
    run = config()
    found = bench_step(run, calls=2)
    assert (found.batch, found.micro_batches, found.steps_per_call) == (B, 2, 3)
    assert found.step_s.repeats == 2
    assert 0 < found.step_s.minimum <= found.step_s.median <= found.step_s.maximum
    # Two calls of three steps, between the first dispatch and the last end.
    busy = 2 * 3 * found.step_s.median
    assert found.samples_per_s == pytest.approx(2 * 3 * B * (1 - found.host_gap) / busy, rel=1e-6)
    per_puzzle = flops_per_sample(run.arch, spec_of(run.data).vocab_size, spec_of(run.data).seq_len)
    assert found.flops_per_step == B * per_puzzle
    schedule = Schedule.of(run, run.data.train_size)
    whole = training_flops(run, schedule, spec_of(run.data).vocab_size, spec_of(run.data).seq_len)
    assert found.flops_per_step * schedule.total_steps == whole
    assert found.flops_per_s == pytest.approx(found.samples_per_s * per_puzzle)
    assert found.mfu_measured == pytest.approx(found.flops_per_s / found.measured_peak)
    assert found.roofline.least_s == max(
        found.roofline.products_s, found.roofline.traffic_s, found.roofline.overhead_s
    )
    if jax.default_backend() == "cpu":
        assert found.nominal_peak is found.mfu_nominal is found.peak_bytes is None


def test_an_evaluation_covers_the_sample_in_batches_of_the_run() -> None:
    found = bench_evaluation(config(), repeats=2)
    assert (found.puzzles, found.batch, found.supervision_steps) == (6, 4, 3)
    assert found.seconds.repeats == 2
    assert found.puzzles_per_s == pytest.approx(6 / found.seconds.median)


def test_data_is_built_and_leaves_nothing_behind(tmp_path: Path) -> None:
    found = bench_data(config(), tmp_path, repeats=2)
    assert (found.source, found.train_puzzles, found.augment_batch) == ("generated", 16, B)
    assert found.bytes_on_disk > 0
    assert found.augmented_per_s == pytest.approx(B / found.augment_s.median)
    assert not list(tmp_path.iterdir())
