"""Maze folders as the public TRM code writes and reads them (`dataset/build_maze_dataset.py` there).

    train/dataset.json  train/all__inputs.npy ...  test/...  identifiers.json

A group is a maze, a "puzzle" one of its stored images, and each has one example. Tokens are stored as
uint8, which the public loader casts to int32. Ours adds `val/`, `all__ratings.npy` and `manifest.json`,
which it ignores.
"""

import json
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from trm_scaling.errors import UserError
from trm_scaling.io.disk_errors import ARRAY_ERRORS
from trm_scaling.tasks.manifest import SPLIT_NAMES, damaged, unreadable_is_damage
from trm_scaling.tasks.maze.board import FREE, GOAL, MAX_SIDE, MIN_SIDE, PAD, PATH, START, VOCAB_SIZE, WALL
from trm_scaling.tasks.maze.splits import MazeSplit, Splits, split_of

_MOST_MAZES = 10_000_000
"""Rows of a file beyond which its header is taken for damage."""


def public_arrays(split: MazeSplit) -> dict[str, NDArray[Any]]:
    """The five arrays that the public builder makes of these rows, by their names there."""
    starts = np.flatnonzero(np.diff(split.group, prepend=-1))
    return {
        "inputs": split.inputs,
        "labels": split.labels,
        "puzzle_identifiers": split.puzzle_ids,
        "puzzle_indices": np.arange(len(split) + 1, dtype=np.int32),
        "group_indices": np.append(starts, len(split)).astype(np.int32),
    }


def write_public(folder: Path, splits: Splits) -> None:
    """Write the splits into `folder`, which exists and is empty. A split without mazes has no folder."""
    for name, split in splits.items():
        if not len(split):
            continue
        (folder / name).mkdir()
        for field, array in {**public_arrays(split), "ratings": split.difficulty}.items():
            np.save(folder / name / f"all__{field}.npy", array, allow_pickle=False)
        metadata = {
            "pad_id": PAD,
            "ignore_label_id": PAD,
            "blank_identifier_id": 0,
            "vocab_size": VOCAB_SIZE,
            "seq_len": split.inputs.shape[1],
            "num_puzzle_identifiers": 1,
            "total_groups": split.num_mazes,
            "mean_puzzle_examples": 1,
            # The public builder counts groups here too, and its trainer computes epochs from it.
            "total_puzzles": split.num_mazes,
            "sets": ["all"],
        }
        (folder / name / "dataset.json").write_text(json.dumps(metadata) + "\n")
    (folder / "identifiers.json").write_text('["<blank>"]\n')


def is_maze_folder(path: Path) -> bool:
    """Whether a folder of the public layout says that it holds mazes. A 4x4 Sudoku has 6 tokens as well."""
    try:
        metadata = json.loads((path / "train" / "dataset.json").read_text())
    except (OSError, ValueError, RecursionError):
        return False
    return (
        isinstance(metadata, dict)
        and metadata.get("vocab_size") == VOCAB_SIZE
        and isinstance(length := metadata.get("seq_len"), int)
        and length >= MIN_SIDE**2
    )


def read_public(path: Path) -> Splits:
    """The splits of a folder in the public layout, ours or the public builder's; those that it lacks are
    empty.

    Raises:
        DamagedDataset: a file is missing, unreadable, or contradicts another.
        UserError: no folder of mazes.
    """
    if not is_maze_folder(path):
        raise UserError(f"{path} is no folder of mazes; build one with `trm data maze --output-dir {path}`")
    found = {name: _read_split(path / name) for name in SPLIT_NAMES if (path / name).is_dir()}
    sizes = {split.side for split in found.values()}
    if len(sizes) > 1:
        raise damaged(path, f"mazes of {len(sizes)} sizes, sides {sorted(sizes)}")
    none = found["train"].inputs[:0]
    return {name: found.get(name, split_of(none, none)) for name in SPLIT_NAMES}


def _read_split(folder: Path) -> MazeSplit:
    arrays = {
        name: _load(folder / f"all__{name}.npy")
        for name in ("inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices")
    }
    inputs, labels = arrays["inputs"], arrays["labels"]
    if inputs.ndim != 2 or inputs.shape != labels.shape or len(inputs) > _MOST_MAZES:
        raise damaged(folder, f"inputs {inputs.shape} and labels {labels.shape} are not two equal [N, C]")
    side = isqrt(inputs.shape[1])
    if side * side != inputs.shape[1] or not MIN_SIDE <= side <= MAX_SIDE:
        raise damaged(folder, f"{inputs.shape[1]} cells are no square of {MIN_SIDE} to {MAX_SIDE} a side")
    check_rows(folder, inputs, labels)
    count = len(inputs)
    if not np.array_equal(arrays["puzzle_indices"], np.arange(count + 1)):
        raise damaged(folder / "all__puzzle_indices.npy", f"not 0 to {count}: a maze has one example")
    starts = arrays["group_indices"].astype(np.int64)
    if starts.ndim != 1 or not starts.size or starts[0] != 0 or starts[-1] != count:
        raise damaged(folder / "all__group_indices.npy", f"does not cut 0 to {count} into ranges")
    if (np.diff(starts) <= 0).any():
        raise damaged(folder / "all__group_indices.npy", "does not increase")
    if arrays["puzzle_identifiers"].shape != (count,) or arrays["puzzle_identifiers"].any():
        raise damaged(
            folder / "all__puzzle_identifiers.npy", f"not {count} zeros: mazes share one identifier"
        )
    ratings = folder / "all__ratings.npy"
    rated = split_of(inputs.astype(np.uint8), labels.astype(np.uint8))
    difficulty = _load(ratings).astype(np.int32) if ratings.is_file() else rated.difficulty
    if difficulty.shape != (count,):
        raise damaged(ratings, f"shape {difficulty.shape}, not ({count},)")
    sizes = np.diff(starts)
    group = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    return MazeSplit(rated.inputs, rated.labels, rated.puzzle_ids, group, difficulty)


def check_rows(folder: Path, inputs: NDArray[Any], labels: NDArray[Any]) -> None:
    """Raise DamagedDataset for the first row that is no maze, or whose label is not that maze with a path."""
    allowed = np.isin(inputs, (WALL, FREE, START, GOAL)).all(axis=1)
    one_of_each = ((inputs == START).sum(axis=1) == 1) & ((inputs == GOAL).sum(axis=1) == 1)
    same = ((labels == inputs) | ((labels == PATH) & (inputs == FREE))).all(axis=1)
    for name, fine in (
        ("holds a token that no maze has", allowed),
        ("has not one start and one goal", one_of_each),
        ("has a label that is not the maze with a path in free cells", same),
    ):
        if not fine.all():
            raise damaged(folder, f"row {int(np.argmin(fine))} {name}")


def _load(path: Path) -> NDArray[Any]:
    """A file of whole numbers, as it is stored."""
    try:
        with unreadable_is_damage(path):
            # Rather than np.load, which takes archives too and leaves a file open that it fails to read.
            stored = np.array(open_memmap(path, mode="r"))
    except FileNotFoundError as error:
        raise damaged(path, "missing") from error
    except PermissionError:
        raise
    except ARRAY_ERRORS as error:
        raise damaged(path, f"no readable array ({error})") from error
    if stored.dtype.kind not in "iu":
        raise damaged(path, f"{stored.dtype}, not whole numbers")
    return stored
