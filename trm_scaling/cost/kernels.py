"""What a compiled program does in one training step: its kernels, their memory traffic and their products.

Read from the text of the program, so that a program can be judged without the device it is for. A kernel's
bytes are those of the arrays it takes and makes in main memory, each once: what a cache saves between two
kernels, and what a product reads again, is not known here.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, get_args

from trm_scaling.cost.hlo import ArrayType, Computation, Instruction, Program, Scheduled

Kind = Literal["products", "gates", "norms", "copies", "collectives", "other"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id"}
_FREE |= {"replica-id", "opt-barrier", "copy-done", "slice-done", "async-done", "async-update", "iota"}
_MOVES = {"copy", "transpose", "reshape", "slice", "dynamic-slice", "dynamic-update-slice", "pad"}
_MOVES |= {"concatenate", "reverse", "copy-start", "slice-start"}
_COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_GATE_OPCODES = {"tanh", "logistic"}
_PRODUCT_CALL = re.compile(
    r'custom_call_target="(?:__cublas|__cudnn|__triton|mosaic|tpu_custom_call|__gpu\$xla.gpu.triton)'
)
# A TPU's compiler joins pieces that lie side by side, and names memory that it takes.
_NOT_RUN = re.compile(r'custom_call_target="(?:ConcatBitcast|AllocateBuffer|AssumeGather|GatherScatterInd)')
_GATE_SCOPE, _NORM_SCOPE = re.compile(r"\b(?:gate|silu)\b"), re.compile(r"\bnorm\b|rsqrt")
_CONTRACTED = re.compile(r"\blhs_contracting_dims=\{([\d,]*)\}")
_LABELS = re.compile(r"\bdim_labels=\w+_(?P<kernel>\w+)->")
_WINDOW = re.compile(r"\bwindow=\{([^}]*)\}")


@dataclass(frozen=True)
class Kernel:
    """One operation that the device is given by itself."""

    name: str
    kind: Kind
    times: int
    """In a training step."""
    bytes: int
    """Read from and written to main memory, each time."""
    flops: int
    """Of its matrix products, each time."""
    is_asynchronous: bool
    """Whether it copies while other kernels run."""


@dataclass(frozen=True)
class KindCount:
    """All kernels of one kind, in a training step on one device."""

    kind: Kind
    kernels: int
    bytes: int
    flops: int


@dataclass(frozen=True)
class Bound:
    """Seconds below which no step of a program can be, at given peaks."""

    products_s: float
    """Of all its products, if nothing else took time."""
    traffic_s: float
    """Of all its memory traffic, if nothing else took time."""
    least_s: float
    """One kernel after another, each bound by its products or its traffic."""


def kernels(text: str) -> tuple[Kernel, ...]:
    """Those of one step of the training call whose optimised HLO is `text`.

    Raises ValueError for a text that is no HLO module.
    """
    program = Program.read(text)
    return tuple(_kernel(program, each) for each in program.scheduled() if _runs(each.instruction))


def by_kind(found: Sequence[Kernel]) -> tuple[KindCount, ...]:
    """The sums of each kind that occurs, in the order of `KINDS`."""
    return tuple(
        KindCount(
            kind,
            sum(each.times for each in some),
            sum(each.times * each.bytes for each in some),
            sum(each.times * each.flops for each in some),
        )
        for kind in KINDS
        if (some := [each for each in found if each.kind == kind])
    )


def bound(found: Sequence[Kernel], flops_per_s: float, bytes_per_s: float, flops: int = 0) -> Bound:
    """The bound of a step on a device of these peaks.

    `flops`: of all products by arithmetic. What the text of the program lacks of them (it says nothing of the
    products inside a hand-written kernel) is done by the products without FLOPs of their own.
    """
    counted = sum(each.times * each.flops for each in found)
    traffic = sum(each.times * each.bytes for each in found)
    opaque = [each for each in found if each.kind == "products" and not each.flops]
    opaque_bytes = sum(each.times * each.bytes for each in opaque)
    missing = max(0, flops - counted) if opaque else 0
    in_turn = max(missing / flops_per_s, opaque_bytes / bytes_per_s) + sum(
        each.times * max(each.flops / flops_per_s, each.bytes / bytes_per_s)
        for each in found
        if not each.is_asynchronous and each not in opaque
    )
    flops = counted + missing
    return Bound(flops / flops_per_s, traffic / bytes_per_s, max(in_turn, traffic / bytes_per_s))


def _runs(each: Instruction) -> bool:
    if each.opcode == "custom-call" and _NOT_RUN.search(each.attributes):
        return False
    return each.opcode not in _FREE and not (_is_collective(each) and each.opcode.endswith("-done"))


def _is_collective(each: Instruction) -> bool:
    return each.opcode.startswith(_COLLECTIVES)


def _kernel(program: Program, scheduled: Scheduled) -> Kernel:
    computation, each, times = scheduled
    inner = list(program.inside(computation, each))
    return Kernel(
        name=each.name,
        kind=_kind([instruction for _, instruction in inner]),
        times=times,
        bytes=_traffic(program, computation, each),
        flops=sum(_flops(of, instruction) for of, instruction in inner),
        is_asynchronous=each.opcode.endswith("-start") and not _is_collective(each),
    )


def _kind(inner: Sequence[Instruction]) -> Kind:
    opcodes = {each.opcode for each in inner}
    if any(_is_collective(each) for each in inner):
        return "collectives"
    if opcodes & {"dot", "convolution"} or any(_PRODUCT_CALL.search(each.attributes) for each in inner):
        return "products"
    # Of a fusion's own name, which is that of its last operation, and of every operation in it.
    names = [each.operation_name for each in inner]
    if opcodes & _GATE_OPCODES or any(map(_GATE_SCOPE.search, names)):
        return "gates"
    if opcodes & {"reduce", "reduce-window", "rsqrt"} or any(map(_NORM_SCOPE.search, names)):
        return "norms"
    works = opcodes - _FREE - {"fusion", "convert", "broadcast"}
    return "copies" if works and works <= _MOVES else "other"


def _traffic(program: Program, computation: Computation, each: Instruction) -> int:
    """Bytes that it reads from and writes to main memory."""
    operands = [computation.by_name[name] for name in each.operands if name in computation.by_name]
    match each.opcode:
        case "copy-start":
            return each.results[0].main_memory_bytes + each.results[1].main_memory_bytes
        case "slice-start":
            source, taken = each.results[0], each.results[1]
            return taken.main_memory_bytes + (0 if source.is_on_chip else taken.bytes)
        case "fusion" if each.called:
            fused = program.computations[each.called[0]]
            read = sum(
                _read(program, fused, parameter, whole)
                for parameter, whole in zip(fused.parameters, operands, strict=False)
            )
            return read + _written(program, fused, each.results)
        case "slice" | "dynamic-slice" | "gather":
            return _size(each.results) + (0 if _all_on_chip(operands[0]) else _bytes(each.results))
        case "dynamic-update-slice" | "scatter":
            # In place: the rest of the array is left as it is.
            return 2 * _size(operands[1 if each.opcode == "dynamic-update-slice" else -1].results)
        case _:
            return sum(_size(operand.results) for operand in operands) + _size(each.results)


def _read(program: Program, fused: Computation, parameter: Instruction, whole: Instruction) -> int:
    """What a fusion reads of the operand `whole`, which is its `parameter`."""
    if _all_on_chip(whole):
        return 0
    return min(_bytes(whole.results), _taken(program, fused, parameter))


def _taken(program: Program, fused: Computation, value: Instruction) -> int:
    """Bytes of `value` that the instructions of a fusion look at."""
    total = 0
    for user in fused.users.get(value.name, ()):
        first = bool(user.operands) and user.operands[0] == value.name
        match user.opcode:
            case "bitcast":
                total += _taken(program, fused, user)
            case "slice" | "dynamic-slice" | "gather" if first:
                total += _bytes(user.results)
            case "dynamic-update-slice" | "scatter" if first:
                continue
            case "fusion" if user.called:
                inner = program.computations[user.called[0]]
                for number, name in enumerate(user.operands):
                    if name == value.name:
                        total += _taken(program, inner, inner.parameters[number])
            case _:
                return _bytes(value.results)
    return min(total, _bytes(value.results))


def _written(program: Program, fused: Computation, results: tuple[ArrayType, ...]) -> int:
    """What a fusion writes of its `results`; of an array that is updated in place, the update."""
    root = fused.root
    parts = [fused.by_name[name] for name in root.operands] if root.opcode == "tuple" else [root]
    if len(parts) != len(results):
        return _size(results)
    return sum(_made(program, fused, part, array) for part, array in zip(parts, results, strict=True))


def _made(program: Program, fused: Computation, part: Instruction, array: ArrayType) -> int:
    while part.opcode == "bitcast":
        part = fused.by_name[part.operands[0]]
    if part.opcode in ("dynamic-update-slice", "scatter") and not array.is_on_chip:
        update = part.operands[1 if part.opcode == "dynamic-update-slice" else -1]
        return _bytes(fused.by_name[update].results)
    if part.opcode == "parameter":
        return 0 if array.is_on_chip else array.bytes
    if part.opcode == "fusion" and part.called:
        return _written(program, program.computations[part.called[0]], (array,))
    return array.main_memory_bytes


def _size(arrays: Sequence[ArrayType]) -> int:
    return sum(each.main_memory_bytes for each in arrays)


def _bytes(arrays: Sequence[ArrayType]) -> int:
    return sum(each.bytes for each in arrays)


def _all_on_chip(each: Instruction) -> bool:
    return all(array.is_on_chip for array in each.results)


def _flops(computation: Computation, each: Instruction) -> int:
    """Of a matrix product; a multiply-add counts as two."""
    match each.opcode:
        case "dot":
            left = computation.by_name[each.operands[0]].results[0].sizes
            contracted = _CONTRACTED.search(each.attributes)
            axes = [int(axis) for axis in contracted[1].split(",") if axis] if contracted else []
            return 2 * each.results[0].elements * prod(left[axis] for axis in axes)
        case "convolution":
            return 2 * each.results[0].elements * _convolved(computation, each)
        case _:
            return 0


def _convolved(computation: Computation, each: Instruction) -> int:
    """Values that are multiplied and added for each of a convolution's results.

    A TPU's compiler writes products as convolutions: further contracted axes are spatial ones, and so are
    batch axes, which it dilates so that each result meets one value of them.
    """
    kernel = computation.by_name[each.operands[1]].results[0].sizes
    labels, window = _LABELS.search(each.attributes), _WINDOW.search(each.attributes)
    assert labels is not None, f"a convolution without dim_labels: {each.name}"
    axes = dict(zip(labels["kernel"], kernel, strict=True))
    spatial = prod(size for label, size in axes.items() if label.isdigit())
    dilated = re.search(r"\blhs_dilate=([\dx]+)", window[1]) if window else None
    return axes["i"] * -(-spatial // (prod(map(int, dilated[1].split("x"))) if dilated else 1))


CollectiveKind = Literal["all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute"]


@dataclass(frozen=True)
class Collective:
    """One operation between devices."""

    kind: CollectiveKind
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
            kind = next(
                (kind for kind in get_args(CollectiveKind) if each.opcode in (kind, f"{kind}-done")), None
            )
            if kind is not None:
                dtypes = tuple(dict.fromkeys(array.dtype for array in each.results))
                yield Collective(kind, dtypes, sum(array.bytes for array in each.results), times)
