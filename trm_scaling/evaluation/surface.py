"""The D x K surface: what every decoder solves with D supervision steps and K samples, from one evaluation.

One pass at (D_max, K_max) holds all smaller budgets: the first D steps of a trajectory are what D steps give,
and the samples are exchangeable but for the first, which is the plain one and in every sub-sample. Shapes: S
samples, N supervision steps, B puzzles, R sub-samples.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from trm_scaling.config import RunConfig
from trm_scaling.evaluation.decode import UNUSABLE, Candidates, DecoderName, decoder, decoders_for
from trm_scaling.evaluation.predict import Params, Predictor
from trm_scaling.evaluation.samples import Budget
from trm_scaling.evaluation.score import judged_candidates
from trm_scaling.tasks.dataset import Split
from trm_scaling.tasks.folder import Progress, silent
from trm_scaling.tasks.scoring import interval
from trm_scaling.tasks.task import task_of

SUB_SAMPLES = 32
"""Sub-samples of each size K below K_max, at most."""

AT_ONCE = 8
"""Puzzles that are decoded together, at least: thousands of small budgets take as long for one as for
many."""


class SurfaceBudget(NamedTuple):
    """One budget on the surface, decoded in one way."""

    steps: int
    samples: int
    decoder: DecoderName


@dataclass(frozen=True)
class Grid:
    """The budgets of a surface."""

    steps: tuple[int, ...]
    """Rising; the last is what is evaluated."""
    samples: tuple[int, ...]
    """Rising; the last is what is evaluated."""

    @classmethod
    def of(cls, budget: Budget) -> "Grid":
        """Powers of two up to the budget, and the budget itself."""
        return cls(_doublings(budget.steps), _doublings(budget.samples))

    def sub_samples(self, size: int) -> list[np.ndarray]:
        """Which samples make each sub-sample of `size`, always the first one; the same in every
        evaluation."""
        every = self.samples[-1]
        if size == every:
            return [np.arange(every)]
        if size == 1:
            return [np.zeros(1, int)]
        drawn = np.random.default_rng((every, size))
        others = {tuple(sorted(drawn.permutation(every - 1)[: size - 1] + 1)) for _ in range(SUB_SAMPLES)}
        return [np.array([0, *each]) for each in sorted(others)]


class SurfaceCounts:
    """Counts of solved puzzles at every budget of a surface, added up batch by batch."""

    def __init__(self, grid: Grid, decoders: Sequence[DecoderName]) -> None:
        self.grid, self.decoders = grid, tuple(decoders)
        self.puzzles = 0
        self.seconds = 0.0
        """Of the evaluation, compilation and decoding included."""
        self.solved: dict[SurfaceBudget, np.ndarray] = {}
        """(R,) int: puzzles solved by each sub-sample."""
        self.valid: dict[SurfaceBudget, np.ndarray] = {}
        """The same, of answers that are right by the rules."""
        self.spent: dict[SurfaceBudget, int] = {}
        """Supervision steps over all puzzles, summed over sub-samples."""

    def add(self, given: Candidates) -> None:
        """Count the puzzles of a batch."""
        self.puzzles += given.q_halt.shape[2]
        for size in self.grid.samples:
            for number, samples in enumerate(self.grid.sub_samples(size)):
                for steps in self.grid.steps:
                    self._decode(given.within(steps, samples), size, number)

    def _decode(self, given: Candidates, size: int, number: int) -> None:
        right_by_rules = given.solved if given.valid is None else given.valid
        for name in self.decoders:
            budget = SurfaceBudget(given.q_halt.shape[1], size, name)
            choice = decoder(name)(given)
            if budget not in self.solved:
                count = len(self.grid.sub_samples(size))
                self.solved[budget], self.valid[budget] = np.zeros(count, int), np.zeros(count, int)
                self.spent[budget] = 0
            self.solved[budget][number] += int(choice.of(given.solved).sum())
            self.valid[budget][number] += int(choice.of(right_by_rules).sum())
            self.spent[budget] += int(choice.spent.sum())

    def rows(self) -> Iterator[dict[str, Any]]:
        """The long table: a row a budget."""
        for budget, solved in self.solved.items():
            count, rates = len(solved), solved / self.puzzles
            right = float(solved.mean())
            over_puzzles = interval(right, self.puzzles)
            assert over_puzzles is not None, "a surface has puzzles"
            yield {
                **budget._asdict(),
                "usable": budget.decoder not in UNUSABLE,
                "puzzles": self.puzzles,
                "sub_samples": count,
                "solved": right,
                "accuracy": right / self.puzzles,
                "puzzles_95": list(over_puzzles),
                "sub_samples_95": np.quantile(rates, (0.025, 0.975)).tolist() if count > 1 else None,
                "valid_rate": float(self.valid[budget].mean()) / self.puzzles,
                "mean_steps": self.spent[budget] / (count * self.puzzles),
            }

    def state(self) -> dict[str, Any]:
        """Everything that was counted, as JSON holds it."""
        return {
            "puzzles": self.puzzles,
            "seconds": self.seconds,
            "places": [
                [*budget, self.solved[budget].tolist(), self.valid[budget].tolist(), self.spent[budget]]
                for budget in self.solved
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` says was counted."""
        self.puzzles, self.seconds = state["puzzles"], state["seconds"]
        for steps, samples, name, solved, valid, spent in state["places"]:
            budget = SurfaceBudget(steps, samples, name)
            self.solved[budget], self.valid[budget] = np.array(solved), np.array(valid)
            self.spent[budget] = spent


def measure(
    config: RunConfig,
    budget: Budget,
    params: Params,
    buffers: Params,
    split: Split,
    counts: SurfaceCounts,
    *,
    limit: int | None = None,
    key: jax.Array | None = None,
    progress: Progress = silent,
    counted: Callable[[SurfaceCounts], None] = lambda _: None,
) -> SurfaceCounts:
    """Count the puzzles of `split` that `counts` does not hold yet, up to `limit`; `counted` is called on the
    way, so that an evaluation can be gone on with. `key`: of what is random; default that of the run's seed.

    The grid of `counts` must be one of `budget`. Raises UserError as `Budget.check` and `decoders_for` do,
    but decoders that compare samples may stand beside budgets of one.
    """
    task = task_of(config.data)
    decoders_for(counts.decoders, budget, task)
    began, waiting = time.perf_counter(), list[Candidates]()

    def count() -> None:
        nonlocal began
        counts.add(_joined(waiting))
        waiting.clear()
        now = time.perf_counter()
        counts.seconds, began = counts.seconds + now - began, now
        counted(counts)

    first = counts.puzzles
    for answers in Predictor(config, budget)(params, buffers, split, limit, progress, key, first):
        end = first + answers.q_halt.shape[2]
        asked = split.inputs[first:end], split.labels[first:end]
        waiting.append(judged_candidates(task, answers, *asked, counts.decoders)[0])
        first = end
        if sum(each.q_halt.shape[2] for each in waiting) >= AT_ONCE:
            count()
    if waiting:
        count()
    return counts


def _joined(parts: Sequence[Candidates]) -> Candidates:
    return Candidates(
        *(
            None if leaves[0] is None else np.concatenate(leaves, axis=2)
            for leaves in zip(*parts, strict=True)
        )  # type: ignore[arg-type]
    )


def _doublings(most: int) -> tuple[int, ...]:
    return (*(2**power for power in range(most.bit_length()) if 2**power < most), most)
