"""The Markdown file: tables that are tables, figures that are there."""

import re
from dataclasses import replace
from pathlib import Path

from tests.report.conftest import Reported
from trm_scaling.report.write import write_page


def test_every_row_of_a_table_has_its_cells(reported: Reported) -> None:
    lines = reported.files.markdown.read_text(encoding="utf-8").splitlines()
    tables = 0
    for number, line in enumerate(lines):
        if not re.fullmatch(r"\|(-+:?\|)+", line):
            continue
        tables += 1
        width = bars(line)
        assert bars(lines[number - 1]) == width
        assert lines[number - 2] == ""
        rows = lines[number + 1 :]
        end = rows.index("")
        assert {bars(row) for row in rows[:end]} == {width}
    assert tables == reported.html.count("<table")


def bars(line: str) -> int:
    """Bars that divide cells."""
    return len(re.findall(r"(?<!\\)\|", line))


def test_figures_lie_beside_it(reported: Reported) -> None:
    text = reported.files.markdown.read_text(encoding="utf-8")
    shown = re.findall(r"!\[(?:[^\]\\]|\\.)+\]\(([^)]+)\)", text)
    assert len(shown) == len(list(reported.page.figures))
    assert all((reported.files.markdown.parent / name).is_file() for name in shown)


def test_figures_are_written_for_print_too(reported: Reported, tmp_path: Path) -> None:
    section = replace(reported.page.sections[1], blocks=reported.page.sections[1].blocks[:2])
    page = replace(reported.page, blocks=(), sections=(section,))
    written = write_page(page, tmp_path / "a", "report", tmp_path / "b", ("png", "svg", "pdf"))
    wanted = {f"{figure.name}.{ending}" for figure in page.figures for ending in ("png", "svg", "pdf")}
    assert {path.name for path in written.figures if path.parent == tmp_path / "b"} == wanted
    assert wanted
    assert all(path.stat().st_size > 1000 for path in written.figures)


def test_it_says_what_the_page_says(reported: Reported) -> None:
    text = reported.files.markdown.read_text(encoding="utf-8")
    assert "**Made-up data.**" in text
    assert "## exp01: Model size" in text
    assert "    trm batch exp01e exp01f --profile made-up --replicates 3 --retry failed\n" in text
    assert "| `exp01e` |" in text
    assert "{{" not in text
    assert "None" not in text
    assert not re.search(r"\bnan\b", text.replace("the loss is nan", ""))
