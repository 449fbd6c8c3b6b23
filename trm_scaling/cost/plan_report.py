"""What was compiled for a target, as Markdown."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from trm_scaling.config import RunConfig
from trm_scaling.cost.batch_fitting import first_accepted
from trm_scaling.cost.compiler_answers import Compilation, Compilations, Fits, program_key, stage_configs
from trm_scaling.cost.devices import GIB, Target
from trm_scaling.cost.kernels import Kind
from trm_scaling.cost.memory import training_memory
from trm_scaling.cost.plan import Planned
from trm_scaling.tasks.task import spec_of

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One configuration at one depth of its curriculum."""

    names: tuple[str, ...]
    depth: str
    """`L 6, H 3`, where the configuration has several."""
    config: RunConfig
    """As it was compiled."""
    whole_bytes: int
    """Estimated for the batch as a whole."""
    estimated_bytes: int
    """Estimated for the batch as it was cut."""
    compilation: Compilation
    fits: Fits

    @property
    def program(self) -> str:
        """Its key: equal ones were compiled once."""
        return program_key(self.config)

    @property
    def label(self) -> str:
        """All its names."""
        first, *others = self.names
        more = f" = {', '.join(others)}" if others else ""
        return f"{first}{f' at {self.depth}' if self.depth else ''}{more}"

    @property
    def cut(self) -> str:
        """How its batch is cut."""
        slices = [] if self.config.micro_batches == 1 else [f"{self.config.micro_batches} slices"]
        return ", ".join([*slices, *(["remat"] if self.config.system.remat else [])])

    @property
    def between_devices(self) -> str:
        """Operations of one step, with the types that they carry."""
        kinds: Counter[str] = Counter()
        for each in self.fits.collectives:
            kinds[f"{each.kind} {'/'.join(each.dtypes)}"] += each.times
        return ", ".join(f"{times} {kind}" for kind, times in kinds.items())


def compiled_rows(planned: Sequence[Planned], target: Target, compilations: Compilations) -> list[Row]:
    """Of every configuration that the compiler accepted; one of several depths has a row for each."""
    found = []
    for each in planned:
        fitting = first_accepted(each.config, target, compilations.of)
        several = len(stage_configs(each.config)) > 1
        for config, compilation, fits in () if fitting is None else fitting.programs:
            system = config.system.model_copy(update={"micro_batch_size": None, "remat": False})
            whole, estimated = (
                training_memory(of, *spec_of(of.data)[:2], target.chip.backend, devices=target.chips).total
                for of in (config.model_copy(update={"system": system}), config)
            )
            depth = config.arch.recursion if several else ""
            found.append(Row(each.names, depth, config, whole, estimated, compilation, fits))
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
    parts = [*_head(rows, configurations, target, source), *_table(rows, _COLUMNS), "", *_NOTES, ""]
    for where, some in [(target, rows), *beside]:
        if any(row.fits.kinds for row in some):
            first = {row.program: row for row in reversed(some)}
            devices = where.chips
            work = [
                Work(
                    row.label,
                    row.config.global_batch_size // (row.config.system.devices or devices),
                    row.fits,
                )
                for row in reversed(first.values())
            ]
            parts += [f"## A training step on a {where.name}", "", *work_table(work, devices), ""]
            parts += [f"- versions: {_versions(some)}", *_work_notes(where), ""]
    return "\n".join(parts)


def _versions(rows: Sequence[Row]) -> str:
    versions = rows[0].compilation.program.versions if rows else {}
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _head(rows: Sequence[Row], configurations: int, target: Target, source: str) -> Iterator[str]:
    programs = {row.program for row in rows}
    covered = {row.names for row in rows}
    limit = target.chip.memory_bytes or 0
    largest = max((row.fits.total_bytes for row in rows), default=0)
    errors = [row.estimated_bytes / row.fits.total_bytes - 1 for row in rows]
    yield f"# The study compiled for a {target.name}"
    yield ""
    yield (
        f"The real training call of {len(covered)} of {configurations} configurations "
        f"({sum(map(len, covered))} names), compiled "
        f"ahead of time for {target.chips} x {target.chip.kind}: {len(programs)} programs. None was there, "
        f"and nothing was run. Made by `trm plan --compile --target {target.name}`."
    )
    yield ""
    yield f"- code: {source}"
    yield f"- versions: {_versions(rows)}"
    yield f"- memory: {limit / GIB:.2f} GiB on a device; the largest program needs {largest / GIB:.2f}"
    if errors:
        yield (
            f"- the estimate by arithmetic (`cost/memory.py`), by which a run chooses, is off by "
            f"{min(errors) * 100:+.0f} to {max(errors) * 100:+.0f} %"
        )
    yield ""


