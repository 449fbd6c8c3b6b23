"""How long a run takes on a target and what that costs: from a measured speed, else from a stated assumption.

Compilation is not counted: seconds to a minute a stage, and nothing when the program is in the cache.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from trm_scaling.cost.devices import Backend, Chip, Target
from trm_scaling.cost.flops import Phase, Work
from trm_scaling.cost.memory import Dtype

ASSUMED_SHARE_OF_PEAK: Mapping[Backend, float] = {"gpu": 0.2, "tpu": 0.25}
"""Of the bfloat16 peak. Memory sets TRM's pace: for the 8.2 TFLOP of a baseline step of 192 puzzles XLA's
TPU compiler counts 104 GB read and written, which allows 0.35 of a TPU v4's peak, 0.27 of an H100's and
0.38 of an H200's. Nothing was measured on either."""

ASSUMED_SHARE_OF_FLOAT32_PEAK = 0.5
"""In float32 the products take six to fifteen times as long and memory twice, so that products count most."""

ASSUMED_CPU_FLOPS_PER_CORE = 40e9
"""Measured on two cores of an x86-64 machine with AVX-512: 32e9 to 70e9 a core at widths 32 to 128."""

ASSUMED_LAYER_S = 20e-6
"""Least time that an accelerator takes to apply one layer once: about eight kernels of 2 to 3 microseconds.
It is what small models wait for."""


@dataclass(frozen=True)
class Speed:
    """What one device is expected to do."""

    flops_per_s: float

    layer_s: float
    """Seconds that an application of a layer takes at the least."""

    assumed: bool

    source: str
    """Where the number comes from, for people."""


@dataclass(frozen=True)
class Estimate:
    """Time and cost of a run on a target. None: the size of the test split, or a price, is unknown."""

    training_s: float
    validation_s: float
    test_s: float | None
    total_s: float
    """Of what is known."""
    device_hours: float
    usd: float | None
    """On demand."""
    spot_usd: float | None
    assumed: bool
    """Whether the speed was assumed, not measured."""
    source: str
    """Where the speed comes from."""


def measured_speed(samples_per_s: float, flops_per_sample: float, devices: int, run: str) -> Speed:
    """The speed that the finished run `run` had on `devices` devices."""
    speed = samples_per_s * flops_per_sample / devices
    return Speed(speed, 0.0, False, f"{samples_per_s:,.0f} samples/s by {run}")


def assumed_speed(chip: Chip, dtype: Dtype) -> Speed | None:
    """The speed that `chip` is assumed to have in that precision; None for a chip nobody knows."""
    if chip.cores is not None:
        return Speed(
            ASSUMED_CPU_FLOPS_PER_CORE * chip.cores,
            0.0,
            True,
            f"{ASSUMED_CPU_FLOPS_PER_CORE / 1e9:.0f} GFLOP/s for each of {chip.cores} cores",
        )
    peak = chip.peak_flops_float32 if dtype == "float32" else chip.peak_flops
    if peak is None or chip.backend == "cpu":
        return None
    share = ASSUMED_SHARE_OF_FLOAT32_PEAK if dtype == "float32" else ASSUMED_SHARE_OF_PEAK[chip.backend]
    return Speed(
        share * peak,
        ASSUMED_LAYER_S,
        True,
        f"{share * 100:.0f} % of {peak / 1e12:,.0f} TFLOP/s in {dtype}, "
        f"{ASSUMED_LAYER_S * 1e6:.0f} microseconds a layer at the least",
    )


def estimate(work: Work, target: Target, speed: Speed) -> Estimate:
    """`work` on `target`, whose every device has `speed`."""

    def seconds(phase: Phase) -> float:
        return max(phase.flops / (speed.flops_per_s * target.chips), phase.layers * speed.layer_s)

    training, validation = seconds(work.training), seconds(work.validation)
    test = None if work.test is None else seconds(work.test)
    total = training + validation + (test or 0.0)
    hours = total / 3600
    return Estimate(
        training_s=training,
        validation_s=validation,
        test_s=test,
        total_s=total,
        device_hours=hours * target.chips,
        usd=None if target.usd_per_hour is None else hours * target.usd_per_hour,
        spot_usd=None if target.spot_usd_per_hour is None else hours * target.spot_usd_per_hour,
        assumed=speed.assumed,
        source=speed.source,
    )
