"""Who is lost, who is stuck, and who is only slow."""

import json
import time
from collections.abc import Iterator

import pytest

from trm_scaling.parallel import heartbeat
from trm_scaling.parallel.heartbeat import Heartbeat, Progress, Silence

BEAT = 0.01


class Board:
    """The coordination service, within this process."""

    def __init__(self) -> None:
        self.notes: dict[str, str] = {}
        self.is_gone = False

    def key_value_set(self, key: str, value: str, allow_overwrite: bool) -> None:
        if self.is_gone:
            raise RuntimeError("UNAVAILABLE: failed to connect")
        self.notes[key] = value

    def key_value_dir_get(self, key: str) -> list[tuple[str, str]]:
        return [(name, value) for name, value in list(self.notes.items()) if name.startswith(key)]


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", BEAT)


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def pair(board: Board) -> Iterator[tuple[Heartbeat, Heartbeat]]:
    both = Heartbeat(board, 2, 0), Heartbeat(board, 2, 1)
    yield both
    for each in both:
        each.end()


def judged(judge: Heartbeat, progress: Progress, lost_seconds: float = 5 * BEAT) -> tuple[int | None, str]:
    """What the judge of one process comes to."""
    verdicts: list[tuple[int | None, str]] = []
    with judge.watch(lost_seconds, progress, lambda status, story: verdicts.append((status, story))):
        while not verdicts:
            time.sleep(BEAT)
    return verdicts[0]


def test_a_silent_process_is_lost(pair: tuple[Heartbeat, Heartbeat]) -> None:
    pair[1].end()
    assert judged(pair[0], Progress()) == (None, "process 1 has given no sign of life for 0 s")


def test_without_process_0_nobody_can_be_heard(board: Board, pair: tuple[Heartbeat, Heartbeat]) -> None:
    board.is_gone = True
    status, story = judged(pair[1], Progress())
    assert status is None
    assert story.startswith("process 0, over which all others talk, has not answered")


def test_a_process_that_lives_and_completes_nothing_is_stuck(pair: tuple[Heartbeat, Heartbeat]) -> None:
    progress = Progress(stall_seconds=3 * BEAT, startup_seconds=1000)
    verdicts: list[str] = []
    with pair[0].watch(1000, progress, lambda status, story: verdicts.append(story)):
        time.sleep(20 * BEAT)
        assert not verdicts, "compiling may take long"
        progress.made()
        while not verdicts:
            time.sleep(BEAT)
    assert verdicts[0].startswith("process 0 has completed nothing for 0 s (system.stall_seconds=0.03")


def test_a_call_may_take_four_times_the_longest_before_it() -> None:
    progress = Progress(stall_seconds=60, startup_seconds=1800)
    assert progress.limit == 1800
    progress.since = 500
    progress.made()
    assert (progress.longest, progress.limit) == (0, 60), "the first call was compiled too"
    progress.since = 40
    progress.made()
    assert (progress.since, progress.limit) == (0, 160)
    progress.starts()
    assert progress.limit == 1800


def test_a_process_that_fails_says_so_before_it_ends(pair: tuple[Heartbeat, Heartbeat]) -> None:
    pair[1].fail(71, "out of memory", seconds=5)
    assert judged(pair[0], Progress(), lost_seconds=1000) == (71, "process 1 ended: out of memory")


def test_what_one_process_is_asked_the_others_hear(pair: tuple[Heartbeat, Heartbeat]) -> None:
    pair[1].asked = "SIGTERM"
    while (heard := pair[0].asked_of_others) is None:
        time.sleep(BEAT)
    assert heard == "SIGTERM"
    assert pair[1].asked_of_others is None


def test_silence_ends_with_news_alone() -> None:
    silence = Silence()
    silence.saw(json.dumps({"beat": 1}))
    silence.seconds += 3
    silence.saw(json.dumps({"beat": 1}))
    assert silence.seconds == 3
    silence.saw(json.dumps({"beat": 2}))
    assert silence.seconds == 0
