"""Inputs made of valid ones: bytes torn, numbers made extreme, words exchanged. All of a seeded generator."""

import io
import json
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

NUMBERS = (-1, 0, 1, 2, 255, 256, 2**31 - 1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**400)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, [], {}, "", "0", [None], [[1]], {"a": {"b": 1}}, 0.5, -1e308, float("nan"), float("inf")),
    *NUMBERS,
)
WORDS = (
    *(
        b"",
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b'"',
        b'""',
        b"'",
        b",",
        b";",
        b"\r",
        b"\n",
    ),
    *(
        b"\r\n",
        b"\t",
        b"=cmd()",
        b"@x",
        b"nan",
        b"inf",
        b"-inf",
        b"1e999",
        b"9" * 30,
        b"9" * 5000,
        b"{",
        b"[",
    ),
    *(b"[" * 2000, b"{'a': " * 500, b"\\u0000", b"None", b"True", b"__import__('os')", b"../../x", b"%s%n"),
    *("\u0661\u00b2\uff11\u202e\u2028".encode(), b"#", b".", b"-", b" ", b"\x1f\x8b", b"PK\x03\x04"),
)


def torn(random: Random, data: bytes) -> bytes:
    """`data` with one to four places changed."""
    held = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(held) + 1)
        length = random.choice((1, 2, 8, 64))
        match random.randrange(7):
            case 0 if at < len(held):
                held[at] ^= 1 << random.randrange(8)
            case 1 if at < len(held):
                held[at] = random.randrange(256)
            case 2:
                del held[at : at + length]
            case 3:
                held[at:at] = random.choice(WORDS)
            case 4:
                held[at : at + length] = random.choice(WORDS)
            case 5:
                held[at:at] = held[at : at + 8 * length]
            case _:
                del held[at:]
    return bytes(held)


def altered(random: Random, value: Any) -> Any:
    """A JSON value like `value`, with an odd one somewhere in it."""
    if random.random() < 0.2 or not isinstance(value, dict | list) or not value:
        return random.choice(ODD_VALUES)
    if isinstance(value, dict):
        key = random.choice(list(value))
        rest = {name: each for name, each in value.items() if name != key}
        match random.randrange(4):
            case 0:
                return rest
            case 1:
                return {**value, random.choice(("", "x", "../x", key + key)): value[key]}
            case _:
                return {**value, key: altered(random, value[key])}
    at = random.randrange(len(value))
    return [*value[:at], altered(random, value[at]), *value[at + 1 :]]


def altered_json(random: Random, data: bytes) -> bytes:
    """A JSON file like `data`."""
    return json.dumps(altered(random, json.loads(data))).encode()


def odd_array(random: Random, array: np.ndarray) -> np.ndarray:
    """An array like `array`: of another type, shape or value."""
    kinds = (np.int8, np.uint8, np.int64, np.uint64, np.float32, np.float64, np.bool_, np.complex64)
    match random.randrange(8):
        case 0:
            return np.ones(array.shape, random.choice(kinds))
        case 1:
            return array.reshape(-1)
        case 2:
            return array[: random.randrange(len(array) + 1)] if array.ndim else array
        case 3:
            return array[None]
        case 4:
            return np.zeros((0, *array.shape[1:]), array.dtype)
        case 5:
            return np.zeros(array.shape, random.choice(("S3", "U3", "datetime64[s]", "V4")))
        case 6:
            return np.zeros(array.shape, [("a", "u1"), ("b", "f4")])
        case _:
            if array.dtype.kind not in "biuf":
                return array
            changed = array.astype(np.float64 if random.random() < 0.2 else np.int64).reshape(-1)
            if changed.size:
                changed[random.randrange(changed.size)] = random.choice((-1, 0, 9, 255, 300, 2**40, 2**62))
            return changed.reshape(array.shape)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def altered_npy(random: Random, data: bytes) -> bytes:
    """A `.npy` file like `data`; now and then one whose header promises more than there is, or objects."""
    match random.randrange(8):
        case 0:
            return data.replace(b"(", b"(9" * random.choice((1, 12)), 1)
        case 1:
            return data.replace(b"|u1", b"|O8", 1).replace(b"<i8", b"|O8", 1)
        case 2:
            buffer = io.BytesIO()
            np.savez(buffer, data=np.load(io.BytesIO(data)))
            return buffer.getvalue()
        case _:
            return npy(odd_array(random, np.load(io.BytesIO(data))))


def altered_npz(random: Random, data: bytes) -> bytes:
    """A `.npz` file like `data`."""
    with np.load(io.BytesIO(data)) as archive:
        arrays = {name: archive[name] for name in archive.files}
    name = random.choice(list(arrays))
    match random.randrange(6):
        case 0:
            del arrays[name]
        case 1:
            arrays[random.choice(("../x", "/x", "a.b", "x" * 300))] = arrays[name]
        case _:
            arrays[name] = odd_array(random, arrays[name])
    buffer = io.BytesIO()
    random.choice((np.savez, np.savez_compressed))(buffer, **arrays)
    return buffer.getvalue()


Change = Callable[[Random, bytes], bytes]


def changed(random: Random, data: bytes, grammar: Change | None) -> bytes:
    """`data` changed by its grammar, byte by byte, or both."""
    if grammar is not None and random.random() < 0.6:
        data = grammar(random, data)
        if random.random() < 0.8:
            return data
    return torn(random, data)
