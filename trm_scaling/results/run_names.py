"""What a run is called: by its experiment, and by what it changes of it. Imports no table."""

import re
from collections.abc import Mapping
from typing import Any

from trm_scaling.config.compose import load
from trm_scaling.config.overrides import as_override
from trm_scaling.errors import UserError
from trm_scaling.experiments import Catalogue, load_catalogue
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.results.plain import PlainExperiments
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
