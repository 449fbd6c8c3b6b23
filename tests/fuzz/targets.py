"""What is read that others wrote: valid files of each kind, how to change them, and what reads them."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import yaml

from tests.fuzz.mutation import Change, altered, altered_json, altered_npy, altered_npz, npy, torn
from trm_scaling.config import RunConfig
from trm_scaling.config.compose import dump, load
from trm_scaling.io.jsonl import read_jsonl, truncate_after
from trm_scaling.models.interchange import read_tensors
from trm_scaling.results.csv_file import read_results
from trm_scaling.results.outcomes import read_outcomes
from trm_scaling.results.record import read_record
from trm_scaling.results.wandb_export import parse_wandb_export
from trm_scaling.tasks.folder import silent
from trm_scaling.tasks.opening import open_dataset
from trm_scaling.tasks.sudoku.board import Shape
from trm_scaling.tasks.sudoku.sources import open_list

SHAPE = Shape(2, 2)
SOLUTION = "1234341221434321"
PUZZLES = ("1234341221434320", "0234341221434321", "1.34341221434321")


@dataclass(frozen=True)
class Target:
    """One kind of file or folder."""

    name: str
    files: Mapping[str, bytes]
    """A valid one: path in its folder -> content."""
    read: Callable[[Path], object]
    """What reads the folder."""
    grammars: Mapping[str, Change] = field(default_factory=dict)
    """By the ending of a file: how to change it into another of its kind."""
    sealed: Callable[[dict[str, bytes]], None] = lambda files: None
    """Put checksums right after a change, so that what lies behind them is reached."""


def targets() -> list[Target]:
    """All of them; those of PyTorch files only where torch is."""
    return [
        *_tables(),
        *_puzzle_lists(),
        public_folder(),
        compact_folder(),
        *_state_dicts(),
        Target(
            "records of a run",
            {"config.yaml": dump(RunConfig()).encode(), "metrics.jsonl": _metrics(), "result.json": b"{}"},
            _read_run,
            {".yaml": _altered_yaml, ".jsonl": _altered_line, ".json": altered_json},
        ),
        Target(
            "test outcomes",
            {"test_outcomes.npz": _outcomes()},
            read_outcomes,
            {".npz": altered_npz},
        ),
    ]


def _tables() -> list[Target]:
    header = ["experiment", "identity", "profile", "seed", "state", "test_accuracy", "note"]
    rows = [
        ["exp01a", "0123abcd", "smoke", "0", "finished", "0.5", "'=x"],
        ["exp01b", "", "", "", "", "", ""],
    ]
    shown = [
        ["Name", "State", "Notes", "Tags", "Created", "Runtime", "arch.hidden_size", "eval/exact_rate"],
        ["exp01a", "finished", "-", "a, b", "2026-02-03T04:05:06.000Z", "12", "256", "0.5"],
        ["exp01b", "failed", "-", "", "2026-02-03T04:05:07.000Z", "1", "384", ""],
    ]
    curve = [["Step", "exp01a - eval/exact_rate", "exp01a - eval/exact_rate__MIN"], ["10", "0.5", "0.4"]]
    summary = "{'eval/exact_rate': 0.5, 'train/step': 10, '_runtime': nan}"
    frame = [
        ["", "summary", "config", "name"],
        ["0", summary, "{'arch': {'hidden_size': 256}, 'lr': 1e-4}", "e"],
    ]
    tables: dict[str, tuple[list[list[str]], Callable[[Path], object]]] = {
        "table of results": ([header, *rows], read_results),
        "W&B table of runs": (shown, parse_wandb_export),
        "W&B chart": (curve, parse_wandb_export),
        "W&B frame": (frame, parse_wandb_export),
    }
    return [
        Target(name, {"t.csv": _csv(lines)}, partial(_read_table, read), {".csv": _cells})
        for name, (lines, read) in tables.items()
    ]


def _read_table(read: Callable[[Path], object], folder: Path) -> object:
    return read(folder / "t.csv")


def _puzzle_lists() -> list[Target]:
    table = "source,question,answer,rating\n" + "".join(f"s,{each},{SOLUTION},3\n" for each in PUZZLES)
    lists = {
        "puzzles as text": {"p.txt": "\n".join(PUZZLES).encode()},
        "puzzles as CSV": {"p.csv": table.encode()},
        "puzzles, compressed": {"p.csv.gz": gzip.compress(table.encode(), mtime=0)},
    }
    return [Target(name, files, _read_list, {".csv": _cells}) for name, files in lists.items()]


def _read_list(folder: Path) -> None:
    (file,) = folder.iterdir()
    puzzles = open_list(file, SHAPE)
    count, _ = puzzles.scan(silent)
    puzzles.fetch(np.arange(min(count, 3)), SHAPE, silent)


def _tokens() -> tuple[np.ndarray, np.ndarray]:
    inputs = np.array([[int(cell) + 1 for cell in each.replace(".", "0")] for each in PUZZLES], np.uint8)
    return inputs, np.array([[int(cell) + 1 for cell in SOLUTION]] * len(PUZZLES), np.uint8)


def public_folder() -> Target:
    """As the public builder writes it: three puzzles, each its own group."""
    inputs, labels = _tokens()
    metadata = {
        "pad_id": 0,
        "ignore_label_id": 0,
        "blank_identifier_id": 0,
        "vocab_size": 6,
        "seq_len": 16,
        "num_puzzle_identifiers": 1,
        "total_groups": 3,
        "mean_puzzle_examples": 1,
        "total_puzzles": 3,
        "sets": ["all"],
    }
    steps = np.arange(4)
    files = {"identifiers.json": b'["<blank>"]'}
    for split in ("train", "test"):
        files |= {
            f"{split}/dataset.json": json.dumps(metadata).encode(),
            f"{split}/all__inputs.npy": npy(inputs),
            f"{split}/all__labels.npy": npy(labels),
            f"{split}/all__puzzle_indices.npy": npy(steps),
            f"{split}/all__group_indices.npy": npy(steps),
            f"{split}/all__puzzle_identifiers.npy": npy(np.zeros(3, np.int32)),
            f"{split}/all__ratings.npy": npy(np.ones(3, np.int32)),
        }
    return Target("public dataset folder", files, open_dataset, {".json": altered_json, ".npy": altered_npy})


def compact_folder() -> Target:
    """As we write it, the checksums put right after each change but one in four."""
    inputs, labels = _tokens()
    files = {f"{split}.npz": _npz(inputs=inputs, labels=labels) for split in ("train", "val", "test")}
    manifest = {
        **{"task": "sudoku", "layout": "compact", "source": "generated", "rated_by": "trm", "regime": "r"},
        **{"seed": 0, "board": {"box_rows": 2, "box_cols": 2}, "num_aug": 1, "wish": "w"},
        "splits": {split: {"count": 3, "ratings": None} for split in ("train", "val", "test")},
        **{"about": {}, "fingerprint": "f", "files": {}},
    }
    files["manifest.json"] = json.dumps(manifest).encode()

    def seal(files: dict[str, bytes]) -> None:
        try:
            held = json.loads(files["manifest.json"])
        except ValueError:
            return
        if isinstance(held, dict) and isinstance(held.get("files"), dict):
            held["files"] |= {
                name: sha256(data).hexdigest() for name, data in files.items() if name.endswith(".npz")
            }
            files["manifest.json"] = json.dumps(held).encode()

    seal(files)
    grammars = {".json": altered_json, ".npz": altered_npz}
    return Target("our dataset folder", files, open_dataset, grammars, seal)


def _state_dicts() -> list[Target]:
    from safetensors.numpy import save

    tensors = {f"inner.{name}": np.ones((2, 3), np.float32) for name in ("H_init", "lm_head.weight")}

    def read(folder: Path) -> None:
        (file,) = folder.iterdir()
        read_tensors(file)

    found = [
        Target("state dict, npz", {"w.npz": _npz(**tensors)}, read, {".npz": altered_npz}),
        Target("state dict, safetensors", {"w.safetensors": save(tensors)}, read, {".safetensors": _header}),
    ]
    try:
        import torch
    except ImportError:
        return found
    buffer = io.BytesIO()
    torch.save({name: torch.from_numpy(each) for name, each in tensors.items()}, buffer)
    return [*found, Target("state dict, PyTorch", {"w.pt": buffer.getvalue()}, read)]


def _header(random: Random, data: bytes) -> bytes:
    """A safetensors file with another header of the length that is said."""
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(altered(random, json.loads(data[8 : 8 + size]))).encode()
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def _read_run(folder: Path) -> None:
    """Each file by itself: what one of them refuses must not keep the others from being read."""
    from trm_scaling.errors import UserError

    for read in (
        lambda: load(folder / "config.yaml"),
        lambda: read_jsonl(folder / "metrics.jsonl"),
        lambda: truncate_after(folder / "metrics.jsonl", 1),
        lambda: read_record(folder / "result.json"),
    ):
        try:
            read()
        except UserError:
            continue


def _altered_yaml(random: Random, data: bytes) -> bytes:
    changed = altered(random, yaml.safe_load(data))
    return str(yaml.safe_dump(changed)).encode()


def _altered_line(random: Random, data: bytes) -> bytes:
    lines = data.splitlines()
    at = random.randrange(len(lines))
    lines[at] = altered_json(random, lines[at])
    return b"\n".join(lines) + b"\n"


def _metrics() -> bytes:
    return b"".join(
        json.dumps({"step": step, "kind": "train", "train/loss": 1.0}).encode() + b"\n" for step in (1, 2)
    )


def _outcomes() -> bytes:
    return _npz(
        solved=np.ones((3, 2), bool),
        halt_step=np.ones(3, np.int32),
        rating=np.ones(3, np.int32),
        data_fingerprint=np.array("f"),
    )


def _npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _csv(lines: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()


def _cells(random: Random, data: bytes) -> bytes:
    """A CSV file with a cell, a row or a column of another kind."""
    lines = list(csv.reader(io.StringIO(data.decode(), newline="")))
    row = random.choice(lines)
    match random.randrange(5):
        case 0 if row:
            row[random.randrange(len(row))] = torn(random, b"12.5").decode("utf-8", "replace")
        case 1 if row:
            row[random.randrange(len(row))] = str(
                random.choice((10**40, -1, 1e308, "nan", "1e400", "x" * 200))
            )
        case 2:
            row.append(random.choice(("", "x")))
        case 3:
            lines.append([*random.choice(lines)])
        case _:
            column = random.randrange(max(len(lines[0]), 1))
            for each in lines:
                if column < len(each):
                    each.append(each.pop(column))
    return _csv(lines)
