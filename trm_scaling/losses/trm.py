"""TRM's loss on a batch: cells, by stablemax (arXiv 2501.04697) or softmax, plus halting.

Shapes: B batch, C cells, V vocabulary.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8


@jax.custom_jvp
def symmetric_log(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """log s(x) of stablemax, s(x) = x + 1 above zero and 1 / (1 - x) below: sign(x) log(1 + |x|).

    The naive form takes a `where` of both branches, and the untaken one divides by zero at x = 1:
    its gradient is NaN. Here value and derivative, 1 / (1 + |x|), are finite for every finite x.
    """
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


@symmetric_log.defjvp
def _symmetric_log_jvp(primals, tangents):  # type: ignore[no-untyped-def]
    (x,), (dx,) = primals, tangents
    return symmetric_log(x), dx / (1 + jnp.abs(x))


def stablemax_cross_entropy(logits: Float[Array, "... V"], labels: Int[Array, "..."]) -> Float[Array, "..."]:
    """-log stablemax(logits)[label], in float32; stablemax is softmax of the symmetric logarithm."""
    return softmax_cross_entropy(symmetric_log(_widened(logits)), labels)


def softmax_cross_entropy(logits: Float[Array, "... V"], labels: Int[Array, "..."]) -> Float[Array, "..."]:
    """-log softmax(logits)[label], in float32."""
    log_probs = jax.nn.log_softmax(_widened(logits), axis=-1)
    return -jnp.take_along_axis(log_probs, labels[..., None], axis=-1)[..., 0]


def _widened(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """In float32, or in float64 where a test computes in it."""
    return x if x.dtype.itemsize >= 4 else x.astype(jnp.float32)


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
    """Per row of the batch; a row without any labelled cell (padding) has zeros everywhere."""

    cells: Float[Array, " B"]
    """Mean cross-entropy over the labelled cells."""
    halting: Float[Array, " B"]
    """Binary cross-entropy of the halting logit against `solved`."""
    accuracy: Float[Array, " B"]
    """Share of the labelled cells that are right."""
    solved: Bool[Array, " B"]
    """Every labelled cell is right."""
    counted: Bool[Array, " B"]
    """The row holds a puzzle, not padding."""

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
    """Losses and correctness of every row; label 0 marks a cell without a label.

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
