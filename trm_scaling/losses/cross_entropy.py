"""Cross-entropy of one cell under stablemax (arXiv 2501.04697) or softmax. Shapes: V vocabulary."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


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
