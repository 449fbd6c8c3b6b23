"""Our own folder layout: `manifest.json` and one small `.npz` a split, training puzzles not augmented."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trm_scaling.io.disk_errors import ARRAY_ERRORS
from trm_scaling.tasks.dataset import MANIFEST, Dataset, Split, check_split, task_for
from trm_scaling.tasks.manifest import (
    SPLIT_NAMES,
    Manifest,
    SplitName,
    damaged,
    parse_manifest,
    sha256,
    unreadable_is_damage,
)

_HEADERS_BYTES = 2**16
"""More than the `.npy` headers of a split's arrays take."""


def write_compact(
    folder: Path, splits: dict[SplitName, Split], further: Mapping[str, bytes]
) -> dict[str, str]:
    """Write one `.npz` per split and `further` files into `folder`; returns the sha256 of each by name."""
    files: dict[str, str] = {}
    for file, content in further.items():
        (folder / file).write_bytes(content)
        files[file] = sha256(content)
    for name in SPLIT_NAMES:
        split = splits[name]
        buffer = io.BytesIO()
        numbers = {} if split.difficulty is None else {"ratings": split.difficulty}
        if split.puzzle_ids.any():
            numbers["puzzle_ids"] = split.puzzle_ids
        np.savez_compressed(buffer, allow_pickle=False, inputs=split.inputs, labels=split.labels, **numbers)
        data = buffer.getvalue()
        (folder / f"{name}.npz").write_bytes(data)
        files[f"{name}.npz"] = sha256(data)
    return files


def read_compact(path: Path) -> Dataset:
    """Open a folder of this layout. Raises UserError when it is damaged or of another version."""
    manifest = parse_manifest(path / MANIFEST)
    task = task_for(path, manifest.task, manifest.board)
    splits: dict[SplitName, Split] = {}
    for name in SPLIT_NAMES:
        data = verified_bytes(path, f"{name}.npz", manifest)
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                unpacked = sum(member.file_size for member in arrays.zip.infolist())
                most = _HEADERS_BYTES + manifest.splits[name].count * (2 * task.spec.seq_len + 2) * 8
                if unpacked > most:
                    raise damaged(
                        path / f"{name}.npz",
                        f"unpacks to {unpacked:,} bytes, more than {manifest.splits[name].count:,} puzzles "
                        f"take ({most:,} at most)",
                    )
                ids = arrays["puzzle_ids"].astype(np.int32) if "puzzle_ids" in arrays else None
                splits[name] = Split(arrays["inputs"], arrays["labels"], arrays.get("ratings"), ids)  # type: ignore[arg-type]
        except ARRAY_ERRORS as error:
            raise damaged(path / f"{name}.npz", f"not the arrays expected ({error})") from error
        check_split(path / f"{name}.npz", splits[name], task)
        if len(splits[name]) != manifest.splits[name].count:
            raise damaged(
                path, f"{name} holds {len(splits[name])} puzzles, not {manifest.splits[name].count}"
            )
    return Dataset(path, manifest, splits["train"], splits["val"], splits["test"])


def verified_bytes(path: Path, name: str, manifest: Manifest) -> bytes:
    """The contents of a file of the folder, once they have the checksum of the manifest."""
    file = path / name
    with unreadable_is_damage(file):
        if not file.is_file():
            raise damaged(file, "missing")
        data = file.read_bytes()
    if sha256(data) != manifest.files.get(name):
        raise damaged(file, f"not the {name} that was written (its sha256 differs from the manifest's)")
    return data
