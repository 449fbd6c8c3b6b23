"""The report in a real browser: silent, closed to the outside, sortable, readable on a phone."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.report.conftest import Reported

# A browser is slow to start on a busy machine.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDE, PHONE = {"width": 1400, "height": 1000}, {"width": 400, "height": 800}


@dataclass
class Opened:
    """A page, and what it said and asked for."""

    page: Any
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on PATH")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


def opened(browser: Any, reported: Reported, viewport: dict[str, int], scheme: str = "light") -> Opened:
    page = browser.new_page(viewport=viewport, color_scheme=scheme)
    found = Opened(page)
    page.on("console", lambda message: found.console.append(message.text))
    page.on("pageerror", lambda error: found.console.append(str(error)))
    page.on("request", lambda request: found.requests.append(request.url))
    page.goto(reported.files.html.as_uri())
    return found


@pytest.fixture
def wide(browser: Any, reported: Reported) -> Iterator[Opened]:
    found = opened(browser, reported, WIDE)
    yield found
    found.page.close()


def test_it_is_silent_and_asks_for_nothing(wide: Opened, reported: Reported) -> None:
    wide.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    wide.page.wait_for_timeout(200)
    assert wide.console == []
    # The icon is in the page itself.
    asked = [url for url in wide.requests if not url.startswith("data:")]
    assert asked == [reported.files.html.as_uri()]


def test_its_policy_stops_what_was_slipped_in(wide: Opened) -> None:
    wide.page.evaluate("""() => {
        const script = document.createElement('script');
        script.textContent = 'window.slipped = true';
        document.body.append(script);
        const image = document.createElement('img');
        image.src = 'https://evil.example/x.png';
        document.body.append(image);
    }""")
    wide.page.wait_for_timeout(200)
    assert wide.page.evaluate("window.slipped") is None
    assert sum("Content Security Policy" in line for line in wide.console) == 2


def sorted_by(page: Any, heading: str, press: str) -> tuple[str | None, list[str]]:
    """Press a heading of exp01's configurations; its state, and the first column."""
    table = page.locator("#exp01 table").first
    button = table.get_by_role("button", name=heading, exact=True)
    if press == "click":
        button.click()
    else:
        button.focus()
        page.keyboard.press(press)
    state = button.evaluate("(button) => button.closest('th').ariaSort")
    return state, table.locator("tbody th").all_inner_texts()


def test_tables_sort_numbers_as_numbers_and_missing_last(wide: Opened) -> None:
    wide.page.goto(f"{wide.page.url}#exp01")  # opens the folded section
    upwards = ["exp01a", "exp01b", "exp01c", "exp01d", "exp01f", "exp01e"]
    downwards = ["exp01f", "exp01d", "exp01c", "exp01b", "exp01a", "exp01e"]
    # 1.48 M comes before 38.1 M, which it would not as text; exp01e was not run.
    assert sorted_by(wide.page, "parameters", "click") == ("ascending", upwards)
    assert sorted_by(wide.page, "parameters", "Enter") == ("descending", downwards)
    assert sorted_by(wide.page, "experiment", "Space") == ("ascending", sorted(upwards))
    assert wide.page.locator("#exp01 table").first.locator("th[aria-sort]").count() == 1


def test_every_figure_says_what_it_is(wide: Opened, reported: Reported) -> None:
    wide.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    figures = wide.page.locator("figure svg")
    drawn_of = {figure.drawn.title: figure.drawn for figure in reported.page.figures}
    assert figures.count() == len(list(reported.page.figures))
    for figure in figures.all():
        drawn = drawn_of[figure.locator("title").first.text_content()]
        assert figure.get_attribute("role") == "img"
        words = figure.locator("text").all_text_contents()
        assert any(word and drawn.title.startswith(word) for word in words), "its title is to be seen"
        assert any("(" in word and word.endswith(")") for word in words), "an axis has a unit"
        name = figure.evaluate(
            "(svg) => document.getElementById(svg.getAttribute('aria-labelledby').split(' ')[0]).textContent"
        )
        assert name == drawn.title
        box = figure.bounding_box()
        assert box is not None
        assert box["width"] > 400
        assert box["height"] > 100


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, PHONE, {"width": 320, "height": 600}])
def test_it_never_scrolls_sideways(
    browser: Any, reported: Reported, viewport: dict[str, int], scheme: str
) -> None:
    page = opened(browser, reported, viewport, scheme).page
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    # What is wider scrolls inside of its box, by keyboard too.
    inside = page.locator(".scroll")
    wider = inside.evaluate_all(
        "(all) => all.filter((box) => box.scrollWidth > box.clientWidth + 1)"
        ".map((box) => box.tabIndex === 0 && getComputedStyle(box).overflowX === 'auto')"
    )
    assert all(wider)
    if viewport is not WIDE:
        assert wider
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_paper(browser: Any, reported: Reported, scheme: str) -> None:
    page = opened(browser, reported, WIDE, scheme).page
    weakest = page.evaluate(CONTRAST)
    assert weakest["ratio"] >= 4.5, weakest
    page.close()


CONTRAST = """() => {
    const parse = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => {
        const straight = (c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
        const [x, y, z] = [r, g, b].map((c) => straight(c / 255));
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const paper = (element) => {
        for (let each = element; each; each = each.parentElement) {
            const color = parse(getComputedStyle(each).backgroundColor);
            if (color.length < 4 || color[3] > 0.5) return color;
        }
        return [255, 255, 255];
    };
    let weakest = {ratio: 99};
    const texts = 'p, li, dt, dd, td, th, h1, h2, h3, a, summary, .badge, svg text, code';
    for (const element of document.querySelectorAll(texts)) {
        if (!element.checkVisibility() || !element.textContent.trim()) continue;
        const style = getComputedStyle(element);
        const ink = parse(element.closest('svg') ? style.fill : style.color);
        const [a, b] = [light(ink), light(paper(element))].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < weakest.ratio) weakest = {ratio, text: element.textContent, tag: element.tagName};
    }
    return weakest;
}"""
"""The least contrast between text and what it stands on, as WCAG 2 counts it."""
