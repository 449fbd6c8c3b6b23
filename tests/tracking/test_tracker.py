"""The tracker: every record in metrics.jsonl, at once."""

from pathlib import Path

import numpy as np
import pytest

from trm_scaling.io.jsonl import read_jsonl
from trm_scaling.tracking.tracker import Tracker


def test_records_carry_step_time_and_kind(tmp_path: Path) -> None:
    path = tmp_path / "run" / "metrics.jsonl"
    seconds = iter([1.00049, 2.0])
    with Tracker(path, clock=lambda: next(seconds)) as tracker:
        tracker.log(10, {"train/loss": np.float32(1.5), "train/lr": None})
        assert read_jsonl(path).records == [
            {"step": 10, "time": 1.0, "kind": "train", "train/loss": 1.5, "train/lr": None}
        ]
        tracker.log(10, {"eval/exact_rate": float("nan")}, kind="eval")
    last = read_jsonl(path).records[-1]
    assert (last["kind"], last["time"], last["eval/exact_rate"]) == ("eval", 2.0, None)


def test_a_second_tracker_continues_the_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for step in (1, 2):
        with Tracker(path, clock=lambda: 0.0) as tracker:
            tracker.log(step, {})
    assert [record["step"] for record in read_jsonl(path).records] == [1, 2]


def test_a_metric_cannot_replace_what_the_record_says_itself(tmp_path: Path) -> None:
    with (
        Tracker(tmp_path / "m", clock=lambda: 0.0) as tracker,
        pytest.raises(ValueError, match="may not be named step"),
    ):
        tracker.log(1, {"step": 2})
    assert read_jsonl(tmp_path / "m").records == []
