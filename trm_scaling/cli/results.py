"""`trm results`: the runs of the study as one table."""

import json
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trm_scaling.cli.options import (
    AnyProfile,
    AsJson,
    Pattern,
    StudyFolder,
    Where,
    study_if_any,
    typed_profile,
)
from trm_scaling.cli.tables import columns as table_of
from trm_scaling.cli.tables import ends, hundredfold, terminal

if TYPE_CHECKING:
    import pandas as pd

    from trm_scaling.analysis.seeds import SeedSummary
    from trm_scaling.experiments import Catalogue
    from trm_scaling.io.study import Study

HELP = """
Show what the runs of the study came to, one line an experiment, and which runs did not finish and why.
With --csv or --json: every run with every column, for other programs and for the analysis.

\b
Examples:
  trm results --pattern exp01
  trm results --pattern exp01 --csv kellen/analysis/data/exp01_results.csv
  trm results --wandb kellen/analysis/data/wandb_export.csv
  trm results --columns
"""

MOST_UNFINISHED = 20
"""Unfinished runs that are listed one by one."""


def results(
    context: typer.Context,
    pattern: Pattern = None,
    profile: AnyProfile = None,
    where: Where = None,
    csv: Annotated[
        Path | None, typer.Option(help="Write all columns to this file; its folders are made.")
    ] = None,
    as_json: AsJson = False,
    columns: Annotated[bool, typer.Option("--columns", help="Say what every column is, and end.")] = False,
    wandb: Annotated[
        Path | None,
        typer.Option(
            help="Read an export of Weights & Biases (a file, or a folder of some) in place of runs."
        ),
    ] = None,
    study: StudyFolder = None,
) -> None:
    if columns:
        typer.echo(_columns(as_json))
        return
    from trm_scaling.errors import UserError
    from trm_scaling.results.csv_file import write_results
    from trm_scaling.results.table import where as selected

    if wandb is not None:
        profile = typed_profile(context, profile)
    found, table = _exported(wandb, study, pattern or [], profile) if wandb else _run(study, pattern, profile)
    table = selected(table, where or [])
    if csv is not None:
        if table.empty:
            raise UserError(f"{csv} was not written: {_nothing(pattern, profile, wandb)}")
        write_results(table, csv)
        typer.echo(f"{csv}: {_counts(table)}, {len(table.columns)} columns", err=as_json)
    if as_json:
        typer.echo(json.dumps(_plain(table), indent=2, allow_nan=False))
    elif table.empty:
        typer.echo(_nothing(pattern, profile, wandb))
    elif csv is None:
        _print(table, found, pattern or [])


def _run(
    study: Path | None, pattern: list[str] | None, profile: str | None
) -> "tuple[Study | None, pd.DataFrame]":
    from trm_scaling.io.study import find_study
    from trm_scaling.results.table import results_table

    found = find_study(study)
    return found, results_table(found, pattern or [], profile)


def _exported(
    source: Path, study: Path | None, patterns: Sequence[str], profile: str | None
) -> "tuple[Study | None, pd.DataFrame]":
    """The runs in an export; a study is of use but need not be there."""
    from trm_scaling.results.table import goes_by, one_profile
    from trm_scaling.results.wandb_export import parse_wandb_export

    found = study_if_any(study)
    table = parse_wandb_export(source, found)
    if profile is not None:
        table = one_profile(table, profile)
    return found, goes_by(table, patterns)


def _nothing(pattern: list[str] | None, profile: str | None, wandb: Path | None) -> str:
    if wandb is not None:
        return f"no run in {wandb} is of what was asked for"
    if not pattern and profile is None:
        return "no runs yet: start one with `trm run baseline --profile smoke`, or the study with `trm batch`"
    asked = "".join(f" --pattern {each}" for each in pattern or [])
    asked += f" --profile {profile}" if profile else ""
    return f"no run fits `{asked.strip()}`: `trm batch{asked}` trains some, `trm results` shows all there are"


def _columns(as_json: bool) -> str:
    from dataclasses import asdict

    from trm_scaling.results.columns import columns

    described = columns().values()
    if as_json:
        return json.dumps([asdict(each) for each in described], indent=2)
    width = max(len(each.name) for each in described)
    lines = []
    for each in described:
        unit = f", {each.unit}" if each.unit else ""
        meaning = each.meaning.rstrip(".")
        lines.append(f"{each.name:<{width}}  {each.kind}{unit}: {meaning} [{each.source}]")
    return "\n".join(lines)


def _plain(table: "pd.DataFrame") -> list[dict[Hashable, Any]]:
    """Rows for JSON, where a missing cell is null."""
    infinite = table.isin([float("inf"), -float("inf")])
    return table.astype(object).where(table.notna() & ~infinite, None).to_dict("records")


def _counts(table: "pd.DataFrame") -> str:
    """`335 runs: 330 finished, 5 failed`."""
    states = Counter("state unknown" if isinstance(each, float) else str(each) for each in table["state"])
    said = ", ".join(f"{count} {state}" for state, count in states.most_common())
    return f"{len(table)} run{'' if len(table) == 1 else 's'}: {said}"


