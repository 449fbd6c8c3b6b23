"""TRM in NumPy and float64, written from the paper's description (arXiv 2510.04871) and slow on purpose.

One puzzle at a time, one named step a line, weights under the public code's names and (out, in) as it
stores them. It shares nothing with `trm_scaling.models` or `trm_scaling.losses`, so that the same
mistake in both is unlikely.

Shapes: C cells, P prefix, L = P + C positions, D width, K head size, V vocabulary.
"""

from dataclasses import dataclass
from math import cos, exp, log, sin, sqrt

import numpy as np

from trm_scaling.config import TrmConfig

Weights = dict[str, np.ndarray]

POSITION_SCALE = 0.707106781
"""The public code's rounding of the root of one half."""


def shapes(arch: TrmConfig, vocab: int, cells: int, puzzles: int) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of the public state dict."""
    width, positions = arch.hidden_size, prefix_length(arch) + cells
    found: dict[str, tuple[int, ...]] = {
        "H_init": (width,),
        "L_init": (width,),
        "embed_tokens.embedding_weight": (vocab, width),
        "lm_head.weight": (vocab, width),
        "q_head.weight": (2, width),
        "q_head.bias": (2,),
    }
    if arch.puzzle_emb_ndim > 0:
        found["puzzle_emb.weights"] = (puzzles, arch.puzzle_emb_ndim)
    if arch.pos_encodings == "learned":
        found["embed_pos.embedding_weight"] = (positions, width)
    for number in range(arch.L_layers):
        layer = f"L_level.layers.{number}"
        if arch.mlp_t:
            inner = inner_width(arch, positions)
            found[f"{layer}.mlp_t.gate_up_proj.weight"] = (2 * inner, positions)
            found[f"{layer}.mlp_t.down_proj.weight"] = (positions, inner)
        else:
            found[f"{layer}.self_attn.qkv_proj.weight"] = (3 * width, width)
            found[f"{layer}.self_attn.o_proj.weight"] = (width, width)
        inner = inner_width(arch, width)
        found[f"{layer}.mlp.gate_up_proj.weight"] = (2 * inner, width)
        found[f"{layer}.mlp.down_proj.weight"] = (width, inner)
    return {f"inner.{name}": shape for name, shape in found.items()}


def prefix_length(arch: TrmConfig) -> int:
    """Positions before the cells: as told, or as many as the puzzle embedding fills."""
    if arch.puzzle_emb_len > 0:
        return arch.puzzle_emb_len
    positions = 0
    while positions * arch.hidden_size < arch.puzzle_emb_ndim:
        positions += 1
    return positions


def inner_width(arch: TrmConfig, width: int) -> int:
    """Two thirds of the expansion, up to the next multiple."""
    wanted = round(arch.expansion * width * 2 / 3)
    inner = 0
    while inner < wanted:
        inner += arch.inner_multiple
    return inner


@dataclass(frozen=True)
class Answer:
    """One puzzle after one supervision step."""

    y: np.ndarray
    """(L, D), the public code's z_H."""
    z: np.ndarray
    """(L, D), the public code's z_L."""
    logits: np.ndarray
    """(C, V)."""
    halt: float
    """The halting logit."""
    proceed: float
    """The other logit of the halting head."""


def supervision_step(
    arch: TrmConfig, weights: Weights, y: np.ndarray, z: np.ndarray, tokens: np.ndarray, puzzle: int
) -> Answer:
    """T cycles of n updates of z and one of y, then the heads."""
    x = embedded(arch, weights, tokens, puzzle)
    for _ in range(arch.H_cycles - 1):
        y, z = cycle(arch, weights, x, y, z)
    return last_cycle(arch, weights, y, z, tokens, puzzle)


def states_before_last_cycle(
    arch: TrmConfig, weights: Weights, y: np.ndarray, z: np.ndarray, tokens: np.ndarray, puzzle: int
) -> tuple[np.ndarray, np.ndarray]:
    """(y, z) where the gradient begins."""
    x = embedded(arch, weights, tokens, puzzle)
    for _ in range(arch.H_cycles - 1):
        y, z = cycle(arch, weights, x, y, z)
    return y, z


def last_cycle(
    arch: TrmConfig, weights: Weights, y: np.ndarray, z: np.ndarray, tokens: np.ndarray, puzzle: int
) -> Answer:
    """The only cycle that the gradient sees, and what is read off it."""
    x = embedded(arch, weights, tokens, puzzle)
    y, z = cycle(arch, weights, x, y, z)
    cells = y[prefix_length(arch) :]
    logits = cells @ weights["inner.lm_head.weight"].T
    halt, proceed = weights["inner.q_head.weight"] @ y[0] + weights["inner.q_head.bias"]
    return Answer(y, z, logits, float(halt), float(proceed))


