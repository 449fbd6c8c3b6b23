"""From name, profile and overrides to one frozen configuration: the one way there is.

An experiment's YAML holds the paper's values. Under a profile that has `values:` (config/profile.py),
the baseline is composed with that profile, and what the experiment changes is mapped and laid over it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from trm_scaling.config.arch import fields_of_model
from trm_scaling.config.fields import flattened
from trm_scaling.config.overrides import parsed
from trm_scaling.config.profile import MappedValue, Rules
from trm_scaling.config.run import RunConfig
from trm_scaling.config.study_yaml import (
    check_choice,
    read_study_yaml,
    read_yaml,
    resolved,
    set_value,
    target_of,
)
from trm_scaling.config.validate import check_key, validate
from trm_scaling.errors import UserError
from trm_scaling.io.machine import fast_precision

BASELINE = "baseline"
"""The file that experiments are changes of, unless they name another one (`base: maze`)."""

PAPER = "paper"
"""The profile whose values the experiments are written in."""

AUTO = "auto"
"""A value of `arch.forward_dtype` in YAML and overrides that no configuration holds."""

MODEL = "arch.model"
"""The field that says which network it is, and so which fields `arch` has."""

STUDIES, FAMILY, BASE, VALUES = "studies", "family", "base", "values"
"""Keys of an experiment's YAML (the first three) and of a profile's that are about the study, not of the
schema: the fields it studies, the family it belongs to, what it is a change of, the points of the profile's
map."""


def compose(configs: Path, name: str, profile: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Experiment `name` under `profile`, with `key=value` overrides on top (which nothing maps).

    `configs` is the study's `configs/` folder. Raises UserError for an unknown name, profile or
    key (with the nearest one), a malformed override, broken YAML, or an impossible combination.
    """
    changes = {each.field: each.here for each in mapped_values(configs, name, profile)}
    return compose_changed(configs, name, profile, {**changes, **parsed(overrides)})


def compose_changed(
    configs: Path, name: str, profile: str, changes: Mapping[str, Any], base: str | None = None
) -> RunConfig:
    """The baseline of `profile` with `changes` (dotted field -> value), under the name `name`.

    `base` is the baseline's file; None: that of `name`, which then is an experiment.
    """
    where = f"{name} under profile {profile}"
    tree = _baseline(configs, base or base_of(configs, name), profile, where)
    if (model := changes.get(MODEL)) is not None and (known := fields_of_model(str(model))) is not None:
        # The baseline may have fields of another model; what is asked for here may not.
        tree["arch"] = {name: value for name, value in tree["arch"].items() if name in known}
    for field, value in changes.items():
        set_value(tree, field, value)
    return validate({**with_precision(resolved(_of_schema(tree), where)), "name": name}, where)


def with_precision(values: dict[str, Any]) -> dict[str, Any]:
    """`values` with a precision in place of `auto`: the one that is fast on this machine.

    Done before anything else reads the configuration, so that identity and record hold the precision.
    """
    arch = values.get("arch")
    if not isinstance(arch, dict) or arch.get("forward_dtype") != AUTO:
        return values
    return values | {"arch": arch | {"forward_dtype": fast_precision().dtype}}


def mapped_values(configs: Path, name: str, profile: str) -> list[MappedValue]:
    """What experiment `name` changes or studies, with the paper's value and the one under `profile`.

    Raises UserError as `compose` does.
    """
    check_choice(configs / "experiments", name, "experiment", also=[BASELINE])
    base = base_of(configs, name)
    check_choice(configs / _profiles(base), profile, "profile")
    if name == BASELINE:
        return []
    written = _experiment(configs, name)
    studied = written.get(STUDIES) or []
    leaves = flattened(_of_schema(written))
    usual = flattened(_of_schema(_baseline(configs, base, None, name)))
    for field in studied:
        check_key(field, f"{name}: {STUDIES}")
    values = _baseline(configs, base, profile, name).get(VALUES)
    rules = Rules(values, f"profile {profile}")
    fields = [key for key, value in leaves.items() if key in studied or usual.get(key, KeyError) != value]
    return [MappedValue(key, leaves[key], rules.map(name, key, leaves[key])) for key in fields]


def family_of(configs: Path, name: str) -> str:
    """The key of the family that `name` is written to belong to, or the name itself where there is none."""
    return name if name == BASELINE else str(_experiment(configs, name).get(FAMILY, name))


def base_of(configs: Path, name: str) -> str:
    """The file that experiment `name` is a change of: `baseline`, or that of another task."""
    return BASELINE if name == BASELINE else str(_experiment(configs, name).get(BASE, BASELINE))


def baseline_of(configs: Path, name: str) -> str:
    """The experiment that `name` is compared with: `baseline`; `maze_baseline` where its base is `maze`."""
    return baseline_name(base_of(configs, name))


def baseline_name(base: str) -> str:
    """The experiment that is the file `base` and nothing else."""
    return base if base == BASELINE else f"{base}_{BASELINE}"


def _profiles(base: str) -> str:
    """The folder of the profiles of a baseline."""
    return "profile" if base == BASELINE else f"{base}_profile"


def followers(configs: Path, profile: str) -> dict[str, str]:
    """Fields whose value in the baseline of `profile` is that of another field, and which."""
    values = flattened(_of_schema(_baseline(configs, BASELINE, profile, f"profile {profile}")))
    targets = {field: target_of(value, field) for field, value in values.items() if isinstance(value, str)}
    return {field: target for field, target in targets.items() if target}


def load(path: Path) -> RunConfig:
    """The configuration a run folder keeps in `config.yaml`. Raises UserError when it is not one."""
    return validate(read_yaml(path), str(path))


def dump(config: RunConfig) -> str:
    """`config` as YAML, every field written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _baseline(configs: Path, base: str, profile: str | None, where: str) -> dict[str, Any]:
    """The baseline of a profile (None: as it is written) with its references unresolved; the caller's own."""
    try:
        return read_study_yaml(configs, base, None if profile is None else {_profiles(base): profile})
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _experiment(configs: Path, name: str) -> dict[str, Any]:
    """An experiment as it is written, under the paper's profile, with its references unresolved."""
    try:
        return read_study_yaml(configs, f"experiments/{name}")
    except UserError as error:
        raise UserError(f"{name}: {error}") from None


def _of_schema(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in (STUDIES, FAMILY, BASE, VALUES)}