def _print(table: "pd.DataFrame", study: "Study | None", patterns: Sequence[str]) -> None:
    from trm_scaling.experiments import load_catalogue

    # In a file nothing is cut off.
    console = terminal()
    catalogue = None if study is None else load_catalogue(study.path)
    profiles = table["profile"].fillna("").unique()
    for profile in profiles:
        rows = table[table["profile"].fillna("") == profile]
        if profile:
            console.print(f"profile {_printable(profile)}", style="bold")
        console.print(_by_experiment(rows, catalogue, patterns))
        for line in _unfinished(rows):
            console.print(line, soft_wrap=True)
    if len(profiles) > 1:
        console.print("Runs of several profiles do not compare: choose one with --profile.")
    console.print(_counts(table))


def _by_experiment(table: "pd.DataFrame", catalogue: "Catalogue | None", patterns: Sequence[str]) -> Any:
    from rich.text import Text

    heads = ("runs", "accuracy", "95 % interval", "validation", "parameters", "device-h")
    made = table_of("experiment", *heads, gap=1, folds=True)
    summaries = _summaries(table)
    for title, rows in _families(table, catalogue, patterns):
        made.add_row(Text(title, style="dim"), *[""] * 6)
        for experiment, runs in rows.groupby("experiment", sort=False):
            summary = summaries.get(str(runs["_as"].iloc[0]))
            done = int((runs["state"] == "finished").sum()) if runs["state"].notna().any() else len(runs)
            same = runs["_as"].iloc[0]
            name = f"  {_printable(str(experiment))}" + (f" = {same}" if same != experiment else "")
            made.add_row(
                Text(name),
                f"{done}" if done == len(runs) else f"{done} of {len(runs)}",
                "" if summary is None else f"{summary.mean:.1%}",
                "" if summary is None else ends(summary.interval, hundredfold),
                _mean(runs["val_accuracy"], "{:.1%}"),
                _mean(runs["params"], "{:,.0f}"),
                _hours(runs["device_hours"].mean()),
            )
    return made


def _families(
    table: "pd.DataFrame", catalogue: "Catalogue | None", patterns: Sequence[str]
) -> "Iterator[tuple[str, pd.DataFrame]]":
    """Title and rows of each family that has runs of its own, or was asked for.

    A run that several families share is in each one's rows; the column `_as` holds what the table calls it.
    """
    from trm_scaling.results.table import family_rows, goes_by

    table = table.assign(_as=table["experiment"])
    families = () if catalogue is None else catalogue.families
    keys = {family.key for family in families}
    others = table[~table["family"].isin(keys)]
    for key, rows in others.groupby("family", sort=False, dropna=False):
        yield (_printable(key) if isinstance(key, str) else ""), rows
    for family in families:
        rows = goes_by(family_rows(table, family), patterns, by="experiment")
        if not rows.empty and (patterns or (rows["experiment"] == rows["_as"]).any()):
            yield f"{family.key} {family.title}", rows


def _summaries(table: "pd.DataFrame") -> "dict[str, SeedSummary]":
    """Of each experiment with a test accuracy, over its seeds."""
    import numpy as np

    from trm_scaling.analysis.runs import AccuracyRuns, Configurations
    from trm_scaling.analysis.seeds import summarise_seeds
    from trm_scaling.results.table import DUPLICATE

    known = table[table["test_accuracy"].notna() & (table["state"] != DUPLICATE)]
    if known.empty:
        return {}
    total = known["test_total"].to_numpy(float)
    runs = AccuracyRuns(
        Configurations.of(known["experiment"].tolist()),
        np.ones(len(known)),
        known["test_accuracy"].to_numpy(float),
        None if np.isnan(total).any() else total,
    )
    return {each.configuration: each for each in summarise_seeds(runs)}


def _mean(cells: "pd.Series", form: str) -> str:
    return "" if cells.isna().all() else form.format(cells.mean())


def _hours(hours: float) -> str:
    if hours != hours:
        return ""
    return f"{hours:,.1f}" if hours >= 10 else f"{hours:.2g}"


def _unfinished(table: "pd.DataFrame") -> Iterator[str]:
    """Each run that is not finished, with the reason; the most of them as a count."""
    rows = table[(table["state"] != "finished") & table["state"].notna()]
    for row in rows.head(MOST_UNFINISHED).to_dict("records"):
        seed = "" if row["seed"] != row["seed"] else f" seed {int(row['seed'])}"
        why = "" if isinstance(row["reason"], float) else f": {row['reason']}"
        yield _printable(f"{row['experiment']}{seed} {row['state']}{why}")
    if len(rows) > MOST_UNFINISHED:
        yield f"and {len(rows) - MOST_UNFINISHED} more that are not finished; --csv has them all"


def _printable(text: str) -> str:
    """Without what would move the cursor: names come from anywhere."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
