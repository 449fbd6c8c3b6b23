"""A page as GitHub-flavoured Markdown, its figures as files beside it."""

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from trm_scaling.report.page import Column, Figure, Page
from trm_scaling.report.words import code_in_markdown, in_markdown, visible


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
