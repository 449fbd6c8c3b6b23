"""Reports as files: on a study, one for each profile, or on one family from a table that a caller has."""

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from trm_scaling.analysis.test_time import surfaces_of
from trm_scaling.errors import UserError
from trm_scaling.experiments import Catalogue, Family, load_catalogue
from trm_scaling.io.atomic import write_text
from trm_scaling.io.disk_errors import os_errors_explained
from trm_scaling.io.study import Study, find_study
from trm_scaling.plots import save
from trm_scaling.plots.saving import FORMATS, Format
from trm_scaling.report.build import Say, experiment_page, study_page, written
from trm_scaling.report.family import slug
from trm_scaling.report.html import html
from trm_scaling.report.markdown import markdown
from trm_scaling.report.page import Page
from trm_scaling.report.test_time import surfaces_block
from trm_scaling.results.counted import runs_of_family
from trm_scaling.results.csv_file import read_results, write_results
from trm_scaling.results.format import amount
from trm_scaling.results.frame import checked_table
from trm_scaling.results.scan import profiles_with_runs
from trm_scaling.results.surfaces import read_surface_tables
from trm_scaling.results.table import results_table
from trm_scaling.results.wandb_export import parse_wandb_frame

STEM = "report"
_NAMES = ("Name", "name")
"""The column that holds a run's name, in a runs table and in what the API gives."""


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


@dataclass(frozen=True)
class StudyReport:
    """What was written about one profile."""

    profile: str | None
    """None where nothing was run and no profile was asked for."""
    runs: int
    files: Written
    table: Path
    """The runs behind it, as CSV; where their folders were means nothing elsewhere and is left out."""


def write_study_reports(
    study: Study,
    patterns: Sequence[str] = (),
    profile: str | None = None,
    out: Path | None = None,
    *,
    csv: Path | None = None,
    formats: Sequence[Format] = FORMATS,
    say: Say = lambda _: None,
) -> list[StudyReport]:
    """Report on the experiments that `patterns` choose (all, by default), under `profile` or under each
    profile that has runs.

    Runs are read from the study's run folders, or from the table `csv` that an earlier report wrote. HTML,
    Markdown and the table of runs as CSV go to `out`, by default the study's `analysis/reports/`, and figures
    in `formats` to `analysis/plots/` or `out`/plots. `say` is told what is done next. Without any run the
    report says what could be run. Raises UserError for a pattern that matches nothing, an unknown profile,
    a `csv` that is not such a table, and what cannot be written.
    """
    catalogue = load_catalogue(study.path)
    families = _families(catalogue, patterns)
    folder = out or study.path / "analysis" / "reports"
    plots = study.path / "analysis" / "plots" if out is None else out / "plots"
    given = None if csv is None else read_results(csv)
    used = profiles_with_runs(study) if given is None else sorted(set(given["profile"].dropna()))
    chosen: list[str | None] = [profile] if profile is not None else [*used] or [None]
    if profile is not None and families:
        catalogue.alias_of(families[0].names[0], profile)  # refuses an unknown profile
    found = []
    for each in chosen:
        say("reading runs")
        if given is None:
            table = results_table(study, patterns, each, catalogue)
        else:
            table = given[given["profile"] == each] if "profile" in given else given
        others = [other for other in used if other != each]
        page = study_page(table, families, each, others=others, patterns=patterns, say=say)
        several = len(chosen) > 1
        stem = f"{STEM}-{slug(each)}" if each is not None and several else STEM
        own_plots = plots / slug(each) if each is not None and several else plots
        say(f"writing {sum(1 for _ in page.figures)} figures and two pages")
        files = write_page(page, folder, stem, own_plots, formats)
        runs = folder / f"{stem}.csv"
        write_results(table.drop(columns="folder", errors="ignore"), runs)
        found.append(StudyReport(each, len(table), files, runs))
    return found


def _families(catalogue: Catalogue, patterns: Sequence[str]) -> list[Family]:
    if not patterns:
        return list(catalogue.families)
    names = set(catalogue.matching(patterns))
    return [family for family in catalogue.families if names & set(family.names)]


def write_surfaces_report(
    files: Sequence[Path], folder: Path, formats: Sequence[Format] = ("svg",)
) -> Written:
    """Write a page about the surfaces in `files` alone: `test_time.html` and `.md` in `folder`, figures
    beside.

    Raises UserError for a file without surfaces, and for what cannot be written.
    """
    surfaces = read_surface_tables(files)
    if surfaces.empty:
        raise UserError(f"no surface in {', '.join(map(str, files))}: `trm eval --surface` writes them")
    page = Page(
        title="Test-time compute",
        subtitle=f"{amount(len(surfaces_of(surfaces)), 'surface')} from {amount(len(files), 'file')}.",
        written=written(),
        made_up=False,
        blocks=(surfaces_block(surfaces),),
    )
    return write_page(page, folder, "test_time", formats=formats)


def generate_experiment_report(
    experiment: str, results: pd.DataFrame, folder: str | Path, *, study: str | Path | None = None
) -> Written:
    """Write the report on the family `experiment` ("Exp01", in any case) into `folder`, which is made.

    `results` is a table of runs: `results_table`'s, or what `pandas.read_csv` makes of an export of Weights &
    Biases. The family is looked up in the study at `study`, by default the nearest one. Raises UserError
    for an unknown family, for a table without runs of it, for one that lacks the columns it takes, and for
    cells that their columns cannot hold (text for a number, percentages for fractions, negative counts).
    """
    found = find_study(None if study is None else Path(study))
    family = _family(experiment, found)
    page = experiment_page(_table(results, family, found), family)
    return write_page(page, Path(folder), slug(family.key))


def _family(experiment: str, study: Study) -> Family:
    families = {family.key.casefold(): family for family in load_catalogue(study.path).families}
    wanted = experiment.strip().casefold()
    if wanted in families:
        return families[wanted]
    # Exp02 is two families, and a name of an experiment is in one.
    near = [key for key in families if key.startswith(wanted)] or [
        family.key for family in families.values() if wanted in {name.casefold() for name in family.names}
    ]
    near = near or difflib.get_close_matches(wanted, families, n=3, cutoff=0.4) or list(families)
    raise UserError(f"no family of experiments is called {experiment!r}; there is {', '.join(near)}")


def _table(results: object, family: Family, study: Study) -> pd.DataFrame:
    """`results` as a table of runs, with some of `family`."""
    if not isinstance(results, pd.DataFrame):
        raise UserError(
            f"results is a {type(results).__name__}, and a report needs a table with a row a run: read one "
            "with pandas.read_csv, or make one with trm results --csv"
        )
    table = checked_table(results if "experiment" in results else _exported(results, study))
    if runs_of_family(table, family).table.empty:
        there = ", ".join(sorted({str(name) for name in table["experiment"]})[:8]) or "none at all"
        raise UserError(
            f"the table has no run of {family.key}, whose experiments are {', '.join(family.names)}; "
            f"its runs are {there}"
        )
    return table


def _exported(results: pd.DataFrame, study: Study) -> pd.DataFrame:
    """What `pandas.read_csv` made of an export of Weights & Biases, as the table that reading it makes."""
    if not any(name in results for name in _NAMES):
        raise UserError(
            f"the table is none of runs: it has no column experiment, nor {' or '.join(_NAMES)} as an export "
            f"of Weights & Biases has; its columns are {', '.join(map(str, results.columns[:8])) or 'none'}"
        )
    return parse_wandb_frame(results, study)
