"""From epochs to steps: pure arithmetic on a configuration and the size of its training set."""

from dataclasses import dataclass
from typing import Self

from trm_scaling.config.run import RunConfig
from trm_scaling.errors import UserError


@dataclass(frozen=True)
class Schedule:
    """Steps of a run. The public code counts the same way: epochs x puzzles / batch, rounded down."""

    total_steps: int
    """Training steps of the whole run."""

    eval_every: int
    """Steps between evaluations (the last step is always evaluated)."""

    @classmethod
    def of(cls, config: RunConfig, train_puzzles: int) -> Self:
        """The steps that `config` makes of `train_puzzles` distinct training puzzles.

        Raises UserError when they make less than one step.
        """
        total = config.epochs * train_puzzles // config.global_batch_size
        if total < 1:
            raise UserError(
                f"epochs={config.epochs} x {train_puzzles} training puzzles is less than one batch "
                f"of global_batch_size={config.global_batch_size}: raise epochs or lower the batch"
            )
        every = max(1, config.eval_interval * train_puzzles // config.global_batch_size)
        return cls(total_steps=total, eval_every=every)

    def is_evaluated(self, step: int) -> bool:
        """Whether the state after `step` steps is evaluated on validation."""
        return step == self.total_steps or (step > 0 and step % self.eval_every == 0)

    def next_stop(self, step: int, steps_per_call: int) -> int:
        """The step at which the device call that begins after `step` steps ends.

        Calls end on multiples of `steps_per_call`, at evaluations and at the end; the answer
        depends on nothing else, so a resumed run makes the same calls as an uninterrupted one.
        """
        grid = (step // steps_per_call + 1) * steps_per_call
        evaluation = (step // self.eval_every + 1) * self.eval_every
        return min(grid, evaluation, self.total_steps)
