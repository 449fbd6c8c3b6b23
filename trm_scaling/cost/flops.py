"""Trained parameters, and matrix-product FLOPs, a multiply-add counted as two: of a sample, of a whole run.

XLA's own count visits the body of a loop once, and TRM is all loops; hence arithmetic.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from trm_scaling.config import ArchConfig, DataConfig, RunConfig, Schedule


def layer_flops(arch: ArchConfig, seq_len: int) -> int:
    """Forward FLOPs of one block on one puzzle."""
    width, positions = arch.hidden_size, arch.prefix_len + seq_len
    mlp = 6 * positions * width * arch.inner_width(width)
    if arch.mlp_t:
        return mlp + 6 * width * positions * arch.inner_width(positions)
    return mlp + 8 * positions * width * width + 4 * positions * positions * width


def flops_per_sample(arch: ArchConfig, vocab_size: int, seq_len: int) -> int:
    """Training FLOPs of one puzzle in one supervision step.

    All passes forward, of which the last also backward at twice the forward cost: of TRM T(n+1) and n+1,
    35 forward-equivalents at T=3, n=6. Rematerialisation is not counted (it is not useful work).
    """
    passes = arch.passes + 2 * arch.passes_with_gradient
    head = 3 * 2 * seq_len * arch.hidden_size * vocab_size
    return passes * arch.L_layers * layer_flops(arch, seq_len) + head


def training_flops(config: RunConfig, schedule: Schedule, vocab_size: int, seq_len: int) -> int:
    """FLOPs of a whole training as they are spent: each stage of a curriculum at its own recursion."""
    batch = config.global_batch_size
    return sum(
        steps * batch * flops_per_sample(config.arch.at(stage.depth), vocab_size, seq_len)
        for stage, steps in schedule.steps_of_stages()
    )


def inference_flops(arch: ArchConfig, vocab_size: int, seq_len: int, steps: int) -> int:
    """FLOPs of answering one puzzle with `steps` supervision steps."""
    head = 2 * seq_len * arch.hidden_size * vocab_size
    return steps * (arch.passes * arch.L_layers * layer_flops(arch, seq_len) + head)


def count_parameters(arch: ArchConfig, vocab_size: int, seq_len: int) -> int:
    """Trainable parameters without the puzzle embeddings; the initial states are buffers."""
    width, positions = arch.hidden_size, arch.prefix_len + seq_len

    def swiglu(size: int) -> int:
        return 3 * size * arch.inner_width(size)

    mixing = swiglu(positions) if arch.mlp_t else 4 * width * width
    learned = positions * width if arch.pos_encodings == "learned" else 0
    heads = width * vocab_size + width * 2 + 2
    return vocab_size * width + learned + arch.L_layers * (mixing + swiglu(width)) + heads


def count_puzzle_emb(arch: ArchConfig, num_puzzle_ids: int) -> int:
    """Numbers in the puzzle-embedding table."""
    return num_puzzle_ids * arch.puzzle_emb_ndim


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
