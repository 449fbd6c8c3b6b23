"""`trm report`: the study as one HTML file and one Markdown file."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_scaling.cli.options import StudyFolder, one_blas_thread, profile_option, typed_profile

if TYPE_CHECKING:
    from trm_scaling.report import StudyReport

HELP = """
Write what the study found as one HTML file that opens offline, and as Markdown: the answer to each family's
question with its interval and verdict, all configurations with their costs, frontiers, which factors matter,
how it was done, and a section for each family. The runs stand beside it as CSV. Figures go to
kellen/analysis/plots/. Each profile that has runs gets a report of its own.

\b
Examples:
  trm report
  trm report --profile laptop
  trm report --pattern exp01 --out /tmp/model-size
  trm report --csv exp01_results.csv --out /tmp/exp01 --figures svg
  trm report --surfaces surfaces.json --out /tmp/test-time
"""


def report(
    context: typer.Context,
    pattern: Annotated[
        list[str] | None,
        typer.Option(help="Experiments whose names contain it, or match it as a glob. Repeatable."),
    ] = None,
    profile: Annotated[str | None, profile_option("each that has runs", "Budget to report on.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to; made if need be.", show_default="kellen/analysis/reports/"),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            help="Table of runs of an earlier report or trm results --csv, in place of run folders.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    surfaces: Annotated[
        list[Path] | None,
        typer.Option(
            help="A page on test-time compute alone, of a file that trm eval --surface wrote. Repeatable.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    figures: Annotated[
        str, typer.Option(help="Formats of the figures, comma-separated: svg (always), png, pdf.")
    ] = "svg,png,pdf",
    study: StudyFolder = None,
) -> None:
    one_blas_thread()
    typer.echo("loading", err=True)
    from trm_scaling.errors import UserError
    from trm_scaling.io.study import find_study
    from trm_scaling.plots.saving import FORMATS
    from trm_scaling.report import write_study_reports, write_surfaces_report

    wanted = [each.strip() for each in figures.split(",") if each.strip()]
    if unknown := [each for each in wanted if each not in FORMATS]:
        raise UserError(f"--figures {figures}: {unknown[0]} is not one of {', '.join(FORMATS)}")
    chosen = [each for each in FORMATS if each in wanted]
    if surfaces or csv is not None:
        profile = typed_profile(context, profile)
    if surfaces:
        if out is None or pattern or profile is not None or csv is not None:
            raise UserError(
                "--surfaces makes a page of its own: give --out FOLDER, and no pattern, profile or csv"
            )
        typer.echo(str(write_surfaces_report(surfaces, out, chosen).html))
        return
    folder = find_study(study)
    say = partial(typer.echo, err=True)
    for each in write_study_reports(folder, pattern or [], profile, out, csv=csv, formats=chosen, say=say):
        typer.echo(_said(each))


def _said(report: "StudyReport") -> str:
    under = f"profile {report.profile}" if report.profile else "no profile"
    runs = f"{report.runs:,} run{'' if report.runs == 1 else 's'}"
    files = f"{len(report.files.figures)} files of figures"
    beside = f"{report.files.markdown.name}, {report.table.name} and {files}"
    return f"{report.files.html}\n    {under}, {runs}; beside it {beside}"
