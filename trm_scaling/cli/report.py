"""`trm report`: the study as one HTML file and one Markdown file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_scaling.cli.options import StudyFolder, one_blas_thread

if TYPE_CHECKING:
    from trm_scaling.report import StudyReport

HELP = """
Write what the study found as one HTML file that opens offline, and as Markdown: its answers, how sure they
are, what ran and what is missing, frontiers, which factors matter, and a section for each family of
experiments with its design, runs, figures, law and caveats. The runs stand beside it as CSV. Figures go to
kellen/analysis/plots/ as well, as PNG, SVG and PDF. Each profile that has runs gets a report of its own.

\b
Examples:
  trm report
  trm report --profile laptop
  trm report --pattern exp01 --out /tmp/model-size
"""


def report(
    pattern: Annotated[
        list[str] | None,
        typer.Option(help="Experiments whose names contain it, or match it as a glob. Repeatable."),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(help="Budget to report on.", envvar="TRM_PROFILE", show_default="each that has runs"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to; made if need be.", show_default="kellen/analysis/reports/"),
    ] = None,
    study: StudyFolder = None,
) -> None:
    one_blas_thread()
    from trm_scaling.io.study import find_study
    from trm_scaling.report import write_study_reports

    for each in write_study_reports(find_study(study), pattern or [], profile, out):
        typer.echo(_said(each))


def _said(report: "StudyReport") -> str:
    under = f"profile {report.profile}" if report.profile else "no profile"
    runs = f"{report.runs:,} run{'' if report.runs == 1 else 's'}"
    files = f"{len(report.files.figures)} files of figures"
    beside = f"{report.files.markdown.name}, {report.table.name} and {files}"
    return f"{report.files.html}\n    {under}, {runs}; beside it {beside}"
