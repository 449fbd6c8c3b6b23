"""Small configurations of every kind, with weights and puzzles for them, as hypothesis draws them."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from tests.oracle import trm
from trm_scaling.config import TrmConfig
from trm_scaling.models.init import init_buffers, init_params
from trm_scaling.models.interchange import from_public

Draw = Any
Positions = Literal["none", "rope", "learned"]


@dataclass(frozen=True)
class Case:
    """A batch of puzzles in the middle of being worked on. The states are (B, L, D)."""

    arch: TrmConfig
    vocab: int
    weights: trm.Weights
    """float64, of numbers that float32 holds."""
    y: np.ndarray
    z: np.ndarray
    tokens: np.ndarray
    labels: np.ndarray
    puzzles: np.ndarray
    unroll: bool
    remat: bool

    def in_precision(self, dtype: str) -> tuple[TrmConfig, Any, Any, Any]:
        """(arch, params, z_H, z_L) for the model; the schema offers no float64, which only tests use."""
        like = jax.eval_shape(
            lambda key: (
                init_params(key, self.arch, self.vocab, self.tokens.shape[1], int(self.puzzles.max()) + 1),
                init_buffers(key, self.arch),
            ),
            jax.random.key(0),
        )
        params, _ = from_public(self.arch, self.weights, like, "the oracle's weights")
        arch = self.arch.model_copy(update={"forward_dtype": dtype})
        states = (jnp.asarray(np.swapaxes(each, 0, 1), dtype) for each in (self.y, self.z))
        return arch, jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), params), *states


@st.composite
def cases(draw: Draw) -> Case:
    """Widths, depths, prefixes, mixings, positions, losses and puzzles, all small."""
    arch = draw(architectures())
    cells, vocab = draw(st.integers(1, 7)), draw(st.integers(2, 6))
    batch, rows = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    positions = trm.prefix_length(arch) + cells

    def held(values: np.ndarray) -> np.ndarray:
        return values.astype(np.float32).astype(np.float64)

    weights = {
        name: held(random.normal(size=shape) / np.sqrt(shape[-1]) * (3 if "q_head" in name else 1))
        for name, shape in trm.shapes(arch, vocab, cells, rows).items()
    }
    y, z = (held(random.normal(size=(batch, positions, arch.hidden_size))) for _ in range(2))
    puzzles = random.integers(0, rows, batch).astype(np.int32)
    puzzles[0] = rows - 1
    return Case(
        arch=arch,
        vocab=vocab,
        weights=weights,
        y=y,
        z=z,
        tokens=random.integers(0, vocab, (batch, cells)).astype(np.uint8),
        labels=random.integers(0, vocab, (batch, cells)).astype(np.uint8),
        puzzles=puzzles,
        unroll=draw(st.booleans()),
        remat=draw(st.booleans()),
    )


@st.composite
def architectures(draw: Draw) -> TrmConfig:
    kinds: list[tuple[bool, Positions]] = [
        (True, "none"),
        (True, "learned"),
        (False, "rope"),
        (False, "learned"),
    ]
    mlp_t, positions = draw(st.sampled_from(kinds))
    heads, size = draw(st.integers(1, 3)), 2 * draw(st.integers(1, 3))
    width = heads * size
    prefix = draw(st.integers(0, 3))
    longest = 3 * width if prefix == 0 else prefix * width
    return TrmConfig(
        L_layers=draw(st.integers(1, 3)),
        L_cycles=draw(st.integers(1, 3)),
        H_cycles=draw(st.integers(1, 3)),
        hidden_size=width,
        num_heads=heads,
        expansion=draw(st.sampled_from([1.0, 1.5, 4.0])),
        inner_multiple=draw(st.sampled_from([1, 4, 16])),
        mlp_t=mlp_t,
        pos_encodings=positions,
        puzzle_emb_len=prefix,
        puzzle_emb_ndim=draw(st.one_of(st.just(0), st.integers(1, longest))),
        rms_norm_eps=draw(st.sampled_from([1e-5, 1e-2])),
        rope_theta=draw(st.sampled_from([10.0, 10_000.0])),
        forward_dtype="float32",
        loss=draw(st.sampled_from(["stablemax_cross_entropy", "softmax_cross_entropy"])),
    )
