"""Nominal bfloat16 peaks of accelerators, FLOP/s a device, as their makers publish them (dense)."""

_PEAKS = {
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5": 459e12,
    "TPU v6 lite": 918e12,
    "A100": 312e12,
    "L40S": 362e12,
    "H100": 989e12,
    "H200": 989e12,
    "B200": 2250e12,
}


def peak_flops(device_kind: str) -> float | None:
    """The peak of the longest known name inside `device_kind` (JAX's word for it); None when unknown.

    A CPU has none: its peak depends on clock and vector width, so it is measured, never looked up.
    """
    known = [name for name in _PEAKS if name in device_kind]
    return _PEAKS[max(known, key=len)] if known else None
