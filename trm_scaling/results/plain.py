"""What each experiment is as it is written, so that a run with overrides is not mistaken for it.

A run folder says what was computed, not whether that was the experiment. The catalogue's table and the
YAML that people edit say what each name is under a profile; they are read plainly here, since Hydra
takes a fifth of a second for each name. Only what was written or edited by hand is left to Hydra.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from trm_scaling.config import RunConfig
from trm_scaling.config.compose import BASELINE, compose
from trm_scaling.config.identity import OPERATIONAL, identity
from trm_scaling.config.validate import validate
from trm_scaling.errors import UserError
from trm_scaling.experiments import Catalogue
from trm_scaling.experiments.sources import Sources
from trm_scaling.experiments.writer import is_generated

_REFERENCE = re.compile(r"\$\{(?P<relative>\.?)(?P<field>[\w.]+)\}")
"""A value that is another field's: `${.hidden_size}` of the same group, `${data.train_size}` of all."""


class PlainExperiments:
    """The experiments of one study, without overrides, under any of its profiles."""

    def __init__(self, configs: Path, catalogue: Catalogue) -> None:
        """`configs`: the study's `configs/` folder."""
        self._configs = configs
        self._catalogue = catalogue
        self._sources = cache(lambda profile: Sources(configs, profile))
        self.config = cache(self._config)
        self.names_by_identity8 = cache(self._names_by_identity8)

    def _config(self, name: str, profile: str) -> RunConfig | None:
        """The configuration of `name` under `profile`; None where there is none, or none any more."""
        if name not in self._catalogue.names:
            return None
        try:
            in_table = self._is_in_the_table(name)
            config = self._read(name, profile) if in_table else compose(self._configs, name, profile)
            identity(config)  # one that makes less than one step is no run's
            return config
        except UserError:
            # A profile that is gone, or values that the schema now refuses: nothing to compare with.
            return None

    def _names_by_identity8(self, profile: str) -> dict[str, tuple[str, ...]]:
        """The first eight digits of an identity -> its names under `profile`, in the catalogue's order.

        Of the experiments in the catalogue's table; one that only has a file is composed when a run
        lies under its name.
        """
        names: dict[str, tuple[str, ...]] = {}
        for name in self._catalogue.names:
            config = self.config(name, profile) if self._is_in_the_table(name) else None
            if config is not None:
                own = identity(config)[:8]
                names[own] = (*names.get(own, ()), name)
        return names

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

    def _is_in_the_table(self, name: str) -> bool:
        """Whether the table alone says what `name` is: its files are as they were generated."""
        family = self._catalogue.family_of(name)
        if family is None:
            return name == BASELINE
        files = [self._configs / "experiments" / f"{name}.yaml"]
        if family.has_arch:
            files.append(self._configs / "arch_config" / f"{name}_arch.yaml")
        return all(file.is_file() and is_generated(file.read_text()) for file in files)

    def _followers(self, profile: str) -> dict[str, str]:
        """Fields whose plain value is that of another field, and which."""
        sources = self._sources(profile)
        values = {field: sources.value(field) for field in leaves(RunConfig)}
        return {field: target for field, value in values.items() if (target := _target(field, value))}

    def _read(self, name: str, profile: str) -> RunConfig:
        sources = self._sources(profile)
        family = self._catalogue.family_of(name)
        own = {} if family is None else family.of(name)
        flat = {field: sources.value(field) for field in leaves(RunConfig)}
        flat |= {field: sources.mapped(name, field, _as_written(value)) for field, value in own.items()}
        resolved = {
            field: flat[target] if (target := _target(field, value)) else value
            for field, value in flat.items()
        }
        where = f"{name} under profile {profile}"
        return validate(_nested(resolved) | {"name": name, "profile": profile}, where)


def differences(plain: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of science, dotted, that are not in `values` what they are in `plain`; seeds aside."""
    here = flattened(values)
    return {
        field: here[field]
        for field, value in flattened(plain).items()
        if field.split(".")[0] not in OPERATIONAL
        and field not in ("seed", "profile")
        and field in here
        and here[field] != value
    }


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration by dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted names of a schema's values."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def _as_written(value: Any) -> Any:
    """A table's value as the YAML made from it has it (experiments/text.py)."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


def _target(field: str, value: Any) -> str | None:
    """The field that `value` of `field` refers to; None where it is a value itself."""
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    group = field.rpartition(".")[0]
    return f"{group}.{found['field']}" if found["relative"] and group else found["field"]


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for field, value in flat.items():
        *parents, leaf = field.split(".")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = value
    return tree
