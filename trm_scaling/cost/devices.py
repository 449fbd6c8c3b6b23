"""Chips, and the targets made of them: nominal peaks, memory, prices. Nothing here is measured.

Peaks are dense and as their makers publish them. Prices are estimates with a date, in USD an hour; a
caller that knows better ones replaces them (`dataclasses.replace`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

GIB = 2**30

PRICES_OF = "2026-11-22"
"""The day the prices below were estimated on."""

Backend = Literal["cpu", "gpu", "tpu"]
"""JAX's word for the compiler and runtime of a device."""


@dataclass(frozen=True)
class Chip:
    """One device as JAX shows it (both cores of a TPU v4 chip are one). None: unknown or without one."""

    kind: str
    """What JAX's `device_kind` contains."""

    backend: Backend

    peak_flops: float | None = None
    """Dense bfloat16 FLOP/s. A CPU has none: its peak depends on clock and vector width."""

    peak_flops_float32: float | None = None
    """FLOP/s of float32 products at JAX's precision "highest": a sixth on a TPU, no tensor cores on a GPU."""

    memory_bytes: int | None = None
    """What one program can use of it. GPUs: three quarters, which is what JAX takes by default."""

    bytes_per_s: float | None = None
    """Between the chip and its memory."""

    cores: int | None = None
    """Of a CPU."""

    usd_per_hour: float | None = None
    """On demand."""

    spot_usd_per_hour: float | None = None
    """Preemptible."""


def _tpu(kind: str, peak_flops: float) -> Chip:
    # Precision "highest" multiplies float32 numbers in six bfloat16 passes.
    return Chip(kind, "tpu", peak_flops, peak_flops / 6)


TPU_V4 = Chip(
    kind="TPU v4",
    backend="tpu",
    peak_flops=275e12,
    peak_flops_float32=275e12 / 6,
    memory_bytes=int(30.75 * GIB),
    bytes_per_s=1.2e12,
    usd_per_hour=3.22,
    spot_usd_per_hour=0.97,
)
H100 = Chip(
    kind="H100",
    backend="gpu",
    peak_flops=989e12,
    peak_flops_float32=67e12,
    memory_bytes=int(0.75 * 80e9),
    bytes_per_s=3.35e12,
    usd_per_hour=2.95,
    spot_usd_per_hour=1.25,
)
H200 = Chip(
    kind="H200",
    backend="gpu",
    peak_flops=989e12,
    peak_flops_float32=67e12,
    memory_bytes=int(0.75 * 141e9),
    bytes_per_s=4.8e12,
    usd_per_hour=3.50,
    spot_usd_per_hour=1.45,
)
LAPTOP = Chip(kind="cpu", backend="cpu", memory_bytes=8 * GIB, cores=2)
"""What the profile `laptop` is made for."""

CHIPS = (
    TPU_V4,
    _tpu("TPU v5 lite", 197e12),
    _tpu("TPU v5", 459e12),
    _tpu("TPU v6 lite", 918e12),
    Chip("A100", "gpu", 312e12, peak_flops_float32=19.5e12),
    Chip("L40S", "gpu", 362e12, peak_flops_float32=91.6e12, usd_per_hour=1.55),
    H100,
    H200,
    Chip("B200", "gpu", 2250e12, peak_flops_float32=75e12),
)


def find_chip(device_kind: str) -> Chip | None:
    """The chip of the longest known name inside `device_kind` (JAX's word for it); None when unknown."""
    known = [chip for chip in CHIPS if chip.kind in device_kind]
    return max(known, key=lambda chip: len(chip.kind)) if known else None


def peak_flops(device_kind: str) -> float | None:
    """Nominal bfloat16 FLOP/s of one such device; None when unknown, as for every CPU."""
    chip = find_chip(device_kind)
    return chip.peak_flops if chip else None


@dataclass(frozen=True)
class Target:
    """Somewhere to run: `chips` devices of one kind."""

    name: str
    chip: Chip
    chips: int

    @property
    def usd_per_hour(self) -> float | None:
        """On demand, all chips together; None where no price is known."""
        return _times(self.chip.usd_per_hour, self.chips)

    @property
    def spot_usd_per_hour(self) -> float | None:
        """Preemptible, all chips together; None where no price is known."""
        return _times(self.chip.spot_usd_per_hour, self.chips)


def _times(price: float | None, chips: int) -> float | None:
    return None if price is None else price * chips


TargetName = Literal["cpu", "h100", "h100x8", "h200", "v4-8", "v4-16", "v4-32", "v4-64"]

TARGETS: Mapping[TargetName, Target] = {
    "cpu": Target("cpu", LAPTOP, 1),
    "h100": Target("h100", H100, 1),
    "h100x8": Target("h100x8", H100, 8),
    "h200": Target("h200", H200, 1),
    # The number in a pod's name counts TensorCores, of which a v4 chip has two.
    "v4-8": Target("v4-8", TPU_V4, 4),
    "v4-16": Target("v4-16", TPU_V4, 8),
    "v4-32": Target("v4-32", TPU_V4, 16),
    "v4-64": Target("v4-64", TPU_V4, 32),
}
