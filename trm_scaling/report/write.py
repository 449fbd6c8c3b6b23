"""A page as files: HTML, Markdown, and every figure."""

import os
from dataclasses import dataclass
from pathlib import Path

from trm_scaling.io.atomic import write_text
from trm_scaling.io.explain import os_errors_explained
from trm_scaling.plots import save, save_all
from trm_scaling.report.html import html
from trm_scaling.report.markdown import markdown
from trm_scaling.report.page import Figure, Page


@dataclass(frozen=True)
class Written:
    """Where a report is."""

    html: Path
    markdown: Path
    figures: tuple[Path, ...]
    """All files of all figures."""


def write_page(page: Page, folder: Path, stem: str, plots: Path | None = None) -> Written:
    """Write `stem`.html and `stem`.md into `folder`, with the figures that the latter shows in `figures/`.

    `plots` gets every figure as PNG, SVG and PDF. Folders are made. Raises UserError where a file cannot
    be written.
    """
    beside = folder / "figures"

    def place_of(figure: Figure) -> Path:
        return beside / f"{stem}-{figure.name}.svg"

    written: list[Path] = []
    with os_errors_explained(folder, "write"):
        for figure in page.figures:
            written.append(save(figure.drawn, place_of(figure)))
            if plots is not None:
                written += save_all(figure.drawn, plots / figure.name)
    write_text(folder / f"{stem}.html", html(page))
    relative = os.path.relpath
    text = markdown(page, lambda figure: Path(relative(place_of(figure), folder)).as_posix())
    write_text(folder / f"{stem}.md", text)
    return Written(folder / f"{stem}.html", folder / f"{stem}.md", tuple(written))
