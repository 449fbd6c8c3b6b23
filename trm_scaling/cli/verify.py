"""`trm verify`: train the first steps of a finished run again, and hold them against its record."""

from typing import TYPE_CHECKING, Annotated

import typer

from trm_scaling.cli.options import Profile, RunName, StudyFolder, open_run

if TYPE_CHECKING:
    from trm_scaling.run.verify import Comparison, Recorded, Replay

HELP = """
Train the first steps of a finished run again, in a temporary place, and compare every number with its
record: equal bit for bit, close (within what rounding does), different (exit status 1), or undecided (exit
status 3), where rounding alone makes as much as another experiment does. Nothing of the run is changed.
What was otherwise when it was made (versions, devices, code) is said.

\b
Examples:
  trm verify baseline --profile smoke
  trm verify kellen/checkpoints/smoke/baseline/1a2b3c4d-s0
  trm verify exp01a --profile laptop --steps 100
"""

_STATUS = {"differs": 1, "undecided": 3}
"""Of the verdicts that are no success."""


def verify(
    name: RunName,
    steps: Annotated[int, typer.Option(min=1, help="At least so many steps, to the end of a call.")] = 20,
    profile: Profile = None,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.io.provenance import collect_provenance
    from trm_scaling.run.reporters import shown_progress
    from trm_scaling.run.verify import compare_lines, differing_environment, recorded_beginning, replay

    run = open_run(name, profile, study)
    recorded = recorded_beginning(run.folder, steps)
    typer.echo(f"training steps 1 to {recorded.until} of {run.folder.path} again; compiling first", err=True)
    with shown_progress() as progress:
        again = replay(recorded, run.study.data_root, progress)
    config = recorded.config
    found = compare_lines(recorded.lines, again.lines, config.arch.forward_dtype, config.global_batch_size)
    otherwise = differing_environment(run.folder, recorded, again, collect_provenance([again.device_kind]))
    typer.echo(f"{run.folder.path}: steps 1 to {recorded.until}, {found.compared} numbers")
    typer.echo("\n".join([*verdict(found, otherwise), *_mesh(recorded, again)]))
    if found.verdict in _STATUS:
        raise typer.Exit(_STATUS[found.verdict])


def verdict(found: "Comparison", otherwise: list[str]) -> list[str]:
    """What came of comparing, and what may be the reason, in lines."""
    reasons = [f"  {each}" for each in otherwise]
    if found.verdict == "equal":
        return ["equal bit for bit", *(["although this is otherwise:", *reasons] if reasons else [])]
    share = f"{len(found.differences)} of them are not the same bits"
    worst = found.worst
    size = f"{worst.size:.2g} apart, and rounding alone makes up to {worst.allowed:.2g}"
    if found.verdict == "close":
        said = [f"close: {share}; the largest difference: {worst}", f"({size})"]
    elif found.verdict == "undecided":
        said = [
            f"undecided: {share}; the largest difference: {worst} ({size})",
            "the earliest line stands for so late a step that other experiments differ by no more: "
            "verify it on the kind of device that made it, where the bits should be equal",
        ]
    else:
        said = [f"differs: {share}; first of all {found.first_far}; worst {worst} ({size})"]
    if reasons:
        return [*said, "this is otherwise:", *reasons]
    return [*said, "the record names nothing that is otherwise: the machine, the files or the code changed"]


def _mesh(recorded: "Recorded", again: "Replay") -> list[str]:
    made, here = recorded.record.device_count, again.device_count
    if made == here:
        return []
    return [
        f"the run was made by {made} devices and verified on {here}: the same function, rounded otherwise"
    ]
