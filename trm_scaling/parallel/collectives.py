"""What a compiled training call says between devices, read from the text of its program."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal, get_args

Kind = Literal["all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute"]

_OPERATION = re.compile(rf" = (?P<result>.+?) (?P<kind>{'|'.join(get_args(Kind))})(?P<half>-start|-done)?\(")
_ARRAY = re.compile(r"\b(?P<kind>pred|[a-z]+(?P<bits>\d+)\w*)\[(?P<sizes>[\d,]*)\]")
_COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) \(.*\{$")
_LOOP = re.compile(r" while\(.*?\bcondition=%?(?P<condition>[\w.\-]+), body=%?(?P<body>[\w.\-]+)")
_CALL = re.compile(r"\b(?:calls|to_apply)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"\bbranch_computations=\{([^}]*)\}")
_LIMIT = re.compile(r"\bs32\[\]\S* constant\((\d+)\)")


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


def collectives(program: str) -> tuple[Collective, ...]:
    """Those of one step of the training call whose optimised HLO is `program`.

    The loop over the steps of a call has a length that is data, so its body counts once; every other
    loop counts as often as its condition's constant says.
    """
    bodies = _computations(program)
    entry = next(name for name, (is_entry, _) in bodies.items() if is_entry)
    return tuple(_found(bodies, entry, 1))


def _computations(program: str) -> dict[str, tuple[bool, list[str]]]:
    found: dict[str, tuple[bool, list[str]]] = {}
    lines: list[str] = []
    for line in program.splitlines():
        if begun := _COMPUTATION.match(line):
            lines = []
            found[begun["name"]] = (begun["entry"] is not None, lines)
        else:
            lines.append(line)
    return found


def _found(bodies: dict[str, tuple[bool, list[str]]], name: str, times: int) -> Iterator[Collective]:
    for line in bodies[name][1]:
        operation = _OPERATION.search(line)
        # An operation in two halves is counted by its second, whose result is the result.
        if operation and operation["half"] != "-start":
            arrays = list(_ARRAY.finditer(operation["result"]))
            dtypes = tuple(dict.fromkeys(each["kind"] for each in arrays))
            yield Collective(operation["kind"], dtypes, sum(map(_bytes, arrays)), times)  # type: ignore[arg-type]
        elif loop := _LOOP.search(line):
            yield from _found(bodies, loop["body"], times * _trips(bodies[loop["condition"]][1]))
        else:
            called = _CALL.findall(line)
            for branches in _BRANCHES.findall(line):
                called += [each.strip().lstrip("%") for each in branches.split(",")]
            for each in called:
                yield from _found(bodies, each, times)


def _trips(condition: list[str]) -> int:
    limits = [int(limit) for line in condition for limit in _LIMIT.findall(line)]
    return limits[0] if len(limits) == 1 else 1


def _bytes(array: re.Match[str]) -> int:
    bits = 8 if array["kind"] == "pred" else int(array["bits"])
    return prod(int(size) for size in array["sizes"].split(",") if size) * bits // 8
