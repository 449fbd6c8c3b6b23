"""What a compiled program makes its devices exchange."""

import re
from typing import NamedTuple

SIZES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8}
KINDS = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute|collective-broadcast"
_COLLECTIVE = re.compile(rf"= (?P<result>.*?) (?P<kind>{KINDS})(?:-start)?\(")
_ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")


class Collective(NamedTuple):
    """One exchange."""

    kind: str
    bytes: int
    """Of its result on one device."""


def collectives_of(program: str) -> list[Collective]:
    """Every exchange in the text of a compiled program, those of a loop's body once."""
    found = []
    for line in program.splitlines():
        if match := _COLLECTIVE.search(line):
            total = 0
            for dtype, shape in _ARRAY.findall(match["result"]):
                elements = 1
                for size in filter(None, shape.split(",")):
                    elements *= int(size)
                total += elements * SIZES[dtype]
            found.append(Collective(match["kind"], total))
    return found
