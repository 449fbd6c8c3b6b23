"""`trm provenance`: what made a run, and the code of that day given back."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trm_scaling.cli.options import AsJson, RunName, StudyFolder, profile_option
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.io.run_folder import RunFolder

HELP = """
Show what made a run: commit, changes to it, command, versions, machine, once for each start. With
--restore: write that code into a new folder, uncommitted changes and untracked files included.

\b
Examples:
  trm provenance baseline --profile smoke
  trm provenance exp01a --restore /tmp/exp01a-code
"""


def provenance(
    name: RunName,
    restore: Annotated[Path | None, typer.Option(help="New folder for the code that ran.")] = None,
    start: Annotated[
        int | None, typer.Option(min=1, help="Which start of the run.", show_default="the last")
    ] = None,
    as_json: AsJson = False,
    profile: Annotated[str | None, profile_option("the device's")] = None,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.cli.options import chosen_profile
    from trm_scaling.io.study import find_study
    from trm_scaling.run.planned import find_run, folder_named

    folder = folder_named(name) or find_run(find_study(study), name, chosen_profile(profile))
    entries = folder.provenance_entries()
    if not entries:
        raise UserError(f"{folder.path} has no provenance.json: it was never started")
    number = len(entries) if start is None else start
    entry = entries[number - 1] if number <= len(entries) else None
    if not isinstance(entry, dict):
        raise UserError(f"{folder.provenance} has no start {number}: it holds {len(entries)}")
    if as_json:
        typer.echo(json.dumps(entry, indent=2))
    else:
        typer.echo("\n".join([f"{folder.path}, start {number} of {len(entries)}", *_lines(entry)]))
    if restore is not None:
        _restore(folder, entry, restore)


def _lines(entry: dict[str, Any]) -> list[str]:
    changed = {True: "with uncommitted changes", False: "as committed", None: "outside of git"}
    packages = entry.get("packages") or {}
    main = ", ".join(f"{name} {packages[name]}" for name in ("jax", "jaxlib", "numpy") if name in packages)
    lines = [
        f"{'started':<9} {entry.get('started_at')}",
        f"{'commit':<9} {entry.get('commit') or 'unknown'}, {changed.get(entry.get('dirty'), 'unknown')}",
        f"{'command':<9} {' '.join(map(str, entry.get('command') or []))}",
        f"{'python':<9} {entry.get('python')}, {main} and {len(packages)} packages",
        f"{'machine':<9} {entry.get('os')}, {entry.get('cpu_cores')} cores, "
        f"{', '.join(map(str, entry.get('devices') or []))}",
    ]
    return lines + [f"{'not kept':<9} {each}" for each in entry.get("left_out") or ()]


def _restore(folder: "RunFolder", entry: dict[str, Any], into: Path) -> None:
    import trm_scaling
    from trm_scaling.io.source import restore

    if not entry.get("commit"):
        raise UserError(f"{folder.path} ran outside of a git checkout, so its code has no commit to restore")
    diff, untracked = _kept(folder, entry, "diff_file"), _kept(folder, entry, "untracked_file")
    texts = {} if untracked is None else json.loads(untracked)
    restore(Path(trm_scaling.__file__).parent, str(entry["commit"]), diff, texts, into)
    typer.echo(f"wrote commit {str(entry['commit'])[:12]} to {into}", err=True)
    for each in entry.get("left_out") or ():
        typer.echo(f"not there, since it was not kept: {each}", err=True)


def _kept(folder: "RunFolder", entry: dict[str, Any], key: str) -> str | None:
    """The text of a file beside the record that `entry` names."""
    named = entry.get(key)
    if not named:
        return None
    try:
        return (folder.path / Path(str(named)).name).read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{folder.path / str(named)} cannot be read ({error}); restore it from a copy"
        ) from None
