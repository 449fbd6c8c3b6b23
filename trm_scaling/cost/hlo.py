"""The text of a compiled program (XLA's optimised HLO): its instructions, and how often each runs.

Only what counting needs is read: names, types, operands, called computations, trip counts of loops.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import NamedTuple

_COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?P<root>ROOT )?%?(?P<name>[\w.\-]+) = ")
_OPCODE = re.compile(r"\s*(?P<opcode>[\w\-]+)\(")
_ARRAY = re.compile(
    r"\b(?P<dtype>pred|[a-z]+(?P<bits>\d+)\w*)\[(?P<sizes>[\d,]*)\](?:\{(?P<layout>[^}]*)\})?"
)
_ON_CHIP = re.compile(r"S\([1-9]")
_NAME = re.compile(r"%?([A-Za-z_][\w.\-]*)\s*$")
_BRANCHES = re.compile(r"\bbranch_computations=\{([^}]*)\}")
_CALLED = re.compile(r"\b(?:calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)")
_LOOP = re.compile(r"\bcondition=%?(?P<condition>[\w.\-]+), body=%?(?P<body>[\w.\-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_OPERATION_NAME = re.compile(r'\bop_name="([^"]*)"')


@dataclass(frozen=True)
class ArrayType:
    """One array: `bf16[97,512]{1,0}`."""

    dtype: str
    sizes: tuple[int, ...]
    bits: int
    is_on_chip: bool
    """In a memory of the chip, not in its main memory: a TPU's compiler writes `S(1)` or above."""

    @property
    def elements(self) -> int:
        """Values in it."""
        return prod(self.sizes)

    @property
    def bytes(self) -> int:
        """Without the padding of a tiled layout."""
        return -(-self.elements * self.bits // 8)

    @property
    def main_memory_bytes(self) -> int:
        """What moving it to or from main memory takes; 0 where it lies on the chip."""
        return 0 if self.is_on_chip else self.bytes


@dataclass(frozen=True)
class Instruction:
    """One line of a computation."""

    name: str
    type_text: str
    opcode: str
    operand_text: str
    attributes: str
    is_root: bool

    @cached_property
    def results(self) -> tuple[ArrayType, ...]:
        """The arrays it makes; of a tuple each, in order."""
        return arrays_in(self.type_text)

    @cached_property
    def operands(self) -> tuple[str, ...]:
        """Names of the instructions whose results it takes."""
        found = (_NAME.search(part) for part in _split_at_commas(self.operand_text))
        return tuple(match[1] for match in found if match is not None)

    @property
    def called(self) -> tuple[str, ...]:
        """Computations that it calls once: of a fusion, a call, a reduction, a conditional."""
        names = _CALLED.findall(self.attributes)
        for branches in _BRANCHES.findall(self.attributes):
            names += [each.strip().lstrip("%") for each in branches.split(",")]
        return tuple(names)

    @property
    def operation_name(self) -> str:
        """JAX's path to it, with named scopes; empty where the compiler kept none."""
        found = _OPERATION_NAME.search(self.attributes)
        return "" if found is None else found[1]


@dataclass(frozen=True)
class Computation:
    """A list of instructions in the order in which they run."""

    name: str
    instructions: tuple[Instruction, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Instruction]:
        """Its instructions."""
        return {each.name: each for each in self.instructions}

    @cached_property
    def users(self) -> Mapping[str, tuple[Instruction, ...]]:
        """For each name the instructions that take its result."""
        found: dict[str, list[Instruction]] = {}
        for each in self.instructions:
            for name in dict.fromkeys(each.operands):
                found.setdefault(name, []).append(each)
        return {name: tuple(users) for name, users in found.items()}

    @property
    def root(self) -> Instruction:
        """Its result."""
        return next((each for each in self.instructions if each.is_root), self.instructions[-1])

    @cached_property
    def parameters(self) -> tuple[Instruction, ...]:
        """By number."""
        found = [each for each in self.instructions if each.opcode == "parameter"]
        return tuple(sorted(found, key=lambda each: int(each.operand_text)))


class Scheduled(NamedTuple):
    """An instruction that the device is given by itself, and how often."""

    computation: Computation
    instruction: Instruction
    times: int


@dataclass(frozen=True)
class Program:
    """All computations of a module."""

    computations: Mapping[str, Computation]
    entry: str

    @classmethod
    def read(cls, text: str) -> "Program":
        """Read what `Compiled.as_text()` gives. Raises ValueError for a text without an entry."""
        computations, entry = {}, None
        name, lines = "", list[Instruction]()
        for line in text.splitlines():
            if begun := _COMPUTATION.match(line):
                name, lines = begun["name"], []
                entry = name if begun["entry"] else entry
            elif line.startswith("}") and name:
                computations[name] = Computation(name, tuple(lines))
                name = ""
            elif name and (each := _instruction(line)) is not None:
                lines.append(each)
        if entry is None:
            raise ValueError("no ENTRY computation: this is not the text of an HLO module")
        return cls(computations, entry)

    def scheduled(self) -> Iterator[Scheduled]:
        """Every instruction outside fusions and reducers, with how often it runs.

        A loop counts as often as its text says; one whose length is data (that over the steps of a training
        call) counts once, so the result is that of one step.
        """
        yield from self._scheduled(self.entry, 1)

    def _scheduled(self, name: str, times: int) -> Iterator[Scheduled]:
        computation = self.computations[name]
        for each in computation.instructions:
            loop = _LOOP.search(each.attributes) if each.opcode == "while" else None
            if loop is not None:
                yield from self._scheduled(loop["body"], times * self._trips(each, loop["condition"]))
            elif each.opcode in ("call", "conditional", "async-start"):
                for called in each.called:
                    yield from self._scheduled(called, times)
            else:
                yield Scheduled(computation, each, times)

    def inside(
        self, computation: Computation, each: Instruction
    ) -> Iterator[tuple[Computation, Instruction]]:
        """`each` of `computation` and, of a fusion, what is fused into it, at any depth."""
        yield computation, each
        if each.opcode == "fusion":
            for called in each.called:
                fused = self.computations[called]
                for instruction in fused.instructions:
                    yield from self.inside(fused, instruction)

    def _trips(self, loop: Instruction, condition: str) -> int:
        if known := _TRIPS.search(loop.attributes):
            return int(known[1])
        limits = [
            int(each.operand_text)
            for each in self.computations[condition].instructions
            if each.opcode == "constant" and each.type_text.startswith("s32[]")
        ]
        return limits[0] if len(limits) == 1 else 1


def arrays_in(type_text: str) -> tuple[ArrayType, ...]:
    """The arrays of a type, in order: one, or those of a tuple."""
    return tuple(_array(each) for each in _ARRAY.finditer(type_text))


def _array(match: re.Match[str]) -> ArrayType:
    bits = 8 if match["dtype"] == "pred" else int(match["bits"])
    sizes = tuple(int(size) for size in match["sizes"].split(",") if size)
    return ArrayType(match["dtype"], sizes, bits, _ON_CHIP.search(match["layout"] or "") is not None)


def _instruction(line: str) -> Instruction | None:
    begun = _INSTRUCTION.match(line)
    if begun is None:
        return None
    start = begun.end()
    # A type is one word (its layout may hold brackets, no blanks), or a tuple in brackets.
    end = _closing(line, start) + 1 if line[start] == "(" else line.index(" ", start)
    opcode = _OPCODE.match(line, end)
    if opcode is None:
        return None
    close = _closing(line, opcode.end() - 1)
    return Instruction(
        name=begun["name"],
        type_text=line[start:end],
        opcode=opcode["opcode"],
        operand_text=line[opcode.end() : close],
        attributes=line[close + 1 :],
        is_root=begun["root"] is not None,
    )


def _closing(line: str, opening: int) -> int:
    """Where the bracket closes that opens at `opening`."""
    depth = 0
    for at in range(opening, len(line)):
        depth += (line[at] == "(") - (line[at] == ")")
        if depth == 0:
            return at
    return len(line)


def _split_at_commas(text: str) -> list[str]:
    """At those outside brackets of any kind: `f32[4,2]{1,0} %a, %b` are two."""
    parts, depth, begun = [], 0, 0
    for at, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0:
            parts.append(text[begun:at])
            begun = at + 1
    return [*parts, text[begun:]]
