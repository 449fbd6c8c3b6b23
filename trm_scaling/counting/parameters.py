"""How many numbers are trained."""

from trm_scaling.config import ArchConfig


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
