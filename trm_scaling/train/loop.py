"""The training loop, top to bottom. The device never waits for the host: a call is dispatched, and the
metrics of the call before it are read while it runs.

It trains one run, or several as one program: what is a run's own is its `RunContext`.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
from jax.sharding import Mesh

from trm_scaling.config import RunConfig, Schedule, Stage
from trm_scaling.errors import UserError
from trm_scaling.evaluation.predict import refuse_nonfinite
from trm_scaling.evaluation.score import Evaluator
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.parallel.hosts import SINGLE_PROCESS, Hosts
from trm_scaling.parallel.mesh import make_mesh
from trm_scaling.tasks.dataset import Dataset
from trm_scaling.train.clock import Clock, measure_all
from trm_scaling.train.consistency import warn_of_lost_best
from trm_scaling.train.interrupt import StopRequest
from trm_scaling.train.metrics import NonFiniteLoss
from trm_scaling.train.multi_step import CallMetrics, make_train_call
from trm_scaling.train.run_context import Reporter, RunContext, TrainJob, resumed
from trm_scaling.train.state import TrainState, evaluation_params
from trm_scaling.train.vmap_runs import stacking_of
from trm_scaling.train.weights import weights_of


@dataclass(frozen=True)
class Trained:
    """What the loop leaves behind of a run."""

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
    hosts: Hosts = SINGLE_PROCESS,
) -> Trained:
    """One run: see `train_together` and `TrainJob`."""
    trained = train_together([TrainJob(config, folder, about, reporter)], dataset, stop, hosts)[0]
    assert trained is not None, "the failure of the last run is raised"
    return trained


def train_together(
    runs: Sequence[TrainJob], dataset: Dataset, stop: StopRequest, hosts: Hosts = SINGLE_PROCESS
) -> list[Trained | None]:
    """Train `runs` to the end, from the newest checkpoint if there is one (several: see `resumed`).

    Several runs are trained side by side, as one program on one device, or once where they are one
    trajectory; None stands for one that failed while others went on. Of several processes, which train one
    run alone, each goes through the same calls; the first decides when to save and to stop, and writes.

    Raises Interrupted after saving when `stop` was asked for, NonFiniteLoss with the step when no run is
    left, and UserError for a checkpoint of another configuration, a full disk, a batch that does not
    divide over the devices, and several runs that no one program can train.
    """
    config = runs[0].config
    stacking = stacking_of([run.config for run in runs])
    mesh = make_mesh(config)
    if stacking.streams > 1 and mesh.size > 1:
        raise UserError(
            f"{len(runs)} runs train together on one device, and {mesh.size} share each batch here: "
            "say system.devices=1, or train them one after another"
        )
    schedule = Schedule.of(config, dataset.num_puzzles)
    with ExitStack() as opened:
        members = [opened.enter_context(RunContext(run, dataset, mesh, hosts)) for run in runs]
        state = stacking.join_states(resumed(members))
        hyper = stacking.join_hyper([member.hyper for member in members])
        step = int(stacking.part(state, 0).step)
        for member in members:
            member.resume(step, schedule.total_steps)

        stage: Stage | None = None
        evaluator = Evaluator(config, mesh=mesh)
        fed = members[: stacking.streams]
        # Those that have not failed, with their numbers.
        living = dict(enumerate(members))
        # Metrics of a call that may still be running, with the steps it covers.
        pending: tuple[int, int, CallMetrics] | None = None
        saved_at = time.monotonic()

        @contextmanager
        def dropping(number: int, member: RunContext) -> Iterator[None]:
            """Let a run whose numbers are not finite end, and the others go on."""
            try:
                yield
            except NonFiniteLoss as error:
                if len(living) == 1:
                    raise
                # Its part of the program goes on computing, and nobody looks at it any more.
                del living[number]
                # Its folder may be another process's in a moment.
                member.store.wait()
                member.run.failed(error)

        def settle() -> None:
            nonlocal pending
            if pending is not None:
                first, last, metrics = pending
                pending = None
                of_runs = stacking.on_host(metrics)
                for number, member in tuple(living.items()):
                    with dropping(number, member):
                        member.log_step(first, last, of_runs[number])
                hosts.progress.made()

        def measure(purpose: str) -> AbstractContextManager[None]:
            return measure_all([member.clock for member in living.values()], purpose)

        def restart_rates() -> None:
            for member in living.values():
                member.rate.restart(step)

        while step < schedule.total_steps:
            if stage != schedule.stage_after(step):
                settle()
                if stage is not None:
                    restart_rates()
                stage = schedule.stage_after(step)
                hosts.progress.starts()
                with measure("compile"):
                    staged = _at_depth(config, stage)
                    program = make_train_call(staged, dataset.augmentation_seed, mesh, stacking.streams)
                    feed = stacking.join([member.feeder.feed(step, step + 1) for member in fed])
                    call = program.lower(state, hyper, feed, jnp.int32(1)).compile()
                    # On a CPU the first sum waits 30 s for the last process, and one may compile for longer.
                    hosts.barrier("compiled")
                if len(schedule.stages) > 1:
                    for member in living.values():
                        member.run.reporter.note(f"recursion from step {step}: {staged.arch.recursion}")
            with measure("train"):
                until = schedule.next_stop(step, config.system.steps_per_call)
                feed = stacking.join([member.feeder.feed(step, until) for member in fed])
                state, metrics = call(state, hyper, feed, jnp.int32(until - step))
                settle()
                pending = (step + 1, until, metrics)
                step = until
                at_evaluation = schedule.is_evaluated(step)
                due = time.monotonic() - saved_at > config.system.checkpoint_seconds
                # Read once: a signal may come between two lines.
                due, stopping = hosts.broadcast("call", (due, hosts.any_asked(stop.cause)))
                if at_evaluation or due or stopping:
                    settle()
            if at_evaluation or due or stopping:
                hosts.progress.starts()
                for number, member in tuple(living.items()):
                    # The last update may have broken what its loss and gradient did not show.
                    with dropping(number, member):
                        weights = weights_of(stacking.part(state, number))
                        refuse_nonfinite(weights, f"after step {step}", NonFiniteLoss)
                for number, member in living.items():
                    own, score = stacking.part(state, number), None
                    if at_evaluation:
                        with measure("evaluate"):
                            alive = partial(_is_alive, hosts)
                            outcomes, *further = (
                                evaluator(
                                    evaluation_params(own.params, ema),
                                    own.buffers,
                                    dataset.val,
                                    config.eval_puzzles,
                                    alive,
                                )
                                for ema in (own.ema, *own.emas)
                            )
                        score = member.evaluated(step, outcomes, further)
                        hosts.progress.starts()
                    with measure("checkpoint"):
                        member.save(step, own, score)
                hosts.progress.made()
                saved_at = time.monotonic()
                restart_rates()
            if stopping:
                for member in living.values():
                    member.store.wait()
                raise stop.interruption(step, schedule.total_steps, stopping)
        trained: list[Trained | None] = [None] * len(members)
        for number, member in living.items():
            member.store.wait()
            best = own = stacking.part(state, number)
            best_step = step
            if member.store.best_step() != step:
                best_step, best = member.store.restore_best(like=own)
            if hosts.is_first:
                warn_of_lost_best(member.run.folder.metrics, best_step)
            trained[number] = Trained(own, best, best_step, schedule, member.clock, mesh)
        if asked := hosts.broadcast("end", hosts.any_asked(stop.cause)):
            raise stop.interruption(step, schedule.total_steps, asked)
    return trained


def _is_alive(hosts: Hosts, phase: str, done: int, total: int) -> None:
    """A batch was evaluated."""
    hosts.progress.made()


def _at_depth(config: RunConfig, stage: Stage) -> RunConfig:
    """`config` with the recursion of a stage of its curriculum."""
    return config.model_copy(update={"arch": config.arch.at(stage.depth)})
