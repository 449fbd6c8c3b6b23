"""Atomic writes: the old file or the new one, and a message that helps."""

import errno
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from trm_scaling.errors import UserError
from trm_scaling.io import atomic
from trm_scaling.io.atomic import write_bytes, write_json, write_text


def test_writes_into_new_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    write_text(path, "old")
    with path.open() as reader:
        write_text(path, "né")
        assert reader.read() == "old"
    assert path.read_bytes() == "né".encode()
    assert list(path.parent.iterdir()) == [path]


def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    (tmp_path / "ordinary").write_text("")
    write_bytes(tmp_path / "atomic", b"")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ordinary", "atomic")}
    assert len(modes) == 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EDQUOT, "no space left"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
    ],
)
def test_a_refused_write_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    path = tmp_path / "result.json"
    write_text(path, "old")

    def refuse(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(atomic.os, "fsync", refuse)
    with pytest.raises(UserError, match=words) as caught:
        write_text(path, "new")
    assert str(path) in str(caught.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_other_errors_of_the_system_keep_their_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(atomic.os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        write_text(tmp_path / "file", "new")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_a_folders_place_is_explained(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(UserError, match="move it away"):
        write_text(tmp_path / "runs" / "x" / "config.yaml", "")


def test_json_holds_numpy_values_and_refuses_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"count": np.int64(3), "rate": np.float32(0.5), "curve": np.arange(2), "at": path})
    assert json.loads(path.read_text()) == {"count": 3, "rate": 0.5, "curve": [0, 1], "at": str(path)}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"loss": float("nan")})
    with pytest.raises(TypeError, match="set has no place"):
        write_json(path, {"names": {"a"}})
    assert json.loads(path.read_text())["count"] == 3


@pytest.mark.parametrize("path", ["/proc/trm_results.csv", "/proc/trm_results/a.csv"])
def test_a_folder_that_takes_no_files_is_explained(path: str) -> None:
    with pytest.raises(UserError, match=r"Cannot write /proc/trm_results.*Choose another folder"):
        write_text(Path(path), "")


def test_a_name_that_is_too_long_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="shorter name"):
        write_text(tmp_path / ("a" * 300), "")
