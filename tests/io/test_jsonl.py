"""JSON lines: whole records, torn tails, and the cut on resume."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm_scaling.errors import UserError
from trm_scaling.io import jsonl
from trm_scaling.io.jsonl import JsonlWriter, read_jsonl, truncate_after


def write(path: Path, *records: Mapping[str, object]) -> None:
    writer = JsonlWriter(path)
    for record in records:
        writer.append(record)
    writer.close()


def test_a_record_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    path = tmp_path / "run" / "metrics.jsonl"
    writer = JsonlWriter(path)
    writer.append({"step": np.int32(1), "loss": np.float32(0.25), "note": "ünï\n"})
    assert read_jsonl(path) == ([{"step": 1, "loss": 0.25, "note": "ünï\n"}], False)
    writer.append({"step": 2, "accuracy": np.array([0.5, 1.0]), "best": None})
    writer.close()
    assert read_jsonl(path).records[1] == {"step": 2, "accuracy": [0.5, 1.0], "best": None}
    assert path.read_bytes().count(b"\n") == 2


def test_nan_is_null_and_says_so(tmp_path: Path) -> None:
    write(tmp_path / "m", {"step": 1, "loss": np.float32("nan"), "curve": [1.0, float("-inf")], "gap": None})
    assert read_jsonl(tmp_path / "m").records == [
        {
            "step": 1,
            "loss": None,
            "curve": [1.0, None],
            "gap": None,
            "nonfinite": {"loss": "nan", "curve.1": "-inf"},
        }
    ]


@given(cut=st.integers(0, 60))
def test_a_file_cut_anywhere_is_read_and_continued(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cut") / "m.jsonl"
    records = [{"step": step, "loss": step / 8} for step in range(3)]
    write(path, *records)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    survivors = whole[:cut].count(b"\n")
    assert read_jsonl(path) == (records[:survivors], not whole[:cut].endswith(b"\n") and cut > 0)
    write(path, *records[survivors:])
    assert path.read_bytes() == whole


def test_a_broken_line_inside_is_named(tmp_path: Path) -> None:
    (tmp_path / "m").write_text('{"step": 1}\n{"step"\n{"step": 3}\n')
    with pytest.raises(UserError, match=r"m, line 2 .*Remove that line"):
        read_jsonl(tmp_path / "m")
    with pytest.raises(UserError, match="line 2"):
        truncate_after(tmp_path / "m", 1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.jsonl does not exist"):
        read_jsonl(tmp_path / "nowhere.jsonl")


def test_a_resumed_file_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    records = [{"step": step, "kind": kind} for step in range(0, 50, 10) for kind in ("train", "eval")]
    uninterrupted, resumed = tmp_path / "u", tmp_path / "r"
    write(uninterrupted, {"note": "no step"}, *records)
    write(resumed, {"note": "no step"}, *records[:8])
    with resumed.open("ab") as file:
        file.write(b'{"step": 40, "ki')
    assert truncate_after(resumed, 20) == 3
    assert read_jsonl(resumed).records[-1] == {"step": 20, "kind": "eval"}
    write(resumed, *records[6:])
    assert resumed.read_bytes() == uninterrupted.read_bytes()


def test_nothing_to_cut_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "m"
    assert truncate_after(path, 5) == 0
    write(path, {"step": 5})
    before = path.stat().st_ino
    assert truncate_after(path, 5) == 0
    assert path.stat().st_ino == before


def test_a_full_disk_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JsonlWriter(tmp_path / "m")

    def refuse(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(jsonl.os, "write", refuse)
    with pytest.raises(UserError, match=r"Cannot append to .*no space left"):
        writer.append({"step": 1})
    writer.close()
