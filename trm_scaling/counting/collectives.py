"""What a compiled training call says between devices, read from the text of its program."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from trm_scaling.counting.hlo import Program

Kind = Literal["all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute"]

_KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Collective:
    """One operation between devices."""

    kind: Kind
    dtypes: tuple[str, ...]
    """XLA's words for the types of its results, each once."""
    bytes: int
    """Of its results on one device, each time."""
    times: int
    """In a training step."""


def collectives(text: str) -> tuple[Collective, ...]:
    """Those of one step of the training call whose optimised HLO is `text`.

    Raises ValueError for a text that is no HLO module.
    """
    return tuple(_found(Program.read(text)))


def _found(program: Program) -> Iterator[Collective]:
    for computation, scheduled, times in program.scheduled():
        for _, each in program.inside(computation, scheduled):
            # An operation in two halves is counted by its second, whose result is the result.
            kind = next((kind for kind in _KINDS if each.opcode in (kind, f"{kind}-done")), None)
            if kind is not None:
                dtypes = tuple(dict.fromkeys(array.dtype for array in each.results))
                yield Collective(kind, dtypes, sum(array.bytes for array in each.results), times)
