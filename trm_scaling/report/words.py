"""Text from anywhere made fit to be shown: what cannot be seen is not there, or is seen to be."""

import re

_JOINERS = frozenset("\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}")
"""Invisible, and part of how some scripts and emoji are written."""
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>|~&$#]|:(?=//)|(?<=\bwww)\.|(?<=\bWWW)\.")
_TICKS = re.compile(r"`+")


def visible(text: str) -> str:
    """`text` on one line, with a replacement character for every control character.

    Among those are the ones that turn the direction of what follows, and halves of characters, which
    no file could hold.
    """
    line = " ".join(text.split())
    return "".join(
        each if each.isprintable() or each in _JOINERS else "\N{REPLACEMENT CHARACTER}" for each in line
    )


def in_markdown(text: str) -> str:
    """`text` as GitHub-flavoured Markdown shows it, anywhere in a paragraph or a cell of a table."""
    escaped = _SPECIAL.sub(lambda found: f"\\{found[0]}", visible(text))
    # At the beginning of a line these would make a list, a quotation or a rule.
    return re.sub(r"^([-+=]|\d+(?=[.)]))", _at_start, escaped)


def _at_start(found: re.Match[str]) -> str:
    return found[0] if found[0].isdigit() else f"\\{found[0]}"


def code_in_markdown(text: str) -> str:
    """`text` as code, between as many ticks as it takes; pipes escaped, since tables split at them first."""
    shown = visible(text)
    ticks = "`" * (1 + max((len(run) for run in _TICKS.findall(shown)), default=0))
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{ticks}{space}{shown}{space}{ticks}".replace("|", "\\|")
