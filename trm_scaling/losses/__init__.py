"""Cross-entropies over the cells and the halting loss. Imports nothing of the project."""

from trm_scaling.losses.trm import (
    CrossEntropy,
    Losses,
    cross_entropy_of,
    softmax_cross_entropy,
    stablemax_cross_entropy,
    trm_losses,
)

__all__ = [
    "CrossEntropy",
    "Losses",
    "cross_entropy_of",
    "softmax_cross_entropy",
    "stablemax_cross_entropy",
    "trm_losses",
]
