"""A page as files: HTML, Markdown, and every figure."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trm_scaling.io.atomic import write_text
from trm_scaling.io.disk_errors import os_errors_explained
from trm_scaling.plots import save
from trm_scaling.plots.saving import Format
from trm_scaling.report.html import html
from trm_scaling.report.markdown import markdown
from trm_scaling.report.page import Page


@dataclass(frozen=True)
class Written:
    """Where a report is."""

    html: Path
    markdown: Path
    figures: tuple[Path, ...]
    """All files of all figures."""


def write_page(
    page: Page, folder: Path, stem: str, plots: Path | None = None, formats: Sequence[Format] = ("svg",)
) -> Written:
    """Write `stem`.html and `stem`.md into `folder`, and figures into `plots`, by default `figures/` there.

    Figures are written as SVG, which the Markdown file shows, and in the other `formats`. Folders are made.
    Raises UserError where a file cannot be written.
    """
    plots = plots or folder / "figures"
    endings: list[Format] = ["svg", *(each for each in formats if each != "svg")]
    with os_errors_explained(folder, "write"):
        figures = [save(each.drawn, plots / f"{each.name}.{end}") for each in page.figures for end in endings]
        write_text(folder / f"{stem}.html", html(page))
        beside = Path(os.path.relpath(plots, folder)).as_posix()
        write_text(folder / f"{stem}.md", markdown(page, lambda figure: f"{beside}/{figure.name}.svg"))
    return Written(folder / f"{stem}.html", folder / f"{stem}.md", tuple(figures))
