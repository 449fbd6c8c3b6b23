"""The first ten minutes of an accelerator: everything that only the device can say, in one command.

    python -m benchmarks.accelerator                # under 9 minutes on one GPU
    python -m benchmarks.accelerator --toy          # the same at toy size, for a CPU
    python -m benchmarks.accelerator --only step --seconds 300

Each section is a process of its own with a budget of seconds, after which it is ended. It writes a row as
soon as it has it (`OUT/SECTION.jsonl`); the page (`OUT/report.md`, `OUT/report.json`) is written again after
each, so that whatever ends this command, what was measured is kept.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trm_scaling.io.atomic import write_json, write_text

BUDGETS = {"parity": 70, "step": 200, "evaluation": 50, "seeds": 90, "solve": 60, "resume": 50}
"""Seconds of each section: 520 together, and what the processes take to end."""

TITLES = {
    "parity": "Golden vectors of the public code on this device",
    "step": "A training step",
    "evaluation": "Evaluation",
    "seeds": "Seeds as one program against one after another",
    "solve": "4x4 from nothing to its accuracy",
    "resume": "A run that is stopped and goes on",
}
NOTES = {
    "parity": "`off` is the largest distance from the public float32 values, as a share of the tensor's "
    "largest magnitude; 16-bit precisions are off by their rounding.",
    "step": "`positions 104` and `128` have 7 and 31 more prefix positions: aligned products.",
    "seeds": "Puzzle-steps a second of all seeds together.",
}

_POLL_SECONDS, _END_SECONDS = 1.0, 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("accelerator"), help="folder of the results")
    parser.add_argument("--only", choices=[*BUDGETS], action="append", help="these sections, repeatable")
    parser.add_argument("--seconds", type=float, help="budget of each section, instead of its own")
    parser.add_argument("--toy", action="store_true", help="toy sizes, for a CPU")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    state: dict[str, dict[str, Any]] = {}
    began = time.monotonic()
    for name in options.only or BUDGETS:
        budget = options.seconds or BUDGETS[name]
        state[name] = _run_section(name, budget, options.toy, options.out, state)
        _write(options.out, state)
    print(f"{time.monotonic() - began:.0f} s; written: {options.out / 'report.md'}", flush=True)
    return 1 if any(each["ended"] == "failed" for each in state.values()) else 0


def _run_section(
    name: str, budget: float, toy: bool, out: Path, state: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Run one section to its end or to the end of its budget; what the page says of it."""
    rows, log = out / f"{name}.jsonl", out / f"{name}.log"
    rows.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.accelerator_sections", name, str(rows), str(budget)]
    began = time.monotonic()
    with log.open("w") as said:
        process = subprocess.Popen(
            [*command, *(["--toy"] if toy else [])],
            stdout=said,
            stderr=subprocess.STDOUT,
            # A session of its own, so that the runs that it starts end with it.
            start_new_session=True,
        )
        seen, ended = 0, "in budget"
        while process.poll() is None:
            seconds = time.monotonic() - began
            if seconds > budget:
                _end(process)
                ended = "out of time"
                break
            found = _rows(rows)
            if len(found) != seen:
                seen = len(found)
                _write(out, {**state, name: {"ended": "running", "seconds": seconds, "rows": found}})
            _tell(f"{name}: {seen} rows, {seconds:.0f} of {budget:.0f} s")
            time.sleep(_POLL_SECONDS)
    if ended == "in budget" and process.returncode != 0:
        ended = "failed"
    found = _rows(rows)
    seconds = time.monotonic() - began
    why = log.read_text(errors="replace").splitlines()[-1:] if ended == "failed" else []
    print(f"{name}: {len(found)} rows in {seconds:.0f} s, {ended} {' '.join(why)}", flush=True)
    return {"ended": ended, "seconds": seconds, "rows": found, **({"why": why[0]} if why else {})}


def _end(process: subprocess.Popen[bytes]) -> None:
    for sent in (signal.SIGTERM, signal.SIGKILL):
        os.killpg(process.pid, sent)
        try:
            process.wait(_END_SECONDS)
            return
        except subprocess.TimeoutExpired:
            continue


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()


def _rows(path: Path) -> list[dict[str, Any]]:
    """Whole lines alone: the last one may be on its way."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _write(out: Path, state: dict[str, dict[str, Any]]) -> None:
    write_json(out / "report.json", {"date": time.strftime("%Y-%m-%d"), "sections": state})
    parts = ["# The first ten minutes of an accelerator", ""]
    about = next((row for each in state.values() for row in each["rows"] if "device" in row), None)
    if about is not None:
        parts += [f"{about['device']}, jax {about['jax']}, {time.strftime('%d %b %Y')}.", ""]
    for name, each in state.items():
        parts += [
            f"## {TITLES[name]}",
            "",
            f"{each['ended']}, {each['seconds']:.0f} s. {each.get('why', '')}",
            "",
        ]
        parts += [*_table([row for row in each["rows"] if "device" not in row]), ""]
        parts += [NOTES[name], ""] if name in NOTES else []
    write_text(out / "report.md", "\n".join(parts))


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["Nothing was measured."]
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    return [*lines, *(f"| {' | '.join(_cell(row.get(name)) for name in names)} |" for row in rows)]


def _cell(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool() | str():
            return str(value).replace("|", "/")
        case float():
            return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
        case _:
            return f"{value:,}"


if __name__ == "__main__":
    sys.exit(main())
