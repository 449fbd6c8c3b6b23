"""The reports on a study: one for each profile, since profiles are different budgets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trm_scaling.experiments import Catalogue, Family, load_catalogue
from trm_scaling.io.study import Study
from trm_scaling.plots.saving import FORMATS, Format
from trm_scaling.report.build import Say, study_page
from trm_scaling.report.family import slug
from trm_scaling.report.write import Written, write_page
from trm_scaling.results.csv_file import read_results, write_results
from trm_scaling.results.scan import profiles_with_runs
from trm_scaling.results.table import results_table

STEM = "report"


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
