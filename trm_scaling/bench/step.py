"""Training, timed: compiled programs, the feeder, and the late reading of metrics."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trm_scaling.bench.timing import Spread, Stopwatch, busy_seconds, device_rates, host_gap
from trm_scaling.config import RunConfig, Schedule
from trm_scaling.cost import flops_per_sample, peak_flops
from trm_scaling.cost.devices import find_chip
from trm_scaling.cost.roofline import DeviceRates, Roofline, roofline, step_terms
from trm_scaling.optim import TracedHparams
from trm_scaling.parallel.mesh import make_mesh
from trm_scaling.tasks.dataset import Dataset, Split
from trm_scaling.tasks.manifest import SPLIT_NAMES, Manifest, SplitManifest
from trm_scaling.tasks.task import spec_of, task_of
from trm_scaling.train.input_pipeline import HostBatcher
from trm_scaling.train.metrics import read_metrics
from trm_scaling.train.multi_step import CallMetrics, make_train_call
from trm_scaling.train.state import init_state_on
from trm_scaling.train.vmap_runs import Stacking


@dataclass(frozen=True)
class StepBench:
    """What training takes. Steps are those of the architecture's own recursion."""

    device_kind: str
    batch: int
    micro_batches: int
    steps_per_call: int
    step_s: Spread
    """Seconds of one step on the device, over the calls after the first."""
    samples_per_s: float
    """Samples a second from the first of those calls to the end of the last, gaps included."""
    host_gap: float
    """Share of that time in which the device had no call to work on."""
    trace_s: float
    """From Python to a program for the compiler."""
    compile_s: float
    """Of the compiler, or of reading its result from the cache on disk."""
    first_call_s: float
    flops_per_step: int
    flops_per_s: float
    measured_peak: float
    """FLOP/s of one large product in the forward precision on this device."""
    nominal_peak: float | None
    """What the maker says; None where nobody does, as for a CPU."""
    mfu_measured: float
    mfu_nominal: float | None
    program_bytes: int | None
    """Arguments, results and temporaries, by the compiler; None where it does not say."""
    peak_bytes: int | None
    """Most that the device had in use; None on a CPU."""
    rates: DeviceRates
    roofline: Roofline


@dataclass(frozen=True)
class CompiledCall:
    """The training call of a run, compiled, and what that took."""

    lowered: jax.stages.Lowered
    program: jax.stages.Compiled
    arguments: tuple[Any, ...]
    feeder: HostBatcher
    trace_s: float
    compile_s: float


def compile_call(config: RunConfig, dataset: Dataset) -> CompiledCall:
    """The program that `train` compiles for `config`, with the arguments of its first call."""
    mesh = make_mesh(config)
    schedule = Schedule.of(config, dataset.num_puzzles)
    hyper = TracedHparams.of(config, schedule)
    shapes = (dataset.vocab_size, dataset.seq_len, dataset.num_puzzle_ids)
    state, feeder = init_state_on(mesh, config, *shapes), HostBatcher(config, dataset, mesh)
    feed = feeder.feed(0, config.system.steps_per_call)
    began = time.perf_counter()
    call = make_train_call(config, dataset.augmentation_seed, mesh)
    lowered = call.lower(state, hyper, feed, jnp.int32(1))
    traced = time.perf_counter()
    program = lowered.compile()
    compile_s = time.perf_counter() - traced
    return CompiledCall(lowered, program, (state, hyper), feeder, traced - began, compile_s)


