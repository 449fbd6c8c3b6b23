"""From epochs to steps: pure arithmetic on a configuration and the size of its training set."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

from trm_scaling.config.arch import Depth
from trm_scaling.config.run import RunConfig
from trm_scaling.errors import UserError


class Stage(NamedTuple):
    """A part of training with one depth of recursion, and so one compiled program."""

    start: int
    """Steps done when it begins."""

    depth: Depth | None
    """None: the model has one depth alone."""


@dataclass(frozen=True)
class Schedule:
    """Steps of a run. The public code counts the same way: epochs x puzzles / batch, rounded down."""

    total_steps: int
    """Training steps of the whole run."""

    eval_every: int
    """Steps between evaluations (the last step is always evaluated)."""

    warmup_steps: int
    """Steps over which the learning rates rise."""

    stages: tuple[Stage, ...]
    """In order; the first begins at step 0, and each recurses otherwise than the one before."""

    eval_growth: float = 1.0
    """How many times as late as the one before each evaluation comes; 1: `eval_every` steps later."""

    @classmethod
    def of(cls, config: RunConfig, train_puzzles: int) -> Self:
        """The steps that `config` makes of `train_puzzles` distinct training puzzles.

        Under schedule=matched, epochs are those of `reference_train_size` puzzles and the warm-up is
        that of `reference_batch_size`, so that runs of every size see equally many samples.
        Raises UserError when they make less than one step.
        """
        matched = config.schedule == "matched"
        puzzles = config.reference_train_size if matched else train_puzzles
        batch = config.global_batch_size
        total = config.epochs * puzzles // batch
        if total < 1:
            raise UserError(
                f"epochs={config.epochs} x {puzzles} training puzzles is less than one batch "
                f"of global_batch_size={batch}: raise epochs or lower the batch"
            )
        warmup = config.lr_warmup_steps
        return cls(
            total_steps=total,
            eval_every=max(1, config.eval_interval * puzzles // batch),
            warmup_steps=round(warmup * config.reference_batch_size / batch) if matched else warmup,
            stages=_stages(config, puzzles, total),
            eval_growth=config.eval_growth,
        )

    @cached_property
    def evaluated_steps(self) -> tuple[int, ...]:
        """Steps after which the state is evaluated on validation, in order; the last step is one of them."""
        steps, number = [self.eval_every], 1
        while steps[-1] < self.total_steps:
            later = round(self.eval_every * self.eval_growth**number)
            # At 1, and where a small growth rounds to nothing, evaluations are as far apart as before it.
            steps.append(steps[-1] + self.eval_every if self.eval_growth == 1 else max(later, steps[-1] + 1))
            number += 1
        return (*(step for step in steps if step < self.total_steps), self.total_steps)

    def is_evaluated(self, step: int) -> bool:
        """Whether the state after `step` steps is evaluated on validation."""
        return step in self.evaluated_steps

    def stage_after(self, step: int) -> Stage:
        """The stage that the step after `step` steps belongs to."""
        return next(stage for stage in reversed(self.stages) if stage.start <= step)

    def steps_of_stages(self) -> list[tuple[Stage, int]]:
        """Every stage with the number of its steps."""
        ends = [*(stage.start for stage in self.stages[1:]), self.total_steps]
        return [(stage, end - stage.start) for stage, end in zip(self.stages, ends, strict=True)]

    def next_stop(self, step: int, steps_per_call: int) -> int:
        """The step at which the device call that begins after `step` steps ends.

        Calls end on multiples of `steps_per_call`, at evaluations, between stages and at the end; the
        answer depends on nothing else, so a resumed run makes the same calls as an uninterrupted one.
        """
        grid = (step // steps_per_call + 1) * steps_per_call
        evaluation = next((each for each in self.evaluated_steps if each > step), self.total_steps)
        stages = (stage.start for stage in self.stages if stage.start > step)
        return min(grid, evaluation, self.total_steps, *stages)


def said_of_matching(config: RunConfig) -> str | None:
    """What schedule=matched makes of the written warm-up and average, in words; None if it changes nothing.

    Whoever types another batch may mean the written numbers, as the public code does.
    """
    batch, reference = config.global_batch_size, config.reference_batch_size
    if config.schedule == "as_written" or batch == reference:
        return None
    warmup = round(config.lr_warmup_steps * reference / batch)
    keeps = f" and keeps {config.per_step(config.ema_rate):.6g} of its average a step" if config.ema else ""
    written = f" and {config.ema_rate:g}" if config.ema else ""
    return (
        f"schedule=matched: a batch of {batch:,} warms up over {warmup:,} steps{keeps}, which is in puzzles "
        f"what {config.lr_warmup_steps:,} steps{written} are at the reference batch of {reference:,}; "
        "schedule=as_written takes the numbers as they are"
    )


def _stages(config: RunConfig, puzzles: int, total: int) -> tuple[Stage, ...]:
    """The curriculum's stages and the rest of training, equal neighbours and empty stages merged."""
    curriculum, own = config.curriculum, config.arch.depth
    until = min(total, curriculum.until_epoch * puzzles // config.global_batch_size)
    stages: list[Stage] = []
    for k, depth in enumerate([*curriculum.depths(own), own]):
        start = until * k // curriculum.stages if curriculum.until_epoch else 0
        if stages and stages[-1].start == start:
            stages.pop()
        if start < total and (not stages or stages[-1].depth != depth):
            stages.append(Stage(start, depth))
    return tuple(stages)
