"""`trm verify`: equal for a fresh run, and every planted change caught."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.run.tiny import copy_of, tiny_folder
from trm_scaling.cli.app import app
from trm_scaling.errors import UserError
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.run.verify import compare_lines

STEPS = "4"
"""Enough for a change to show, and two device calls."""


def verified(study: Study, steps: str = STEPS) -> tuple[int, str]:
    folder = tiny_folder(study).path
    arguments = ["verify", str(folder), "--study", str(study.path), "--steps", steps]
    done = CliRunner().invoke(app, arguments)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


@pytest.fixture
def copied(trained: Study, tmp_path: Path) -> Study:
    return copy_of(trained, tmp_path / "copy")


def edit_lines(folder: RunFolder, change: Callable[[dict[str, Any]], None]) -> None:
    lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    for line in lines:
        change(line)
    folder.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))


def edit_json(path: Path, change: Callable[[Any], None]) -> None:
    held = json.loads(path.read_text())
    change(held)
    path.write_text(json.dumps(held))


def test_a_fresh_run_is_equal_bit_for_bit_over_its_evaluation_too(trained: Study) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.data_root.rglob("*")}
    status, said = verified(trained, "20")
    assert status == 0, said
    assert "steps 1 to 20, " in said
    assert "equal bit for bit" in said
    assert {path: path.stat().st_mtime_ns for path in trained.data_root.rglob("*")} == before


def test_a_changed_number_is_caught(copied: Study) -> None:
    def plant(line: dict[str, Any]) -> None:
        if (line["step"], line["kind"]) == (4, "train"):
            line["train/loss"] *= 1.5

    edit_lines(tiny_folder(copied), plant)
    status, said = verified(copied)
    assert status == 1
    assert "differs: 1 of them are not the same bits" in said
    assert "train/loss at step 4" in said


def test_a_change_in_the_last_digit_is_close_and_named(copied: Study) -> None:
    def plant(line: dict[str, Any]) -> None:
        if (line["step"], line["kind"]) == (2, "train"):
            line["train/cell_loss"] *= 1 + 1e-6

    edit_lines(tiny_folder(copied), plant)
    status, said = verified(copied)
    assert status == 0
    assert "close: 1 of them" in said
    assert "train/cell_loss at step 2" in said
    assert "the record names nothing that is otherwise" in said


def test_another_seed_under_the_same_record_is_caught(copied: Study) -> None:
    folder = tiny_folder(copied)
    folder.config.write_text(folder.config.read_text().replace("\nseed: 0\n", "\nseed: 1\n"))
    with pytest.raises(UserError, match=r"not the configuration of result\.json.*differ in seed"):
        verified(copied)
    edit_json(folder.result, lambda record: record["config"].update(seed=1))
    arguments = ["verify", str(folder.path), "--study", str(copied.path), "--steps", STEPS]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert "differs" in done.stdout


def test_another_path_through_the_code_is_caught(trained: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    from trm_scaling.losses import trm

    monkeypatch.setattr(trm, "HALT_WEIGHT", 0.25)
    status, said = verified(trained)
    assert status == 1
    assert "train/loss" in said


def test_other_versions_devices_and_code_are_said(copied: Study) -> None:
    folder = tiny_folder(copied)

    def plant(entries: Any) -> None:
        entries[0]["packages"]["jax"] = "0.1.0"
        entries[0]["commit"] = "0123456789abcdef"

    edit_json(folder.provenance, plant)
    edit_json(folder.result, lambda record: record.update(device_kind="TPU v4", device_count=32))
    status, said = verified(copied)
    assert status == 0
    assert "equal bit for bit" in said
    assert "jax: 0.1.0 then" in said
    assert "code: commit 0123456789ab then" in said.replace(" with uncommitted changes", "")
    assert "device: TPU v4 then, cpu now" in said
    assert "made by 32 devices and verified on 1" in said


def test_a_resumed_run_with_other_calls_is_compared_where_its_lines_end(copied: Study) -> None:
    folder = tiny_folder(copied)
    folder.config.write_text(folder.config.read_text().replace("steps_per_call: 2\n", "steps_per_call: 5\n"))
    status, said = verified(copied)
    assert (status, "equal bit for bit" in said) == (0, True), said


def test_data_of_another_fingerprint_is_refused(copied: Study) -> None:
    edit_json(tiny_folder(copied).result, lambda record: record.update(data_fingerprint="0" * 64))
    with pytest.raises(UserError, match="put that dataset back to verify"):
        verified(copied)


def test_imported_weights_are_refused_as_such(copied: Study) -> None:
    folder = tiny_folder(copied)
    folder.result.unlink()
    folder.imported.write_text("{}")
    with pytest.raises(UserError, match="imported weights"):
        verified(copied)


def test_an_unfinished_run_is_refused(copied: Study) -> None:
    tiny_folder(copied).result.unlink()
    with pytest.raises(UserError, match="is not finished"):
        verified(copied)


LINES: list[dict[str, Any]] = [
    {
        "step": step,
        "kind": "train",
        "time": 1.0 * step,
        "time/examples_per_s": None,
        "train/loss": 2.0 / step,
        "train/lr": 1e-4 * step,
        "train/finished_rate": 0.5,
        "train/finished_steps_histogram": [0, 16],
    }
    for step in (2, 4, 20)
]


def changed(step: int, **values: object) -> list[dict[str, object]]:
    named = {f"train/{name}": value for name, value in values.items()}
    return [line | (named if line["step"] == step else {}) for line in LINES]


def test_times_are_no_difference() -> None:
    later = [line | {"time": 99.0, "time/examples_per_s": 7.0} for line in LINES]
    found = compare_lines(LINES, later, "float32", 16)
    assert (found.verdict, found.compared) == ("equal", 3 * 5)


@pytest.mark.parametrize(
    ("step", "values", "verdict"),
    [
        (2, {"loss": 1.0 + 1e-6}, "close"),
        (2, {"loss": 1.0 + 1e-3}, "differs"),
        (20, {"loss": 0.1 + 1e-4}, "close"),
        (20, {"loss": 0.15}, "differs"),
        (20, {"lr": 2e-3 * (1 + 1e-3)}, "differs"),
        (2, {"finished_rate": 0.5 + 1 / 16}, "close"),
        (2, {"finished_rate": 1.0}, "differs"),
        (2, {"finished_steps_histogram": [1, 15]}, "close"),
        (2, {"finished_steps_histogram": [16, 0]}, "differs"),
        (2, {"finished_steps_histogram": [16]}, "differs"),
        (4, {"loss": None}, "differs"),
    ],
)
def test_what_is_close_depends_on_the_step_and_the_metric(
    step: int, values: dict[str, object], verdict: str
) -> None:
    found = compare_lines(LINES, changed(step, **values), "float32", 16)
    assert found.verdict == verdict
    assert len(found.differences) == 1
    assert (found.worst.step, found.worst.metric) == (step, f"train/{next(iter(values))}")


def test_half_precision_is_given_more_room() -> None:
    other = changed(2, loss=1.0 + 1e-3)
    assert compare_lines(LINES, other, "bfloat16", 16).verdict == "close"
    assert compare_lines(LINES, other, "float32", 16).verdict == "differs"


def test_where_the_first_line_is_late_nothing_but_equal_bits_decides() -> None:
    late = [{**line, "step": line["step"] + 9} for line in LINES]
    other = [{**line, "train/loss": 2.02 / (line["step"] - 9)} for line in late]
    assert compare_lines(late, late, "bfloat16", 16).verdict == "equal"
    assert compare_lines(late, other, "bfloat16", 16).verdict == "undecided"
    assert compare_lines(late, other, "float32", 16).verdict == "differs"


def test_a_missing_line_differs() -> None:
    found = compare_lines(LINES, LINES[:-1], "float32", 16)
    assert found.verdict == "differs"
    assert found.first_far.step == 20