def cycle(
    arch: TrmConfig, weights: Weights, x: np.ndarray, y: np.ndarray, z: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """z := net(x + y + z), n times; then y := net(y + z)."""
    for _ in range(arch.L_cycles):
        z = network(arch, weights, x + y + z)
    y = network(arch, weights, y + z)
    return y, z


def embedded(arch: TrmConfig, weights: Weights, tokens: np.ndarray, puzzle: int) -> np.ndarray:
    """(L, D): the puzzle's row cut into the prefix, then the tokens, all scaled by the root of D."""
    width, prefix = arch.hidden_size, prefix_length(arch)
    row = np.zeros(prefix * width)
    if arch.puzzle_emb_ndim > 0:
        row[: arch.puzzle_emb_ndim] = weights["inner.puzzle_emb.weights"][puzzle]
    table = weights["inner.embed_tokens.embedding_weight"]
    x = np.array([*row.reshape(prefix, width), *(table[token] for token in tokens)])
    if arch.pos_encodings == "learned":
        x = POSITION_SCALE * (x + weights["inner.embed_pos.embedding_weight"])
    return sqrt(width) * x


def network(arch: TrmConfig, weights: Weights, state: np.ndarray) -> np.ndarray:
    """Every block in turn, each normalised after it has added."""
    for number in range(arch.L_layers):
        name = f"inner.L_level.layers.{number}"
        if arch.mlp_t:
            turned = state.T
            turned = normalised(arch, turned + swiglu(weights, f"{name}.mlp_t", turned))
            state = turned.T
        else:
            state = normalised(arch, state + attention(arch, weights, f"{name}.self_attn", state))
        state = normalised(arch, state + swiglu(weights, f"{name}.mlp", state))
    return state


def normalised(arch: TrmConfig, rows: np.ndarray) -> np.ndarray:
    """Each row over the root of its mean square."""
    return np.array([row / sqrt(np.mean(row**2) + arch.rms_norm_eps) for row in rows])


def swiglu(weights: Weights, name: str, rows: np.ndarray) -> np.ndarray:
    """down(silu(gate) * up), for each row."""
    gate_weight, up_weight = np.split(weights[f"{name}.gate_up_proj.weight"], 2)
    down_weight = weights[f"{name}.down_proj.weight"]
    found = []
    for row in rows:
        gate, up = gate_weight @ row, up_weight @ row
        found.append(down_weight @ (gate / (1 + np.exp(-gate)) * up))
    return np.array(found)


def attention(arch: TrmConfig, weights: Weights, name: str, state: np.ndarray) -> np.ndarray:
    """Every position looks at every other, head by head."""
    size = arch.hidden_size // arch.num_heads
    query_weight, key_weight, value_weight = np.split(weights[f"{name}.qkv_proj.weight"], 3)
    heads = []
    for head in range(arch.num_heads):
        own = slice(head * size, (head + 1) * size)
        queries, keys = state @ query_weight[own].T, state @ key_weight[own].T
        values = state @ value_weight[own].T
        if arch.pos_encodings == "rope":
            queries = np.array([rotated(arch, row, at) for at, row in enumerate(queries)])
            keys = np.array([rotated(arch, row, at) for at, row in enumerate(keys)])
        heads.append(np.array([looked_up(query, keys, values) for query in queries]))
    return np.concatenate(heads, axis=1) @ weights[f"{name}.o_proj.weight"].T


def looked_up(query: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The values, weighted by the softmax of their keys' products with the query."""
    scores = keys @ query / sqrt(len(query))
    shares = np.exp(scores - scores.max())
    return shares / shares.sum() @ values


def rotated(arch: TrmConfig, row: np.ndarray, position: int) -> np.ndarray:
    """Pair (k, k + K/2) turned by position / theta^(2k/K)."""
    half = len(row) // 2
    turned = row.copy()
    for k in range(half):
        angle = position * arch.rope_theta ** (-2 * k / len(row))
        turned[k] = row[k] * cos(angle) - row[k + half] * sin(angle)
        turned[k + half] = row[k + half] * cos(angle) + row[k] * sin(angle)
    return turned


@dataclass(frozen=True)
class Loss:
    """Of one puzzle."""

    cells: float
    halting: float
    accuracy: float
    solved: bool
    counted: bool

    @property
    def total(self) -> float:
        return self.cells + 0.5 * self.halting


def loss_of(arch: TrmConfig, answer: Answer, labels: np.ndarray) -> Loss:
    """Mean cross-entropy of the labelled cells (label 0: none), and of the halting logit."""
    labelled = [(row, label) for row, label in zip(answer.logits, labels, strict=True) if label != 0]
    if not labelled:
        return Loss(0.0, 0.0, 0.0, False, False)
    right = [int(np.argmax(row)) == label for row, label in labelled]
    cells = [-log(probability(arch, row)[label]) for row, label in labelled]
    solved = all(right)
    # The sigmoid of the logit is the chance that the answer is right.
    halting = log(1 + exp(-answer.halt)) if solved else log(1 + exp(answer.halt))
    return Loss(float(np.mean(cells)), halting, float(np.mean(right)), solved, True)


def probability(arch: TrmConfig, logits: np.ndarray) -> np.ndarray:
    """Softmax, or stablemax: s(x) over its sum, s(x) = x + 1 from zero on and 1 / (1 - x) below."""
    if arch.loss == "softmax_cross_entropy":
        shares = np.exp(logits - logits.max())
    else:
        shares = np.array([x + 1 if x >= 0 else 1 / (1 - x) for x in logits])
    return shares / shares.sum()
