"""Every crash that fuzzing found, by itself: a foreign file is read or refused with a word."""

import gzip
import io
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz.mutation import npy
from tests.fuzz.targets import PUZZLES, SOLUTION, compact_folder, public_folder
from trm_scaling.errors import UserError
from trm_scaling.io.jsonl import read_jsonl, truncate_after
from trm_scaling.models import interchange
from trm_scaling.models.interchange import read_tensors
from trm_scaling.results.outcomes import read_outcomes
from trm_scaling.tasks.folder import silent
from trm_scaling.tasks.opening import open_dataset
from trm_scaling.tasks.sudoku.board import Shape
from trm_scaling.tasks.sudoku.sources import open_list


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("rating", ["9" * 30, str(2**31), "-1"])
def test_a_rating_that_no_count_is(tmp_path: Path, rating: str) -> None:
    file = tmp_path / "p.csv"
    file.write_text(f"source,question,answer,rating\ns,{PUZZLES[0]},{SOLUTION},{rating}\n")
    with pytest.raises(UserError, match="line 2: the rating column holds"):
        open_list(file, Shape(2, 2)).scan(silent)


def test_a_compressed_list_with_a_damaged_middle(tmp_path: Path) -> None:
    data = bytearray(gzip.compress("\n".join(PUZZLES * 200).encode(), mtime=0))
    data[12:20] = b"\xff" * 8
    (tmp_path / "p.txt.gz").write_bytes(data)
    with pytest.raises(UserError, match="cannot be read as a puzzle list"):
        open_list(tmp_path / "p.txt.gz", Shape(2, 2)).scan(silent)


STRUCTURED = np.zeros(3, [("a", "u1"), ("b", "f4")])
ARCHIVE = b"PK\x03\x04" + b"\x00" * 40


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("train/all__ratings.npy", npy(STRUCTURED)),
        ("train/all__ratings.npy", npy(np.full(3, 2**40))),
        ("train/all__group_indices.npy", npy(STRUCTURED)),
        ("train/all__group_indices.npy", npy(np.arange(4.0))),
        ("train/all__group_indices.npy", npy(np.array([0, 5, 2, 3], np.uint64))),
        ("train/all__inputs.npy", ARCHIVE),
        ("train/all__inputs.npy", npy(np.zeros(3)).replace(b"(3", b"(9(9(9")),
        ("train/dataset.json", b"[" * 100_000),
        *(
            ("train/dataset.json", public_folder().files["train/dataset.json"].replace(b"6", value))
            for value in (b'"6"', b"null", b"[6]")
        ),
    ],
)
def test_a_public_folder_with_another_file(tmp_path: Path, name: str, data: bytes) -> None:
    folder = written(tmp_path, {**public_folder().files, name: data})
    with pytest.raises(UserError, match=rf"{Path(name).name}: .*the dataset is damaged"):
        open_dataset(folder)


@pytest.mark.parametrize("change", [{"splits": {}}, {"files": {"../x.npz": "0"}}, {"files": {"/x": "0"}}])
def test_a_manifest_without_a_split_or_that_names_a_file_elsewhere(
    tmp_path: Path, change: dict[str, object]
) -> None:
    files = dict(compact_folder().files)
    files["manifest.json"] = json.dumps({**json.loads(files["manifest.json"]), **change}).encode()
    with pytest.raises(UserError, match="no manifest of a dataset that this version reads"):
        open_dataset(written(tmp_path, files))


@pytest.mark.parametrize("array", [STRUCTURED, np.ones(2, np.complex64), np.array(["x"])])
def test_a_state_dict_without_numbers(tmp_path: Path, array: np.ndarray) -> None:
    np.savez(tmp_path / "w.npz", inner=array)
    with pytest.raises(UserError, match=r"inner holds .*, not numbers"):
        read_tensors(tmp_path / "w.npz")


def test_outcomes_packed_in_an_unknown_way(tmp_path: Path) -> None:
    np.savez(tmp_path / "test_outcomes.npz", solved=np.ones((1, 1), bool))
    data = (tmp_path / "test_outcomes.npz").read_bytes()
    where = data.rindex(b"PK\x01\x02")
    (tmp_path / "test_outcomes.npz").write_bytes(data[: where + 10] + b"\x63\x00" + data[where + 12 :])
    with pytest.raises(UserError, match="cannot be read"):
        read_outcomes(tmp_path)


def test_a_record_whose_step_is_no_number_and_one_nested_too_deep(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": "two"}\n{"step": 3}\n')
    assert truncate_after(file, 1) == 1
    assert read_jsonl(file).records == [{"step": "two"}]
    file.write_text("[" * 100_000 + "\n" + '{"step": 1}\n')
    with pytest.raises(UserError, match="line 1 is not a JSON record"):
        read_jsonl(file)


MUCH = 2**24
"""Bytes that some ten thousand unpack to."""


@contextmanager
def in_little_memory() -> Iterator[None]:
    """What is read in the block never holds a quarter of `MUCH` at once."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MUCH // 4
    finally:
        tracemalloc.stop()


def deflated_zeros() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, inputs=np.zeros(MUCH, np.uint8))
    assert len(buffer.getvalue()) < MUCH // 500
    return buffer.getvalue()


@pytest.mark.parametrize("line", [b"0" * MUCH, b'"\n",' * (MUCH // 4)], ids=["one line", "quoted lines"])
@pytest.mark.parametrize("before", [b"", b"question\n" + PUZZLES[0].encode() + b"\n"])
def test_a_small_list_with_a_line_without_end(tmp_path: Path, before: bytes, line: bytes) -> None:
    file = tmp_path / "p.csv.gz"
    file.write_bytes(gzip.compress(before + line))
    with in_little_memory(), pytest.raises(UserError, match=r"p.csv.gz, line \d+: more than 65,536 char"):
        open_list(file, Shape(2, 2)).scan(silent)


def test_a_small_state_dict_that_unpacks_to_a_lot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.npz").write_bytes(deflated_zeros())
    monkeypatch.setattr(interchange, "_MOST_BYTES", MUCH - 1)
    with in_little_memory(), pytest.raises(UserError, match=r"w\.npz unpacks to 16,777,\d+ bytes"):
        read_tensors(tmp_path / "w.npz")


def test_a_small_dataset_that_unpacks_to_a_lot(tmp_path: Path) -> None:
    target = compact_folder()
    files = {**target.files, "train.npz": deflated_zeros()}
    target.sealed(files)
    folder = written(tmp_path, files)
    with in_little_memory(), pytest.raises(UserError, match=r"more than 3 puzzles take .*dataset is damaged"):
        open_dataset(folder)
