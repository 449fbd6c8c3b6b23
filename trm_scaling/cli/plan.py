"""`trm plan`: what the experiments would take."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trm_scaling.cli.options import PAPER, AsJson, ClusterProfile, Pattern, StudyFolder
from trm_scaling.cli.tables import from_here, terminal
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.cost.devices import TargetName

HELP = """
Say what the experiments would take of a target: FLOPs, steps, memory, hours, cost, disk. Speeds come from
the study's own finished runs where there are any on such a device, else from a stated assumption.

With --compile, the real training step of each experiment is compiled for the target, which need not be there:
an H200 (extra [gpu]) or a TPU v4 slice (extra [tpu]). The report says what a step does: kernels, bytes by
kind, memory, time at best. A program takes about a minute; the same command goes on where it was interrupted.

\b
Examples:
  trm plan
  trm plan --prioritized --jobs 2
  trm plan --pattern exp01 --target h200
  trm plan --json
  trm plan --compile --target v4-64
  trm plan --compile --target h200 --pattern baseline global_batch_size=768
"""

TargetChoice = Literal["v4-64", "v4-32", "v4-16", "v4-8", "h200", "h100x8", "h100", "cpu"]

SMALLER_PODS: tuple["TargetName", ...] = ("v4-32", "v4-16", "v4-8")
"""What a grantee may get in place of a v4-64."""

FEW = 20
"""Configurations up to which each has a line of its own without being asked for."""


def plan(
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[key=value]...", help="Fields to change in all of them.")
    ] = None,
    *,
    target: Annotated[TargetChoice, typer.Option(help="Where they would run.")] = "v4-64",
    pattern: Pattern = None,
    profile: ClusterProfile = PAPER,
    jobs: Annotated[int, typer.Option(min=1, help="Targets at once, for the time in parallel.")] = 4,
    prioritized: Annotated[
        bool, typer.Option("--prioritized", help="Only the study's recommended subset.")
    ] = False,
    each: Annotated[bool, typer.Option("--each", help="Every configuration on a line of its own.")] = False,
    usd: Annotated[
        float | None, typer.Option(min=0, help="Price of one device and hour, instead of the estimates.")
    ] = None,
    compiling: Annotated[
        bool, typer.Option("--compile", help="Compile the training steps: h200, v4-*.")
    ] = False,
    as_json: AsJson = False,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.cli.plan_page import page
    from trm_scaling.cost.devices import TARGETS
    from trm_scaling.cost.plan import PRIORITIZED
    from trm_scaling.cost.plan import as_json as plan_as_json
    from trm_scaling.experiments.catalogue import load_catalogue
    from trm_scaling.io.study import find_study
    from trm_scaling.run.local_device import measured_speeds
    from trm_scaling.run.preview import plan_study
    from trm_scaling.run.reporters import shown_progress

    found, there = find_study(study), TARGETS[target]
    catalogue = load_catalogue(found.path)
    if usd is not None:
        there = replace(there, chip=replace(there.chip, usd_per_hour=usd, spot_usd_per_hour=usd))
    names = catalogue.matching(pattern) if pattern else list(catalogue.study_names)
    if prioritized:
        names = [name for name in names if catalogue.group_of(name) in PRIORITIZED]
        if not names:
            raise UserError(f"none of them is of the recommended subset: {', '.join(PRIORITIZED)}")
    with shown_progress() as progress:
        named = catalogue.composed(names, profile, progress, overrides or [])
    measured = measured_speeds(found)
    planned = plan_study(found, named, there, measured)
    if compiling:
        from trm_scaling.cli.plan_compile import compile_all

        typer.echo(f"written: {from_here(compile_all(found, named, planned, there, measured))}")
        return
    if as_json:
        typer.echo(json.dumps(plan_as_json(planned, there, profile, jobs), indent=1))
        return
    compares = profile == "paper" and there.name == "v4-64" and not pattern and not overrides
    pods = [replace(there, name=name, chips=TARGETS[name].chips) for name in SMALLER_PODS]
    whole = compares and not prioritized
    smaller = {pod.name: plan_study(found, named, pod, measured) for pod in pods} if whole else None
    console, by_family = terminal(), not each and len(planned) > FEW
    for part in page(
        catalogue, planned, there, jobs, by_family, console.width, smaller=smaller, beside_first=compares
    ):
        console.print(part)
