"""Options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

Profile = Annotated[
    str | None,
    typer.Option(
        help="Budget: smoke, laptop, paper.",
        envvar="TRM_PROFILE",
        show_default="paper on an accelerator, laptop on a CPU",
    ),
]
StudyFolder = Annotated[
    Path | None,
    typer.Option(
        "--study", help="The study's folder.", envvar="TRM_STUDY", show_default="the nearest kellen/"
    ),
]
RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="An experiment (its newest run) or a run folder.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Fields to change, as in arch.L_cycles=4."),
]


def chosen_profile(given: str | None) -> str:
    """The profile asked for, or the device's default with a line that says so."""
    if given is not None:
        return given
    from trm_scaling.run.single import default_profile

    profile = default_profile()
    typer.echo(f"profile {profile} (the default on this device; choose with --profile)", err=True)
    return profile
