"""What the baseline is under a profile, read plainly: no Hydra, so that a list of names is instant."""

from functools import cached_property
from pathlib import Path
from typing import Any

from trm_scaling.config import RunConfig
from trm_scaling.config.profile import Rules
from trm_scaling.config.yaml_file import check_choice, read_yaml
from trm_scaling.experiments.family import ARCH

PAPER = "paper"
"""The profile whose values the experiments are written in."""


class Sources:
    """The YAML files that a person edits: the baseline, its architecture, and one profile."""

    def __init__(self, configs: Path, profile: str = PAPER) -> None:
        """Raises UserError for an unknown profile (with the nearest), and when a file is broken."""
        check_choice(configs / "profile", profile, "profile")
        self._arch = read_yaml(configs / "arch_config" / "trm_baseline.yaml")
        self._baseline = read_yaml(configs / "baseline.yaml")
        self._profile = read_yaml(configs / "profile" / f"{profile}.yaml")
        self._where = f"profile {profile}"

    @cached_property
    def _rules(self) -> Rules:
        return Rules(self._profile.get("values"), self._where)

    def value(self, field: str) -> Any:
        """The baseline's value of a dotted field: the profile's, else the files', else the schema's default.

        Raises KeyError when the schema has no such field.
        """
        in_arch = [(self._arch, field.removeprefix(ARCH))] if field.startswith(ARCH) else []
        for values, key in [(self._profile, field), (self._baseline, field), *in_arch]:
            found = _lookup(values, key)
            if found is not _MISSING:
                return found
        return _default(field)

    def mapped(self, experiment: str, field: str, value: Any) -> Any:
        """What the paper's `value` becomes in `experiment` under the profile."""
        return self._rules.map(experiment, field, value)


_MISSING = object()
"""Apart from None, which is a value."""


def _lookup(values: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            return _MISSING
        values = values[part]
    return values


def _default(field: str) -> Any:
    model: Any = RunConfig
    *parents, leaf = field.split(".")
    for parent in parents:
        model = model.model_fields[parent].annotation
    return model.model_fields[leaf].default
