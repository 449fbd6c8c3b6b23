"""The tracker: every record in metrics.jsonl, at once."""

from pathlib import Path

import numpy as np
import pytest

from trm_scaling.io.jsonl import JsonlWriter, read_jsonl, truncate_after
from trm_scaling.tracking.rows import Row, Rows, Tail
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


def write(path: Path, *steps: int, loss: float = 1.0) -> None:
    writer = JsonlWriter(path)
    for step in steps:
        writer.append({"step": step, "loss": loss})
    writer.close()


def taken(tail: Tail, rows: Rows) -> list[int]:
    return [row.step for record in tail.read() for row in rows.add(record)]


def test_a_tail_gives_each_whole_line_once(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    tail = Tail(path)
    assert tail.read() == []
    path.write_bytes(b'{"step": 1}\n{"step":')
    assert tail.read() == [{"step": 1}]
    assert tail.read() == []
    with open(path, "ab") as file:
        file.write(b' 2}\n[3]\n{"step": 4\n{"step": 5}\n')
    assert tail.read() == [{"step": 2}, {"step": 5}]
    assert tail.broken == 2


def test_a_tail_begins_anew_where_the_file_was_cut_back(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    tail = Tail(path)
    write(path, 1, 2, 3)
    tail.read()
    truncate_after(path, 1)
    # Longer than before: the size alone would not tell.
    write(path, *range(2, 9))
    assert [record["step"] for record in tail.read()] == list(range(1, 9))


def test_a_torn_line_that_the_next_writer_drops_is_never_seen(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"step": 1}\n{"st')
    tail = Tail(path)
    assert tail.read() == [{"step": 1}]
    write(path, 2)
    assert tail.read() == [{"step": 2, "loss": 1.0}]


def test_the_records_of_a_step_are_one_row() -> None:
    rows = Rows(after=-1)
    train = {"step": 10, "time": 1.0, "kind": "train", "train/loss": 2.0, "train/lr": None}
    evaluation = {"step": 10, "time": 2.0, "kind": "eval", "eval/exact_rate": 0.5}
    assert [*rows.add(train), *rows.add(evaluation)] == []
    whole = Row(10, {"time": 2.0, "train/loss": 2.0, "eval/exact_rate": 0.5})
    assert list(rows.add({"step": 20, "train/loss": 1.0})) == [whole]
    assert [row.step for row in rows.rest()] == [20]
    assert list(rows.rest()) == []
    assert list(rows.add({"words": "without a step"})) == []


def test_no_step_comes_twice_from_a_file_that_is_cut_back(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    tail, rows = Tail(path), Rows(after=10)
    write(path, 10, 20, 30, 40)
    assert taken(tail, rows) == [20, 30]
    truncate_after(path, 20)
    assert taken(tail, rows) == []
    write(path, 30, 40, 50, loss=0.5)
    assert taken(tail, rows) == [40]
    (last,) = rows.rest()
    assert last == Row(50, {"loss": 0.5})


def test_an_open_row_that_was_cut_away_is_not_given(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    tail, rows = Tail(path), Rows(after=-1)
    write(path, 10, 20, 30)
    assert taken(tail, rows) == [10, 20]
    truncate_after(path, 20)
    assert taken(tail, rows) == []
    assert list(rows.rest()) == []
