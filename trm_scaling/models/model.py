"""The models behind one seam: `init`, `empty_state`, `reset` and `step`, chosen by `arch.model` in one match.

A model's state is a dictionary of arrays whose batch lies along `BATCH_AXIS`. Its FLOPs are arithmetic on
`arch.passes` (`cost.flops`). Shapes: B batch, L = P + C positions (prefix + cells), D width,
E numbers of a puzzle embedding, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from trm_scaling.config import ArchConfig, RecurrentConfig, SystemConfig, TrmConfig
from trm_scaling.models import cpu, gate_kernel, layers
from trm_scaling.models.init import init_buffers, init_params, truncated_normal
from trm_scaling.models.layers import (
    PUZZLE_EMB,
    Params,
    Rotation,
    State,
    rotation_table,
    wide_dtype,
    widened,
)

States = dict[str, State]
"""What a model remembers between supervision steps, by name."""

STATES = ("z_H", "z_L")
"""The names; the answer is read from the first. A model of one state has that one alone."""

BATCH_AXIS = 1
"""Of every array of a model's state. Nothing else guesses where the batch lies."""

Z = TypeVar("Z")
Network = Callable[[State], State]
"""All blocks in turn."""


class Sizes(Protocol):
    """Of the data: what a `TaskSpec` says."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def seq_len(self) -> int: ...
    @property
    def num_puzzle_ids(self) -> int: ...


@dataclass(frozen=True)
class Execution:
    """How a step is computed. It changes time and memory, not the function."""

    unroll: bool = True
    """Cycles one after another in the program; off: as loops."""
    remat: bool = False
    """Inner values of a pass are computed again in the backward pass instead of kept."""
    gate_kernels: bool = False
    """Passes without a gradient by `models.gate_kernel`."""
    platform: str | None = None
    """What the program is compiled for (None: JAX's default): a CPU multiplies bfloat16 by another
    formulation."""
    differentiated: bool = True
    """Off: no pass is differentiated, so that `gate_kernels` are for all of them."""

    @classmethod
    def of(cls, system: SystemConfig, platform: str | None, *, differentiated: bool = True) -> Self:
        """As `system` says."""
        return cls(system.unroll, system.remat, system.gate_kernel, platform, differentiated)


PLAIN = Execution()
"""On JAX's default platform, unrolled."""


class Output(NamedTuple):
    """What one supervision step answers."""

    state: States
    """The gradient flows through it."""
    logits: Float[Array, "B C V"]
    """Over the tokens of each cell, in the forward precision."""
    q_halt: Float[Array, " B"]
    """Halting logit, float32: above zero means 'I am right'."""
    q_continue: Float[Array, " B"]
    """The second halting logit, float32; the public default, which is ours, never reads it."""


def init(key: Array, arch: ArchConfig, sizes: Sizes) -> tuple[Params, Params]:
    """(trainable parameters, fixed initial states), float32, for data of these sizes."""
    params_key, buffers_key = jax.random.split(key)
    spec = sizes.vocab_size, sizes.seq_len, sizes.num_puzzle_ids
    return init_params(params_key, arch, *spec), init_buffers(buffers_key, arch)


def empty_state(arch: ArchConfig, batch_size: int, seq_len: int) -> States:
    """Zeros, to be `reset` before the first step."""
    shape = (arch.prefix_len + seq_len, batch_size, arch.hidden_size)
    return dict.fromkeys(STATES[: arch.states], jnp.zeros(shape, jnp.dtype(arch.forward_dtype)))


def reset(
    buffers: Params, state: States, rows: Bool[Array, " B"], drawn: Key[Array, " B"] | None = None
) -> States:
    """`state` with its initial values in the `rows` of the batch that begin anew: `buffers`, or drawn by the
    key of each row where there are keys.
    """

    def of_state(name: str, old: State) -> State:
        # z_H begins as H_init, z_L as L_init: the public code's names.
        initial: Float[Array, " D"] = buffers[f"{name.removeprefix('z_')}_init"]
        return jnp.where(rows[None, :, None], initial.astype(old.dtype)[None, None, :], old)

    if drawn is not None:
        new = drawn_states(drawn, state)
        return {name: jnp.where(rows[None, :, None], new[name], old) for name, old in state.items()}
    return {name: of_state(name, old) for name, old in state.items()}


def drawn_states(keys: Key[Array, " B"], like: States) -> States:
    """Initial states of every row by its own key: normal numbers of deviation 1, cut at two."""

    def drawn(place: int, leaf: State) -> State:
        shape = (*leaf.shape[:BATCH_AXIS], *leaf.shape[BATCH_AXIS + 1 :])

        def one(key: Array) -> Array:
            return truncated_normal(jax.random.fold_in(key, place), shape, 1.0)

        return jax.vmap(one, out_axes=BATCH_AXIS)(keys).astype(leaf.dtype)

    return {name: drawn(place, leaf) for place, (name, leaf) in enumerate(like.items())}


def step(
    arch: ArchConfig,
    params: Params,
    state: States,
    inputs: UInt8[Array, "B C"],
    rows: Float[Array, "B E"] | None,
    how: Execution = PLAIN,
    keys: Key[Array, " B"] | None = None,
) -> Output:
    """One supervision step from `state`; `rows` are the puzzle embeddings of the batch (None: it has none),
    and `keys` what `arch.call_noise` is drawn by in each row.

    `params` are float32 and cast to the forward precision wherever they are used, so that the
    gradients of all uses (several passes, thousands of looked-up rows) are added in float32. XLA
    merges the casts.
    """
    # Accelerators would otherwise multiply float32 in TF32 or bfloat16 passes.
    with jax.default_matmul_precision("highest" if arch.forward_dtype == "float32" else None):
        x = embed(arch, params, inputs, rows)
        network, frozen = _networks(arch, params, x.shape[0], how)
        match arch:
            case TrmConfig():
                state = _trm(arch, network, frozen, x, state, how.unroll, keys)
            case RecurrentConfig():
                state = {"z_H": network(state["z_H"] + x)}
            case _:
                raise AssertionError(f"arch.model={arch.model} has no step")
        return Output(state, *_heads(arch, params, state[STATES[0]], how.platform))


def puzzle_rows(params: Params, puzzle_ids: Int[Array, " B"]) -> Float[Array, "B E"] | None:
    """The puzzle embeddings of a batch; None where there are none."""
    return jnp.take(params[PUZZLE_EMB], puzzle_ids, axis=0) if PUZZLE_EMB in params else None


def _trm(
    arch: TrmConfig,
    network: Network,
    frozen: Network,
    x: State,
    state: States,
    unroll: bool,
    keys: Key[Array, " B"] | None,
) -> States:
    """T cycles of n updates of z_L and one of z_H; the last cycle carries gradients."""
    assert keys is not None or arch.call_noise == 0, "noise needs keys"

    def cycle(one_pass: Network, x: State, states: tuple[State, State], cycles: Any) -> tuple[State, State]:
        z_H, z_L = states
        injected = z_H + x

        def update(z: State, calls: Any) -> State:
            return _relaxed(arch, z, one_pass(z + injected), keys, cycles * arch.L_cycles + calls)

        z_L = _repeat(update, z_L, arch.L_cycles, unroll)
        return one_pass(z_H + z_L), z_L

    # Nothing of the first cycles is differentiated, so nothing of them need be kept.
    first = partial(cycle, frozen, jax.lax.stop_gradient(x))
    states = _repeat(first, (state["z_H"], state["z_L"]), arch.H_cycles - 1, unroll)
    z_H, z_L = cycle(network, x, jax.lax.stop_gradient(states), arch.H_cycles - 1)
    return {"z_H": z_H, "z_L": z_L}


def _relaxed(arch: TrmConfig, old: State, new: State, keys: Key[Array, " B"] | None, call: Any) -> State:
    """`new` as EqR takes it: a part of the way from `old`, with noise. `call` counts updates of the step."""
    if arch.damping != 1:
        new = ((1 - arch.damping) * old + arch.damping * new).astype(new.dtype)
    if arch.call_noise and keys is not None:
        shape = (*new.shape[:BATCH_AXIS], *new.shape[BATCH_AXIS + 1 :])

        def one(key: Array) -> Array:
            return jax.random.normal(jax.random.fold_in(key, call), shape)

        noise = arch.call_noise * jax.vmap(one, out_axes=BATCH_AXIS)(keys)
        new = new + noise.astype(new.dtype)
    return new


def _networks(arch: ArchConfig, params: Params, length: int, how: Execution) -> tuple[Network, Network]:
    """The network for passes with a gradient, and for those without one."""
    dtype = jnp.dtype(arch.forward_dtype)
    rotation = (
        rotation_table(length, arch.hidden_size // arch.num_heads, arch.rope_theta, wide_dtype(dtype))
        if arch.pos_encodings == "rope"
        else None
    )
    on_cpu = cpu.applies(dtype, how.platform)
    attention = layers.attention_for(dtype, arch.hidden_size // arch.num_heads, how.platform)
    block = cpu.block if on_cpu else partial(layers.block, attention=attention)

    def network(weights: list[Params], z: State) -> State:
        return apply_network(arch, weights if on_cpu else cast(weights, dtype), z, rotation, block)

    if how.remat:
        network = jax.checkpoint(network)
    split = [(cpu.prepare if on_cpu else layers.split_gates)(layer) for layer in params["layers"]]
    frozen: Network = partial(network, jax.lax.stop_gradient(split))
    if how.gate_kernels:
        cut = jax.lax.stop_gradient(cast([layers.split_gates(layer) for layer in params["layers"]], dtype))
        by_kernels = gate_kernel.frozen_block(how.platform)

        def frozen_by_kernels(z: State) -> State:
            return apply_network(arch, cut, z, rotation, by_kernels)

        frozen = frozen_by_kernels
    return (partial(network, split) if how.differentiated else frozen), frozen


def _heads(
    arch: ArchConfig, params: Params, answer: State, platform: str | None
) -> tuple[Float[Array, "B C V"], Float[Array, " B"], Float[Array, " B"]]:
    """Logits of the cells, and both halting logits, from the state that holds the answer."""
    dtype = jnp.dtype(arch.forward_dtype)
    heads = cast({name: params[name] for name in ("lm_head", "q_head")}, dtype)
    times: Callable[[Array, Array], Array] = jnp.matmul
    if cpu.applies(dtype, platform):
        heads, times = params | {"q_head": params["q_head"] | {"bias": heads["q_head"]["bias"]}}, cpu.times
    logits = jnp.swapaxes(times(answer[arch.prefix_len :], heads["lm_head"]), 0, 1)
    q_logits = widened(times(answer[0], heads["q_head"]["weight"]) + heads["q_head"]["bias"][None])
    return logits, q_logits[:, 0], q_logits[:, 1]


def cast(tree: Any, dtype: jnp.dtype) -> Any:
    """Every leaf of `tree` in `dtype`."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)


def embed(
    arch: ArchConfig, params: Params, inputs: UInt8[Array, "B C"], rows: Float[Array, "B E"] | None
) -> State:
    """The input of every pass: puzzle row in the prefix, tokens after it, scaled by sqrt(D)."""
    dtype = jnp.dtype(arch.forward_dtype)
    # Looked up in float32 and cast after: the backward pass then adds the rows up in float32.
    tokens = jnp.take(params["embed_tokens"], inputs.astype(jnp.int32).T, axis=0).astype(dtype)
    x = tokens
    if arch.prefix_len:
        batch, width = inputs.shape[0], arch.hidden_size
        prefix = jnp.zeros((batch, arch.prefix_len * width), tokens.dtype)
        if rows is not None:
            spare = arch.prefix_len * width - arch.puzzle_emb_ndim
            prefix = jnp.pad(rows.astype(dtype), ((0, 0), (0, spare)))
        prefix = jnp.swapaxes(prefix.reshape(batch, arch.prefix_len, width), 0, 1)
        x = jnp.concatenate([prefix, tokens], axis=0)
    if arch.pos_encodings == "learned":
        # 0.707 keeps the variance of one table when two are added.
        x = 0.707106781 * (x + params["embed_pos"].astype(dtype)[:, None, :])
    return arch.hidden_size**0.5 * x


def apply_network(
    arch: ArchConfig,
    weights: list[Params],
    z: State,
    rotation: Rotation | None,
    block: Callable[[ArchConfig, Params, State, Rotation | None], State] = layers.block,
) -> State:
    """One pass of the network: every block in turn."""
    for layer in weights:
        z = block(arch, layer, z, rotation)
    return z


def _repeat(step: Callable[[Z, Any], Z], start: Z, times: int, unroll: bool) -> Z:
    """`step` so often, each time with the number of times before it."""
    if unroll:
        for number in range(times):
            start = step(start, number)
        return start
    return jax.lax.scan(lambda z, number: (step(z, number), None), start, jnp.arange(times))[0]
