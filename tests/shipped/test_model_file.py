"""A model file gives back what was put in, and what is no model is refused by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from trm_scaling.config import RunConfig
from trm_scaling.errors import UserError
from trm_scaling.shipped.model_file import (
    Model,
    Origin,
    model_path,
    read_model,
    rounded,
    shipped_names,
    write_model,
)

ORIGIN = Origin(
    experiment="baseline",
    profile="smoke",
    identity="0" * 64,
    seed=0,
    step=7,
    averaged=True,
    commit=None,
    uncommitted_changes=None,
    data_fingerprint="abc",
    solved=3,
    puzzles=4,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    config = RunConfig(lr=3e-4)
    path = tmp_path / "m.safetensors"
    write_model(path, Model(config, {"inner.a": np.arange(6, dtype=np.float16).reshape(2, 3)}, ORIGIN))
    return path


def header_of(path: Path) -> dict[str, Any]:
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header: dict[str, Any] = json.loads(raw[8 : 8 + size])["__metadata__"]
    return header


def test_what_was_written_is_read(file: Path) -> None:
    model = read_model(file)
    assert model.config == RunConfig(lr=3e-4)
    assert model.origin == ORIGIN
    np.testing.assert_array_equal(model.tensors["inner.a"], [[0, 1, 2], [3, 4, 5]])
    assert model.tensors["inner.a"].dtype == np.float16


def test_any_reader_of_safetensors_reads_the_tensors(file: Path) -> None:
    assert load_file(file)["inner.a"].shape == (2, 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trm_format": "2"}, "of format 2, and this version reads 1"),
        ({"trm_config": "{"}, "cannot be read as a model"),
        ({"trm_config": '{"lrr": 1}'}, "unknown key 'lrr'"),
        ({"trm_origin": "{}"}, "cannot be read as a model"),
    ],
)
def test_a_header_that_says_something_else_is_refused(file: Path, change: dict[str, str], said: str) -> None:
    save_file(load_file(file), file, header_of(file) | change)
    with pytest.raises(UserError, match=said):
        read_model(file)


def test_tensors_without_a_configuration_are_sent_to_the_import(tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    save_file({"a": np.zeros(2)}, path)
    with pytest.raises(UserError, match="trm import-torch"):
        read_model(path)


def test_a_damaged_or_missing_file_is_refused(file: Path, tmp_path: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(UserError, match="cannot be read as a model"):
        read_model(file)
    with pytest.raises(UserError, match="does not exist"):
        read_model(tmp_path / "none.safetensors")


def test_numbers_beyond_float16_are_not_written() -> None:
    assert rounded({"a": np.array([1.0, 65_504.0])}, "run")["a"].dtype == np.float16
    with pytest.raises(UserError, match=r"run: a holds 1 values of 1 beyond float16"):
        rounded({"a": np.array([1e5])}, "run")


def test_names_of_the_shelf_and_paths() -> None:
    assert shipped_names() == ["4x4", "6x6", "maze"]
    own = model_path("4x4")
    assert own is not None
    assert own.is_file()
    assert model_path("folder/mine.safetensors") == Path("folder/mine.safetensors")
    assert model_path("baseline") is None
