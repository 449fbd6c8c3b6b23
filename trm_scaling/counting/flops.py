"""Trained parameters, and matrix-product FLOPs, a multiply-add counted as two.

XLA's own count visits the body of a loop once, and TRM is all loops; hence arithmetic.
"""

from trm_scaling.config import ArchConfig, RunConfig, Schedule


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
