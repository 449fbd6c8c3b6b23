"""What this process may use of its machine."""

import os
from pathlib import Path
from typing import Literal, NamedTuple


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def memory_bytes() -> int | None:
    """The machine's memory; None where the system does not say."""
    if "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def others_cpu_seconds(stat: Path = Path("/proc/stat")) -> float | None:
    """Core-seconds that this machine's cores were busy with other processes, since it was started.

    Only differences mean something: some children of this process count among the others until they
    end. None where the system does not say: it has no `stat`.
    """
    try:
        with stat.open(encoding="ascii") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return None
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    own = os.times()
    return busy - own.user - own.system - own.children_user - own.children_system


BFLOAT16_SETS = frozenset({"amx_bf16", "avx512_bf16"})
"""Instruction sets that multiply bfloat16, as Linux names them."""


class Precision(NamedTuple):
    """The precision in which this machine trains fastest."""

    dtype: Literal["float32", "bfloat16"]
    reason: str


def fast_precision() -> Precision:
    """bfloat16 on an accelerator and on a processor that multiplies it, else float32. Opens no device."""
    if _has_accelerator():
        return Precision("bfloat16", "an accelerator multiplies bfloat16")
    sets = sorted(BFLOAT16_SETS & instruction_sets())
    if sets:
        return Precision("bfloat16", f"this processor multiplies bfloat16 ({', '.join(sets)})")
    return Precision(
        "float32", "this processor has neither AMX nor AVX512-BF16, and bfloat16 is slower on it than float32"
    )


def instruction_sets() -> frozenset[str]:
    """Of this machine's processor, in Linux's words; none where the system does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    flags = next((line for line in text.splitlines() if line.startswith("flags")), ":")
    return frozenset(flags.split(":", 1)[1].split())


def _has_accelerator() -> bool:
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if platforms:
        return platforms.split(",")[0] != "cpu"
    return any(next(Path("/dev").glob(kind), None) for kind in ("nvidia[0-9]*", "accel*", "vfio/[0-9]*"))
