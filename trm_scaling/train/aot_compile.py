"""The real training call, compiled for devices that need not be there."""

import hashlib
import re
import time
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding

from trm_scaling.config import RunConfig, Schedule
from trm_scaling.cost.compiler_answers import Fits
from trm_scaling.cost.devices import Chip
from trm_scaling.cost.kernels import bound, by_kind, collectives, kernels
from trm_scaling.optim import TracedHparams
from trm_scaling.parallel.sharding import WHOLE, on_mesh, with_shardings
from trm_scaling.tasks.task import spec_of
from trm_scaling.train.input_pipeline import Feed, feed_specs
from trm_scaling.train.multi_step import make_train_call
from trm_scaling.train.state import TrainState, init_state, state_specs

Arguments = tuple[TrainState, TracedHparams, Feed, jax.ShapeDtypeStruct]

# Of HLO temporaries alone, or of the whole program, depending on the pass that gives up.
_REFUSED = re.compile(
    r"\((?P<temporaries>[\d.]+[KMGT]?)\) exceeds available HBM"
    r"|Used (?P<whole>[\d.]+[KMGT]?) of [\d.]+[KMGT]? hbm"
)
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class DoesNotFit(Exception):
    """The compiler found no way to keep the call within the device's memory."""

    def __init__(self, seconds: float, needed_bytes: int) -> None:
        super().__init__(f"{needed_bytes} bytes needed")
        self.seconds = seconds
        self.needed_bytes = needed_bytes
        """At the least: of temporaries alone, or of all."""


def call_arguments(config: RunConfig) -> Arguments:
    """Shapes of what the training call is given: state, numbers, feed, count."""
    sizes = spec_of(config.data)[:3]
    steps, batch = config.system.steps_per_call, config.global_batch_size
    state = jax.eval_shape(lambda: init_state(config, *sizes))
    hyper = jax.eval_shape(lambda: TracedHparams.of(config, Schedule.of(config, config.data.train_size)))
    puzzles = jax.ShapeDtypeStruct((steps, batch, sizes[1]), jnp.uint8)
    numbers = jax.ShapeDtypeStruct((steps, batch), jnp.int32)
    feed = Feed(puzzles, puzzles, numbers, numbers, numbers)  # type: ignore[arg-type]
    return state, hyper, feed, jax.ShapeDtypeStruct((), jnp.int32)


def lowered(config: RunConfig, mesh: Mesh) -> jax.stages.Lowered:
    """The training call of `config` spread over `mesh`, traced and not yet compiled."""
    state, hyper, feed, count = call_arguments(config)
    whole = NamedSharding(mesh, WHOLE)
    arguments = (
        (state, on_mesh(mesh, state_specs(state, mesh))),
        (hyper, jax.tree.map(lambda _: whole, hyper)),
        (feed, on_mesh(mesh, feed_specs())),
        (count, whole),
    )
    return make_train_call(config, 0, mesh).lower(*(with_shardings(*each) for each in arguments))


def digest(program: jax.stages.Lowered) -> str:
    """SHA-256 of what will be compiled: equal digests compile to equal programs."""
    return hashlib.sha256(program.as_text().encode()).hexdigest()


def compiled(program: jax.stages.Lowered, chip: Chip, dtype: str, flops: int) -> Fits:
    """Compile `program`, whose passes are in `dtype`, for devices that are `chip`.

    `flops`: of the products of one step on one device, by arithmetic.

    Raises DoesNotFit with what it would need.
    """
    begun = time.monotonic()
    try:
        done = program.compile()
    except jax.errors.JaxRuntimeError as error:
        refused = _REFUSED.search(str(error))
        if "RESOURCE_EXHAUSTED" not in str(error) or refused is None:
            raise
        needed = refused["temporaries"] or refused["whole"]
        raise DoesNotFit(time.monotonic() - begun, _bytes(needed)) from error
    seconds = time.monotonic() - begun
    memory, costs = done.memory_analysis(), done.cost_analysis()
    text = done.as_text()
    assert memory is not None
    assert text is not None
    arguments, temporary = memory.argument_size_in_bytes, memory.temp_size_in_bytes
    results = memory.output_size_in_bytes - memory.alias_size_in_bytes
    total = arguments + results + temporary + memory.generated_code_size_in_bytes
    if chip.backend == "gpu" and chip.memory_bytes is not None and total > chip.memory_bytes:
        raise DoesNotFit(seconds, total)  # that compiler accepts whatever it is given
    found = kernels(text)
    peak = chip.peak_flops_float32 if dtype == "float32" else chip.peak_flops
    return Fits(
        seconds=seconds,
        argument_bytes=arguments,
        temporary_bytes=temporary,
        program_bytes=memory.generated_code_size_in_bytes,
        total_bytes=total,
        flops_once=_flops_once(costs),
        collectives=collectives(text),
        kinds=by_kind(found),
        bound=None
        if peak is None or chip.bytes_per_s is None
        else bound(found, peak, chip.bytes_per_s, flops),
    )


def _flops_once(costs: Mapping[str, float] | None) -> float | None:
    return None if costs is None else costs.get("flops")


def _bytes(size: str) -> int:
    """`51.49G` in bytes."""
    number, unit = (size[:-1], _UNITS[size[-1]]) if size[-1] in _UNITS else (size, 1)
    return round(float(number) * unit)
