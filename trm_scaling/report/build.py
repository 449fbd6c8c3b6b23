"""From a table of runs to the page that reports on it."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pandas as pd

from trm_scaling import __version__
from trm_scaling.analysis import unaveraged
from trm_scaling.analysis.answers import seed_variance
from trm_scaling.experiments import Family
from trm_scaling.report.coverage import study_seeds
from trm_scaling.report.family import Studied, section, slug, study_family
from trm_scaling.report.front import (
    DEFINITIONS,
    all_configurations,
    factors,
    frontiers,
    speed_of_learning,
    what_ran,
)
from trm_scaling.report.method import checklist, configuration_column
from trm_scaling.report.page import Block, Page, Section
from trm_scaling.report.tables import every_run, finished_of
from trm_scaling.report.test_time import surfaces_block, surfaces_of_runs
from trm_scaling.results.counted import each_once
from trm_scaling.results.device_time import is_shared, without_shared_times
from trm_scaling.results.format import amount, hours, joined

MADE_UP = "made-up"
"""The profile of numbers that nobody measured."""

Say = Callable[[str], None]
"""Told what is done next, a few words."""


def study_page(
    table: pd.DataFrame,
    families: Sequence[Family],
    profile: str | None,
    *,
    others: Sequence[str] = (),
    patterns: Sequence[str] = (),
    say: Say = lambda _: None,
) -> Page:
    """The report on `families`, from the runs in `table`, all of `profile`.

    `others` are profiles whose runs are not in it, `patterns` what chose the families.
    """
    subtitle, as_told = _in_words(table), table
    table = prepared(table)
    seeds, variance = study_seeds(table), seed_variance(each_once(table))
    studied, sections = [], []
    for family in families:
        say(f"{family.key}: {family.title}")
        studied.append(study_family(family, table, seeds, variance))
        sections.append(section(studied[-1], profile))
    say("frontiers and factors")
    under = f"Profile {profile}" if profile else "Profile not recorded"
    scope = f", {joined(list(patterns))} alone" if patterns else ""
    blocks = (
        all_configurations(table, studied, variance),
        *((frontiers(table, variance), factors(table, studied)) if not table.empty else ()),
        surfaces_block(surfaces_of_runs(as_told)),
        what_ran(table, studied, profile),
        checklist(as_told, [(each.family, each.answer) for each in studied]),
    )
    return Page(
        title="How Tiny Recursive Models scale",
        subtitle=f"{under}{scope}: {subtitle}",
        written=written(),
        made_up=profile == MADE_UP,
        notices=_notices(table, profile, others),
        sections=tuple(sections),
        blocks=(Block("Definitions", facts=DEFINITIONS), *(block for block in blocks if not block.empty)),
    )


def experiment_page(table: pd.DataFrame, family: Family) -> Page:
    """The report on one family, a section for each profile that `table` has runs of it under."""
    subtitle = _in_words(table)
    table = prepared(table)
    profiles: list[str | None] = [None]
    if "profile" in table and table["profile"].notna().any():
        profiles = [*sorted(str(profile) for profile in table["profile"].dropna().unique())]
    several = len(profiles) > 1
    sections: list[Section] = []
    studied: list[Studied] = []
    for profile in profiles:
        own = table[table["profile"] == profile] if several else table
        studied.append(study_family(family, own, study_seeds(own), seed_variance(own)))
        anchor = slug(f"{family.key} {profile}") if several else slug(family.key)
        sections.append(section(studied[-1], profile, anchor))
    notices = ["Runs of several profiles are budgets of their own: each has a section."] if several else []
    named = joined([str(each) for each in profiles if each])
    answers = [(family, each.answer) for each in studied]
    return Page(
        title=f"{family.key}: {family.title}",
        subtitle=f"{family.goal} {f'Profile {named}: ' if named else ''}{subtitle}",
        written=written(),
        made_up=MADE_UP in profiles,
        notices=(*notices, *([said] if (said := speed_of_learning(table)) else [])),
        sections=tuple(sections),
        blocks=(
            Block("Definitions", facts=DEFINITIONS),
            *((longer,) if not (longer := surfaces_block(surfaces_of_runs(table))).empty else ()),
            Block("Runs", tables=(every_run(table),)),
            checklist(table, answers),
        ),
    )


def prepared(table: pd.DataFrame) -> pd.DataFrame:
    """`table` as a report shows it: with the accuracy of unaveraged weights of runs that keep no average as
    well, and without the times of runs that shared their machine."""
    table = without_shared_times(table.reset_index(drop=True))
    values = unaveraged(table)
    return table.assign(test_accuracy_unaveraged=values) if values.notna().any() else table


def _in_words(table: pd.DataFrame) -> str:
    """`66 runs finished, of 54 configurations; 3.1 device-hours.`"""
    done = finished_of(table)
    states = (
        Counter(str(state) for state in table["state"].fillna("unknown")) if "state" in table else Counter()
    )
    rest = [f"{count:,} {state}" for state, count in states.most_common() if state != "finished"]
    said = f"{amount(len(done), 'run')} finished"
    if len(done):
        said += f", of {amount(done[configuration_column(done)].nunique(), 'configuration')}"
    said += f" ({joined(rest)})" if rest else ""
    if "device_hours" in done and done["device_hours"].notna().any():
        said += f"; {hours(done['device_hours'].sum())} device-hours"
        if shared := int(is_shared(done).sum()):
            said += f", timed while {shared} of the runs shared their machine"
    return f"{said}."


def _notices(table: pd.DataFrame, profile: str | None, others: Sequence[str]) -> tuple[str, ...]:
    notices = [said] if (said := speed_of_learning(table)) else []
    if table.empty:
        under = f" under profile {profile}" if profile else ""
        notices.append(f"No run was found{under}. Each family below has the command that runs it.")
    if others:
        notices.append(
            f"There are runs under {joined(list(others))} as well. Profiles are different budgets and are "
            "not mixed: each has a report of its own."
        )
    return tuple(notices)


def written() -> str:
    """When and by what a page is written."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"Written by trm report {__version__} on {now}."
