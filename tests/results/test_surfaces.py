"""`surfaces.json`: written, read, and refused where it is something else."""

import json
from pathlib import Path
from typing import Any

import pytest

from trm_scaling.errors import UserError
from trm_scaling.results.surfaces import Surface, add_surface, read_surface_tables, read_surfaces

ROW = {
    **{
        "decoder": "mode",
        "usable": True,
        "steps": 4,
        "samples": 2,
        "mean_steps": 8.0,
        "inference_flops": 80.0,
    },
    **{"puzzles": 10, "sub_samples": 1, "solved": 5.0, "accuracy": 0.5, "puzzles_95": [0.2, 0.8]},
    **{"sub_samples_95": None, "valid_rate": 0.5},
}


def surface(**changes: Any) -> Surface:
    values = {
        **{
            "model": "baseline",
            "profile": "smoke",
            "identity": "ab",
            "seed": 0,
            "at": "best",
            "averaged": True,
        },
        **{
            "step": 7,
            "of": "4x4 sudoku",
            "data_fingerprint": "cd",
            "split": "test",
            "limit": None,
            "params": 9,
        },
        **{"trained_steps": 4, "noise": 0.3, "init": "fixed", "augment": False, "sampling_seed": 0},
        **{"device_kind": "cpu", "device_seconds": 1.0, "command": "trm eval", "rows": [ROW]},
    }
    return Surface.model_validate(values | changes)


def test_a_surface_comes_back_and_replaces_the_one_that_answers_the_same(tmp_path: Path) -> None:
    file = tmp_path / "made" / "surfaces.json"
    assert read_surfaces(file) == []
    add_surface(file, surface())
    add_surface(file, surface(noise=0.5))
    add_surface(file, surface(device_seconds=2.0))
    found = read_surfaces(file)
    assert [(each.noise, each.device_seconds) for each in found] == [(0.5, 1.0), (0.3, 2.0)]
    table = read_surface_tables([file, file])
    assert table["sampling"].tolist() == ["noise 0.5", "noise 0.3"]
    assert table["puzzles"].tolist() == [10, 10]
    assert table["of"].tolist() == ["4x4 sudoku"] * 2


def test_how_samples_differ_is_said_in_words() -> None:
    said = surface(noise=0.5, init="random", augment=True).sampling
    assert said == "noise 0.5, random initial states, task symmetries"
    assert surface(noise=0.0).sampling == "one sample"


def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "surfaces.json"
    file.write_text(json.dumps([{**surface().model_dump(), "rows": [{**ROW, "steps": "many"}]}]))
    before = file.read_bytes()
    with pytest.raises(UserError, match=r"holds no surfaces of version 1: 0\.rows\.0\.steps"):
        add_surface(file, surface())
    assert file.read_bytes() == before
