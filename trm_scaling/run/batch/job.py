"""The runs that a batch is asked for: composed once a name, and once a configuration and seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from trm_scaling.config import RunConfig
from trm_scaling.config.identity import identity
from trm_scaling.config.traced_fields import are_one_trajectory
from trm_scaling.errors import UserError
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.results.attempts import Attempt, read_attempts
from trm_scaling.run.batch.worker import Worker
from trm_scaling.run.planned import Planner, Run

Phase = Literal["waiting", "working", "elsewhere", "ended"]
"""Not started (or to be resumed), at work here, at work in another process, and nothing left to do."""

Outcome = Literal["finished", "failed", "stopped", "interrupted"]


@dataclass
class Job:
    """One run of a batch, and how far the batch has come with it."""

    run: Run
    names: list[str]
    """The names in the batch that share the run; the first is the one it was composed under."""
    is_first_seed: bool = True
    folder: RunFolder = field(init=False)
    phase: Phase = "waiting"
    outcome: Outcome | None = None
    """Once ended; None then too for a run that the batch did not come to."""
    message: str = ""
    """Why it failed, or that the disk refused it."""
    worker: Worker | None = None
    may_join: bool = False
    """Whether it may be trained as one program with other seeds of the same experiment."""
    may_share: bool = False
    """Whether it may be trained as one trajectory with runs that differ from it in the average alone."""
    together: int = 1
    """Runs that its process was last started for: so many seeds, beginning with the first one's, or the
    names in `beside`."""
    beside: tuple[str, ...] = ()
    """Names of the other runs of its trajectory that its process was last started for."""
    micro_batch_size: int | None = None
    """What the batch asks for after memory was short; None: what the configuration says."""
    has_halved: bool = False
    is_retry: bool = False
    """Whether it is to be started although it failed."""
    stalls: int = 0
    """Times in a row that it was killed or preempted and had saved nothing new."""
    saved_step: int | None = None
    """Newest checkpoint when it was last started."""

    def __post_init__(self) -> None:
        self.folder = self.run.folder
        self.micro_batch_size = _still_halved(read_attempts(self.folder.attempts), self.slice_size)

    @property
    def name(self) -> str:
        """What it is called in this batch, the seed aside."""
        return self.names[0]

    @property
    def seed(self) -> int:
        return self.run.config.seed

    @property
    def slice_size(self) -> int:
        """Puzzles that the configuration works through at once."""
        return self.run.config.global_batch_size // self.run.config.micro_batches

    @property
    def smaller(self) -> list[str]:
        """The overrides by which less is worked through at once; evaluation follows in proportion."""
        if self.micro_batch_size is None:
            return []
        evaluated = self.run.config.system.eval_batch_size * self.micro_batch_size // self.slice_size
        return [
            f"system.micro_batch_size={self.micro_batch_size}",
            f"system.eval_batch_size={max(1, evaluated)}",
        ]

    def is_next_seed_of(self, other: "Job") -> bool:
        """Whether it is the same experiment with the seed after, to be executed in the same way."""
        after = other.run.config.model_copy(update={"seed": other.seed + 1})
        return self.may_join and other.may_join and self.run.config == after and self.smaller == other.smaller

    def is_trajectory_of(self, other: "Job") -> bool:
        """Whether it is another run of the same trajectory, to be executed in the same way."""
        configs = [self.run.config, other.run.config]
        may = self is not other and self.may_share and other.may_share
        return may and self.smaller == other.smaller and are_one_trajectory(configs)

    def settle(self, outcome: Outcome | None, message: str = "") -> None:
        """Nothing is left to do for it."""
        self.phase, self.outcome, self.message, self.worker = "ended", outcome, message, None


@dataclass(frozen=True)
class Refused:
    """A name that makes no run under the given profile and overrides."""

    name: str
    reason: str


def plan_jobs(
    study: Study,
    names: Sequence[str],
    profile: str,
    overrides: Sequence[str],
    seed: int | None,
    replicates: int,
    progress: Callable[[str, int, int], None],
    goes_together: Callable[[RunConfig], bool] = lambda config: False,
    share_trajectories: bool = True,
) -> tuple[list[Job], list[Refused]]:
    """The runs of `names` with `replicates` seeds each, beginning at `seed` (None: the configuration's).

    A whole round of names comes before the next seed, so that early results compare all of them; but the
    seeds of what `goes_together` follow one another, and runs that differ in the average alone may be
    trained once (`share_trajectories`). A configuration that several names have is one run.
    Names that do not compose come back as refused.
    """
    planner = Planner(study, profile, overrides)
    planned: list[Run] = []
    refused: list[Refused] = []
    for number, name in enumerate(names):
        progress("composing", number, len(names))
        try:
            planned.append(planner.plan(name))
        except UserError as error:
            refused.append(Refused(name, str(error)))
    progress("composing", len(names), len(names))
    jobs: dict[tuple[str, int], Job] = {}
    for replicate in range(replicates):
        for run in planned:
            first = run.config.seed if seed is None else seed
            seeded = run.with_seed(first + replicate)
            key = (identity(seeded.config), seeded.config.seed)
            if key in jobs:
                jobs[key].names.append(run.config.name)
            else:
                joins = replicates > 1 and goes_together(seeded.config)
                jobs[key] = Job(
                    seeded,
                    [run.config.name],
                    is_first_seed=replicate == 0,
                    may_join=joins,
                    may_share=share_trajectories,
                )
    return _side_by_side(list(jobs.values())), refused


def _side_by_side(jobs: Sequence[Job]) -> list[Job]:
    """`jobs` with the seeds that may go together behind the first of them, and otherwise in their order."""
    places: dict[str, int] = {}
    for number, job in enumerate(jobs):
        if job.may_join:
            places.setdefault(identity(job.run.config), number)
    order = {
        id(job): places[identity(job.run.config)] if job.may_join else number
        for number, job in enumerate(jobs)
    }
    return sorted(jobs, key=lambda job: order[id(job)])


def _still_halved(attempts: Sequence[Attempt], size: int) -> int | None:
    """The smaller slices that an earlier batch went over to when memory was short, and did not fail with."""
    was_short = any(attempt.ending == "out_of_memory" for attempt in attempts)
    if was_short and attempts[-1].micro_batch_size < size and attempts[-1].ending != "out_of_memory":
        return attempts[-1].micro_batch_size
    return None
