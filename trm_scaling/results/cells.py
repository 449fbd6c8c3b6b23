"""Cells of a text file as values, and back."""

import math
import re
from collections.abc import Sequence
from typing import Any

from trm_scaling.results.columns import Kind

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf|infinity)", re.IGNORECASE)
_GROUPED = re.compile(
    r"[-+]?[1-9]\d{0,2}(?P<mark>[,.' \u2019\u00a0\u202f_])\d{3}(?P<more>((?P=mark)\d{3})*)(?P<end>\.\d+)?"
)
"""Digits in groups of three: 6,830,000 or 1 730 000."""
_FLAGS = {"true": True, "false": False}
LARGEST = 2**63 - 1
"""The largest whole number of an int64 column."""
_LONGEST = 400
"""Digits from which text is not turned into a number at all: Python refuses some thousands of them."""


def cell_of(text: str | None, kind: Kind) -> Any:
    """What `text` says in a column of `kind`; None where it is missing, NaN or infinite.

    `6,830,000` and `87.4%` are numbers where that is certain: `1,234` is a count, and another number may be
    1.234. Raises ValueError for text that says nothing of the kind.
    """
    if text is None or kind == "text":
        return text
    if kind in ("count", "number"):
        if kind == "number" and text.endswith("%") and _NUMBER.fullmatch(text[:-1].rstrip()):
            share = float(text[:-1])
            return share / 100 if math.isfinite(share) else None
        text = _ungrouped(text, is_count=kind == "count")
    if kind == "flag" and text.lower() in _FLAGS:
        return _FLAGS[text.lower()]
    if kind in ("count", "number") and _NUMBER.fullmatch(text):
        if kind == "count" and text.lstrip("+-").isdecimal():
            if _is_held(text):
                return int(text)
            raise ValueError(f"{text!r:.40} is too large a count")
        number = float(text)
        if math.isnan(number) or "inf" in text.lower():
            return None
        if math.isinf(number):
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
    # One cell that is grouped for certain tells what the others are.
    has_groups = any(_ungrouped(text, is_count=False) != text for text in there)
    plain = [_ungrouped(text, is_count=has_groups) for text in there]
    is_share = bool(there) and all(text.endswith("%") for text in there)
    if there and (is_share or all(_NUMBER.fullmatch(text) for text in plain)):
        whole = all(text.lstrip("+-").isdecimal() for text in plain)
        try:
            return [
                None
                if text is None
                else cell_of(_ungrouped(text, is_count=has_groups), "count" if whole else "number")
                for text in texts
            ]
        except ValueError:
            return list(texts)
    return list(texts)


def _ungrouped(text: str, *, is_count: bool) -> str:
    """`6,830,000` as `6830000`; unchanged what is not grouped, or may be a decimal fraction (`1,234`)."""
    found = _GROUPED.fullmatch(text)
    if found is None:
        return text
    mark, end = found["mark"], found["end"] or ""
    is_certain = found["more"] or (end and mark != ".") or mark not in ",." or (is_count and mark == ",")
    if not is_certain or (mark == "." and end):
        return text
    return text.removesuffix(end).replace(mark, "") + end


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
