"""What this process may use of its machine."""

import os
from pathlib import Path


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