Columns = Sequence[tuple[str, Callable[[T], str]]]
"""Heading and cell."""

_WORDS = ("configuration", "cut", "between devices", "program")
"""Columns of text, to the left."""


def _table(rows: Sequence[T], columns: Columns[T]) -> Iterator[str]:
    yield f"| {' | '.join(heading for heading, _ in columns)} |"
    yield f"|{'|'.join('---' if heading in _WORDS else '---:' for heading, _ in columns)}|"
    for row in rows:
        yield f"| {' | '.join(cell(row) for _, cell in columns)} |"


_COLUMNS: Columns[Row] = (
    ("configuration", lambda row: row.label),
    ("batch", lambda row: f"{row.config.global_batch_size:,}"),
    ("cut", lambda row: row.cut),
    ("whole, est. GiB", lambda row: f"{row.whole_bytes / GIB:.1f}"),
    ("est. GiB", lambda row: f"{row.estimated_bytes / GIB:.1f}"),
    ("GiB", lambda row: f"{row.fits.total_bytes / GIB:.2f}"),
    ("between devices", lambda row: row.between_devices),
    ("MB", lambda row: f"{row.fits.exchanged_bytes / 1e6:.1f}"),
    ("s", lambda row: f"{row.fits.seconds:.0f}"),
    ("program", lambda row: f"`{row.program}`"),
)

_NOTES = (
    "- **GiB** on each device: estimated for the whole batch, estimated as it is cut, and compiled.",
    "- **cut**: micro-batches, and `remat`; empty: the whole batch. It is what `trm run` chooses there.",
    "- **between devices**: operations of one step, and MB that they leave on a device. The float32",
    "  all-reduce is the sum of the gradients; the others are counts and flags.",
    "- **s** of compiling, on two shared CPU cores. Rows with the same program were compiled once.",
)

SHARE_OF_PEAKS = 0.85
"""What a well-tuned program reaches of a device's peaks."""

_TRAFFIC: tuple[Kind, ...] = ("products", "gates", "norms", "copies", "other")


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

    def least(row: Work, write: Callable[[float], str]) -> str:
        return "-" if row.fits.bound is None else write(row.fits.bound.least_s)

    def of_kind(kind: Kind) -> Callable[[Work], str]:
        return lambda row: next(
            (f"{each.bytes / 1e9:.1f}" for each in row.fits.kinds if each.kind == kind), "-"
        )

    columns: Columns[Work] = (
        ("program", lambda row: row.label),
        ("samples", lambda row: f"{row.samples:,}"),
        ("kernels", lambda row: f"{row.fits.kernels:,}"),
        ("copies", lambda row: f"{sum(each.kernels for each in row.fits.kinds if each.kind == 'copies'):,}"),
        ("GB", lambda row: f"{row.fits.traffic_bytes / 1e9:.1f}"),
        *((kind, of_kind(kind)) for kind in _TRAFFIC),
        ("GiB at most", lambda row: f"{row.fits.total_bytes / GIB:.1f}"),
        ("TFLOP", lambda row: f"{sum(each.flops for each in row.fits.kinds) / 1e12:.1f}"),
        ("at best, ms", lambda row: least(row, lambda seconds: f"{seconds * 1e3:.1f}")),
        ("samples/s", lambda row: least(row, lambda seconds: f"{row.samples * devices / seconds:,.0f}")),
        (
            f"at {SHARE_OF_PEAKS:.0%}",
            lambda row: least(
                row, lambda seconds: f"{row.samples * devices / seconds * SHARE_OF_PEAKS:,.0f}"
            ),
        ),
    )
    yield from _table([row for row in rows if row.fits.kinds], columns)


def _work_notes(target: Target) -> Iterator[str]:
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
