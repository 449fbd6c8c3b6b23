"""From a table of runs to the page that reports on it."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd

from trm_scaling import __version__
from trm_scaling.analysis.answers import seed_variance
from trm_scaling.experiments import Family
from trm_scaling.report.checklist import checklist
from trm_scaling.report.coverage import study_seeds
from trm_scaling.report.family import Studied, section, slug, study_family
from trm_scaling.report.overview import frontiers, importances, runs_in_words, tiles, what_ran
from trm_scaling.report.page import Page, Section
from trm_scaling.report.provenance import provenance
from trm_scaling.report.quantities import joined
from trm_scaling.results.families import each_once

MADE_UP = "made-up"
"""The profile of numbers that nobody measured."""


def study_page(
    table: pd.DataFrame,
    families: Sequence[Family],
    profile: str | None,
    *,
    others: Sequence[str] = (),
    patterns: Sequence[str] = (),
) -> Page:
    """The report on `families`, from the runs in `table`, all of `profile`.

    `others` are profiles whose runs are not in it, `patterns` what chose the families.
    """
    table = table.reset_index(drop=True)
    counted = each_once(table)
    seeds, variance = study_seeds(table), seed_variance(counted)
    studied = [study_family(family, table, seeds, variance) for family in families]
    under = f"profile {profile}" if profile else "profile not recorded"
    scope = f", {joined(list(patterns))} alone" if patterns else ""
    return Page(
        title="How Tiny Recursive Models scale",
        subtitle=f"Accuracy on Sudoku, {under}{scope}: {runs_in_words(table)}.",
        written=_written(),
        made_up=profile == MADE_UP,
        notices=_notices(table, profile, others),
        tiles=tiles(table, studied),
        overview=(
            what_ran(table, studied, profile),
            *((frontiers(counted), importances(counted, studied)) if not table.empty else ()),
            checklist(table, studied),
            provenance(table),
        ),
        sections=tuple(section(each, profile) for each in studied),
    )


def experiment_page(table: pd.DataFrame, family: Family) -> Page:
    """The report on one family, a section for each profile that `table` has runs of it under."""
    table = table.reset_index(drop=True)
    profiles = _profiles(table)
    studied: list[tuple[str | None, Studied]] = []
    for profile in profiles:
        own = table[table["profile"] == profile] if profile is not None and len(profiles) > 1 else table
        studied.append((profile, study_family(family, own, study_seeds(own), seed_variance(own))))
    sections: list[Section] = []
    for profile, each in studied:
        anchor = slug(f"{family.key} {profile}") if len(profiles) > 1 else slug(family.key)
        sections.append(section(each, profile, anchor))
    several = (
        ("Runs of several profiles are budgets of their own: each has a section.",)
        if len(profiles) > 1
        else ()
    )
    all_studied = [each for _, each in studied]
    return Page(
        title=f"{family.key}: {family.title}",
        subtitle=f"{family.goal} {_capital(joined([str(each) for each in profiles if each]))}".strip(),
        written=_written(),
        made_up=MADE_UP in profiles,
        notices=several,
        tiles=tiles(table, all_studied) if len(profiles) == 1 else (),
        sections=tuple(sections),
        appendix=(checklist(table, all_studied), provenance(table))
        if len(profiles) == 1
        else (provenance(table),),
        lists_answers=len(sections) > 1,
    )


def _profiles(table: pd.DataFrame) -> list[str | None]:
    if "profile" not in table or table["profile"].isna().all():
        return [None]
    return [*sorted(str(profile) for profile in table["profile"].dropna().unique())]


def _notices(table: pd.DataFrame, profile: str | None, others: Sequence[str]) -> tuple[str, ...]:
    notices = []
    if table.empty:
        under = f" under profile {profile}" if profile else ""
        notices.append(f"No run was found{under}. Each family below has the command that runs it.")
    if others:
        notices.append(
            f"There are runs under {joined(list(others))} as well. Profiles are different budgets and are "
            "not mixed: each has a report of its own."
        )
    return tuple(notices)


def _capital(text: str) -> str:
    return f"Profile {text}." if text else ""


def _written() -> str:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"Written by trm report {__version__} on {now}."
