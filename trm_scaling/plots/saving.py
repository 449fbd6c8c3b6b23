"""Figures as files: PNG, SVG and PDF, the same bytes for the same data, with words for screen readers."""

import io
import re
from html import escape
from pathlib import Path
from typing import Literal, get_args

from trm_scaling.errors import UserError
from trm_scaling.plots import style
from trm_scaling.plots.figure import StudyFigure

Format = Literal["png", "svg", "pdf"]
FORMATS: tuple[Format, ...] = get_args(Format)

_PREAMBLE = re.compile(r"^.*?(?=<svg\b)", re.DOTALL)
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_IDENTIFIER = re.compile(r'(?<=\bid=")[^"]+|(?<=href="#)[^"]+|(?<=url\(#)[^)]+')


def save(figure: StudyFigure, path: str | Path) -> Path:
    """Write `figure` as the ending of `path` says, making folders that are missing.

    Raises UserError for another ending than .png, .svg or .pdf.
    """
    path = Path(path)
    ending = path.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise UserError(
            f"{path} ends in {path.suffix or 'nothing'}: figures are written as .png, .svg or .pdf"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_encoded(figure, ending))
    return path


def save_all(figure: StudyFigure, stem: str | Path) -> tuple[Path, ...]:
    """Write `stem`.png, `stem`.svg and `stem`.pdf. A dot in the name is part of it."""
    stem = Path(stem)
    return tuple(save(figure, stem.with_name(f"{stem.name}.{each}")) for each in FORMATS)


def inline_svg(figure: StudyFigure, prefix: str) -> str:
    """An <svg> element for a page that has `theme_css()`, which then decides its colours.

    `prefix`, unique on the page, begins every id in it.
    """
    markup = _svg(figure, prefix)
    for variable, colour in _variables(figure.theme).items():
        markup = markup.replace(colour, f"var(--{variable}, {colour})")
    return markup


def theme_css() -> str:
    """Rules that give inline figures the light colours, or the dark ones where a reader prefers them.

    `data-theme` ("light" or "dark") on the page's root element overrules the preference.
    """
    light, dark = (
        " ".join(f"--{variable}: {colour};" for variable, colour in _variables(theme).items())
        for theme in (style.LIGHT, style.DARK)
    )
    return (
        f":root {{ {light} }}\n"
        f'@media (prefers-color-scheme: dark) {{ :root:not([data-theme="light"]) {{ {dark} }} }}\n'
        f':root[data-theme="dark"] {{ {dark} }}\n'
    )


def _variables(theme: style.Theme) -> dict[str, str]:
    named = {"paper": theme.paper, "ink": theme.ink, "muted": theme.muted, "grid": theme.grid}
    series = {f"series-{number}": colour for number, colour in enumerate(theme.series, start=1)}
    return {f"plot-{name}": colour for name, colour in (named | series).items()}


def _encoded(figure: StudyFigure, ending: str) -> bytes:
    if ending == "svg":
        return ('<?xml version="1.0" encoding="utf-8"?>\n' + _svg(figure, "figure")).encode()
    words = {"Title": figure.title}
    if ending == "png":
        words |= {"Description": figure.text_for_screen_readers, "Software": ""}
    else:
        words |= {"Subject": figure.text_for_screen_readers}
    undated = {} if ending == "png" else {"CreationDate": None, "Creator": None, "Producer": None}
    return _printed(figure, ending, {**words, **undated})


def _svg(figure: StudyFigure, prefix: str) -> str:
    """An <svg> element with a title and a description, and ids that begin with `prefix`."""
    if not figure.markup:
        figure.markup = _printed(figure, "svg", {}).decode()
    markup = _METADATA.sub("", _PREAMBLE.sub("", figure.markup, count=1), count=1)
    markup = _IDENTIFIER.sub(lambda found: f"{prefix}-{found.group()}", markup)
    opening, rest = markup.split(">", 1)
    named = f' role="img" aria-labelledby="{prefix}-title {prefix}-desc"'
    words = (
        f'\n <title id="{prefix}-title">{escape(figure.title)}</title>'
        f'\n <desc id="{prefix}-desc">{escape(figure.text_for_screen_readers)}</desc>'
    )
    return f"{opening}{named}>{words}{rest}"


def _printed(figure: StudyFigure, ending: str, metadata: dict[str, str | None]) -> bytes:
    buffer = io.BytesIO()
    with style.applied(figure.theme):
        figure.savefig(buffer, format=ending, metadata=metadata)
    return buffer.getvalue()
