"""What a run is called: by its experiment, and by what it changes of it."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from trm_scaling.config import RunConfig
from trm_scaling.config.compose import compose, family_of, followers, load
from trm_scaling.config.fields import Mark, flattened, marked
from trm_scaling.config.identity import identity
from trm_scaling.config.overrides import as_override
from trm_scaling.errors import UserError
from trm_scaling.experiments import Catalogue, load_catalogue
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.results.scan import FoundRun

_WORD = re.compile(r"[A-Za-z][\w./-]*")
"""Text that needs no quotes on the command line."""


class RunNames:
    """The names of runs by their folders alone, for those who show runs one by one."""

    def __init__(self, study: Study, catalogue: Catalogue | None = None) -> None:
        self._catalogue = catalogue or load_catalogue(study.path)
        self._plain = PlainExperiments(study.configs)
        self._overrides: dict[tuple[str, str, str], str] = {}

    def __call__(self, run: FoundRun) -> tuple[str, ...]:
        """All names that the run was asked for by; of a run with overrides one, with those in brackets."""
        overrides = self.overrides(run)
        return (called(run.names[0], overrides),) if overrides else run.names

    def overrides(self, run: FoundRun) -> str:
        """What the run changes of the experiment it lies under, as text; empty where that is not known."""
        if run.folder.imported.is_file() or self._catalogue.names_of(run.identity8, run.profile):
            return ""
        key = (run.profile, run.names[0], run.identity8)
        if key not in self._overrides:
            values = _values(run.folder)
            changed = None if values is None else self._plain.overrides(run.names[0], run.profile, values)
            self._overrides[key] = said_of(changed or {})
        return self._overrides[key]


def _values(folder: RunFolder) -> dict[str, Any] | None:
    try:
        return load(folder.config).model_dump(mode="json")
    except UserError:
        # It broke off before it had one, or another version wrote it.
        return None


def called(name: str, overrides: str) -> str:
    """`exp01a[lr=0.001]`."""
    return f"{name}[{overrides}]" if overrides else name


def said_of(changed: Mapping[str, Any]) -> str:
    """`lr=0.001 optimizer=adamw`, as one would type it."""
    return " ".join(
        f"{field}={value}" if isinstance(value, str) and _WORD.fullmatch(value) else as_override(field, value)
        for field, value in changed.items()
    )


_NOT_COMPARED = marked(RunConfig, Mark.OPERATIONAL) | {"seed", "profile"}


class PlainExperiments:
    """The experiments of one study, without overrides, under any of its profiles."""

    def __init__(self, configs: Path) -> None:
        """`configs`: the study's `configs/` folder."""
        self._configs = configs
        self.config = cache(self._config)
        self._followers = cache(lambda profile: followers(configs, profile))

    def _config(self, name: str, profile: str) -> RunConfig | None:
        """The configuration of `name` under `profile`; None where there is none, or none any more."""
        try:
            config = compose(self._configs, name, profile)
            identity(config)  # one that makes less than one step is no run's
            return config
        except UserError:
            # A profile that is gone, or values that the schema now refuses: nothing to compare with.
            return None

    def overrides(self, name: str, profile: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """The fields of science in which `values` differ from `name` under `profile`, by dotted name.

        `values` is a whole configuration, as records hold it; a field that it lacks, because the schema
        had none then, has the value that the schema gives it. None where `name` is no experiment.
        """
        plain = self.config(name, profile)
        if plain is None:
            return None
        changed = differences(plain.model_dump(mode="json"), values)
        here = flattened(values)
        for field, target in self._followers(profile).items():
            # puzzle_emb_ndim is hidden_size unless it is given: whoever changed one did not change both.
            if field in changed and target in changed and here[field] == here[target]:
                del changed[field]
        return changed


def as_known(study: Study, config: RunConfig) -> dict[str, Any]:
    """What a run's record says of its place in the study: all names of its configuration, with the one it
    lies under first; the family of that one; and the fields in which it differs from it as written.
    """
    own, plain = identity(config), PlainExperiments(study.configs)
    names = [config.name]
    for name in sorted(study.experiments):
        same = plain.config(name, config.profile)
        if name != config.name and same is not None and identity(same) == own:
            names.append(name)
    try:
        family = family_of(study.configs, config.name)
    except UserError:
        family = config.name
    overrides = plain.overrides(config.name, config.profile, config.model_dump(mode="json"))
    return {"names": names, "family": family, "overrides": overrides or {}}


def differences(plain: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of science, dotted, that are not in `values` what they are in `plain`; seeds aside."""
    here = flattened(values)
    return {
        field: here[field]
        for field, value in flattened(plain).items()
        if field not in _NOT_COMPARED and field in here and here[field] != value
    }
