"""The account of attempts: complete when all goes well, and still readable when nothing does."""

from pathlib import Path

import pytest

from trm_scaling.results.attempts import Attempt, begin_attempt, end_attempt, note_incident, read_attempts


def test_attempts_are_counted_and_each_has_its_ending(tmp_path: Path) -> None:
    path = tmp_path / "attempts.jsonl"
    assert read_attempts(path) == []
    assert begin_attempt(path, 16) == 1
    (going_on,) = read_attempts(path)
    assert (going_on.ending, going_on.failure, going_on.ended) == (None, None, None)
    end_attempt(path, 1, "out_of_memory", "x" * 5000)
    assert begin_attempt(path, 8) == 2
    end_attempt(path, 2, "stopped", "stopped by SIGTERM")
    assert begin_attempt(path, 8) == 3
    end_attempt(path, 3, "finished", "")
    first, second, third = read_attempts(path)
    assert (first.number, first.micro_batch_size, first.failure) == (1, 16, "out_of_memory")
    assert first.message == "x" * 2000
    assert (second.micro_batch_size, second.ending, second.failure) == (8, "stopped", None)
    assert (third.ending, third.failure) == ("finished", None)
    assert first.began <= (first.ended or "") <= second.began


def test_an_attempt_that_was_killed_is_closed_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "attempts.jsonl"
    begin_attempt(path, 16)
    assert begin_attempt(path, 16) == 2
    first, second = read_attempts(path)
    assert (first.failure, first.message) == ("preempted", "it ended without a word")
    assert second.ending is None


@pytest.mark.parametrize(
    "line", ["", "{", "[1]", "{}", '{"event": "ended", "attempt": 9}', '{"attempt": "x"}', "\x00"]
)
def test_a_broken_line_is_passed_over(tmp_path: Path, line: str) -> None:
    path = tmp_path / "attempts.jsonl"
    begin_attempt(path, 16)
    with path.open("a") as file:
        file.write(line + "\n")
    end_attempt(path, 1, "other", "why")
    (attempt,) = read_attempts(path)
    assert isinstance(attempt, Attempt)
    assert attempt.failure == "other"


def test_a_torn_last_line_is_not_glued_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "attempts.jsonl"
    begin_attempt(path, 16)
    with path.open("a") as file:
        file.write('{"event": "ended", "att')
    assert begin_attempt(path, 16) == 2
    assert [attempt.number for attempt in read_attempts(path)] == [1, 2]


def test_damage_that_was_met_is_kept_with_its_attempt(tmp_path: Path) -> None:
    path = tmp_path / "attempts.jsonl"
    end_attempt(path, begin_attempt(path, 16), "preempted", "")
    second = begin_attempt(path, 16)
    note_incident(path, second, "checkpoint 3 is damaged")
    note_incident(path, second, "checkpoint 2 too")
    end_attempt(path, second, "finished", "")
    first, last = read_attempts(path)
    assert first.incidents == ()
    assert [met.message for met in last.incidents] == ["checkpoint 3 is damaged", "checkpoint 2 too"]
    assert last.ending == "finished"
