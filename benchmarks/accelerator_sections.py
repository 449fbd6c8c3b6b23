"""The sections of `benchmarks.accelerator`, each in a process of its own: NAME, file of rows, seconds."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.golden.golden import NAMES, Golden
from trm_scaling.bench.evaluation import bench_evaluation
from trm_scaling.bench.step import CompiledCall, compile_call, stand_in_dataset
from trm_scaling.config import RunConfig, Schedule
from trm_scaling.io.study import Study, find_study
from trm_scaling.models import reset_halted
from trm_scaling.models.interchange import to_public
from trm_scaling.optim import TracedHparams
from trm_scaling.parallel.mesh import make_mesh
from trm_scaling.results.record import read_record
from trm_scaling.run.compilation import configure_jax
from trm_scaling.run.planned import plan_run
from trm_scaling.train.input_pipeline import HostBatcher
from trm_scaling.train.multi_step import make_train_call
from trm_scaling.train.state import init_state_on
from trm_scaling.train.step import batch_gradients
from trm_scaling.train.vmap_runs import Stacking

Rows = Iterator[dict[str, Any]]

TOY = [
    "arch.hidden_size=16",
    "arch.L_cycles=2",
    "arch.H_cycles=2",
    "arch.inner_multiple=16",
    "data.box_rows=2",
]
TOY += ["data.box_cols=2", "arch.puzzle_emb_len=2", "arch.puzzle_emb_ndim=16", "arch.halt_max_steps=2"]
TOY += ["eval_puzzles=16", "data.val_size=16", "system.eval_batch_size=16", "system.steps_per_call=2"]

CALLS = 3
"""Device calls that are timed, after one that is not."""


@dataclass(frozen=True)
class Sizes:
    """What is measured."""

    overrides: tuple[str, ...]
    batches: tuple[int, ...]
    main_batch: int
    positions: tuple[tuple[str, str], ...]
    """Name, and the override that makes so many positions."""
    widths: tuple[int, ...]
    seeds: int
    seeds_batch: int
    precisions: tuple[str, ...]
    vectors: tuple[str, ...]
    unroll: bool
    """Whether the golden steps are unrolled; scanned they compile sooner."""
    solve: tuple[str, ...]

    @classmethod
    def of(cls, toy: bool) -> "Sizes":
        """Those of an accelerator, or toy ones."""
        if toy:
            short = (*TOY, "epochs=30", "data.train_size=32", "data.test_size=16")
            wider = (("positions 20", "arch.puzzle_emb_len=4"),)
            return cls(tuple(TOY), (8,), 8, wider, (8,), 2, 4, ("float32",), NAMES[:1], False, short)
        padded = (("positions 104", "arch.puzzle_emb_len=23"), ("positions 128", "arch.puzzle_emb_len=47"))
        batches = (256, 512, 768, 1024, 1536, 2048, 3072)
        precisions = ("float32", "bfloat16", "float16")
        return cls((), batches, 768, padded, (128, 256, 512), 4, 256, precisions, NAMES, True, ())


def config_of(*overrides: str) -> RunConfig:
    """The published baseline with `overrides`."""
    return plan_run(find_study(None), "baseline", "paper", ["data.source=generated", *overrides]).config


def parity(sizes: Sizes, _: Callable[[], float]) -> Rows:
    """Golden vectors, in all precisions, with and without the kernels of passes without a gradient."""
    for precision in sizes.precisions:
        for name in sizes.vectors:
            for kernels in (False, True):
                yield {
                    "vectors": name,
                    "precision": precision,
                    "gate_kernel": kernels,
                    **_off(name, precision, kernels, sizes.unroll),
                }


def _off(name: str, precision: str, kernels: bool, unroll: bool) -> dict[str, Any]:
    golden = Golden.load(name)
    arch = golden.config.arch.model_copy(update={"forward_dtype": precision})
    system = golden.config.system.model_copy(update={"gate_kernel": kernels, "unroll": unroll})
    config = golden.config.model_copy(update={"arch": arch, "system": system})
    params, buffers = golden.weights()
    carry = reset_halted(golden.carry_before(0), buffers, *golden.batch(0))
    grads, answer = jax.jit(batch_gradients, static_argnums=0)(config, params, carry, jnp.float32(1))
    expected = golden.group("call0/grad")
    expected.pop("puzzle_emb_rows")
    ours = to_public(config.arch, grads, buffers)
    after = golden.carry_after(0)
    off = {
        "states off": max(_share(answer.state[each], after.state[each]) for each in after.state),
        "loss off": _share(answer.losses.total, golden.arrays["call0/loss"]),
        "gradients off": max(_share(ours[each], value) for each, value in expected.items()),
    }
    passed = max(off.values()) <= golden.tolerance if precision == "float32" else None
    return {**off, "within": golden.tolerance if precision == "float32" else None, "passed": passed}


def _share(ours: Any, expected: Any) -> float:
    ours, expected = (np.asarray(each, np.float32) for each in (ours, expected))
    return float(np.abs(ours - expected).max() / max(np.abs(expected).max(), 1e-30))


def step(sizes: Sizes, left: Callable[[], float]) -> Rows:
    """Training steps; compiled beside each other, timed one after another, the most wanted first."""
    main = sizes.main_batch
    cases = [(main, "as it is", []), (main, "gate kernel", ["system.gate_kernel=true"])]
    cases += [(main, "scanned", ["system.unroll=false"])]
    cases += [(main, name, [override]) for name, override in sizes.positions]
    cases += [(batch, "as it is", []) for batch in sizes.batches if batch != main]
    cases += [(batch, "gate kernel", ["system.gate_kernel=true"]) for batch in sizes.batches if batch != main]
    cases += [(batch, "scanned", ["system.unroll=false"]) for batch in sizes.batches if batch != main]
    with ThreadPoolExecutor(max(1, min(4, (os.cpu_count() or 1) // 2))) as pool:
        waiting: list[tuple[int, str, Future[CompiledCall]]] = []
        for batch, way, overrides in cases:
            config = config_of(*sizes.overrides, f"global_batch_size={batch}", *overrides)
            waiting.append((batch, way, pool.submit(_compiled, config)))
        for batch, way, future in waiting:
            if left() < 5:
                future.cancel()
                continue
            yield {"batch": batch, "way": way, **_caught(partial(_timed_when_compiled, future))}


def _compiled(config: RunConfig) -> CompiledCall:
    return compile_call(config, stand_in_dataset(config))


def _timed_when_compiled(future: Future[CompiledCall]) -> dict[str, Any]:
    return _timed(future.result())


def _timed(compiled: CompiledCall) -> dict[str, Any]:
    state, hparams = compiled.arguments
    batch_axis = compiled.feeder.feed(0, 1).puzzle.shape
    steps, batch = batch_axis
    seconds = []
    for call in range(CALLS + 1):
        feed = compiled.feeder.feed(call * steps, (call + 1) * steps)
        began = time.perf_counter()
        state, metrics = compiled.program(state, hparams, feed, jnp.int32(steps))
        jax.block_until_ready(metrics)
        seconds.append((time.perf_counter() - began) / steps)
    step_s = sorted(seconds[1:])[CALLS // 2]
    memory = compiled.program.memory_analysis()
    program = None if memory is None else memory.temp_size_in_bytes + memory.argument_size_in_bytes
    return {
        "step_ms": step_s * 1e3,
        "samples_per_s": batch / step_s,
        "program_GB": None if program is None else program / 1e9,
        "peak_GB_so_far": _peak_gb(),
        "trace_s": compiled.trace_s,
        "compile_s": compiled.compile_s,
    }


def _peak_gb() -> float | None:
    peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    return None if peak is None else peak / 1e9


def evaluation(sizes: Sizes, _: Callable[[], float]) -> Rows:
    """The validation sample, as a run evaluates it."""
    for way, overrides in (("as it is", []), ("gate kernel", ["system.gate_kernel=true"])):
        config = config_of(*sizes.overrides, f"global_batch_size={sizes.main_batch}", *overrides)
        found = bench_evaluation(config, repeats=CALLS)
        yield {
            "way": way,
            "puzzles": found.puzzles,
            "batch": found.batch,
            "supervision_steps": found.supervision_steps,
            "median_s": found.seconds.median,
            "puzzles_per_s": found.puzzles_per_s,
            "first_s": found.first_s,
        }


def seeds(sizes: Sizes, _: Callable[[], float]) -> Rows:
    """Several seeds as one vmapped program against one after another."""
    for width in sizes.widths:
        embedding = f"arch.puzzle_emb_ndim={width}"
        batch = f"global_batch_size={sizes.seeds_batch}"
        overrides = [*sizes.overrides, f"arch.hidden_size={width}", embedding, batch, "system.unroll=false"]
        config = config_of(*overrides)
        alone, together = (_caught(partial(_vmapped, config, runs)) for runs in (1, sizes.seeds))
        yield {"width": width, "seeds": sizes.seeds, "one_after_another": alone.get("samples_per_s")} | {
            "as_one": together.get("samples_per_s"),
            "ratio": together["samples_per_s"] / alone["samples_per_s"]
            if "samples_per_s" in together
            else None,
            **({"error": together["error"]} if "error" in together else {}),
        }


def _vmapped(config: RunConfig, runs: int) -> dict[str, Any]:
    dataset, mesh, stacking = stand_in_dataset(config), make_mesh(config), Stacking(runs)
    configs = [config.model_copy(update={"seed": config.seed + number}) for number in range(runs)]
    shapes = (dataset.vocab_size, dataset.seq_len, dataset.num_puzzle_ids)
    state = stacking.join([init_state_on(mesh, each, *shapes) for each in configs])
    schedule = Schedule.of(config, dataset.num_puzzles)
    hparams = stacking.join([TracedHparams.of(each, schedule) for each in configs])
    steps = config.system.steps_per_call
    feed = stacking.join([HostBatcher(each, dataset, mesh).feed(0, steps) for each in configs])
    call = make_train_call(config, dataset.augmentation_seed, mesh if runs == 1 else None, runs=runs)
    seconds = []
    for _ in range(CALLS + 1):
        began = time.perf_counter()
        state, metrics = call(state, hparams, feed, jnp.int32(steps))
        jax.block_until_ready(metrics)
        seconds.append(time.perf_counter() - began)
    return {"samples_per_s": runs * steps * config.global_batch_size / sorted(seconds[1:])[CALLS // 2]}


def solve(sizes: Sizes, _: Callable[[], float]) -> Rows:
    """The profile `smoke` from the command line, to its accuracy."""
    with tempfile.TemporaryDirectory() as folder:
        study = _study_in(Path(folder))
        began = time.perf_counter()
        _trm(study, sizes.solve).wait()
        yield {"seconds": time.perf_counter() - began, **_record_of(study, sizes.solve)}


def resume(sizes: Sizes, _: Callable[[], float]) -> Rows:
    """A run that is stopped once it has saved, and started again."""
    often = (*sizes.solve, "system.checkpoint_seconds=0.001")
    with tempfile.TemporaryDirectory() as folder:
        study = _study_in(Path(folder))
        checkpoints = plan_run(study, "baseline", "smoke", list(often)).folder.path / "checkpoints"
        process = _trm(study, often)
        while process.poll() is None and not any(checkpoints.glob("*")):
            time.sleep(0.05)
        process.terminate()
        yield {"what": "stopped", "status": process.wait()}
        began = time.perf_counter()
        _trm(study, often).wait()
        yield {
            "what": "resumed",
            "status": 0,
            "seconds": time.perf_counter() - began,
            **_record_of(study, often),
        }


def _study_in(folder: Path) -> Study:
    """A study of its own with this one's configurations."""
    path = folder / "kellen"
    path.mkdir()
    (path / "configs").symlink_to(find_study(None).path / "configs")
    return Study(path)


