"""Bytes that a training step needs on one device, estimated without compiling it; bytes that a run stores.

Shapes: B batch, b puzzles a device works through at once, L positions, D width, F SwiGLU hidden width.

What grows with the batch is what the last cycle keeps for its backward pass: n + 1 passes of every
layer, and of each layer mostly the hidden values of its SwiGLUs. How many of those a compiler keeps
rather than computes again is its own decision, so that number was read off the real training call,
compiled in 66 shapes by jax 0.10.2: for a CPU and, ahead of time and without having one, for a TPU v4
(libtpu 0.0.42.1) and an H100 (without autotuning). Widths 8 to 1,536, 18 to 97 positions, batches of
2 to 2,048, all three precisions, attention, remat, scan and micro-batches: the totals here are 0.77 to
1.11 times what `memory_analysis()` says (`tests/cost/test_memory.py`). It has not been compared
with a device at work. Since then gates and norms have gradients of their own, which keep less: the
CPU's numbers are of that step, the accelerators' of the one before, and so on the safe side.
"""

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Literal

from trm_scaling.config import ArchConfig, RunConfig, Schedule
from trm_scaling.cost.devices import Backend
from trm_scaling.cost.flops import count_parameters, count_puzzle_emb

Dtype = Literal["float32", "bfloat16", "float16"]

ACCURACY = 0.25
"""How far the total may be off, as a share of what is needed."""

DTYPE_BYTES: Mapping[Dtype, int] = {"float32": 4, "bfloat16": 2, "float16": 2}

KEPT_HIDDEN: Mapping[Backend, float] = {"cpu": 4.0, "gpu": 3.0, "tpu": 3.0}
"""Values kept for each hidden unit of a SwiGLU. CPU: gate, up, product, and the tanh of the gradient; the
others compute the last again."""

KEPT_HIDDEN_BY_SCAN: Mapping[Backend, float] = {"cpu": 3.6, "gpu": 6.5, "tpu": 6.5}
"""The same under `system.unroll=false`: a scan stacks what it keeps. The accelerators' were read off a step
whose gates kept more (see above)."""

KEPT_STATES: Mapping[bool, float] = {True: 4.0, False: 8.0}
"""States (b, L, D) kept in a layer, by `mlp_t`: sums and norms; attention adds query, key, value and mix."""

KEPT_BYTES: Mapping[Backend, Mapping[Dtype, float]] = {
    "cpu": {"float32": 4.0, "bfloat16": 2.7, "float16": 4.0},
    "gpu": {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0},
    "tpu": {"float32": 3.3, "bfloat16": 2.0, "float16": 2.0},
}
"""Bytes of a kept value, in the mean. A CPU widens float16 and keeps it in float32; its bfloat16 step
(`models/cpu.py`) keeps some of both. In float32 a TPU computes more again."""

REMAT_PASSES: Mapping[Backend, float] = {"cpu": 1.0, "gpu": 1.0, "tpu": 1.8}
"""Passes whose inner values are alive at once under `system.remat`; a TPU begins the next one early."""

STATES_IN_FLIGHT = 6
"""The input, both states, their sum and both gradients, of the puzzles at work."""

STATES_OF_SLICES = 4
"""Both states of the whole batch, cut into micro-batches before the scan and joined after it."""


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes on one device, by what they hold."""

    parameters: int
    moments: int
    """Of the optimiser."""
    average: int
    """The moving average of the parameters."""
    carry: int
    """States and puzzles of every row of the batch."""
    feeds: int
    """Puzzles of the steps of one call."""
    gradients: int
    """With their sum over micro-batches, the parameters cast to the forward precision, and those gathered
    from their parts."""
    activations: int
    """What the last cycle keeps for its backward pass."""
    logits: int
    """Of the cells, with their loss."""

    @property
    def total(self) -> int:
        """All of it."""
        return sum(astuple(self))


def training_memory(
    config: RunConfig,
    vocab_size: int,
    seq_len: int,
    backend: Backend,
    *,
    devices: int = 1,
    num_puzzle_ids: int = 1,
) -> TrainingMemory:
    """Bytes on each of `devices` that share the batch; parameters, moments and average are held on all, or
    in `system.parameter_shards` parts. Parts have not been compared with a compiler.

    A curriculum ends with its deepest recursion, which is the architecture's own: that one counts.
    """
    arch, dtype = config.arch, config.arch.forward_dtype
    width = DTYPE_BYTES[dtype]
    rows = -(-config.global_batch_size // devices)
    at_once = -(-config.global_batch_size // (config.micro_batches * devices))
    state = (arch.prefix_len + seq_len) * arch.hidden_size * width

    network = count_parameters(arch, vocab_size, seq_len)
    table = count_puzzle_emb(arch, num_puzzle_ids)
    shards = config.system.parameter_shards
    part = -(-network // shards)
    averaged = (part + table * config.ema_puzzle_emb) * (config.ema + len(config.ema_rates))
    sliced = config.micro_batches > 1
    gradients = 4 * network * (2 if sliced else 1) + (network * width if width < 4 else 0)
    # Of the puzzle embeddings those of the rows that the batch reads.
    gradients += 4 * rows * arch.puzzle_emb_ndim
    gathered = 4 * network if shards > 1 else 0
    return TrainingMemory(
        parameters=4 * (part + table),
        moments=4 * part * (1 if config.optimizer == "lion" else 2),
        average=4 * averaged,
        # The states; inputs and labels in bytes; steps, identifier and whether it has halted.
        carry=rows * (arch.states * state + 2 * seq_len + 9),
        feeds=config.system.steps_per_call * rows * (2 * seq_len + 12),
        gradients=gradients + gathered,
        activations=at_once * (_kept(config, seq_len, backend) + STATES_IN_FLIGHT * state)
        + rows * (STATES_OF_SLICES * state if sliced else 0),
        # In the forward precision, and twice in float32: log-probabilities and their gradient.
        logits=at_once * seq_len * vocab_size * (width + 8),
    )


def _kept(config: RunConfig, seq_len: int, backend: Backend) -> int:
    """Bytes that one puzzle's last cycle keeps for its backward pass."""
    arch, system = config.arch, config.system
    passes = arch.passes_with_gradient
    # XLA drops optimisation barriers on a CPU, and then merges what an unrolled remat computes twice.
    if system.remat and not (backend == "cpu" and system.unroll):
        state = (arch.prefix_len + seq_len) * arch.hidden_size * DTYPE_BYTES[arch.forward_dtype]
        one_pass = arch.L_layers * _kept_of_layer(arch, seq_len, backend, KEPT_HIDDEN)
        return passes * state + round(REMAT_PASSES[backend] * one_pass)
    hidden = KEPT_HIDDEN if system.unroll else KEPT_HIDDEN_BY_SCAN
    return passes * arch.L_layers * _kept_of_layer(arch, seq_len, backend, hidden)


