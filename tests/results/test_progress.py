"""How far a run has come, from the ends of its files."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from trm_scaling.config import RunConfig
from trm_scaling.config.compose import dump
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.results.progress import Progress, read_progress

CONFIG = RunConfig.model_validate(
    {
        "epochs": 100,
        "eval_interval": 10,
        "global_batch_size": 10,
        "reference_train_size": 10,
        "reference_batch_size": 10,
    }
)
"""100 steps, evaluated every 10."""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path)
    made.config.write_text(dump(CONFIG))
    return made


def trained(step: int, **more: Any) -> dict[str, Any]:
    speed = {"train/loss": 2.0 / step, "time/examples_per_s": 50.0}
    return {"step": step, "time": 3.0 + step / 5, "kind": "train", **speed, **more}


def evaluated(step: int, rate: float) -> dict[str, Any]:
    return {"step": step, "time": 3.0 + step / 5, "kind": "eval", "eval/exact_rate": rate}


def write(folder: RunFolder, lines: Sequence[dict[str, Any]], rest: str = "") -> None:
    folder.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines) + rest)


def test_nothing_is_known_of_what_was_not_begun(tmp_path: Path) -> None:
    assert read_progress(RunFolder(tmp_path)) == Progress()


def test_before_the_first_metrics_the_total_is_known(folder: RunFolder) -> None:
    assert read_progress(folder) == Progress(total_steps=100)


def test_the_newest_numbers_count(folder: RunFolder) -> None:
    write(
        folder, [trained(5), evaluated(10, 0.25), trained(10), trained(20), evaluated(20, 0.5), trained(25)]
    )
    os.utime(folder.metrics, (0, 0))
    progress = read_progress(folder)
    assert progress == Progress(
        step=25,
        total_steps=100,
        loss=2.0 / 25,
        validation_exact_rate=0.5,
        examples_per_s=50.0,
        seconds_left=15.0,
        updated="1970-01-01T00:00:00+00:00",
    )


def test_one_point_tells_no_pace(folder: RunFolder) -> None:
    write(folder, [trained(5, **{"time/examples_per_s": None})])
    progress = read_progress(folder)
    assert (progress.step, progress.seconds_left, progress.examples_per_s) == (5, None, None)


def test_a_torn_line_and_a_foreign_one_are_passed_over(folder: RunFolder) -> None:
    write(folder, [trained(5), trained(10)], rest='[1]\nnonsense\n{"step": 15, "kind": "tr')
    assert read_progress(folder).step == 10


def test_a_diverged_step_has_no_loss(folder: RunFolder) -> None:
    write(folder, [trained(5), trained(10, **{"train/loss": None})])
    assert read_progress(folder).loss is None


def test_only_the_end_of_a_long_history_is_read(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, [evaluated(1, 0.75), *(trained(step) for step in range(2, 3000))])
    # The evaluation lies before the first 64 KiB from the end.
    assert read_progress(folder).validation_exact_rate == 0.75
    monkeypatch.setattr("trm_scaling.results.progress._LONGEST_TAIL_BYTES", 1 << 16)
    progress = read_progress(folder)
    assert progress.validation_exact_rate is None
    assert progress.step == 2999


def test_a_finished_run_has_its_headline(folder: RunFolder) -> None:
    write(folder, [trained(99), trained(100), evaluated(100, 0.5)])

    def scores(at: str, averaged: bool, rate: float) -> dict[str, Any]:
        return {"at": at, "averaged": averaged, "summary": {"final": {"exact_rate": rate}}}

    test = [scores("last", True, 0.1), scores("best", False, 0.2), scores("best", True, 0.3)]
    folder.result.write_text(
        json.dumps(
            {"steps": 100, "examples_per_s": 40.0, "config": {"ema": True, "ema_rate": 0.9}, "test": test}
        )
    )
    progress = read_progress(folder)
    assert (progress.step, progress.total_steps, progress.seconds_left) == (100, 100, None)
    assert (progress.test_exact_rate, progress.examples_per_s) == (0.3, 40.0)


@pytest.mark.parametrize("text", ["", "[]", "lr: fast", "name: 3\nunknown: 4", "\x00"])
def test_a_configuration_that_cannot_be_read_hides_only_the_total(folder: RunFolder, text: str) -> None:
    folder.config.write_text(text)
    write(folder, [trained(5)])
    progress = read_progress(folder)
    assert (progress.step, progress.total_steps) == (5, None)
