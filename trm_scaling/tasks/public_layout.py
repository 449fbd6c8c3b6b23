"""The folder layout of the public TRM code (its `dataset/build_*_dataset.py`), both ways.

    train/dataset.json  train/all__inputs.npy ...  test/...  identifiers.json

A group is a puzzle, a "puzzle" one of its stored augmentations, and every one has one example. The
public loader casts what it reads to int32, so tokens are stored as uint8: an eighth of its own
int64 files. Ours adds `val/`, `all__ratings.npy` and `manifest.json`, which that loader ignores.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from trm_scaling.io.disk_errors import ARRAY_ERRORS
from trm_scaling.tasks.dataset import MANIFEST, Dataset, Split, Tokens, check_split, fingerprint, task_for
from trm_scaling.tasks.folder import Progress
from trm_scaling.tasks.manifest import (
    SPLIT_NAMES,
    Manifest,
    SplitManifest,
    SplitName,
    damaged,
    histogram,
    parse_manifest,
    sha256_file,
    unreadable_is_damage,
)
from trm_scaling.tasks.task import Task

PAD_TOKEN = 0

_BLOCK = 65_536
"""Examples augmented in one device call: about 0.1 s and 40 MB on a CPU."""

_METADATA_KEYS = ("pad_id", "ignore_label_id", "vocab_size", "seq_len", "sets")


def write_public(
    folder: Path, splits: dict[SplitName, Split], task: Task, num_aug: int, seed: int, progress: Progress
) -> dict[str, str]:
    """Write splits into `folder`, train with its augmentations 0..num_aug applied.

    The rows are what `Task.augment` gives on the device, puzzle by puzzle.

    Returns:
        the sha256 of every file, by its path in the folder.
    """
    for name in SPLIT_NAMES:
        (folder / name).mkdir()
        images = 1 + (num_aug if name == "train" else 0)
        _write_tokens(folder / name, splits[name], images, task, seed, progress)
        count = len(splits[name])
        examples = count * images
        arrays: dict[str, NDArray[np.int32]] = {
            "puzzle_identifiers": np.repeat(splits[name].puzzle_ids, images),
            "puzzle_indices": np.arange(examples + 1, dtype=np.int32),
            "group_indices": np.arange(count + 1, dtype=np.int32) * np.int32(images),
        }
        if (difficulty := splits[name].difficulty) is not None:
            arrays["ratings"] = difficulty
        for field, array in arrays.items():
            np.save(folder / name / f"all__{field}.npy", array, allow_pickle=False)
        metadata = {
            "pad_id": PAD_TOKEN,
            "ignore_label_id": PAD_TOKEN,
            "blank_identifier_id": 0,
            "vocab_size": task.spec.vocab_size,
            "seq_len": task.spec.seq_len,
            "num_puzzle_identifiers": task.spec.num_puzzle_ids,
            "total_groups": count,
            "mean_puzzle_examples": 1,
            # The public builder counts groups here too, and its trainer computes epochs from it.
            "total_puzzles": count,
            "sets": ["all"],
        }
        (folder / name / "dataset.json").write_text(json.dumps(metadata) + "\n")
    (folder / "identifiers.json").write_text('["<blank>"]\n')
    return {
        str(path.relative_to(folder)): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _write_tokens(folder: Path, split: Split, images: int, task: Task, seed: int, progress: Progress) -> None:
    if images == 1:
        np.save(folder / "all__inputs.npy", split.inputs, allow_pickle=False)
        np.save(folder / "all__labels.npy", split.labels, allow_pickle=False)
        return
    import jax

    augment = jax.jit(task.augment)
    total = len(split) * images
    inputs, labels = (
        open_memmap(folder / f"all__{field}.npy", mode="w+", dtype=np.uint8, shape=(total, task.spec.seq_len))
        for field in ("inputs", "labels")
    )
    for start in range(0, total, _BLOCK):
        # The last block wraps around rather than being shorter, so that one program is compiled.
        example = np.arange(start, start + min(_BLOCK, total)) % total
        puzzle, index = example // images, example % images
        made = augment(
            np.uint32(seed),
            puzzle.astype(np.int32),
            index.astype(np.int32),
            split.inputs[puzzle],
            split.labels[puzzle],
        )
        stop = min(start + _BLOCK, total)
        inputs[start:stop] = np.asarray(made[0])[: stop - start]
        labels[start:stop] = np.asarray(made[1])[: stop - start]
        progress("writing augmentations", stop, total)
    inputs.flush()
    labels.flush()


def is_public(path: Path) -> bool:
    """Whether a folder has the public layout."""
    return (path / "train" / "dataset.json").is_file()


def read_public(path: Path, infer: Callable[[dict[str, Any], Split], Task]) -> Dataset:
    """Open a folder in the public layout, the public builder's own or ours.

    A folder without `val/` has an empty validation split; without stored ratings they are None. Where no
    manifest says what the puzzles are, `infer` does, of the metadata and the training split.

    Raises:
        UserError: a file is missing, damaged or foreign, or what `infer` raises.
    """
    metadata = read_metadata(path)
    manifest = parse_manifest(path / MANIFEST) if (path / MANIFEST).is_file() else None
    if manifest is not None:
        for name, checksum in manifest.files.items():
            with unreadable_is_damage(path / name):
                if not (path / name).is_file():
                    raise damaged(path / name, "missing")
                found = sha256_file(path / name)
            if found != checksum:
                raise damaged(
                    path / name, "not the file that was written (its sha256 differs from the manifest's)"
                )
    raw = {name: _read_split(path / name, metadata) for name in SPLIT_NAMES if (path / name).is_dir()}
    train, group_start = raw["train"]
    task = infer(metadata, train) if manifest is None else task_for(path, manifest.task, manifest.board)
    empty = Split(train.inputs[:0], train.labels[:0])
    splits = {name: raw[name][0] if name in raw else empty for name in SPLIT_NAMES}
    for name, split in splits.items():
        check_split(path / name, split, task)
    if manifest is None:
        manifest = _describe(path, task, splits, group_start)
    return Dataset(path, manifest, splits["train"], splits["val"], splits["test"], group_start)


def read_metadata(folder: Path) -> dict[str, Any]:
    """What the public builder says of the training puzzles of `folder`. Raises DamagedDataset."""
    path = folder / "train" / "dataset.json"
    try:
        with unreadable_is_damage(path):
            metadata = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"no JSON ({error})") from error
    missing = [key for key in _METADATA_KEYS if not isinstance(metadata, dict) or key not in metadata]
    if missing:
        raise damaged(path, f"not the public layout's metadata (lacks {', '.join(missing)})")
    odd = [key for key in ("vocab_size", "seq_len") if type(metadata[key]) is not int]
    if odd:
        raise damaged(path, f"{odd[0]} is {metadata[odd[0]]!r:.40}, no whole number")
    if metadata["pad_id"] != PAD_TOKEN or metadata["ignore_label_id"] not in (PAD_TOKEN, None):
        raise damaged(
            path, f"pad_id {metadata['pad_id']} and ignore_label_id {metadata['ignore_label_id']}, not 0"
        )
    if metadata["sets"] != ["all"]:
        raise damaged(path, f"sets {metadata['sets']}, where there is one set, 'all'")
    return metadata


def _read_split(folder: Path, metadata: dict[str, Any]) -> tuple[Split, NDArray[np.int64]]:
    """The rows of a split, and where each group of them starts [G + 1]."""
    inputs, labels = (_read_tokens(folder / f"all__{field}.npy", metadata) for field in ("inputs", "labels"))
    puzzles, groups = (_load_numbers(folder / f"all__{field}_indices.npy") for field in ("puzzle", "group"))
    for name, index, end in (("group", groups, len(puzzles) - 1), ("puzzle", puzzles, len(inputs))):
        if not index.size or index[0] != 0 or index[-1] != end or (np.diff(index) <= 0).any():
            raise damaged(folder / f"all__{name}_indices.npy", f"does not cut 0..{end} into ranges")
    identifiers = _load_numbers(folder / "all__puzzle_identifiers.npy").astype(np.int32)
    if len(identifiers) != len(puzzles) - 1 or (identifiers < 0).any():
        raise damaged(folder / "all__puzzle_identifiers.npy", f"no identifiers of {len(puzzles) - 1} puzzles")
    ratings_file = folder / "all__ratings.npy"
    ratings = _load_numbers(ratings_file).astype(np.int32) if ratings_file.is_file() else None
    group_start = puzzles[groups]
    if ratings is not None:
        if len(ratings) != len(groups) - 1:
            raise damaged(ratings_file, f"{len(ratings)} ratings for {len(groups) - 1} puzzles")
        ratings = np.repeat(ratings, np.diff(group_start))
    return Split(inputs, labels, ratings, np.repeat(identifiers, np.diff(puzzles))), group_start


def _read_tokens(path: Path, metadata: dict[str, Any]) -> Tokens:
    stored = _load(path)
    if stored.ndim != 2 or stored.shape[1] != metadata["seq_len"] or stored.dtype.kind not in "iu":
        raise damaged(path, f"{stored.dtype} {stored.shape}, not integers [examples, {metadata['seq_len']}]")
    tokens = np.empty(stored.shape, dtype=np.uint8)
    for start in range(0, len(stored), _BLOCK):
        block = stored[start : start + _BLOCK]
        if block.min() < 0 or block.max() >= metadata["vocab_size"]:
            raise damaged(path, f"tokens {block.min()}..{block.max()}, vocabulary {metadata['vocab_size']}")
        tokens[start : start + _BLOCK] = block
    return tokens


def _load_numbers(path: Path) -> NDArray[np.int64]:
    """An array [N] of whole numbers that 32 bits hold."""
    stored = _load(path)
    if stored.ndim != 1 or stored.dtype.kind not in "iu":
        raise damaged(path, f"{stored.dtype} {stored.shape}, not a row of whole numbers")
    if stored.size and not -(2**31) <= stored.min() <= stored.max() < 2**31:
        raise damaged(path, f"numbers from {stored.min()} to {stored.max()}, more than 32 bits hold")
    return stored.astype(np.int64)


def _load(path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise damaged(path, "missing")
    try:
        # Rather than np.load, which takes archives too and leaves a file open that it fails to read.
        return open_memmap(path, mode="r")
    except PermissionError:
        raise
    except ARRAY_ERRORS as error:
        raise damaged(path, f"no readable array ({error})") from error


def _describe(
    path: Path, task: Task, splits: dict[SplitName, Split], group_start: NDArray[np.int64]
) -> Manifest:
    """The manifest that the public builder did not write; what it does not tell is None."""
    num_aug = int(np.diff(group_start).max()) - 1 if len(group_start) > 1 else 0
    counts = {name: len(split) for name, split in splits.items()} | {"train": len(group_start) - 1}
    return Manifest(
        layout="public",
        task=task.data.task,
        source=path.name,
        rated_by="nobody",
        regime=f"{counts['train']} puzzles with up to {num_aug} stored augmentations",
        seed=None,
        board=task.board,
        num_aug=num_aug,
        wish="unknown",
        splits={
            name: SplitManifest(
                count=counts[name],
                ratings=None if split.difficulty is None else histogram(split.difficulty),
            )
            for name, split in splits.items()
        },
        fingerprint=fingerprint(task, num_aug, splits),
        files={},
    )
