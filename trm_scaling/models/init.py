"""Initial parameters: truncated LeCun normal, as the public code draws (with JAX's generator)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from trm_scaling.config import ArchConfig
from trm_scaling.models.layers import PUZZLE_EMB, Params

TRUNCATED_STD = 0.87962566103423978
"""Standard deviation of a unit normal cut at two; dividing by it makes the wanted deviation exact."""

HALT_BIAS = -5.0
"""Start of both halting logits: nobody halts before the head has learned to."""


def init_params(key: Array, arch: ArchConfig, vocab_size: int, seq_len: int, num_puzzle_ids: int) -> Params:
    """Trainable parameters, float32, in nested dictionaries; weights are (in, out)."""
    names = iter(jax.random.split(key, 4 + 4 * arch.L_layers))
    width, positions = arch.hidden_size, arch.prefix_len + seq_len

    def linear(rows: int, columns: int) -> Float[Array, "rows columns"]:
        return truncated_normal(next(names), (rows, columns), rows**-0.5)

    def swiglu(size: int) -> Params:
        hidden = arch.inner_width(size)
        return {"gate_up": linear(size, 2 * hidden), "down": linear(hidden, size)}

    def mixing() -> Params:
        if arch.mlp_t:
            return {"mix": swiglu(positions)}
        return {"attention": {"qkv": linear(width, 3 * width), "out": linear(width, width)}}

    params: Params = {
        "embed_tokens": truncated_normal(next(names), (vocab_size, width), width**-0.5),
        "lm_head": linear(width, vocab_size),
        "q_head": {"weight": jnp.zeros((width, 2)), "bias": jnp.full((2,), HALT_BIAS, jnp.float32)},
        "layers": [{**mixing(), "mlp": swiglu(width)} for _ in range(arch.L_layers)],
    }
    if arch.pos_encodings == "learned":
        params["embed_pos"] = truncated_normal(next(names), (positions, width), width**-0.5)
    if arch.puzzle_emb_ndim:
        params[PUZZLE_EMB] = jnp.zeros((num_puzzle_ids, arch.puzzle_emb_ndim))
    return params


def init_buffers(key: Array, arch: ArchConfig) -> Params:
    """The fixed initial states, (D,), float32, deviation 1: saved, never trained. TRM has H_init and L_init,
    a model of one state H_init alone.
    """
    names = ("H_init", "L_init")[: arch.states]
    keys = jax.random.split(key)
    return {
        name: truncated_normal(key, (arch.hidden_size,), 1.0) for name, key in zip(names, keys, strict=False)
    }


def truncated_normal(key: Array, shape: tuple[int, ...], std: float) -> Float[Array, "..."]:
    """Normal numbers cut at two deviations and rescaled so that their deviation is `std`."""
    return jax.random.truncated_normal(key, -2.0, 2.0, shape) * (std / TRUNCATED_STD)
