"""A drawn figure made fit to stand inside a page that allows no styles and no scripts but its own.

matplotlib's SVG brings a style sheet, which would hold for the whole page, and style attributes, which a
strict content policy refuses. Both become presentation attributes, which are neither.
"""

import re
from collections.abc import Iterator
from xml.etree import ElementTree

_NAMESPACE = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"

_SHAPES = ("path", "use", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan")
_KEPT = frozenset(("svg", "g", "defs", "clipPath", "title", "desc", *_SHAPES))
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_PIXELS_PER_POINT = 1.45
"""Type of 7 points is then about 10 pixels high."""
_GEOMETRY = frozenset(("d", "points", "transform", "x", "y", "width", "height", "viewBox"))
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT = re.compile(r"(?P<weight>bold |[1-9]00 )?(?P<size>[\d.]+)px")


def for_a_page(markup: str) -> str:
    """The <svg> element `markup` without styles, scripts and references to anything outside of it.

    It keeps the ids that something refers to, its title and its description.
    """
    root = ElementTree.fromstring(markup)
    _prune(root)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_NAMESPACE)
        _restyle(element)
        target = element.attrib.pop(_XLINK, None) or element.attrib.pop("href", None)
        if target and target.startswith("#"):
            element.set("href", target)
    for attribute in ("height", "version"):
        root.attrib.pop(attribute, None)
    # One scale for all, so that type is of one size whatever the width of a figure.
    root.set("width", f"{_PIXELS_PER_POINT * float(root.attrib['viewBox'].split()[2]):.0f}")
    _forget_ids(root)
    # What matplotlib's style sheet says of everything in the figure.
    root.attrib |= {"stroke-linejoin": "round", "stroke-linecap": "butt", "focusable": "false"}
    return ElementTree.tostring(root, encoding="unicode")


def _forget_ids(root: ElementTree.Element) -> None:
    """Only ids that something refers to stay: matplotlib gives one to everything, and some of them twice."""
    used = {target[1:] for element in root.iter() if (target := element.get("href"))}
    for element in root.iter():
        for key, value in element.attrib.items():
            used.update(value.split() if key.startswith("aria-") else _REFERENCE.findall(value))
    for element in root.iter():
        if element.get("id") not in used:
            element.attrib.pop("id", None)


def _prune(element: ElementTree.Element) -> None:
    """Without all that is neither a shape nor what shapes are said to be."""
    for child in list(element):
        if isinstance(child.tag, str) and child.tag.removeprefix(_NAMESPACE) in _KEPT:
            _prune(child)
        else:
            element.remove(child)


def _restyle(element: ElementTree.Element) -> None:
    for declaration in element.attrib.pop("style", "").split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        element.attrib |= dict(_font(value) if key == "font" else [(key, value)] if key else [])
    for key in [key for key in element.attrib if key.startswith("on")]:
        del element.attrib[key]
    for key in _GEOMETRY & element.attrib.keys():
        # A hundredth of a point is nothing on any screen, and half of the file.
        shortened = _LONG_NUMBER.sub(lambda found: f"{float(found[0]):.2f}", element.attrib[key])
        element.set(key, shortened)


def _font(value: str) -> Iterator[tuple[str, str]]:
    """The size and weight of CSS's `font`; the family is the page's."""
    if found := _FONT.search(value):
        yield "font-size", found["size"]
        if found["weight"]:
            yield "font-weight", found["weight"].strip()
