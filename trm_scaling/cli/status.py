"""`trm status`: how every run of the study stands."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trm_scaling.cli.options import AnyProfile, AsJson, Pattern, StudyFolder
from trm_scaling.cli.tables import terminal

if TYPE_CHECKING:
    from trm_scaling.io.study import Study
    from trm_scaling.results.run_names import RunNames
    from trm_scaling.run.batch.status import Row

HELP = """
Show every run that was begun: its state, how far it has come, loss, accuracy on validation, speed and
the time left. Reads the run folders alone, so it works beside any runner, on any machine that sees
the study's disk.

\b
Examples:
  trm status
  trm status --pattern exp01 --profile smoke
  trm status --watch
  trm status --json
"""

WATCH_SECONDS = 2.0


def status(
    pattern: Pattern = None,
    profile: AnyProfile = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it until Ctrl-C.")] = False,
    as_json: AsJson = False,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.io.study import find_study
    from trm_scaling.results.run_names import RunNames

    found = find_study(study)
    names = RunNames(found)
    rows = found_rows(found, pattern or [], profile, names)
    if as_json:
        typer.echo(json.dumps([_plain(row) for row in rows], indent=2))
    elif watch:
        _watch(found, pattern or [], profile, names)
    elif not rows:
        typer.echo("no runs yet: start one with `trm run` or `trm batch`")
    else:
        _print(rows)


def found_rows(
    study: "Study", patterns: Sequence[str], profile: str | None, names: "RunNames"
) -> "list[Row]":
    """The runs of a study as they stand, those that go by one of `patterns` (none: all)."""
    from trm_scaling.results.progress import read_progress
    from trm_scaling.results.scan import scan_runs, standing
    from trm_scaling.run.batch.status import Row

    rows = []
    runs = scan_runs(study, None if profile is None else [profile])
    asked = [run for run in runs if not patterns or any(run.goes_by(pattern) for pattern in patterns)]
    for run in asked:
        now = standing(run.folder)
        message = now.failure.message if now.failure is not None and now.state == "failed" else ""
        progress = read_progress(run.folder)
        rows.append(Row(names(run), run.profile, run.seed, now.state, run.folder, progress, message))
    return rows


def _print(rows: "Sequence[Row]") -> None:
    from trm_scaling.cli.batch_view import in_words, sums, table

    # In a file nothing is folded, and nothing cut off.
    console = terminal()
    console.print(table(rows, len(rows) + 100, console.width))
    for row in rows:
        if row.label == "failed":
            console.print(in_words(row), soft_wrap=True)
    console.print(sums(rows))


def _watch(study: "Study", patterns: Sequence[str], profile: str | None, names: "RunNames") -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from trm_scaling.cli.batch_view import sums, table
    from trm_scaling.io.bucket_study import refresh_runs
    from trm_scaling.io.mirror import REFRESH_SECONDS

    console = Console()
    brought = time.monotonic()
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                if time.monotonic() - brought > REFRESH_SECONDS:
                    refresh_runs(study.path)
                    brought = time.monotonic()
                rows = found_rows(study, patterns, profile, names)
                head = Text(sums(rows), no_wrap=True, overflow="ellipsis")
                shown = Group(head, "", table(rows, console.height, console.width))
                live.update(shown, refresh=True)
                time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        return


def _plain(row: "Row") -> dict[str, Any]:
    return {
        "names": list(row.names),
        "profile": row.profile,
        "seed": row.seed,
        "state": row.label,
        "message": row.message or None,
        "folder": str(row.folder.path),
        **asdict(row.progress),
    }
