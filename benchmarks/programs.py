"""Formulations of the training step, compiled for a device that is not there: kernels and bytes of each.

    python -m benchmarks.programs h200 as_it_is one_product scanned
    python -m benchmarks.programs v4-64 as_it_is --shallow

`--shallow` takes T 2, n 1 (two passes without a gradient, two with) and compiles in a fifth of the time.
It takes the extra [gpu] or [tpu]; nothing is run.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array

from trm_scaling.config import RunConfig
from trm_scaling.cost import flops_per_sample
from trm_scaling.cost.devices import TARGETS
from trm_scaling.cost.plan_report import Work, work_table
from trm_scaling.io.study import find_study
from trm_scaling.models import layers
from trm_scaling.models.layers import Params, State
from trm_scaling.parallel.mesh import make_mesh
from trm_scaling.parallel.topology import DescribedName, described_devices
from trm_scaling.run.planned import plan_run
from trm_scaling.tasks.task import spec_of
from trm_scaling.train.aot_compile import compiled, lowered

SHALLOW = ("arch.H_cycles=2", "arch.L_cycles=1")
ATTENTION = ("arch.mlp_t=false", "arch.pos_encodings=rope")

CASES: dict[str, tuple[str, ...]] = {
    "as_it_is": (),
    "gate_kernel": ("system.gate_kernel=true",),
    "scanned": ("system.unroll=false",),
    "remat": ("system.remat=true",),
    "positions_104": ("arch.puzzle_emb_len=23",),
    "positions_112": ("arch.puzzle_emb_len=31",),
    "positions_128": ("arch.puzzle_emb_len=47",),
    "one_product": (),
    "automatic_gate": (),
    "maze_attention": ATTENTION,
    "exp01f": (),
}
"""Overrides of each; `one_product` and `automatic_gate` are other formulations of the block."""

BATCH = {"h200": 768, "v4-64": 6144, "v4-8": 768}
MAZE_BATCH = {"h200": 32, "v4-64": 512, "v4-8": 64}
"""Scores of 916 positions need most of the memory."""


def case_config(name: str, target: DescribedName, shallow: bool) -> RunConfig:
    """The configuration of a case."""
    batch = (MAZE_BATCH if name == "maze_attention" else BATCH)[target]
    overrides = [f"global_batch_size={batch}", "data.source=generated", *CASES[name]]
    experiment = "exp01f" if name == "exp01f" else "baseline"
    overrides += SHALLOW if shallow else ()
    config = plan_run(find_study(None), experiment, "paper", overrides).config
    if name == "maze_attention":
        # 30 x 30 cells, more than any Sudoku that there is: a shape for the compiler, no dataset.
        config = config.model_copy(
            update={"data": config.data.model_copy(update={"box_rows": 5, "box_cols": 6})}
        )
    return config


def one_product() -> None:
    """Gate and up as one product, whose result is cut."""

    def mix_positions(params: Params, x: State) -> State:
        flat = x.reshape(x.shape[0], -1)
        gate, up = jnp.split(layers._contract_rows(params["gate_up"], flat), 2, axis=0)
        return layers._contract_rows(params["down"], layers.gated(gate, up)).reshape(x.shape)

    def mix_width(params: Params, x: State) -> State:
        gate, up = jnp.split(x.reshape(-1, x.shape[-1]) @ params["gate_up"], 2, axis=1)
        return (layers.gated(gate, up) @ params["down"]).reshape(x.shape)

    layers.split_gates, layers.mix_positions, layers.mix_width = _whole, mix_positions, mix_width


def _whole(layer: Params) -> Params:
    return layer


def automatic_gate() -> None:
    """The gate's gradient as JAX derives it."""

    def gated(gate: Array, up: Array) -> Array:
        return jax.nn.silu(gate) * up

    layers.gated = gated  # type: ignore[assignment]


FORMULATIONS: dict[str, Callable[[], None]] = {"one_product": one_product, "automatic_gate": automatic_gate}


def work_of(name: str, target: DescribedName, shallow: bool) -> Work:
    """Compile one case; another formulation stays for the rest of the process."""
    config = case_config(name, target, shallow)
    FORMULATIONS.get(name, partial(int))()
    mesh = make_mesh(config, described_devices(target))
    samples = config.global_batch_size // mesh.size
    flops = samples * flops_per_sample(
        config.arch, spec_of(config.data).vocab_size, spec_of(config.data).seq_len
    )
    found = compiled(lowered(config, mesh), TARGETS[target].chip, config.arch.forward_dtype, flops)
    return Work(name, samples, found)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=list(BATCH))
    parser.add_argument("cases", nargs="+", choices=list(CASES), metavar="case", help=", ".join(CASES))
    parser.add_argument("--shallow", action="store_true")
    options = parser.parse_args(arguments)
    if len(options.cases) > 1 and set(options.cases[:-1]) & set(FORMULATIONS):
        parser.error(f"{' and '.join(FORMULATIONS)} change the process they run in: name one, as the last")
    rows = []
    for name in options.cases:
        print(f"compiling {name}", file=sys.stderr, flush=True)
        rows.append(work_of(name, options.target, options.shallow))
        print(list(work_table(rows[-1:], TARGETS[options.target].chips))[-1], flush=True)
    print("\n".join(["", *work_table(rows, TARGETS[options.target].chips)]))


if __name__ == "__main__":
    main()
