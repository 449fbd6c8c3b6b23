"""The public code's ARC folder, read as a dataset.

It stores every augmentation as tokens. Only the originals are read, and `identifiers.json` says what the rest
were, so that a public checkpoint's table of embeddings fits.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_scaling.errors import UserError
from trm_scaling.tasks.arc.collection import ArcTask, Pair, assign_splits
from trm_scaling.tasks.arc.dataset import ArcDataset
from trm_scaling.tasks.arc.description import MAX_SIDE, VOCAB_SIZE, ArcData
from trm_scaling.tasks.arc.identifiers import IdentifierMap
from trm_scaling.tasks.arc.splits import built_of
from trm_scaling.tasks.arc.tokens import FIRST_COLOUR
from trm_scaling.tasks.dataset import Dataset, fingerprint
from trm_scaling.tasks.manifest import Manifest, SplitManifest

PUBLIC_IDENTIFIERS = "identifiers.json"

HELD_OUT = 50
"""Tasks, of those that are not tested, of which one pair is held out: the public folder has no validation."""

_TESTED = "tested"
_SEQ_LEN = MAX_SIDE * MAX_SIDE
_ARRAYS = ("inputs", "labels", "puzzle_identifiers", "puzzle_indices")


def is_arc_folder(path: Path) -> bool:
    """Whether `path` is a folder that the public ARC builder wrote: its metadata has ARC's sizes."""
    metadata = _json(path / "train" / "dataset.json")
    sizes = (metadata.get("vocab_size"), metadata.get("seq_len")) if isinstance(metadata, dict) else ()
    return sizes == (VOCAB_SIZE, _SEQ_LEN) and (path / PUBLIC_IDENTIFIERS).is_file()


def open_arc_folder(path: Path) -> Dataset:
    """The folder as a dataset. Raises UserError as `read_public` does."""
    made = read_public(path, val_size=HELD_OUT)
    most = int(np.diff(made.identifiers.start).max()) - 1
    data = ArcData(path=str(path), num_aug=most, side=MAX_SIDE, puzzle_ids=len(made.identifiers))
    built = built_of(made, data)
    from trm_scaling.tasks.arc.task import Arc

    manifest = Manifest(
        task="arc",
        layout="public",
        source=str(path),
        rated_by="nobody",
        regime=f"{len(made.train.pair)} training pairs, up to {most} augmentations each, made on the device",
        seed=made.seed,
        board=Arc(data).board,
        num_aug=most,
        wish="unknown",
        splits={name: SplitManifest(count=len(split), ratings=None) for name, split in built.splits.items()},
        about=dict(built.about),
        fingerprint=fingerprint(Arc(data), most, built.splits, built.files),
        files={PUBLIC_IDENTIFIERS: hashlib.sha256((path / PUBLIC_IDENTIFIERS).read_bytes()).hexdigest()},
    )
    return Dataset(path, manifest, built.splits["train"], built.splits["val"], built.splits["test"])


def read_identifiers(folder: Path) -> IdentifierMap:
    """The map of a public folder. Raises UserError for one that is not in the public form."""
    return read_map(folder / PUBLIC_IDENTIFIERS)


def read_map(file: Path) -> IdentifierMap:
    """A map of identifiers: the public `identifiers.json`, or the `.npz` of a dataset or checkpoint of ours.

    Raises UserError for a file that is neither.
    """
    if file.suffix == ".npz":
        return IdentifierMap.load(file)
    return IdentifierMap.from_names(_json(file), str(file))


def read_public(folder: Path, seed: int = 0, val_size: int = 0) -> ArcDataset:
    """The dataset that the public builder wrote: its identifiers, and the original grids from its tokens.

    The public folder does not keep offsets apart from tokens: training examples get new ones, drawn from
    `seed`. Test pairs of other subsets are not told from demonstrations; both are trained on. `val_size`: as
    in `assign_splits`, or as many tasks as there are.

    Raises `UserError` for a folder that lacks a file or does not fit its own identifiers.
    """
    identifiers = read_identifiers(folder)
    pairs: list[list[Pair]] = [[] for _ in identifiers.tasks]
    tested: set[int] = set()
    for split in ("train", "test"):
        arrays = {name: _array(folder / split / f"all__{name}.npy") for name in _ARRAYS}
        place = np.full(len(identifiers), -1)
        if arrays["puzzle_identifiers"].max(initial=0) >= len(identifiers):
            raise UserError(
                f"{folder / split}: an identifier beyond the {len(identifiers):,} of {PUBLIC_IDENTIFIERS}"
            )
        place[arrays["puzzle_identifiers"]] = np.arange(len(arrays["puzzle_identifiers"]))
        for number, original in enumerate(identifiers.start[:-1]):
            if place[original] < 0:
                continue
            if split == "test":
                tested.add(number)
            first, after = arrays["puzzle_indices"][place[original] : place[original] + 2]
            for row in range(first, after):
                source, answer = (
                    _placed_grid(arrays[name][row], folder / split, row) for name in ("inputs", "labels")
                )
                pairs[number].append(Pair(source, answer, is_test=split == "test"))
    tasks = [
        ArcTask(name, _TESTED if number in tested else "", tuple(pairs[number]))
        for number, name in enumerate(identifiers.tasks)
    ]
    able = sum(task.subset != _TESTED and len(task.pairs) > 1 for task in tasks)
    return ArcDataset(assign_splits(tasks, _TESTED, min(val_size, able), seed), identifiers, seed)


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file} is not readable JSON ({error}); copy the public dataset folder again"
        ) from error


def _array(file: Path) -> NDArray[Any]:
    try:
        # A map: the inputs of 1,000 augmentations are over a gigabyte, and only the originals are read.
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise UserError(
            f"{file} is not a readable array ({error}); copy the public dataset folder again"
        ) from error


def _placed_grid(tokens: NDArray[Any], where: Path, row: int) -> NDArray[np.uint8]:
    """The grid that lies anywhere in 900 tokens."""
    square = (
        np.asarray(tokens).reshape(MAX_SIDE, MAX_SIDE)
        if len(tokens) == _SEQ_LEN
        else np.zeros((MAX_SIDE, MAX_SIDE))
    )
    filled = (square >= FIRST_COLOUR) & (square < VOCAB_SIZE)
    rows, cols = np.flatnonzero(filled.any(axis=1)), np.flatnonzero(filled.any(axis=0))
    if not rows.size or not filled[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].all():
        raise UserError(
            f"{where}: row {row} holds no rectangle of colours in {_SEQ_LEN} tokens; name a public ARC folder"
        )
    grid = square[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] - FIRST_COLOUR
    return grid.astype(np.uint8)
