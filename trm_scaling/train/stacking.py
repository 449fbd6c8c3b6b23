"""Several runs side by side in one program: their arrays along a first axis of runs."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

Tree = TypeVar("Tree")


class Stacking:
    """Joins the pytrees of `runs` runs, and takes a run's part out again.

    A single run stays as it is: its program is then the one that it has always been, bit for bit.
    """

    def __init__(self, runs: int) -> None:
        self.runs = runs

    def join(self, trees: Sequence[Tree]) -> Tree:
        """Equal pytrees of arrays, one a run, as one."""
        return trees[0] if self.runs == 1 else _joined(tuple(trees))

    def part(self, tree: Tree, run: int) -> Tree:
        """Copies of what belongs to `run` (from 0)."""
        return tree if self.runs == 1 else _part(tree, jnp.int32(run))

    def on_host(self, arrays: Mapping[str, Array]) -> list[dict[str, np.ndarray]]:
        """What belongs to each run. Waits for `arrays`, and not for what was dispatched after them."""
        read = {name: np.asarray(array) for name, array in arrays.items()}
        if self.runs == 1:
            return [read]
        return [{name: array[run] for name, array in read.items()} for run in range(self.runs)]


@jax.jit
def _joined(trees: tuple[Tree, ...]) -> Tree:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@jax.jit
def _part(tree: Tree, run: Int[Array, ""]) -> Tree:
    # The number is data: one program takes out every run.
    return jax.tree.map(lambda leaf: leaf[run], tree)
