"""Figures as files: the same bytes twice, words for screen readers, fonts that journals take."""

import re
import warnings
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest
from PIL import Image

from tests.plots.frames import choices, law, model_sizes
from trm_scaling.errors import UserError
from trm_scaling.plots import (
    StudyFigure,
    inline_svg,
    plot_model_size_scaling,
    plot_optimizers,
    save,
    save_all,
    theme_css,
)
from trm_scaling.plots.style import DARK, LIGHT, SINGLE_COLUMN

SVG = "{http://www.w3.org/2000/svg}"


def figure() -> StudyFigure:
    return plot_model_size_scaling(model_sizes(), fit=law())


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_same_data_give_the_same_bytes(tmp_path: Path, ending: str):
    first, second = tmp_path / f"first.{ending}", tmp_path / f"second.{ending}"
    plot_model_size_scaling(model_sizes(), first, fit=law())
    plot_model_size_scaling(model_sizes(), second, fit=law())
    assert first.read_bytes() == second.read_bytes()
    assert b"CreationDate" not in first.read_bytes()
    assert b"dc:date" not in first.read_bytes()


def test_folders_are_made_and_paths_may_be_text(tmp_path: Path):
    target = tmp_path / "analysis" / "plots" / "model_scaling.png"
    drawn = plot_model_size_scaling(model_sizes(), str(target), fit=law())
    with Image.open(target) as image:
        assert image.size[0] == round(drawn.get_size_inches()[0] * 300)
        assert image.text["Title"] == "Model size"  # type: ignore[attr-defined]


def test_save_all_writes_three_beside_each_other(tmp_path: Path):
    written = save_all(figure(), tmp_path / "made" / "exp01.v2")
    assert [path.name for path in written] == ["exp01.v2.png", "exp01.v2.svg", "exp01.v2.pdf"]
    assert all(path.stat().st_size > 1000 for path in written)


def test_another_ending_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"ends in \.jpg: figures are written as \.png, \.svg or \.pdf"):
        save(figure(), tmp_path / "a.jpg")
    with pytest.raises(UserError, match="ends in nothing"):
        save(figure(), tmp_path / "a")


def test_an_svg_is_read_aloud(tmp_path: Path):
    drawn = figure()
    root = ElementTree.parse(save(drawn, tmp_path / "a.svg")).getroot()
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert root.get("role") == "img"
    assert title is not None
    assert description is not None
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert title.text == "Model size"
    assert description.text is not None
    assert "exp01a: " in description.text
    assert "18 runs of 6 configurations" in description.text
    words = {text.text for text in root.iter(f"{SVG}text")}
    assert {"Parameters, without puzzle embeddings", "Model size"} <= words, "text is text, not outlines"


def test_a_pdf_embeds_its_fonts_as_truetype(tmp_path: Path):
    content = save(figure(), tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content


def test_figures_inside_a_page_share_no_ids_and_take_its_colours():
    pages = [inline_svg(figure(), prefix) for prefix in ("one", "two")]
    ids = [set(re.findall(r'\bid="([^"]+)"', page)) for page in pages]
    assert ids[0].isdisjoint(ids[1])
    for page, found in zip(pages, ids, strict=True):
        referred = set(re.findall(r'(?:href="|url\()#([^")]+)', page))
        assert referred <= found
        assert page.startswith("<svg")
        bare = re.sub(r"var\(--plot-[\w-]+, #[0-9a-f]{6}\)", "", page)
        assert re.findall(r"#[0-9a-f]{6}\b", bare) == [], "no theme decides these colours"
    named = set(re.findall(r"var\((--plot-[\w-]+),", pages[0]))
    assert named <= set(re.findall(r"(--plot-[\w-]+):", theme_css()))


def test_hostile_names_are_text(tmp_path: Path):
    names = [
        '<script>alert("x")</script> \u6570\u72ec \U0001f680 \u202e' + "long " * 40,
        "$\\frac{$",
    ]
    table = choices("exp09", [{}, {}]).replace(dict(zip(["exp09a", "exp09b"], names, strict=True)))
    drawn = plot_optimizers(table)
    for path in save_all(drawn, tmp_path / "hostile"):
        assert path.stat().st_size > 1000
    markup = (tmp_path / "hostile.svg").read_text()
    ElementTree.fromstring(markup)
    assert "<script" not in markup
    assert drawn.get_size_inches()[0] >= SINGLE_COLUMN


def test_dark_figures_are_dark(tmp_path: Path):
    plot_model_size_scaling(model_sizes(), tmp_path / "dark.svg", theme="dark", fit=law())
    markup = (tmp_path / "dark.svg").read_text()
    assert DARK.paper in markup
    assert LIGHT.paper not in markup


def test_drawing_leaves_matplotlib_as_it_was():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = dict(matplotlib.rcParams)
        figure()
        with pytest.raises(UserError):
            plot_model_size_scaling(model_sizes(test_accuracy=90.0))
        assert dict(matplotlib.rcParams) == before


def test_a_users_own_settings_change_nothing(tmp_path: Path):
    plain = save(figure(), tmp_path / "plain.svg").read_bytes()
    with matplotlib.rc_context(
        {"lines.linewidth": 9, "font.size": 20, "axes.facecolor": "red", "axes.labelpad": 30}
    ):
        assert save(figure(), tmp_path / "mine.svg").read_bytes() == plain
