"""From a name to a run that could be started, and from a name to a run that was. Nothing here writes."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Self

from trm_scaling.config import RunConfig
from trm_scaling.config.compose import baseline_of, compose
from trm_scaling.config.identity import identity
from trm_scaling.errors import UserError
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.results.scan import scan_runs
from trm_scaling.run.place import Place


@dataclass(frozen=True)
class Run:
    """A composed experiment and the study it belongs to."""

    study: Study
    config: RunConfig
    preferred: str
    """The name that the run lies under unless it lies under another one already (`run.place`)."""

    @property
    def place(self) -> Place:
        """What decides where the run lies."""
        config = self.config
        return Place(self.study, config.profile, config.name, self.preferred, identity(config), config.seed)

    @property
    def folder(self) -> RunFolder:
        """`checkpoints/<profile>/<name>/<identity8>-s<seed>/`, of the name that the run lies under."""
        return self.place.folder()

    def with_seed(self, seed: int) -> Self:
        """The same experiment with another seed."""
        return replace(self, config=self.config.model_copy(update={"seed": seed}))


class Planner:
    """Composes experiments under one profile and one set of overrides."""

    def __init__(self, study: Study, profile: str, overrides: Sequence[str] = ()) -> None:
        self._study = study
        self._profile = profile
        self._overrides = tuple(overrides)
        self._identity_of = cache(self._identity)

    def plan(self, name: str) -> Run:
        """Compose experiment `name`. Raises UserError as `compose` does."""
        config = compose(self._study.configs, name, self._profile, self._overrides)
        baseline = baseline_of(self._study.configs, name)
        is_baseline = name == baseline or identity(config) == self._identity_of(baseline)
        return Run(self._study, config, baseline if is_baseline else name)

    def _identity(self, baseline: str) -> str | None:
        try:
            return identity(compose(self._study.configs, baseline, self._profile, self._overrides))
        except UserError:
            # Overrides may fit an experiment and not the baseline.
            return None


def plan_run(study: Study, name: str, profile: str, overrides: Sequence[str] = ()) -> Run:
    """Compose experiment `name`. Raises UserError as `compose` does."""
    return Planner(study, profile, overrides).plan(name)


def no_run(study: Study, name: str, profile: str | None) -> str:
    """What to do about a run that is not there: perhaps it is under another profile, or has another name.

    A `profile` of None stands for all of them.
    """
    under = "" if profile is None else f" under profile {profile}"
    missing = f"no run of {name!r}{under} in {study.checkpoints}"
    known = {run.profile: None for run in scan_runs(study) if name in run.names}
    if known:
        return f"{missing}; there is one under {' and '.join(known)}: add --profile {next(iter(known))}"
    if name in study.experiments:
        option = "" if profile is None else f" --profile {profile}"
        return f"{missing}: train it with `trm run {name}{option}`, or name a run folder"
    names = dict.fromkeys(each for run in scan_runs(study) for each in run.names)
    near = difflib.get_close_matches(name, [*names, *study.experiments], n=3, cutoff=0.5)
    said = f"nearest: {', '.join(near)}; " if near else ""
    return f"{missing}, and no experiment is called so; {said}`trm status` shows the runs that there are"


def find_run(study: Study, name: str, profile: str) -> RunFolder:
    """The run of experiment `name` under `profile`: the one without overrides, else the newest.

    A run that lies under another name is found by each of its names. Runs without a checkpoint count
    only where there is no other: an attempt that failed at once must not hide the run before it.

    Raises UserError when there is none, with the command that makes one.
    """
    folders = study.run_folders(profile, name)
    if name in study.experiments:
        # The experiment as it is written, rather than the newest variant of it, if it was run.
        written = plan_run(study, name, profile).folder
        if written.has_checkpoint:
            return written
    if not folders:
        raise UserError(no_run(study, name, profile))
    return next((folder for folder in reversed(folders) if folder.has_checkpoint), folders[-1])
