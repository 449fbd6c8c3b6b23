"""How far a run has come, from the end of its `metrics.jsonl` and the configuration beside it."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from trm_scaling.config import Schedule
from trm_scaling.config.compose import load
from trm_scaling.errors import UserError
from trm_scaling.io.jsonable import read_json_lenient
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.results.evaluations import headline

_TAIL_BYTES = 1 << 16
_LONGEST_TAIL_BYTES = 1 << 22
"""An evaluation is looked for so far back, and no further: its last line may lie before many others."""


@dataclass(frozen=True)
class Progress:
    """The newest numbers of a run; None where there is none yet."""

    step: int | None = None
    total_steps: int | None = None
    loss: float | None = None
    validation_exact_rate: float | None = None
    """Share of validation puzzles solved at the last evaluation."""
    test_exact_rate: float | None = None
    """Of a finished run: its headline."""
    examples_per_s: float | None = None
    seconds_left: float | None = None
    """At the pace of the newest metrics, evaluations included."""
    updated: str | None = None
    """When the newest metrics were written; UTC, ISO 8601."""


def read_progress(folder: RunFolder) -> Progress:
    """The progress of the run in `folder`. Reads little, whatever the length of its history."""
    total = _total_steps(folder.config)
    lines, updated = _newest_lines(folder.metrics)
    trained = [line for line in lines if line.get("kind") == "train"]
    last = trained[-1] if trained else {}
    evaluated = [line for line in lines if line.get("kind") == "eval"]
    evaluation = evaluated[-1] if evaluated else {}
    result = read_json_lenient(folder.result)
    step = max((_whole(line.get("step")) or 0 for line in lines), default=None)
    return Progress(
        step=_whole(result.get("steps")) if result else step,
        total_steps=_whole(result.get("steps")) if result else total,
        loss=_number(last.get("train/loss")),
        validation_exact_rate=_number(evaluation.get("eval/exact_rate")),
        test_exact_rate=_headline(result),
        examples_per_s=_number(result.get("examples_per_s") if result else last.get("time/examples_per_s")),
        seconds_left=None if result else _seconds_left(trained, step, total),
        updated=updated,
    )


def _total_steps(path: Path) -> int | None:
    try:
        return _steps_of(path, path.stat().st_mtime_ns)
    except (OSError, UserError):
        # Not begun, or written by another version: then there is no total to tell.
        return None


@lru_cache(maxsize=1024)
def _steps_of(path: Path, modified: int) -> int:
    config = load(path)
    return Schedule.of(config, config.data.train_size).total_steps


def _newest_lines(path: Path) -> tuple[list[dict[str, Any]], str | None]:
    """Whole records at the end of the file, back to an evaluation if one is near, and the file's time."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            length = _TAIL_BYTES
            while True:
                start = max(0, size - length)
                file.seek(start)
                tail = file.read(size - start)
                if start == 0 or b'"kind": "eval"' in tail or length >= _LONGEST_TAIL_BYTES:
                    break
                length *= 8
            modified = os.fstat(file.fileno()).st_mtime
    except OSError:
        return [], None
    # The first piece may be the rest of a line, and the last the beginning of one: neither is a record.
    lines = [line for line in map(_record, tail.splitlines()) if line is not None]
    return lines, datetime.fromtimestamp(modified, UTC).isoformat(timespec="seconds")


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _seconds_left(trained: list[dict[str, Any]], step: int | None, total: int | None) -> float | None:
    points = [(_whole(line.get("step")), _number(line.get("time"))) for line in trained]
    known = [(at, seconds) for at, seconds in points if at is not None and seconds is not None]
    if step is None or total is None or len(known) < 2 or known[-1][0] <= known[0][0]:
        return None
    (first, began), (last, now) = known[0], known[-1]
    return max(0, total - step) * (now - began) / (last - first)


def _headline(result: Mapping[str, Any]) -> float | None:
    """As `RunRecord.headline`, without holding the file to its schema."""
    try:
        return _number(headline(result).summary["final"]["exact_rate"])
    except (IndexError, KeyError, TypeError, AttributeError):
        return None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
