"""Faults on records: attempts, results, and what is known of a run while its files are broken."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

from tests.faults.chaos.damage import any_file, empty, flip_a_bit, tear_last_line, truncate
from tests.faults.chaos.forks import fork
from tests.faults.chaos.trial import Ground, Trial, expect
from tests.run.tiny import tiny_folder
from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_bytes
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.results import attempts
from trm_scaling.results.attempts import begin_attempt, end_attempt, read_attempts
from trm_scaling.results.progress import read_progress
from trm_scaling.results.record import read_record
from trm_scaling.results.scan import standing


def trials(many: bool) -> list[Trial]:
    each = 8 if many else 3
    return [
        *[Trial("torn last line", "attempts", _torn_attempts)] * each,
        *[Trial("clock jump", "attempts", _clock_jumps_in_an_attempt)] * (4 if many else 2),
        *[Trial("kill -9", "result", _killed_writing_the_result)] * each,
        *[Trial("truncated", "result", _truncated_result)] * each,
        *[Trial("torn last line", "metrics of a run at work", _torn_metrics)] * each,
        *[Trial("broken file", "state of a run", _any_broken_file)] * (12 if many else 4),
    ]


def _run(ground: Ground) -> RunFolder:
    """A copy of a finished run."""
    finished = tiny_folder(Study(ground.reference / "kellen")).path
    return RunFolder(Path(shutil.copytree(finished, ground.folder / "run")))


def _torn_attempts(ground: Ground) -> str:
    path = ground.folder / "attempts.jsonl"
    for _ in range(ground.chance.randint(1, 4)):
        end_attempt(path, begin_attempt(path, 16), "preempted", "stopped by SIGTERM")
    before = read_attempts(path)
    tear_last_line(path, ground.chance)
    last = begin_attempt(path, 16)
    end_attempt(path, last, "finished", "")
    read = read_attempts(path)
    expect(read[:-2] == before[:-1], f"{read} of {before}")
    expect([each.number for each in read] == list(range(1, len(before) + 2)), read)
    expect([each.ending for each in read] == ["preempted"] * len(before) + ["finished"], read)
    return "every attempt kept; the end that was torn is written as far as it is known"


def _clock_jumps_in_an_attempt(ground: Ground) -> str:
    path, now = ground.folder / "attempts.jsonl", attempts._now
    times = [f"20{ground.chance.randint(10, 60)}-01-01T00:00:00+00:00" for _ in range(6)]
    try:
        for began, ended in zip(times[::2], times[1::2], strict=True):
            attempts._now = lambda began=began: began  # type: ignore[misc]
            number = begin_attempt(path, 16)
            attempts._now = lambda ended=ended: ended  # type: ignore[misc]
            end_attempt(path, number, "preempted", "")
    finally:
        attempts._now = now
    read = read_attempts(path)
    expect([each.number for each in read] == [1, 2, 3], read)
    expect([time for each in read for time in (each.began, each.ended)] == times, read)
    return "in the order in which they were, whatever the clock says"


def _killed_writing_the_result(ground: Ground) -> str:
    run = _run(ground)
    content = run.result.read_bytes()
    run.result.unlink()
    call, after = ground.chance.choice(("fsync", "replace", "fchmod")), ground.chance.random() < 0.5

    def action() -> int:
        function = getattr(os, call)

        def deadly(*arguments: Any, **options: Any) -> None:
            if after:
                function(*arguments, **options)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(os, call, deadly)
        write_bytes(run.result, content)
        return 0

    ended = fork(action, ground.folder / "output").wait()
    expect(ended.status == -signal.SIGKILL, ended)
    expect(run.finished == ((call, after) == ("replace", True)), "finished, and not")
    if run.finished:
        expect(run.result.read_bytes() == content, "another record")
        return "finished, its record whole"
    expect(standing(run).state == "interrupted", standing(run))
    return "not finished: to be resumed"


def _truncated_result(ground: Ground) -> str:
    run = _run(ground)
    truncate(run.result, ground.chance)
    try:
        read_record(run.result)
    except UserError as error:
        expect(str(run.result) in str(error) and "move it away" in str(error), error)
        return "refused with one message that says what to do"
    expect(False, "read without a word")
    return ""


def _torn_metrics(ground: Ground) -> str:
    run = _run(ground)
    run.result.unlink()
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    tear_last_line(run.metrics, ground.chance)
    known = read_progress(run)
    expect(known.step == lines[-2]["step"], f"step {known.step} of {lines[-2]['step']}")
    return "known up to the last whole line"


def _any_broken_file(ground: Ground) -> str:
    """Whatever is broken, a run's state is known and every finished run is still told as finished."""
    run = _run(ground)
    is_finished = ground.chance.random() < 0.5
    if not is_finished:
        run.result.unlink()
    files = {path.name: path for path in run.path.glob("*.json*") if path != run.result}
    chosen = files[ground.chance.choice(sorted(files))]
    ground.chance.choice((truncate, flip_a_bit, empty))(chosen, ground.chance)
    state = standing(run).state
    expect(state == ("finished" if is_finished else "interrupted"), f"{state} with {chosen.name} broken")
    read_progress(run)
    expect(any_file(run.path, ground.chance), "nothing is left")
    return "its state is known"
