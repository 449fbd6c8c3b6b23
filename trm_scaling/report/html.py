"""A page as one HTML file that opens anywhere, offline: no request, no script or style but its own."""

import base64
import hashlib
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from trm_scaling.plots.saving import inline_svg, theme_css
from trm_scaling.report.markdown import visible
from trm_scaling.report.page import Figure, Page, Section, tone_of
from trm_scaling.report.svg import for_a_page

_TEMPLATES = "templates"


def html(page: Page) -> str:
    """`page` as an HTML document. Everything in it is escaped."""
    style = theme_css() + _file("style.css")
    script = _file("sort.js")
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            page=page,
            # The bytes between the tags are what the policy's hashes are of.
            style=Markup(style),
            script=Markup(script),
            policy=_policy(style, script),
        )
    )


def _policy(style: str, script: str) -> str:
    """A content security policy that allows this style and this script, and nothing else at all."""
    rules = {
        "default-src": "'none'",
        "style-src": _hash(style),
        "script-src": _hash(script),
        "img-src": "data:",  # the empty icon, without which browsers ask a server for one
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("trm_scaling.report", _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"drawn": _drawn, "spark": _spark, "tone": tone_of}
    return environment


def _shown(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _drawn(figure: Figure) -> Markup:
    return Markup(for_a_page(inline_svg(figure.drawn, f"figure-{figure.name}")))


def _spark(section: Section) -> Markup:
    """Every configuration of a family on a scale from 0 to 100 %, in the order of its axis."""
    if not section.dots:
        return Markup()
    wide, high, margin = 12 + 24 * len(section.dots), 60, 6

    def y(rate: float) -> str:
        return f"{margin + (1 - rate) * (high - 2 * margin):.1f}"

    lines = [f'<path class="grid" d="M0 {y(0)}H{wide}M0 {y(1)}H{wide}"/>']
    for index, dot in enumerate(section.dots):
        x = 14 + 24 * index
        lines.append(f'<path class="bar" d="M{x} {y(dot.low)}V{y(dot.high)}"/>')
        lines.append(f'<circle class="mean" cx="{x}" cy="{y(dot.mean)}" r="{4 if dot.best else 3}"/>')
        if dot.unaveraged is not None:
            lines.append(f'<circle class="other" cx="{x + 8}" cy="{y(dot.unaveraged)}" r="2.5"/>')
    size = f'width="{wide}" height="{high}" viewBox="0 0 {wide} {high}"'
    # The words beside it say what it shows.
    return Markup(f'<svg class="spark" {size} aria-hidden="true">{"".join(lines)}</svg>')


def _file(name: str) -> str:
    return resources.files("trm_scaling.report").joinpath(_TEMPLATES, name).read_text(encoding="utf-8")
