"""Text as matplotlib sets it: what the font can show, how wide it is, where its lines break."""

from functools import cache

from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font
from matplotlib.textpath import TextToPath

from trm_scaling.plots.style import FONTS

_MISSING = "\N{WHITE SQUARE}"
_LONGEST = 36
"""Characters of a name that a figure has room for."""


@cache
def _font() -> FT2Font:
    return FT2Font(findfont(FONTS[0]))


def printable(text: str) -> str:
    """`text` on one line, with a square for every character that the figures' font lacks."""
    line = " ".join(text.split())
    return "".join(
        each if each.isprintable() and _font().get_char_index(ord(each)) else _MISSING for each in line
    )


def short(name: str) -> str:
    """A printable name, cut in its middle where it is long: runs differ at either end."""
    name = printable(name)
    if len(name) <= _LONGEST:
        return name
    head = (_LONGEST - 1) * 2 // 3
    return f"{name[:head]}\N{HORIZONTAL ELLIPSIS}{name[len(name) - (_LONGEST - 1 - head) :]}"


def width_of(text: str, size: float, weight: str = "normal") -> float:
    """Width in inches of one line at `size` points."""
    properties = FontProperties(family=list(FONTS[:1]), size=size, weight=weight)
    return float(TextToPath().get_text_width_height_descent(text, properties, False)[0]) / 72


def wrapped(text: str, size: float, width: float, weight: str = "normal") -> list[str]:
    """`text` in lines of at most `width` inches; a longer word is broken."""
    lines = [""]
    for word in text.split():
        candidate = f"{lines[-1]} {word}".strip()
        if width_of(candidate, size, weight) <= width:
            lines[-1] = candidate
            continue
        pieces = _broken(word, size, width, weight)
        lines += pieces if lines[-1] else []
        if not lines[0]:
            lines = pieces
    return [line for line in lines if line]


def _broken(word: str, size: float, width: float, weight: str) -> list[str]:
    pieces = [""]
    for letter in word:
        if width_of(pieces[-1] + letter, size, weight) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces
