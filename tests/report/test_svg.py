"""Figures inside a page bring no styles, no scripts and no links."""

from xml.etree import ElementTree

from trm_scaling.report.svg import for_a_page

DRAWN = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
 width="504pt" height="200pt" viewBox="0 0 504.123456 200" version="1.1" role="img" aria-labelledby="f-title">
 <title id="f-title">A &lt;b&gt; title</title><metadata><x/></metadata>
 <defs><style type="text/css">*{fill: red}</style><path id="f-m" d="M 0 3.123456 L 1e-05 2"/></defs>
 <script>alert(1)</script><foreignObject><b/></foreignObject>
 <g style="fill: none; stroke: var(--plot-ink, #1f2328)" onclick="alert(1)">
  <text style="font: bold 8px 'DejaVu Sans', sans-serif; text-anchor: middle" x="1.23456">a</text>
  <use xlink:href="#f-m" clip-path="url(#f-c)"/><use xlink:href="https://evil.example/x.svg#y"/>
 </g></svg>"""


def test_styles_become_attributes_and_the_rest_goes() -> None:
    markup = for_a_page(DRAWN)
    for gone in ("style", "script", "foreignObject", "metadata", "onclick", "evil", "xmlns:xlink", "alert"):
        assert gone not in markup
    root = ElementTree.fromstring(markup)
    assert root.get("width") == "731"
    assert root.get("viewBox") == "0 0 504.12 200"
    assert root.get("role") == "img"
    (group,) = root.iter("g")
    assert (group.get("fill"), group.get("stroke")) == ("none", "var(--plot-ink, #1f2328)")
    (text,) = root.iter("text")
    assert {key: text.get(key) for key in ("font-size", "font-weight", "text-anchor", "x")} == {
        "font-size": "8",
        "font-weight": "bold",
        "text-anchor": "middle",
        "x": "1.23",
    }
    assert [use.get("href") for use in root.iter("use")] == ["#f-m", None]
    (title,) = root.iter("title")
    assert title.text == "A <b> title"
