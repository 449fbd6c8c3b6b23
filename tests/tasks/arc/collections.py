"""The mini collections whose datasets and evaluations the public code made, opened as ours."""

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_scaling.tasks.arc.collection import ArcTask, assign_splits, read_tasks
from trm_scaling.tasks.arc.dataset import ArcDataset
from trm_scaling.tasks.arc.identifiers import IdentifierMap

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "tasks" / "arc"
BUILDS = ("arc_build", "arc_edge_build")
_TASKS = {"arc_build": "arc_tasks", "arc_edge_build": "arc_edge_tasks"}
_TEST_SUBSET = "evaluation"


def arrays(name: str) -> dict[str, NDArray[Any]]:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def content(name: str) -> Any:
    packed = GOLDEN / f"{name}.json.gz"
    return json.loads(
        gzip.decompress(packed.read_bytes()) if packed.exists() else (GOLDEN / f"{name}.json").read_text()
    )


@cache
def mini_tasks(build: str) -> dict[str, ArcTask]:
    subsets = content(_TASKS[build])
    return {
        task.name: task
        for subset, files in subsets.items()
        for task in read_tasks(files["challenges"], files["solutions"], subset, build)
    }


@cache
def mini_dataset(build: str) -> ArcDataset:
    """The public build's tasks and identifiers; offsets are ours."""
    identifiers = IdentifierMap.from_names(content(build)["identifiers"], build)
    tasks = mini_tasks(build)
    ordered = assign_splits([tasks[name] for name in identifiers.tasks], _TEST_SUBSET, 0, 0)
    return ArcDataset(ordered, identifiers, seed=0)


def rows_of(build: str, split: str) -> dict[str, NDArray[Any]]:
    """The public rows taken apart: source grids, transformations and offsets."""
    taken = arrays("arc_examples" if build == "arc_build" else build)
    return {
        key.removeprefix(f"{split}/"): value for key, value in taken.items() if key.startswith(f"{split}/")
    }


def shapes_of(squares: NDArray[np.uint8]) -> NDArray[np.int32]:
    """[N, 2] of grids at the top left of squares that hold 255 elsewhere."""
    rows, cols = (squares[:, :, 0] != 255).sum(axis=1), (squares[:, 0, :] != 255).sum(axis=1)
    return np.stack([rows, cols], axis=1).astype(np.int32)
