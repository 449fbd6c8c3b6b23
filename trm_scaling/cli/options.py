"""Options that several verbs share, and what they mean."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.config import RunConfig
    from trm_scaling.experiments.catalogue import Catalogue
    from trm_scaling.io.run_folder import RunFolder
    from trm_scaling.io.study import Study


def complete_experiment(incomplete: str) -> list[str]:
    """For the shell: names of the study that begin so, and of runs that have one of their own."""
    from trm_scaling.io.study import find_study

    try:
        study = find_study()
    except UserError:
        return []
    own = (path.name for path in study.checkpoints.glob("*/*"))
    return [name for name in dict.fromkeys([*study.experiments, *own]) if name.startswith(incomplete)]


def complete_run(incomplete: str) -> list[str]:
    """For the shell: the same, and the run folders and files that a path begins."""
    if "/" not in incomplete:
        return complete_experiment(incomplete)
    typed = Path(incomplete)
    folder, begins = (typed, "") if incomplete.endswith("/") else (typed.parent, typed.name)
    try:
        found = sorted(each for each in folder.iterdir() if each.name.startswith(begins))
    except OSError:
        return []
    return [f"{each}/" if each.is_dir() else str(each) for each in found]


def complete_profile(incomplete: str) -> list[str]:
    """For the shell: profiles of the study that begin so."""
    from trm_scaling.io.study import find_study

    try:
        files = sorted((find_study().configs / "profile").glob("*.yaml"))
    except UserError:
        return []
    return [file.stem for file in files if file.stem.startswith(incomplete)]


def profile_option(shown: str | None = None, help: str = "Budget to look at.") -> Any:
    """`--profile`, which the shell completes; `shown` is what the help says of its default."""
    return typer.Option(
        help=help, envvar="TRM_PROFILE", autocompletion=complete_profile, show_default=shown or True
    )


_BUDGETS = "Budget: smoke, laptop, h200, paper."
Profile = Annotated[str | None, profile_option("paper on an accelerator, laptop on a CPU", _BUDGETS)]
ClusterProfile = Annotated[str, profile_option(help=_BUDGETS)]
"""Of verbs whose runs are elsewhere, on accelerators: `paper` unless it is said otherwise."""
PAPER = "paper"
StudyFolder = Annotated[
    Path | None,
    typer.Option(
        "--study", help="The study's folder.", envvar="TRM_STUDY", show_default="the nearest kellen/"
    ),
]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="An experiment (its run as written, else the newest), or a run folder.",
        autocompletion=complete_run,
    ),
]
Experiment = Annotated[
    str | None,
    typer.Argument(
        metavar="EXPERIMENT", help="Name in the study, e.g. baseline.", autocompletion=complete_experiment
    ),
]
Experiments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]... [KEY=VALUE]...",
        help="Experiments, and fields to change.",
        autocompletion=complete_experiment,
    ),
]
Pattern = Annotated[
    list[str] | None, typer.Option(help="Names that contain it, or match it as a glob. Repeatable.")
]
AnyProfile = Annotated[str | None, profile_option("all that have runs")]
OneProfile = Annotated[str | None, profile_option("the only one with runs", "Budget.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, nothing else.")]
At = Annotated[Literal["best", "last"], typer.Option(help="Checkpoint: best on validation, or the newest.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed (the first, of several).", show_default="0")]
Together = Annotated[
    bool | None,
    typer.Option(
        "--together/--apart",
        help="Replicates as one program, or one after another.",
        show_default="together up to width 256 on an accelerator",
    ),
]
NoWandb = Annotated[bool, typer.Option("--no-wandb", help="Nothing goes to Weights & Biases.")]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where", metavar="CONDITION", help="Only runs like 'num_aug>0' or 'optimizer=adamw'. Repeatable."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Fields to change, as in arch.L_cycles=4."),
]


def chosen_profile(given: str | None, *, of_workers: bool = False) -> str:
    """The profile asked for, or the default of this process's device (or its workers') with a line that
    says so.
    """
    if given is not None:
        return given
    from trm_scaling.run.local_device import default_profile, own_backend, worker_backend

    profile = default_profile(worker_backend if of_workers else own_backend)
    typer.echo(f"profile {profile} (the default on this device; choose with --profile)", err=True)
    return profile


def typed_profile(context: typer.Context, profile: str | None) -> str | None:
    """`profile` where it was typed, None where it is the environment's: a file of runs or surfaces was made
    under a profile of its own, which a shell's usual one must not filter.
    """
    source = context.get_parameter_source("profile")
    return profile if source is not None and source.name == "COMMANDLINE" else None


def parted(texts: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """The names among what was typed, and the overrides (`key=value`)."""
    return [text for text in texts or [] if "=" not in text], [text for text in texts or [] if "=" in text]


def chosen_names(catalogue: "Catalogue", names: Sequence[str], patterns: Sequence[str] | None) -> list[str]:
    """`names` and the experiments that a pattern matches, each once. Raises UserError when there are none."""
    if not names and not patterns:
        raise UserError(
            "nothing to run: name experiments, or give --pattern exp01 (or '*' for all); "
            "`trm batch --list` shows what there is"
        )
    catalogue.check(names)
    return list(dict.fromkeys([*names, *(catalogue.matching(patterns) if patterns else [])]))


def study_if_any(given: Path | None) -> "Study | None":
    """The study, or None where none was named and none is found: a table from elsewhere needs none."""
    from trm_scaling.io.study import find_study

    try:
        return find_study(given)
    except UserError:
        if given is not None:
            raise
        return None


def one_blas_thread() -> None:
    """Before NumPy is loaded, for verbs that fit: they solve thousands of tiny systems, over which BLAS
    threads wait for one another, and one thread takes half of the time.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def uncompiled_search() -> None:
    """Before Numba is loaded, for verbs that look at one small board: plain Python searches it in
    milliseconds, and where no compiled search is cached yet, compiling takes seconds.
    """
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")


@dataclass(frozen=True)
class OpenedRun:
    """The run that a verb was asked to look at."""

    study: "Study"
    folder: "RunFolder"
    config: "RunConfig"


def say_first(text: str) -> None:
    """On stderr, before imports that take seconds: nobody watches a silent terminal for long."""
    typer.echo(f"{text} ...", err=True)


def open_run(name: str, profile: str | None, study: Path | None) -> OpenedRun:
    """Find the run `name` and make JAX ready. Raises UserError as `find_study` and `find_run` do."""
    from trm_scaling.config.compose import load
    from trm_scaling.io.study import find_study
    from trm_scaling.run.compilation import configure_jax
    from trm_scaling.run.planned import find_run, folder_named

    configure_jax()
    found = find_study(study)
    folder = folder_named(name) or find_run(found, name, chosen_profile(profile))
    return OpenedRun(found, folder, load(folder.config))
