"""The D x K surface of `trm eval --surface`: computed, kept on the way, written, shown."""

import hashlib
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.cli.weights import OpenedWeights
    from trm_scaling.evaluation.decode import DecoderName
    from trm_scaling.evaluation.samples import Budget
    from trm_scaling.evaluation.surface import SurfaceCounts
    from trm_scaling.results.surfaces import Surface


def write_surface(
    opened: "OpenedWeights",
    budget: "Budget",
    names: "tuple[DecoderName, ...]",
    split: Literal["test", "val"],
    limit: int | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure the surface, going on with one that was interrupted, and write it beside the run or to `out`.

    Raises UserError where there is no run folder and no `out`.
    """
    import jax

    from trm_scaling.evaluation.surface import Grid, SurfaceCounts, measure
    from trm_scaling.io.atomic import write_json
    from trm_scaling.io.jsonable import read_json_lenient
    from trm_scaling.results.surfaces import add_surface
    from trm_scaling.run.reporters import shown_progress

    file = out or (None if opened.folder is None else opened.folder.surfaces)
    if file is None:
        raise UserError(f"{opened.source} is no run: say with --out FILE.json where its surface goes")
    if budget.samples == 1:
        raise UserError("a surface compares budgets of several samples: give --samples with --noise, say")
    weights = opened.weights
    counts = SurfaceCounts(Grid.of(budget), names)
    asked = [opened.source, opened.at, opened.step, opened.dataset.fingerprint, split, limit, seed]
    question = json.dumps([*asked, *budget, counts.decoders], default=str)
    partial = file.with_name(f".{hashlib.sha256(question.encode()).hexdigest()[:12]}.partial.json")
    if kept := read_json_lenient(partial):
        counts.restore(kept)
        typer.echo(f"going on after {counts.puzzles:,} puzzles ({partial})", err=True)
    puzzles = opened.puzzles(split)
    partial.parent.mkdir(parents=True, exist_ok=True)
    if counts.puzzles < min(len(puzzles), limit or len(puzzles)):
        with shown_progress() as progress:
            measure(
                *(
                    opened.config,
                    budget,
                    weights.answering(weights.ema is not None),
                    weights.buffers,
                    puzzles,
                ),
                counts,
                limit=limit,
                key=jax.random.key(seed),
                progress=progress,
                counted=lambda done: write_json(partial, done.state()),
            )
    surface = _described(opened, budget, counts, split, limit, seed)
    add_surface(file, surface)
    partial.unlink(missing_ok=True)
    typer.echo(surface.model_dump_json() if as_json else "\n".join(shown(surface)))
    typer.echo(f"wrote {file}", err=True)


def _described(
    opened: "OpenedWeights",
    budget: "Budget",
    counts: "SurfaceCounts",
    split: Literal["test", "val"],
    limit: int | None,
    seed: int,
) -> "Surface":
    import jax

    from trm_scaling.config.identity import identity
    from trm_scaling.cost import count_parameters, inference_flops
    from trm_scaling.io.secrets import masked_arguments
    from trm_scaling.results.surfaces import Surface
    from trm_scaling.tasks.dataset import fingerprint
    from trm_scaling.tasks.task import spec_of

    config, spec = opened.config, spec_of(opened.config.data)
    sizes = config.arch, spec.vocab_size, spec.seq_len
    per_step = inference_flops(*sizes, 1)
    listed = getattr(config.data, "test_source", None) or config.data.source
    told = [opened.dataset.manifest.wish or "as they come"]
    told += [Path(listed).name] if "." in listed else []
    return Surface.model_validate(
        {
            **{"model": config.name if opened.at != "file" else Path(opened.source).stem},
            **{"profile": config.profile, "identity": identity(opened.trained), "seed": config.seed},
            **{"at": opened.at, "averaged": opened.weights.ema is not None, "step": opened.step},
            **{"of": f"{spec.grid[0]}x{spec.grid[1]} {config.data.task}, {', '.join(told)}"},
            **{"data_fingerprint": fingerprint(opened.dataset.task, 0, {split: opened.puzzles(split)})},
            **{"split": split, "limit": limit},
            **{"params": count_parameters(*sizes), "trained_steps": config.arch.halt_max_steps},
            **{"noise": budget.noise, "init": budget.init, "augment": budget.augment, "sampling_seed": seed},
            **{"device_kind": jax.devices()[0].device_kind, "device_seconds": counts.seconds},
            "command": shlex.join(["trm", *masked_arguments(sys.argv[1:])]),
            "rows": [{**row, "inference_flops": row["mean_steps"] * per_step} for row in counts.rows()],
        }
    )


def shown(surface: "Surface") -> Sequence[str]:
    """A table for each decoder: steps down, samples across, accuracy in per cent."""
    from trm_scaling.results.format import amount
    from trm_scaling.results.surfaces import OF_ONE_SAMPLE

    rows = {(row.decoder, row.steps, row.samples): row for row in surface.rows}
    steps = sorted({row.steps for row in surface.rows})
    samples = sorted({row.samples for row in surface.rows})
    puzzles = surface.rows[0].puzzles
    head = f"{surface.model} on {surface.of}: {puzzles:,} puzzles, {surface.sampling}, exact accuracy (%)"
    lines = [head]
    for name in dict.fromkeys(row.decoder for row in surface.rows):
        ceiling = "" if name != "oracle" else " (knows the labels: the ceiling of the others, not a method)"
        across = samples[:1] if name in OF_ONE_SAMPLE else samples
        lines += ["", f"{name}{ceiling}", f"{'steps':>8}" + "".join(f"{size:>8}" for size in across)]
        for number in steps:
            cells = "".join(f"{100 * rows[name, number, size].accuracy:>8.1f}" for size in across)
            lines.append(f"{number:>8}{cells}")
    best = max((row for row in surface.rows if row.usable), key=lambda row: row.accuracy)
    low, high = best.puzzles_95
    lines += [
        "",
        f"highest: {best.decoder} with {amount(best.steps, 'step')} and {amount(best.samples, 'sample')}, "
        f"{best.accuracy:.1%} [{100 * low:.1f}, {100 * high:.1f}] over puzzles",
    ]
    return lines