def _trm(study: Study, overrides: Iterable[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "trm_scaling", "run", "baseline", "--profile", "smoke", "--study"]
    # JAX takes most of a GPU's memory, and this process has it: the run is given what it needs.
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    return subprocess.Popen([*command, str(study.path), *overrides], env=environment)


def _record_of(study: Study, overrides: Iterable[str]) -> dict[str, Any]:
    record = read_record(plan_run(study, "baseline", "smoke", list(overrides)).folder.result)
    return {
        "steps": record.steps,
        "attempts": record.attempts,
        "exact_rate": record.headline().summary["final"]["exact_rate"],
        "train_s": record.train_s,
    }


def _caught(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` finds, or that the device had no memory for it: the next case may fit."""
    try:
        return work()
    except jax.errors.JaxRuntimeError as error:
        return {"error": str(error).splitlines()[0][:200]}


SECTIONS: dict[str, Callable[[Sizes, Callable[[], float]], Rows]] = {
    "parity": parity,
    "step": step,
    "evaluation": evaluation,
    "seeds": seeds,
    "solve": solve,
    "resume": resume,
}


def main() -> None:
    name, path, seconds, *toy = sys.argv[1:]
    ends = time.monotonic() + float(seconds)
    configure_jax()
    with Path(path).open("a") as rows:
        device = jax.devices()[0]
        about = {"device": device.device_kind, "jax": jax.__version__}
        for row in chain([about], _rows_of(name, bool(toy), ends)):
            rows.write(json.dumps(row) + "\n")
            rows.flush()
            os.fsync(rows.fileno())


def _rows_of(name: str, toy: bool, ends: float) -> Rows:
    yield from SECTIONS[name](Sizes.of(toy), lambda: ends - time.monotonic())


if __name__ == "__main__":
    main()
