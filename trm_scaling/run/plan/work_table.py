"""What a compiled training step does, as Markdown: kernels, bytes by kind, memory, and the time at best."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from trm_scaling.counting.devices import Target
from trm_scaling.counting.kernels import Kind
from trm_scaling.run.compiler_answers import Fits

SHARE_OF_PEAKS = 0.85
"""What a well-tuned program reaches of a device's peaks."""

_TRAFFIC: tuple[Kind, ...] = ("products", "gates", "norms", "copies", "other")
_HEADINGS = (
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
    yield f"| {' | '.join(_HEADINGS)} |"
    yield f"|---|{'---:|' * (len(_HEADINGS) - 1)}"
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
