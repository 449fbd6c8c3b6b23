"""The Tiny Recursive Model (arXiv 2510.04871) and what stands beside it, as plain functions over pytrees.

The public code's names are used throughout; the paper's are z = z_L, y = z_H, n = L_cycles,
T = H_cycles. Shapes: B batch, L positions (prefix + cells), P prefix, C cells, D width, H heads,
K head size, F hidden, V vocabulary. States are stored (L, B, D): mixing over positions is then one
plain matrix product on (L, B*D) and mixing over width one on (L*B, D), neither with a transposed copy.
"""

from trm_scaling.models.act import Carry, empty_carry, halt, reset_halted
from trm_scaling.models.model import Execution, Output, init, step

__all__ = [
    "Carry",
    "Execution",
    "Output",
    "empty_carry",
    "halt",
    "init",
    "reset_halted",
    "step",
]
