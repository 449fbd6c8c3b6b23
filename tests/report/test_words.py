"""Text from anywhere, made fit to be shown."""

import pytest

from tests.report.hostile import HOSTILE
from trm_scaling.report.markdown import code_in_markdown, in_markdown, visible


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_shown_is_one_line_that_a_file_can_hold(text: str) -> None:
    for shown in (visible(text), in_markdown(text), code_in_markdown(text)):
        assert "\n" not in shown
        shown.encode()
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in visible(text)


def test_what_can_be_seen_stays_as_it_is() -> None:
    for text in ("exp02a_03", "実験 エクスペリメント", "👩\N{ZERO WIDTH JOINER}🚀 Ünïcode", "a | b"):
        assert visible(text) == text
    assert visible("nul \x00") == "nul \N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("exp02a_03", r"exp02a\_03"),
        ("a|b", r"a\|b"),
        ("<b>&amp;", r"\<b\>\&amp;"),
        ("[a](https://b)", r"\[a\](https\://b)"),
        ("www.evil.example", r"www\.evil.example"),
        ("- no list", r"\- no list"),
        ("# no heading", r"\# no heading"),
        ("86.2 % (84.1 to 88.0)", "86.2 % (84.1 to 88.0)"),
        ("1 - 2", "1 - 2"),
    ],
)
def test_markdown_shows_it_and_does_nothing_else(text: str, escaped: str) -> None:
    assert in_markdown(text) == escaped


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("exp02a_03", "`exp02a_03`"),
        ("a`b", "``a`b``"),
        ("`a", "`` `a ``"),
        ("a|b", r"`a\|b`"),
    ],
)
def test_code_keeps_its_ticks_and_its_cell(text: str, code: str) -> None:
    assert code_in_markdown(text) == code
