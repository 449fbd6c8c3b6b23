"""Parameters, FLOPs, bytes, time and cost by pure arithmetic. Imports no JAX."""

from trm_scaling.cost.devices import peak_flops
from trm_scaling.cost.flops import (
    count_parameters,
    count_puzzle_emb,
    flops_per_sample,
    inference_flops,
    training_flops,
)

__all__ = [
    "count_parameters",
    "count_puzzle_emb",
    "flops_per_sample",
    "inference_flops",
    "peak_flops",
    "training_flops",
]
