"""Cells of a text file as values, and back."""

import math
import re
from collections.abc import Sequence
from typing import Any

from trm_scaling.results.columns import Kind

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf|infinity)", re.IGNORECASE)
_FLAGS = {"true": True, "false": False}
LARGEST = 2**63 - 1
"""The largest whole number of an int64 column."""
_LONGEST = 400
"""Digits from which text is not turned into a number at all: Python refuses some thousands of them."""


def cell_of(text: str | None, kind: Kind) -> Any:
    """What `text` says in a column of `kind`; None where it is missing or not a number.

    Raises ValueError for text that says nothing of the kind.
    """
    if text is None or kind == "text":
        return text
    if kind == "flag" and text.lower() in _FLAGS:
        return _FLAGS[text.lower()]
    if kind in ("count", "number") and _NUMBER.fullmatch(text):
        if kind == "count" and text.lstrip("+-").isdecimal():
            if _is_held(text):
                return int(text)
            raise ValueError(f"{text!r:.40} is too large a count")
        number = float(text)
        if math.isnan(number):
            return None
        if math.isinf(number) and "inf" not in text.lower():
            raise ValueError(f"{text!r:.40} is larger than any {kind}")
        if kind == "number":
            return number
        if number.is_integer() and abs(number) <= LARGEST:
            return int(number)
    raise ValueError(f"{text!r:.80} is no {kind}")


def cells_of(texts: Sequence[str | None]) -> list[Any]:
    """What the cells of one column say, of the narrowest kind that suits all: flags, numbers, or text.

    Digits stay text where one cell is a larger number than its kind holds: rather a name than rounded.
    """
    there = [text for text in texts if text is not None]
    if there and all(text.lower() in _FLAGS for text in there):
        return [cell_of(text, "flag") for text in texts]
    if there and all(_NUMBER.fullmatch(text) for text in there):
        whole = all(text.lstrip("+-").isdecimal() for text in there)
        try:
            return [cell_of(text, "count" if whole else "number") for text in texts]
        except ValueError:
            return list(texts)
    return list(texts)


def _is_held(digits: str) -> bool:
    return len(digits) < _LONGEST and abs(int(digits)) <= LARGEST


def written(value: Any) -> str:
    """`value` so that `cell_of` reads it back; "" where it is missing."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return "" if math.isnan(value) else repr(value)
        case _:
            return str(value)
