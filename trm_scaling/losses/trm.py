"""TRM's loss on a batch: cells plus halting. Shapes: B batch, C cells, V vocabulary."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from trm_scaling.losses.cross_entropy import softmax_cross_entropy, stablemax_cross_entropy

CrossEntropy = Callable[[Float[Array, "B C V"], Int[Array, "B C"]], Float[Array, "B C"]]

CrossEntropyName = Literal["stablemax_cross_entropy", "softmax_cross_entropy"]

HALT_WEIGHT = 0.5
"""Weight of the halting loss beside the cells' (public code, `ACTLossHead`)."""


def cross_entropy_of(name: CrossEntropyName) -> CrossEntropy:
    """The cell loss of that name (`arch.loss`)."""
    match name:
        case "stablemax_cross_entropy":
            return stablemax_cross_entropy
        case "softmax_cross_entropy":
            return softmax_cross_entropy


class Losses(NamedTuple):
    """Per slot; a slot without any labelled cell (padding) has zeros everywhere."""

    cells: Float[Array, " B"]
    """Mean cross-entropy over the labelled cells."""
    halting: Float[Array, " B"]
    """Binary cross-entropy of the halting logit against `solved`."""
    accuracy: Float[Array, " B"]
    """Share of the labelled cells that are right."""
    solved: Bool[Array, " B"]
    """Every labelled cell is right."""
    counted: Bool[Array, " B"]
    """The slot holds a puzzle, not padding."""

    @property
    def total(self) -> Float[Array, ""]:
        """Sum over the batch; the gradient divides it by the global batch size."""
        return jnp.sum(self.cells + HALT_WEIGHT * self.halting)


def trm_losses(
    logits: Float[Array, "B C V"],
    q_halt: Float[Array, " B"],
    labels: UInt8[Array, "B C"],
    cross_entropy: CrossEntropy,
) -> Losses:
    """Losses and correctness of every slot; label 0 marks a cell without a label.

    The public code counts padding as solved in its halting loss; here it is masked everywhere.
    """
    wanted = labels.astype(jnp.int32)
    labelled = wanted > 0
    count = jnp.sum(labelled, axis=-1)
    counted = count > 0

    per_cell = jnp.where(labelled, cross_entropy(logits, wanted), 0.0)
    divisor = jnp.maximum(count, 1).astype(per_cell.dtype)
    right = labelled & (jnp.argmax(logits, axis=-1).astype(jnp.int32) == wanted)
    solved = counted & (jnp.sum(right, axis=-1) == count)
    target = solved.astype(q_halt.dtype)
    # Binary cross-entropy from the logit, finite for every logit.
    halting = jax.nn.softplus(q_halt) - target * q_halt
    return Losses(
        cells=jnp.sum(per_cell, axis=-1) / divisor,
        halting=jnp.where(counted, halting, 0.0),
        accuracy=jnp.sum(right, axis=-1).astype(divisor.dtype) / divisor,
        solved=solved,
        counted=counted,
    )
