"""The HTML file: whole, closed to the outside, and deaf to what names say."""

import base64
import hashlib
import re
from dataclasses import replace

import pandas as pd
import pytest

from tests.report.conftest import Reported
from tests.report.hostile import HOSTILE, SCRIPT
from tests.report.reading import read
from tests.results.made_up import PROFILE
from trm_scaling.report.build import study_page
from trm_scaling.report.html import html
from trm_scaling.report.markdown import markdown


def test_ids_are_unique_and_every_reference_has_its_id(reported: Reported) -> None:
    tags = list(read(reported.html).all())
    ids = [tag.attributes["id"] for tag in tags if "id" in tag.attributes]
    assert len(ids) == len(set(ids))
    wanted = [tag.attributes["href"][1:] for tag in tags if tag.attributes.get("href", "").startswith("#")]
    for name in ("aria-labelledby", "aria-describedby"):
        wanted += [each for tag in tags for each in tag.attributes.get(name, "").split()]
    wanted += re.findall(r"url\(#([^)]+)\)", reported.html)
    assert wanted
    assert set(wanted) <= set(ids)


def test_nothing_is_fetched_and_nothing_but_its_own_code_may_run(reported: Reported) -> None:
    root = read(reported.html)
    (policy,) = [tag.attributes["content"] for tag in root.all("meta") if "http-equiv" in tag.attributes]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy
    for name in ("style", "script"):
        (own,) = re.findall(f"<{name}>(.*?)</{name}>", reported.html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        assert rules[f"{name}-src"] == f"'sha256-{digest}'"
    for tag in root.all():
        assert (
            not {key for key in tag.attributes if key.startswith("on")}
            | {"style", "src"} & tag.attributes.keys()
        )
        target = tag.attributes.get("href", "#")
        assert target.startswith("#") or target == "data:,"
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)", reported.html)


def test_every_figure_has_its_words(reported: Reported) -> None:
    drawings = list(read(reported.html).all("svg"))
    hidden = [each for each in drawings if each.attributes.get("aria-hidden") == "true"]
    drawings = [each for each in drawings if each not in hidden]
    assert len(hidden) == sum(bool(section.dots) for section in reported.page.sections)
    assert len(drawings) == len(list(reported.page.figures)) > 6
    for drawing in drawings:
        assert drawing.attributes["role"] == "img"
        words = {tag.name: tag.text for tag in drawing.all() if tag.name in ("title", "desc")}
        assert len(words["title"]) > 5
        assert len(words["desc"]) > 40


def test_cells_say_what_they_sort_by_and_what_is_missing(reported: Reported) -> None:
    (section,) = [tag for tag in read(reported.html).all("details") if tag.attributes.get("id") == "exp01"]
    table = next(each for each in section.all("table"))
    (body,) = table.all("tbody")
    first, missing = body.children[0].children, body.children[4].children
    assert first[0].name == "th"
    assert first[0].attributes["scope"] == "row"
    assert (first[2].attributes["data-label"], float(first[2].attributes["data-sort"])) == ("seeds", 2.0)
    assert missing[0].text.strip() == "exp01e"
    assert missing[-1].attributes["data-sort"] == ""
    assert missing[-1].text.strip() == "–missing"  # noqa: RUF001  # the dash is for the eye, the word for the ear


@pytest.fixture(scope="module")
def hostile(reported: Reported) -> pd.DataFrame:
    """The study's table with a run for each hostile name; its own have hostile reasons and values."""
    strangers = pd.concat([reported.table.iloc[:1]] * len(HOSTILE), ignore_index=True)
    strangers = strangers.assign(
        experiment=HOSTILE,
        names=HOSTILE,
        device_kind=HOSTILE,
        commit=HOSTILE,
        params=range(7, 7 + len(HOSTILE)),
    )
    own = reported.table.assign(reason=SCRIPT, overrides="", source=SCRIPT)
    own.loc[own["experiment"] == "exp07a", "overrides"] = HOSTILE[3]
    return pd.concat([own, strangers], ignore_index=True)


def test_hostile_names_are_only_text(reported: Reported, hostile: pd.DataFrame) -> None:
    own = [family for family in reported.catalogue.families if family.key == "exp07"]
    page = study_page(hostile, own, PROFILE)
    page = replace(page, title=SCRIPT, notices=HOSTILE, subtitle=HOSTILE[1])
    document = html(page)
    document.encode()
    root = read(document)
    assert len(list(root.all("script"))) == 1
    assert not [tag for tag in root.all() if tag.name in ("img", "iframe", "b")]
    (title,) = root.all("h1")
    assert title.text == SCRIPT
    assert "実験 エクスペリメント" in document
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in document
    assert "49" not in "".join(notice.text for notice in root.all("p") if "7*7" in notice.text)
    text = markdown(page, lambda figure: f"figures/{figure.name}.svg")
    text.encode()
    # Outside of code every < of theirs is escaped; the only HTML is what folds a table.
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    assert set(re.findall(r"(?<!\\)</?(\w+)", outside)) <= {"details", "summary"}
