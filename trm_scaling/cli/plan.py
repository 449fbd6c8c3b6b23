"""`trm plan`: what the experiments would take."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trm_scaling.cli.options import PAPER, AsJson, ClusterProfile, Pattern, StudyFolder
from trm_scaling.cli.tables import from_here, terminal

if TYPE_CHECKING:
    from trm_scaling.counting.devices import Target, TargetName
    from trm_scaling.experiments.catalogue import Catalogue
    from trm_scaling.io.study import Study
    from trm_scaling.run.plan.study_plan import Named, Planned

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
    from trm_scaling.counting.devices import TARGETS
    from trm_scaling.experiments.catalogue import load_catalogue
    from trm_scaling.io.study import find_study
    from trm_scaling.run.plan.study_plan import planned as plan_on

    found = find_study(study)
    catalogue = load_catalogue(found.path)
    there = TARGETS[target]
    if usd is not None:
        there = replace(there, chip=replace(there.chip, usd_per_hour=usd, spot_usd_per_hour=usd))
    names = catalogue.matching(pattern) if pattern else list(catalogue.study_names)
    if prioritized:
        names = _prioritized(catalogue, names)
    named = _named(found, catalogue, names, profile, overrides or [])
    planned = plan_on(found, named, there)
    if compiling:
        _compile(found, named, planned, there)
        return
    if as_json:
        from trm_scaling.run.plan.study_plan import as_json as plain

        typer.echo(json.dumps(plain(planned, there, profile, jobs), indent=1))
        return
    compares = profile == "paper" and there.name == "v4-64" and not pattern and not overrides
    pods = [replace(there, name=name, chips=TARGETS[name].chips) for name in SMALLER_PODS]
    smaller = {pod.name: plan_on(found, named, pod) for pod in pods} if compares and not prioritized else None
    _show(catalogue, planned, there, jobs, each, smaller, compares)


def _prioritized(catalogue: "Catalogue", names: list[str]) -> list[str]:
    from trm_scaling.errors import UserError
    from trm_scaling.run.plan.study_plan import PRIORITIZED

    kept = [name for name in names if catalogue.group_of(name) in PRIORITIZED]
    if not kept:
        raise UserError(f"none of them is of the recommended subset: {', '.join(PRIORITIZED)}")
    return kept


def _named(
    study: "Study", catalogue: "Catalogue", names: list[str], profile: str, overrides: list[str]
) -> "Named":
    from trm_scaling.cli.progress import shown_progress
    from trm_scaling.run.plan.study_plan import named_configurations

    with shown_progress() as progress:
        return named_configurations(study, catalogue, names, profile, progress, overrides)


def _show(
    catalogue: "Catalogue",
    planned: "list[Planned]",
    target: "Target",
    jobs: int,
    each: bool,
    smaller: "dict[str, list[Planned]] | None",
    beside_first: bool,
) -> None:
    from trm_scaling.cli.plan_page import page

    console = terminal()
    by_family = not each and len(planned) > FEW
    width = console.width
    for part in page(
        catalogue, planned, target, jobs, by_family, width, smaller=smaller, beside_first=beside_first
    ):
        console.print(part)


def _compile(study: "Study", named: "Named", planned: "list[Planned]", target: "Target") -> None:
    from trm_scaling.cli.plan_compile import compile_all

    report = compile_all(study, named, planned, target)
    typer.echo(f"written: {from_here(report)}")
