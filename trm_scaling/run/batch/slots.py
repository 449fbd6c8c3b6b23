"""What each of several workers at once gets of the machine."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_SHARED_MEMORY = 0.9
"""Of a GPU's memory, divided among the workers on it; the rest is for their contexts and libraries."""

_MEMORY_SETTINGS = (
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "XLA_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
    "XLA_PYTHON_CLIENT_ALLOCATOR",
)


@dataclass(frozen=True)
class Slot:
    """One worker's place."""

    number: int
    cores: frozenset[int] = frozenset()
    """Processor cores; empty: whichever the system gives."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables for the worker, beside those of this process."""

    def pin(self, pid: int) -> None:
        """Keep a process that has just been started, and all that it starts, on the slot's cores."""
        if self.cores and hasattr(os, "sched_setaffinity"):
            try:
                os.sched_setaffinity(pid, self.cores)
            except ProcessLookupError:
                return


def make_slots(
    jobs: int, cores: Sequence[int], gpus: Sequence[str], environ: Mapping[str, str]
) -> list[Slot]:
    """`jobs` places on a machine with these cores and NVIDIA GPUs.

    Cores are dealt out in equal runs, GPUs in turn. Workers that share a GPU share its memory, which
    JAX would otherwise take for the first of them, unless `environ` already says how. One job
    alone gets the machine as it is.
    """
    if jobs == 1:
        return [Slot(0)]
    slots = []
    for number in range(jobs):
        environment = {}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
            sharing = len(range(number % len(gpus), jobs, len(gpus)))
            if sharing > 1 and not any(name in environ for name in _MEMORY_SETTINGS):
                environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{_SHARED_MEMORY / sharing:.3f}"
        slots.append(Slot(number, _share(cores, number, jobs), environment))
    return slots


def visible_gpus(environ: Mapping[str, str], proc: Path = Path("/proc/driver/nvidia/gpus")) -> list[str]:
    """The NVIDIA GPUs that workers may use, as CUDA_VISIBLE_DEVICES names them."""
    chosen = environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    return [str(number) for number, _ in enumerate(proc.glob("*"))]


def _share(cores: Sequence[int], number: int, jobs: int) -> frozenset[int]:
    if not cores:
        return frozenset()
    if jobs > len(cores):
        return frozenset({cores[number % len(cores)]})
    return frozenset(cores[number * len(cores) // jobs : (number + 1) * len(cores) // jobs])
