"""A page as GitHub-flavoured Markdown, its figures beside it, and text made fit to be shown there."""

import re
from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from trm_scaling.report.page import Column, Figure, Page

_JOINERS = frozenset("\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}")
"""Invisible, and part of how some scripts and emoji are written."""
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>|~&$#]|:(?=//)|(?<=\bwww)\.|(?<=\bWWW)\.")
_TICKS = re.compile(r"`+")


def markdown(page: Page, place_of: Callable[[Figure], str]) -> str:
    """`page` as a Markdown document; `place_of` says where a figure's file is, relative to it."""
    environment = Environment(
        loader=PackageLoader("trm_scaling.report", "templates"),
        # Nothing is HTML here, and `finalize` escapes all that is printed.
        autoescape=False,
        undefined=StrictUndefined,
        finalize=_escaped,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "place": lambda figure: Markup(place_of(figure)),
        "cell": _cell,
        "code": lambda text: Markup(code_in_markdown(text)),
        "plain": lambda text: Markup(visible(text)),
    }
    return environment.get_template("page.md.jinja").render(page=page)


def _escaped(value: object) -> object:
    return in_markdown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _cell(value: Any, column: Column) -> Markup:
    if not (text := column.text(value)):
        return Markup("\N{EN DASH}")
    return Markup(code_in_markdown(text) if column.kind == "code" else in_markdown(text))


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
