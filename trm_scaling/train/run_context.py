"""What is one run's own in the training loop, whether it is there alone or one of several."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

from jax.sharding import Mesh

from trm_scaling.checkpoint.store import CheckpointStore
from trm_scaling.config import RunConfig, Schedule
from trm_scaling.errors import UserError
from trm_scaling.evaluation.score import Outcomes
from trm_scaling.io.jsonl import truncate_after
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.optim import TracedHparams
from trm_scaling.parallel.hosts import Hosts
from trm_scaling.tasks.dataset import Dataset
from trm_scaling.tracking.tracker import Tracker
from trm_scaling.train.clock import Clock
from trm_scaling.train.consistency import warn_of_lost_metrics
from trm_scaling.train.input_pipeline import HostBatcher
from trm_scaling.train.metrics import (
    HostMetrics,
    NonFiniteLoss,
    Rate,
    evaluation_metrics,
    further_metrics,
    read_metrics,
    validation_score,
)
from trm_scaling.train.state import TrainState, init_state_on, state_shapes_on


class Reporter(Protocol):
    """Told of training."""

    def started(self, step: int, total: int) -> None: ...
    def progressed(self, step: int, metrics: dict[str, float], examples_per_s: float | None) -> None: ...
    def evaluated(self, step: int, summary: dict[str, Any]) -> None: ...
    def note(self, text: str) -> None: ...


class RunReporter(Reporter, Protocol):
    """Told of the other long work of a run too."""

    def working(self, phase: str, done: int, total: int) -> None: ...


@dataclass(frozen=True)
class TrainJob:
    """A run that is to be trained."""

    config: RunConfig
    folder: RunFolder
    about: dict[str, Any]
    """What every checkpoint says of the run besides its state and its clock."""
    reporter: Reporter
    failed: Callable[[NonFiniteLoss], None] = lambda error: None
    """Told when its loss is no number while others go on; when none is left, that is raised instead."""


class RunContext:
    """A run in the loop: its stream of puzzles, its files, its clock. Closed by leaving the block."""

    def __init__(self, run: TrainJob, dataset: Dataset, mesh: Mesh, hosts: Hosts) -> None:
        config = run.config
        self.run = run
        self.hyper = TracedHparams.of(config, Schedule.of(config, dataset.num_puzzles))
        self.feeder = HostBatcher(config, dataset, mesh)
        self.clock = Clock()
        self.rate = Rate(config.global_batch_size)
        shapes = (dataset.vocab_size, dataset.seq_len, dataset.num_puzzle_ids)
        self._init = partial(init_state_on, mesh, config, *shapes)
        self._like = state_shapes_on(mesh, config, *shapes)
        self._hosts = hosts
        own = dataset.embedded
        # Rows of the puzzle embeddings mean nothing without the map of what each is of.
        attached = {} if own is None else {own.map_name: own.map_bytes()}
        self.store = CheckpointStore(run.folder.checkpoints, config.system.keep_checkpoints, hosts, attached)
        self._tracker: Tracker | None = None

    def newest(self) -> TrainState:
        """The state at the newest checkpoint; before the first step where there is none."""
        return self._init() if self.store.latest_step() is None else self._restored(None)

    def back_at(self, step: int) -> TrainState:
        """The state after `step` steps (0: before the first), for which later checkpoints are deleted."""
        self.store.forget_after(step)
        self.clock = Clock()
        return self._init() if step == 0 else self._restored(step)

    def resume(self, step: int, total: int) -> None:
        """Go on after `step` of `total` steps; what the record says of later ones is dropped."""
        folder, reporter = self.run.folder, self.run.reporter
        if step:
            reporter.note(f"resuming after step {step}")
        if self._hosts.is_first:
            truncate_after(folder.metrics, step)
            warn_of_lost_metrics(folder.metrics, step)
        self._tracker = Tracker(folder.metrics if self._hosts.is_first else None, self.clock.total)
        reporter.started(step, total)

    def log_step(self, first: int, last: int, metrics: HostMetrics) -> None:
        """Write down the metrics of steps `first` to `last`. Raises NonFiniteLoss as `read_metrics` does."""
        assert self._tracker is not None
        read = read_metrics(metrics, first, last)
        speed = self.rate.passed(last)
        self._tracker.log(last, {**read.means, **read.histograms, "time/examples_per_s": speed})
        self.run.reporter.progressed(last, read.means, speed)

    def evaluated(self, step: int, outcomes: Outcomes, further: Sequence[Outcomes] = ()) -> tuple[int, float]:
        """Write down an evaluation on validation, and that of each of `ema_rates` (`further`).

        Returns its score: the highest is the best checkpoint.
        """
        assert self._tracker is not None
        summary = outcomes.summary()
        by_rate = {
            rate: each.summary() for rate, each in zip(self.run.config.ema_rates, further, strict=True)
        }
        self._tracker.log(step, {**evaluation_metrics(summary), **further_metrics(by_rate)}, kind="eval")
        self.run.reporter.evaluated(step, summary)
        return validation_score(summary["final"]["solved"], summary["final"]["cell_rate"])

    def save(self, step: int, state: TrainState, score: tuple[int, float] | None) -> None:
        """Begin to save `state`. Raises what `CheckpointStore.save` and `Tracker.sync` do."""
        assert self._tracker is not None
        # A checkpoint that outlived the metrics before it would be gone on from, with a hole in the curve.
        self._tracker.sync()
        self.store.save(step, state, {**self.run.about, "clock": self.clock.spent()}, score)

    def _restored(self, step: int | None) -> TrainState:
        state: TrainState
        state, saved = self.store.restore(step, like=self._like)
        _refuse_other_data(saved, self.run.about, self.run.folder)
        self.clock = Clock(saved["clock"])
        return state

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.store.close()
        finally:
            if self._tracker is not None:
                self._tracker.close()


def resumed(members: Sequence[RunContext]) -> list[TrainState]:
    """The states to go on from: of one run the newest; of several, at the newest step that all have.

    A run that has saved later steps gives them up: it comes to them again.
    """
    states = [member.newest() for member in members]
    if len({int(state.step) for state in states}) == 1:
        return states
    # Let go of before the others are read: a device has room for one state of each run.
    states.clear()
    common = max(set.intersection(*({0, *member.store.steps()} for member in members)))
    return [member.back_at(common) for member in members]


def _refuse_other_data(saved: dict[str, Any], about: dict[str, Any], folder: RunFolder) -> None:
    before, now = saved.get("data_fingerprint"), about.get("data_fingerprint")
    if before != now:
        raise UserError(
            f"{folder.path} was trained on a dataset with fingerprint {str(before)[:12]}; the one there "
            f"now has {str(now)[:12]}: put that one back, or move the run folder away and train anew"
        )