def bench_step(config: RunConfig, calls: int) -> StepBench:
    """Time `calls` device calls (at least one) of `steps_per_call` steps each, after a first one."""
    dataset = stand_in_dataset(config)
    compiled = compile_call(config, dataset)
    began = time.perf_counter()
    state, hyper = compiled.arguments
    length, feeder = config.system.steps_per_call, compiled.feeder
    state, metrics = compiled.program(state, hyper, feeder.feed(0, length), jnp.int32(length))
    jax.block_until_ready(metrics)
    first_call_s = time.perf_counter() - began

    pending: tuple[int, CallMetrics] | None = None
    with Stopwatch() as watch:
        for call in range(1, calls + 1):
            # As in the loop of a run: the call is dispatched, then the one before it is read.
            feed = feeder.feed(call * length, (call + 1) * length)
            at = time.perf_counter()
            state, metrics = compiled.program(state, hyper, feed, jnp.int32(length))
            watch.dispatched(at, metrics)
            if pending is not None:
                (read,) = Stacking(1).on_host(pending[1])
                read_metrics(read, pending[0], pending[0] + length - 1)
            pending = (call * length + 1, metrics)
    done = watch.calls()

    device = jax.devices()[0]
    terms = step_terms(config, dataset.vocab_size, dataset.seq_len)
    samples = calls * length * config.global_batch_size
    samples_per_s = samples / (done[-1].finished - done[0].dispatched)
    flops = flops_per_sample(config.arch, dataset.vocab_size, dataset.seq_len)
    rates = device_rates(config.arch.forward_dtype)
    nominal = _nominal_peak(device.device_kind, config.arch.forward_dtype)
    analysis = compiled.program.memory_analysis()
    return StepBench(
        device_kind=device.device_kind,
        batch=config.global_batch_size,
        micro_batches=config.micro_batches,
        steps_per_call=length,
        step_s=Spread.of([seconds / length for seconds in busy_seconds(done)]),
        samples_per_s=samples_per_s,
        host_gap=host_gap(done),
        trace_s=compiled.trace_s,
        compile_s=compiled.compile_s,
        first_call_s=first_call_s,
        flops_per_step=terms.flops,
        flops_per_s=samples_per_s * flops,
        measured_peak=rates.flops_per_s,
        nominal_peak=nominal,
        mfu_measured=samples_per_s * flops / rates.flops_per_s,
        mfu_nominal=None if nominal is None else samples_per_s * flops / nominal,
        program_bytes=None if analysis is None else _program_bytes(analysis),
        peak_bytes=(device.memory_stats() or {}).get("peak_bytes_in_use"),
        rates=rates,
        roofline=roofline(terms, rates),
    )


def _nominal_peak(device_kind: str, dtype: str) -> float | None:
    chip = find_chip(device_kind)
    if dtype == "float32":
        return chip.peak_flops_float32 if chip else None
    return peak_flops(device_kind)


def _program_bytes(analysis: Any) -> int:
    given = analysis.argument_size_in_bytes + analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    return int(given + analysis.temp_size_in_bytes)


MOST_PUZZLES = 1024
"""Of each split: a benchmark meets them again and again."""


def stand_in_dataset(config: RunConfig) -> Dataset:
    """Random tokens, about a third of them given, in the sizes of `config` up to `MOST_PUZZLES`."""
    data, spec = config.data, spec_of(config.data)
    wanted = {"train": data.train_size, "val": data.val_size, "test": data.test_size or MOST_PUZZLES}
    counts = {name: min(wanted[name], MOST_PUZZLES) for name in SPLIT_NAMES}
    random = np.random.default_rng(config.seed)

    def split(count: int) -> Split:
        labels = random.integers(2, spec.vocab_size, (count, spec.seq_len), dtype=np.uint8)
        given = random.random(labels.shape) < 1 / 3
        return Split(np.where(given, labels, np.uint8(1)), labels)

    manifest = Manifest(
        layout="compact",
        task=data.task,
        source="random tokens",
        rated_by="nobody",
        regime="none: these are no puzzles",
        seed=0,
        board=task_of(data).board,
        num_aug=data.num_aug,
        wish="",
        splits={name: SplitManifest(count=counts[name], ratings=None) for name in SPLIT_NAMES},
        fingerprint="",
        files={},
    )
    train, val, test = (split(counts[name]) for name in SPLIT_NAMES)
    return Dataset(Path(), manifest, train, val, test)
