"""What bounds a training step: its matrix products, its memory traffic, or the number of its operations.

Shapes: B batch, L positions, D width, F SwiGLU hidden width.
"""

from dataclasses import dataclass
from typing import Literal

from trm_scaling.config import RunConfig
from trm_scaling.cost.flops import count_parameters, flops_per_sample
from trm_scaling.cost.memory import DTYPE_BYTES

Term = Literal["matrix products", "memory traffic", "overhead"]

HIDDEN_FORWARD, HIDDEN_BACKWARD = 6, 12
"""Times that a value of SwiGLU's inner width is written or read. Forward: the two products write it, the
gate reads both and writes one, the product after it reads that. Backward: the gradient of that one is
written and read, gate and up are read, their gradients written and read twice, and `down`'s reads one."""

STATE_FORWARD, STATE_BACKWARD = 12, 24
"""The same of a state: twice in a layer it is read, mixed, added, squared and scaled."""

PARAMETERS_OF_UPDATE = 10
"""Gradient, parameter, two moments and the average are each read and written."""

OPERATIONS_OF_LAYER = 14
"""Kernels of one layer forward: six products, two gates, two sums, two squares, two scalings."""


@dataclass(frozen=True)
class StepTerms:
    """What one training step asks of a device."""

    flops: int
    """Of its matrix products."""
    traffic_bytes: int
    """To and from memory if nothing stays in a cache between two operations."""
    operations: int
    """Kernels, one after another."""


@dataclass(frozen=True)
class DeviceRates:
    """What a device was measured to do."""

    flops_per_s: float
    """In one large matrix product of the precision."""
    bytes_per_s: float
    """Read and written by one large sum."""
    operation_s: float
    """Seconds that one small operation takes inside a program."""


@dataclass(frozen=True)
class Roofline:
    """Seconds that each term takes alone, and the largest, below which no step can be."""

    products_s: float
    traffic_s: float
    overhead_s: float
    bound: Term
    least_s: float


def step_terms(config: RunConfig, vocab_size: int, seq_len: int) -> StepTerms:
    """The terms of one training step of `config` on one device, at the architecture's own recursion."""
    arch, batch, slices = config.arch, config.global_batch_size, config.micro_batches
    width, positions = arch.hidden_size, arch.prefix_len + seq_len
    forward = arch.passes * arch.L_layers
    backward = arch.passes_with_gradient * arch.L_layers
    hidden = positions * arch.inner_width(width)
    # Attention has no inner width: query, key, value and the mix count as states would.
    hidden += width * arch.inner_width(positions) if arch.mlp_t else 4 * positions * width
    values = forward * (HIDDEN_FORWARD * hidden + STATE_FORWARD * positions * width)
    values += backward * (HIDDEN_BACKWARD * hidden + STATE_BACKWARD * positions * width)
    network = count_parameters(arch, vocab_size, seq_len)
    dtype_bytes = DTYPE_BYTES[arch.forward_dtype]
    # Each pass reads the weights; each backward one writes their gradients, which are read to be added.
    weights = slices * network * ((forward + backward) * dtype_bytes + 2 * 4 * backward) // arch.L_layers
    return StepTerms(
        flops=batch * flops_per_sample(arch, vocab_size, seq_len),
        traffic_bytes=batch * values * dtype_bytes + weights + 4 * PARAMETERS_OF_UPDATE * network,
        operations=slices * OPERATIONS_OF_LAYER * (forward + 2 * backward),
    )


def roofline(terms: StepTerms, rates: DeviceRates) -> Roofline:
    """Which of `terms` bounds the step on a device of those `rates`."""
    seconds: dict[Term, float] = {
        "matrix products": terms.flops / rates.flops_per_s,
        "memory traffic": terms.traffic_bytes / rates.bytes_per_s,
        "overhead": terms.operations * rates.operation_s,
    }
    bound = max(seconds, key=lambda term: seconds[term])
    return Roofline(
        products_s=seconds["matrix products"],
        traffic_s=seconds["memory traffic"],
        overhead_s=seconds["overhead"],
        bound=bound,
        least_s=seconds[bound],
    )
