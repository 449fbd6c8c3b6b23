"""What a run computes from its first step to its record: FLOPs, and how many layers in sequence."""

from collections.abc import Iterator
from dataclasses import dataclass

from trm_scaling.config import DataConfig, RunConfig, Schedule
from trm_scaling.counting.flops import inference_flops, layer_flops, training_flops
from trm_scaling.counting.memory import training_memory


@dataclass(frozen=True)
class Phase:
    """A part of a run."""

    flops: int
    """As they are spent: in training, with what rematerialisation computes twice."""

    layers: int
    """Applications of one layer, one after another; a backward one counts twice. However wide the device,
    it has to go through these in order."""


@dataclass(frozen=True)
class Work:
    """A whole run."""

    training: Phase
    validation: Phase
    test: Phase | None
    """None: nobody knows the size of the test split yet."""


def work_of(config: RunConfig, schedule: Schedule, vocab_size: int, seq_len: int, tested: int | None) -> Work:
    """The work of `config` with a test split of `tested` puzzles (None: unknown)."""
    useful = training_flops(config, schedule, vocab_size, seq_len)
    spent = useful + (_recomputed_flops(config, schedule, seq_len) if config.system.remat else 0)
    return Work(
        Phase(spent, _layers_trained(config, schedule)),
        _answering(config, vocab_size, seq_len, config.eval_puzzles, times=_validations(config, schedule)),
        None if tested is None else _answering(config, vocab_size, seq_len, tested, times=_tests(config)),
    )


def described_test_puzzles(data: DataConfig) -> int | None:
    """Size of the test split that `data` describes; None where only a folder or a list can say."""
    if data.path is not None:
        return None
    return data.hub_test_size if data.test_size is None and data.source == "hub" else data.test_size


def _tests(config: RunConfig) -> int:
    """Sets of weights that are tested at most (`system.test_weights`)."""
    if config.system.test_weights == "headline":
        return 1
    return 2 * (1 + config.ema + len(config.ema_rates))


def _validations(config: RunConfig, schedule: Schedule) -> int:
    """Times that a set of weights is evaluated on validation."""
    return len(schedule.evaluated_steps) * (1 + len(config.ema_rates))


def _recomputed_flops(config: RunConfig, schedule: Schedule, seq_len: int) -> int:
    """Of the passes with a gradient, which rematerialisation goes through once more."""
    one_pass = config.arch.L_layers * layer_flops(config.arch, seq_len)
    stages = schedule.steps_of_stages()
    passes = sum(steps * config.arch.at(stage.depth).passes_with_gradient for stage, steps in stages)
    return config.global_batch_size * passes * one_pass


def _layers_trained(config: RunConfig, schedule: Schedule) -> int:
    def of_stages() -> Iterator[int]:
        for (_, depth), steps in schedule.steps_of_stages():
            # The last passes go backward too, at twice the cost.
            arch = config.arch.at(depth)
            yield steps * (arch.passes + (2 + config.system.remat) * arch.passes_with_gradient)

    return sum(of_stages()) * config.arch.L_layers * config.micro_batches


def _answering(config: RunConfig, vocab_size: int, seq_len: int, puzzles: int, times: int) -> Phase:
    arch, steps = config.arch, config.arch.halt_max_steps
    batches = -(-puzzles // config.system.eval_batch_size)
    return Phase(
        times * puzzles * inference_flops(arch, vocab_size, seq_len, steps),
        times * batches * steps * arch.passes * arch.L_layers,
    )


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
