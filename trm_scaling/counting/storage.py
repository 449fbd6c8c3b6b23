"""Bytes that a run leaves on a disk, and sends over a network."""

from dataclasses import dataclass

from trm_scaling.config import RunConfig, Schedule
from trm_scaling.counting.memory import training_memory

BEST, BEING_WRITTEN = 1, 1
"""Checkpoints beside the newest ones that are kept."""

METRICS_LINE = 1_000
"""Of `metrics.jsonl`, a line for each device call."""

OUTCOMES = 12
"""Of one test puzzle in `test_outcomes.npz`, beside a byte for each supervision step; before compression."""

RECORDED = 2_000
"""Of one evaluation in `metrics.jsonl` and again in `result.json`, beside 150 for each supervision step."""


@dataclass(frozen=True)
class Storage:
    """Bytes of one run."""

    checkpoint: int
    """One of them."""
    disk: int
    """Of the run folder when it is largest: while a checkpoint is written beside those that are kept."""
    results: int
    """Of what the analysis reads: everything in the folder but the checkpoints."""


def storage_of(
    config: RunConfig, schedule: Schedule, vocab_size: int, seq_len: int, tested: int | None
) -> Storage:
    """Of a run of `config` with a test split of `tested` puzzles (None: unknown, and left out)."""
    state = training_memory(config, vocab_size, seq_len, "cpu")
    checkpoint = state.parameters + state.moments + state.average + state.carry
    longest = config.arch.halt_max_steps
    calls = -(-schedule.total_steps // config.system.steps_per_call)
    results = calls * METRICS_LINE
    results += 2 * len(schedule.evaluated_steps) * (RECORDED + 150 * longest)
    results += (tested or 0) * (OUTCOMES + longest)
    kept = config.system.keep_checkpoints + BEST + BEING_WRITTEN
    return Storage(checkpoint, kept * checkpoint + results, results)