def _kept_of_layer(
    arch: ArchConfig, seq_len: int, backend: Backend, kept_hidden: Mapping[Backend, float]
) -> int:
    """Bytes that one application of one layer to one puzzle keeps."""
    width, positions, dtype = arch.hidden_size, arch.prefix_len + seq_len, arch.forward_dtype
    hidden = positions * arch.inner_width(width) + arch.mlp_t * width * arch.inner_width(positions)
    values = kept_hidden[backend] * hidden + KEPT_STATES[arch.mlp_t] * positions * width
    # Scores and their softmax in float32, the weights in the forward precision.
    scores = 0 if arch.mlp_t else arch.num_heads * positions**2 * (8 + DTYPE_BYTES[dtype])
    return round(KEPT_BYTES[backend][dtype] * values) + scores


LEAST_AT_ONCE = 32
"""Puzzles a device that still fill it (3,000 rows of every product on 9x9). Slices down to this many cost
no time; below it, computing the inner values again (a third more time) costs less than smaller slices."""


def safe_bytes(memory_bytes: int) -> int:
    """What an estimate may come to, so that the program fits even if the estimate is too low."""
    return int(memory_bytes / (1 + ACCURACY))


def choices(config: RunConfig, backend: Backend, devices: int) -> Iterator[RunConfig]:
    """`config` as it may be executed on `devices`, the cheapest first; every one computes the same.

    A `system.micro_batch_size` that the configuration names is kept, and so is `system.remat=true`.
    Each slice holds equally many puzzles, and at least one, for each device.
    """
    yield config
    system, batch = config.system, config.global_batch_size
    if system.micro_batch_size is not None or batch % devices:
        return
    # What an unrolled remat computes twice, XLA merges again on a CPU (`cost.memory`).
    helps = not (backend == "cpu" and system.unroll)
    share = batch // devices
    counts = [slices for slices in range(1, share + 1) if share % slices == 0]
    for remat in (False, True):
        if (remat and not helps) or (system.remat and not remat):
            continue
        for slices in counts:
            large_enough = share // slices >= LEAST_AT_ONCE or remat or not helps
            if large_enough and (slices > 1 or remat != system.remat):
                size = None if slices == 1 else batch // slices
                cut = system.model_copy(update={"micro_batch_size": size, "remat": remat})
                yield config.model_copy(update={"system": cut})


def first_fitting(
    config: RunConfig, vocab_size: int, seq_len: int, backend: Backend, memory_bytes: int, *, devices: int = 1
) -> RunConfig | None:
    """The first of the `choices` whose estimate is at most `memory_bytes`; None when none is."""
    for each in choices(config, backend, devices):
        if training_memory(each, vocab_size, seq_len, backend, devices=devices).total <= memory_bytes:
            return each
    return None


BEST, BEING_WRITTEN = 1, 1
"""Checkpoints beside the newest ones that are kept."""

METRICS_LINE = 1_000
"""Of `metrics.jsonl`, a line for each device call."""

OUTCOMES = 12
"""Of one test puzzle in `test_outcomes.npz`, beside a byte for each supervision step; before compression."""

RECORDED = 2_000
"""Of one evaluation in `metrics.jsonl` and again in `result.json`, beside 150 for each supervision step."""


@dataclass(frozen=True)
class Storage:
    """Bytes of one run."""

    checkpoint: int
    """One of them."""
    disk: int
    """Of the run folder when it is largest: while a checkpoint is written beside those that are kept."""
    results: int
    """Of what the analysis reads: everything in the folder but the checkpoints."""


def storage_of(
    config: RunConfig, schedule: Schedule, vocab_size: int, seq_len: int, tested: int | None
) -> Storage:
    """Of a run of `config` with a test split of `tested` puzzles (None: unknown, and left out)."""
    state = training_memory(config, vocab_size, seq_len, "cpu")
    checkpoint = state.parameters + state.moments + state.average + state.carry
    longest = config.arch.halt_max_steps
    calls = -(-schedule.total_steps // config.system.steps_per_call)
    results = calls * METRICS_LINE
    results += 2 * len(schedule.evaluated_steps) * (RECORDED + 150 * longest)
    results += (tested or 0) * (OUTCOMES + longest)
    kept = config.system.keep_checkpoints + BEST + BEING_WRITTEN
    return Storage(checkpoint, kept * checkpoint + results, results)
