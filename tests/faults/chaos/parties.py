"""Trials worked through in forked processes, a few at once."""

import json
import os
import random
import shutil
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.chaos.forks import Running, fork, write_line
from tests.faults.chaos.table import Outcome
from tests.faults.chaos.trial import Ground, Trial


@dataclass(frozen=True)
class Party:
    """Trials that one process works through."""

    name: str
    trials: Sequence[Trial]
    on_runs: bool
    """Whether they need a study with finished runs."""


def work_through(
    parties: Sequence[Party], folder: Path, reference: Path, seed: int, jobs: int, deadline: float
) -> list[Outcome]:
    """Every trial in turn, `jobs` processes at once; none begins after `deadline` (monotonic seconds)."""
    waiting, working = list(parties), dict[int, tuple[Party, Running]]()
    planned = sum(len(party.trials) for party in parties)
    outcomes: list[Outcome] = []
    while waiting or working:
        while waiting and len(working) < jobs and time.monotonic() < deadline:
            party = waiting.pop(0)
            running = _begin(party, folder / party.name, reference, seed, deadline)
            working[running.pid] = party, running
        if not working:
            break
        # Not `waitpid` of one: whichever ends first makes room for the next.
        pid, status = os.wait()
        party, running = working.pop(pid)
        found = _outcomes(party, running, status, folder / party.name)
        outcomes += found
        for outcome in found:
            if outcome.lost:
                print(f"LOST: {outcome.fault}, {outcome.place}: {outcome.lost}", file=sys.stderr, flush=True)
        shutil.rmtree(folder / party.name, ignore_errors=True)
        print(f"{len(outcomes)} of {planned} faults tried", file=sys.stderr, flush=True)
    return outcomes


def _begin(party: Party, folder: Path, reference: Path, seed: int, deadline: float) -> Running:
    def action() -> int:
        for number, trial in enumerate(party.trials):
            if time.monotonic() > deadline:
                return 0
            ground = Ground(folder / str(number), random.Random(f"{seed} {party.name} {number}"), reference)
            ground.folder.mkdir()
            seen, lost = "", ""
            try:
                seen = trial.action(ground)
            except Exception:
                # A process boundary: whatever goes wrong in a trial is what it found.
                lost = traceback.format_exc()
            write_line(folder / "outcomes.jsonl", {"number": number, "seen": seen, "lost": lost})
        return 0

    return fork(action, folder)


def _outcomes(party: Party, running: Running, status: int, folder: Path) -> list[Outcome]:
    """What a process found; that it died is what its next trial found."""
    try:
        lines = [json.loads(line) for line in (folder / "outcomes.jsonl").read_text().splitlines()]
    except FileNotFoundError:
        lines = []
    if status != 0:
        errors = (running.folder / "stderr").read_text(errors="replace")
        lines.append({"number": len(lines), "seen": "", "lost": f"wait status {status}: {errors}"})
    return [
        Outcome(trial.fault, trial.place, trial.is_real, line["seen"], line["lost"])
        for line in lines
        for trial in [party.trials[line["number"]]]
    ]
