"""The training loop, top to bottom. The device never waits for the host: a call is dispatched, and the
metrics of the call before it are read while it runs."""

import time
from dataclasses import dataclass
from typing import Any, Protocol

import jax.numpy as jnp
from jax.sharding import Mesh

from trm_scaling.checkpoint import CheckpointStore
from trm_scaling.config import RunConfig, Schedule, Stage
from trm_scaling.errors import UserError
from trm_scaling.io.jsonl import truncate_after
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.optim import Hyper
from trm_scaling.parallel.hosts import ALONE, Hosts
from trm_scaling.parallel.mesh import make_mesh
from trm_scaling.puzzles.dataset import Dataset
from trm_scaling.tracking.tracker import Tracker
from trm_scaling.train.call import CallMetrics, make_train_call
from trm_scaling.train.clock import Clock
from trm_scaling.train.evaluate import Evaluator
from trm_scaling.train.feed import Feeder
from trm_scaling.train.interrupt import StopRequest
from trm_scaling.train.lost import warn_of_lost_best
from trm_scaling.train.metrics import Rate, evaluation_metrics, read_metrics, validation_score
from trm_scaling.train.state import TrainState, evaluation_params, init_state_on


class Reporter(Protocol):
    """Who is told how the run goes: a live display, or plain lines in a log."""

    def started(self, step: int, total: int) -> None: ...
    def progressed(self, step: int, metrics: dict[str, float], examples_per_s: float | None) -> None: ...
    def evaluated(self, step: int, summary: dict[str, Any]) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass(frozen=True)
class Trained:
    """What the loop leaves behind."""

    state: TrainState
    best: TrainState
    """The state of the evaluation that did best on validation."""
    best_step: int
    schedule: Schedule
    clock: Clock
    """Purposes: compile, train, evaluate, checkpoint."""
    mesh: Mesh
    """The devices that both states lie on."""


def train(
    config: RunConfig,
    dataset: Dataset,
    folder: RunFolder,
    about: dict[str, Any],
    reporter: Reporter,
    stop: StopRequest,
    hosts: Hosts = ALONE,
) -> Trained:
    """Train to the end, from the newest checkpoint if there is one.

    `about` is what every checkpoint says of the run besides its state and its clock. Of several
    processes each goes through the same calls; the first decides when to save and to stop, and writes.

    Raises Interrupted after saving when `stop` was asked for, NonFiniteLoss with the step, and
    UserError for a checkpoint of another configuration, a full disk, or a batch that does not divide
    over the devices.
    """
    mesh = make_mesh(config)
    schedule = Schedule.of(config, dataset.num_puzzles)
    hyper = Hyper.of(config, schedule)
    shapes = (dataset.vocab_size, dataset.seq_len, dataset.num_puzzle_identifiers)
    state = init_state_on(mesh, config, *shapes)
    store = CheckpointStore(folder.checkpoints, config.system.keep_checkpoints, hosts)
    clock = Clock()
    if store.latest_step() is not None:
        state, saved = store.restore(None, like=state)
        _refuse_other_data(saved, about, folder)
        clock = Clock(saved["clock"])
        reporter.note(f"resuming after step {int(state.step)}")
    step = int(state.step)
    if hosts.is_first:
        truncate_after(folder.metrics, step)
    reporter.started(step, schedule.total_steps)

    feeder = Feeder(config, dataset, mesh)
    stage: Stage | None = None
    evaluator = Evaluator(config, mesh=mesh)
    with store, Tracker(folder.metrics if hosts.is_first else None, clock.total) as tracker:
        # Metrics of a call that may still be running, with the steps it covers.
        pending: tuple[int, int, CallMetrics] | None = None
        rate = Rate(config.global_batch_size)
        saved_at = time.monotonic()

        def settle() -> None:
            nonlocal pending
            if pending is not None:
                first, last, metrics = pending
                pending = None
                read = read_metrics(metrics, first, last)
                hosts.progress.made()
                speed = rate.passed(last)
                tracker.log(last, {**read.means, **read.histograms, "time/examples_per_s": speed})
                reporter.progressed(last, read.means, speed)

        def save(score: float | None) -> None:
            nonlocal saved_at
            hosts.progress.starts()
            with clock.measure("checkpoint"):
                store.save(step, state, {**about, "clock": clock.spent()}, score)
            saved_at = time.monotonic()

        while step < schedule.total_steps:
            if stage != schedule.stage_after(step):
                settle()
                if stage is not None:
                    rate.restart(step)
                stage = schedule.stage_after(step)
                hosts.progress.starts()
                with clock.measure("compile"):
                    staged = _at_depth(config, stage)
                    program = make_train_call(staged, dataset.augmentation_seed, mesh)
                    call = program.lower(state, hyper, feeder.feed(step, step + 1), jnp.int32(1)).compile()
                if len(schedule.stages) > 1:
                    depth = f"L_cycles {stage.depth.L_cycles}, H_cycles {stage.depth.H_cycles}"
                    reporter.note(f"recursion from step {step}: {depth}")
            with clock.measure("train"):
                until = schedule.next_stop(step, config.system.steps_per_call)
                feed = feeder.feed(step, until)
                state, metrics = call(state, hyper, feed, jnp.int32(until - step))
                settle()
                pending = (step + 1, until, metrics)
                step = until
                at_evaluation = schedule.is_evaluated(step)
                due = time.monotonic() - saved_at > config.system.checkpoint_seconds
                # Read once: a signal may come between two lines.
                due, stopping = hosts.told("call", (due, hosts.any_asked(stop.cause)))
                if at_evaluation or due or stopping:
                    settle()
            if at_evaluation:
                hosts.progress.starts()
                with clock.measure("evaluate"):
                    params = evaluation_params(state.params, state.ema)
                    outcomes = evaluator(params, state.buffers, dataset.val, config.eval_puzzles)
                summary = outcomes.summary()
                tracker.log(step, evaluation_metrics(summary), kind="eval")
                reporter.evaluated(step, summary)
                save(validation_score(summary["final"]["solved"], summary["final"]["cell_rate"]))
                rate.restart(step)
            elif due or stopping:
                save(None)
                rate.restart(step)
            if stopping:
                store.wait()
                raise stop.interruption(step, schedule.total_steps, stopping)
        store.wait()
        best, best_step = state, step
        if store.best_step() != step:
            best_step, best = store.restore_best(like=state)
        if hosts.is_first:
            warn_of_lost_best(folder.metrics, best_step)
        if asked := hosts.told("end", hosts.any_asked(stop.cause)):
            raise stop.interruption(step, schedule.total_steps, asked)
    return Trained(state, best, best_step, schedule, clock, mesh)


def _at_depth(config: RunConfig, stage: Stage) -> RunConfig:
    """`config` with the recursion of a stage of its curriculum."""
    return config.model_copy(update={"arch": config.arch.model_copy(update=stage.depth._asdict())})


def _refuse_other_data(saved: dict[str, Any], about: dict[str, Any], folder: RunFolder) -> None:
    before, now = saved.get("data_fingerprint"), about.get("data_fingerprint")
    if before != now:
        raise UserError(
            f"{folder.path} was trained on a dataset with fingerprint {str(before)[:12]}; the one there "
            f"now has {str(now)[:12]}: put that one back, or move the run folder away and train anew"
        )
