"""Cells of a text file as values, and back."""

import math
import re
from collections.abc import Sequence
from typing import Any

from trm_scaling.results.columns import Kind

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf|infinity)", re.IGNORECASE)
_FLAGS = {"true": True, "false": False}


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
            return int(text)
        number = float(text)
        if math.isnan(number):
            return None
        if kind == "number":
            return number
        if number.is_integer():
            return int(number)
    raise ValueError(f"{text!r:.80} is no {kind}")


def cells_of(texts: Sequence[str | None]) -> list[Any]:
    """What the cells of one column say, of the narrowest kind that suits all: flags, numbers, or text."""
    there = [text for text in texts if text is not None]
    if there and all(text.lower() in _FLAGS for text in there):
        return [cell_of(text, "flag") for text in texts]
    if there and all(_NUMBER.fullmatch(text) for text in there):
        whole = all(text.lstrip("+-").isdecimal() for text in there)
        return [cell_of(text, "count" if whole else "number") for text in texts]
    return list(texts)


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
