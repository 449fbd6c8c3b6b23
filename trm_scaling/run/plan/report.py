"""What was compiled for a target, as Markdown."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trm_scaling.config import RunConfig
from trm_scaling.counting.devices import GIB, Target
from trm_scaling.counting.kernels import Kind
from trm_scaling.counting.memory import training_memory
from trm_scaling.run.batch_fitting import known
from trm_scaling.run.compiler_answers import Compilation, Compilations, Fits
from trm_scaling.run.plan.study_plan import Planned
from trm_scaling.run.programs import program_key, stage_configs
from trm_scaling.tasks.task import spec_of

_HEADINGS = (
    *("configuration", "batch", "cut", "whole, est. GiB", "est. GiB", "GiB"),
    *("between devices", "MB", "s", "program"),
)


@dataclass(frozen=True)
class Row:
    """One configuration at one depth of its curriculum."""

    names: tuple[str, ...]
    depth: str
    """`L 6, H 3`, where the configuration has several."""
    program: str
    """Its key: equal ones were compiled once."""
    config: RunConfig
    """As it was compiled."""
    whole_bytes: int
    """Estimated for the batch as a whole."""
    estimated_bytes: int
    """Estimated for the way that was compiled."""
    compilation: Compilation
    fits: Fits


def compiled_rows(planned: Sequence[Planned], target: Target, compilations: Compilations) -> list[Row]:
    """Of every configuration that the compiler accepted; one of several depths has a row for each."""
    found = []
    for each in planned:
        fitting = known(each.config, target, compilations)
        for config, compilation, fits in () if fitting is None else fitting.programs:
            several = len(stage_configs(each.config)) > 1
            found.append(
                Row(
                    names=each.names,
                    depth=config.arch.recursion if several else "",
                    program=program_key(config),
                    config=config,
                    whole_bytes=_estimated(_whole(config), target),
                    estimated_bytes=_estimated(config, target),
                    compilation=compilation,
                    fits=fits,
                )
            )
    return found


def markdown(
    rows: Sequence[Row],
    configurations: int,
    target: Target,
    source: str,
    beside: Sequence[tuple[Target, Sequence[Row]]] = (),
) -> str:
    """The page: what was compiled by what, the tables, and what they do not say.

    `configurations`: how many there should be. `source`: the commit of the code. `beside`: the same
    configurations where they were compiled for other targets.
    """
    parts = [*_head(rows, configurations, target, source), *_table(rows), *_tail(), ""]
    for where, some in [(target, rows), *beside]:
        if any(row.fits.kinds for row in some):
            parts += [f"## A training step on a {where.name}", "", *_work(some, where), ""]
    return "\n".join(parts)


def _work(rows: Sequence[Row], target: Target) -> Iterator[str]:
    first = {row.program: row for row in reversed(rows)}
    work = [
        Work(
            _names(row), row.config.global_batch_size // (row.config.system.devices or target.chips), row.fits
        )
        for row in reversed(first.values())
    ]
    yield from work_table(work, target.chips)
    yield ""
    yield f"- versions: {_versions(rows)}"
    yield from work_notes(target)


def _versions(rows: Sequence[Row]) -> str:
    versions = rows[0].compilation.program.versions if rows else {}
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _head(rows: Sequence[Row], configurations: int, target: Target, source: str) -> Iterator[str]:
    programs = {row.program for row in rows}
    names = sum(len(names) for names in {row.names for row in rows})
    covered = len({row.names for row in rows})
    limit = target.chip.memory_bytes or 0
    largest = max((row.fits.total_bytes for row in rows), default=0)
    errors = [row.estimated_bytes / row.fits.total_bytes - 1 for row in rows]
    yield f"# The study compiled for a {target.name}"
    yield ""
    yield (
        f"The real training call of {covered} of {configurations} configurations ({names} names), compiled "
        f"ahead of time for {target.chips} x {target.chip.kind}: {len(programs)} programs. None was there, "
        f"and nothing was run. Made by `trm plan --compile --target {target.name}`."
    )
    yield ""
    yield f"- code: {source}"
    yield f"- versions: {_versions(rows)}"
    yield f"- memory: {limit / GIB:.2f} GiB on a device; the largest program needs {largest / GIB:.2f}"
    if errors:
        yield (
            f"- the estimate by arithmetic (`counting/memory.py`), by which a run chooses, is off by "
            f"{min(errors) * 100:+.0f} to {max(errors) * 100:+.0f} %"
        )
    yield ""


def _table(rows: Sequence[Row]) -> Iterator[str]:
    yield f"| {' | '.join(_HEADINGS)} |"
    yield "|---|---:|---|---:|---:|---:|---|---:|---:|---|"
    for row in rows:
        cells = [
            _names(row),
            f"{row.config.global_batch_size:,}",
            _way(row.config),
            f"{row.whole_bytes / GIB:.1f}",
            f"{row.estimated_bytes / GIB:.1f}",
            f"{row.fits.total_bytes / GIB:.2f}",
            _operations(row.fits),
            f"{row.fits.exchanged_bytes / 1e6:.1f}",
            f"{row.fits.seconds:.0f}",
            f"`{row.program}`",
        ]
        yield f"| {' | '.join(cells)} |"
    yield ""


def _tail() -> Iterator[str]:
    yield "- **GiB** on each device: estimated for the whole batch, estimated as it is cut, and compiled."
    yield "- **cut**: micro-batches, and `remat`; empty: the whole batch. It is what `trm run` chooses there."
    yield "- **between devices**: operations of one step, and MB that they leave on a device. The float32"
    yield "  all-reduce is the sum of the gradients; the others are counts and flags."
    yield "- **s** of compiling, on two shared CPU cores. Rows with the same program were compiled once."


def _whole(config: RunConfig) -> RunConfig:
    system = config.system.model_copy(update={"micro_batch_size": None, "remat": False})
    return config.model_copy(update={"system": system})


def _estimated(config: RunConfig, target: Target) -> int:
    shapes = spec_of(config.data)[:2]
    return training_memory(config, *shapes, target.chip.backend, devices=target.chips).total


def _names(row: Row) -> str:
    first, *others = row.names
    more = f" = {', '.join(others)}" if others else ""
    return f"{first}{f' at {row.depth}' if row.depth else ''}{more}"


def _way(config: RunConfig) -> str:
    said = [] if config.micro_batches == 1 else [f"{config.micro_batches} slices"]
    return ", ".join([*said, *(["remat"] if config.system.remat else [])])


def _operations(fits: Fits) -> str:
    kinds: Counter[str] = Counter()
    for each in fits.collectives:
        kinds[f"{each.kind} {'/'.join(each.dtypes)}"] += each.times
    return ", ".join(f"{times} {kind}" for kind, times in kinds.items())


SHARE_OF_PEAKS = 0.85
"""What a well-tuned program reaches of a device's peaks."""

