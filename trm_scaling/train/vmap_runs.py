"""Several runs in one program: side by side along a first axis of runs, or one trajectory for all."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from trm_scaling.config import RunConfig
from trm_scaling.config.traced_fields import are_one_trajectory, refuse_other_programs
from trm_scaling.errors import UserError
from trm_scaling.optim import TracedHparams
from trm_scaling.train.state import TrainState, trajectory_digest

Tree = TypeVar("Tree")


class Stacking:
    """Joins the pytrees of `runs` runs, and takes a run's part out again.

    A single run stays as it is: its program is then the one that it has always been, bit for bit.
    """

    def __init__(self, runs: int) -> None:
        self.runs = runs
        self.streams = runs
        """Trainings that the program makes: the first so many runs are asked for what they are fed."""

    def join(self, trees: Sequence[Tree]) -> Tree:
        """Equal pytrees of arrays, one a stream, as one."""
        return trees[0] if len(trees) == 1 else _joined(tuple(trees))

    def join_states(self, states: Sequence[TrainState]) -> TrainState:
        """The states of all runs as one."""
        return self.join(states)

    def join_hyper(self, hypers: Sequence[TracedHparams]) -> TracedHparams:
        """The numbers of all runs as one."""
        return self.join(hypers)

    def part(self, state: TrainState, run: int) -> TrainState:
        """Copies of what belongs to `run` (from 0)."""
        return state if self.runs == 1 else _part(state, jnp.int32(run))

    def on_host(self, arrays: Mapping[str, Array]) -> list[dict[str, np.ndarray]]:
        """What belongs to each run. Waits for `arrays`, and not for what was dispatched after them."""
        read = {name: np.asarray(array) for name, array in arrays.items()}
        if self.runs == 1:
            return [read]
        return [{name: array[run] for name, array in read.items()} for run in range(self.runs)]


class OneTrajectory(Stacking):
    """Runs that differ in the average alone: they are trained once, and each keeps its own average of that.

    The program is that of a single run with further averages (`RunConfig.ema_rates`).
    """

    def __init__(self, configs: Sequence[RunConfig]) -> None:
        super().__init__(len(configs))
        self.streams = 1
        averaged = [number for number, config in enumerate(configs) if config.ema]
        self._place = {run: place for place, run in enumerate(averaged)}
        """Run -> which of the averages is its own; a run without one is not there."""

    def join_states(self, states: Sequence[TrainState]) -> TrainState:
        """Raises UserError for runs that have come to other weights, trained apart by other programs."""
        first, *others = states
        if int(first.step) and {trajectory_digest(each) for each in others} != {trajectory_digest(first)}:
            raise UserError(
                f"the runs were trained apart until step {int(first.step)}, and their weights differ: "
                "finish them --apart"
            )
        return replace(first, ema=None, emas=tuple(each.ema for each in states if each.ema is not None))

    def join_hyper(self, hypers: Sequence[TracedHparams]) -> TracedHparams:
        return replace(hypers[0], ema_rates=tuple(hypers[run].ema_rate for run in self._place))

    def part(self, state: TrainState, run: int) -> TrainState:
        place = self._place.get(run)
        return replace(state, ema=None if place is None else state.emas[place], emas=())

    def on_host(self, arrays: Mapping[str, Array]) -> list[dict[str, np.ndarray]]:
        return [{name: np.asarray(array) for name, array in arrays.items()}] * self.runs


def stacking_of(configs: Sequence[RunConfig]) -> Stacking:
    """How runs of `configs` are one program. Raises UserError when no program can train them all."""
    if are_one_trajectory(configs):
        return OneTrajectory(configs)
    refuse_other_programs(configs)
    return Stacking(len(configs))


@jax.jit
def _joined(trees: tuple[Tree, ...]) -> Tree:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@jax.jit
def _part(tree: Tree, run: Int[Array, ""]) -> Tree:
    # The number is data: one program takes out every run.
    return jax.tree.map(lambda leaf: leaf[run], tree)