_TRAFFIC: tuple[Kind, ...] = ("products", "gates", "norms", "copies", "other")
_WORK_HEADINGS = (
    *("program", "samples", "kernels", "copies", "GB", *_TRAFFIC, "GiB at most", "TFLOP"),
    *("at best, ms", "samples/s", f"at {SHARE_OF_PEAKS:.0%}"),
)


class Work(NamedTuple):
    """One row: a training step on one device."""

    label: str
    samples: int
    """Puzzles that the device works on in a step."""
    fits: Fits


def work_table(rows: Sequence[Work], devices: int) -> Iterator[str]:
    """The table of `rows`, compiled for a target of so many `devices`; programs whose kernels were not
    counted are left out.
    """
    yield f"| {' | '.join(_WORK_HEADINGS)} |"
    yield f"|---|{'---:|' * (len(_WORK_HEADINGS) - 1)}"
    for row in rows:
        if row.fits.kinds:
            yield f"| {' | '.join(_cells(row, devices))} |"


def work_notes(target: Target) -> Iterator[str]:
    """What the table's columns mean on `target`."""
    chip = target.chip
    yield "- **samples**: puzzles on one device in a step; everything in a row is of one device and one step."
    yield "- **GB**: read from and written to main memory, each array once a kernel; then by kind."
    yield "  *products* with what is fused into them, *norms* with all reductions, *copies* of all kinds."
    if chip.backend == "tpu":
        yield "  What a kernel takes from memory on the chip is counted by the copy that brings it there."
    if chip.peak_flops is not None and chip.bytes_per_s is not None:
        yield (
            f"- **at best**: one kernel after another at {chip.peak_flops / 1e12:,.0f} TFLOP/s and "
            f"{chip.bytes_per_s / 1e12:.1f} TB/s; **at {SHARE_OF_PEAKS:.0%}** of both, samples a second. "
            "No speed was measured, and nothing was autotuned."
        )


def _cells(row: Work, devices: int) -> Iterator[str]:
    fits = row.fits
    of_kind = {each.kind: each for each in fits.kinds}
    copies = of_kind["copies"].kernels if "copies" in of_kind else 0
    yield row.label
    yield f"{row.samples:,}"
    yield f"{fits.kernels:,}"
    yield f"{copies:,}"
    yield f"{fits.traffic_bytes / 1e9:.1f}"
    for kind in _TRAFFIC:
        yield f"{of_kind[kind].bytes / 1e9:.1f}" if kind in of_kind else "-"
    yield f"{fits.total_bytes / 2**30:.1f}"
    yield f"{sum(each.flops for each in fits.kinds) / 1e12:.1f}"
    if fits.bound is None:
        yield from ("-", "-", "-")
        return
    rate = row.samples * devices / fits.bound.least_s
    yield f"{fits.bound.least_s * 1e3:.1f}"
    yield f"{rate:,.0f}"
    yield f"{rate * SHARE_OF_PEAKS:,.0f}"
