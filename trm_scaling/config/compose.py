"""From YAML and the command line to one frozen configuration; composition and overrides are Hydra's.

An experiment's YAML holds the paper's values. Under a profile that has `values:` (config/profile.py),
the baseline is composed with that profile, and what the experiment changes is mapped and laid over it.
"""

import logging
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from trm_scaling.config.overrides import as_override, checked
from trm_scaling.config.profile import MappedValue, Rules
from trm_scaling.config.run import RunConfig
from trm_scaling.config.validate import check_key, validate
from trm_scaling.config.yaml_file import check_choice, read_yaml
from trm_scaling.errors import UserError

BASELINE = "baseline"

STUDIES, VALUES = "studies", "values"
"""Keys of an experiment's and of a profile's YAML that are about the study and not of the schema."""


def compose(configs: Path, name: str, profile: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Experiment `name` under `profile`, with `key=value` overrides on top (which nothing maps).

    `configs` is the study's `configs/` folder. Raises UserError for an unknown name, profile or
    key (with the nearest one), a malformed override, broken YAML, or an impossible combination.
    """
    where = f"{name} under profile {profile}"
    changes = [as_override(each.field, each.here) for each in mapped_values(configs, name, profile)]
    composed = _composed(configs, BASELINE, [f"profile={profile}", *changes, *checked(overrides)], where)
    return validate(_of_schema(composed) | {"name": name}, where)


def mapped_values(configs: Path, name: str, profile: str) -> list[MappedValue]:
    """What experiment `name` changes or studies, with the paper's value and the one under `profile`.

    Raises UserError as `compose` does.
    """
    check_choice(configs / "experiments", name, "experiment", also=[BASELINE])
    check_choice(configs / "profile", profile, "profile")
    if name == BASELINE:
        return []
    state = _state_of(configs)
    written, baseline = (_written(configs, key, state) for key in (f"experiments/{name}", BASELINE))
    rules = _rules(configs, profile, state)
    studied = written.get(STUDIES) or []
    leaves, usual = dict(_leaves(_of_schema(written))), dict(_leaves(_of_schema(baseline)))
    for field in studied:
        check_key(field, f"{name}: {STUDIES}")
    fields = [key for key, value in leaves.items() if key in studied or usual.get(key, KeyError) != value]
    return [MappedValue(key, leaves[key], rules.map(name, key, leaves[key])) for key in fields]


def load(path: Path) -> RunConfig:
    """The configuration a run folder keeps in `config.yaml`. Raises UserError when it is not one."""
    return validate(read_yaml(path), str(path))


def dump(config: RunConfig) -> str:
    """`config` as YAML, every field written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _composed(
    configs: Path, config_name: str, overrides: Sequence[str], where: str, resolve: bool = True
) -> dict[str, Any]:
    """What Hydra makes of the YAML. Raises UserError for what Hydra refuses."""
    # Hydra takes a third of a second to import; only composing needs it.
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    logging.getLogger("hydra").setLevel(logging.ERROR)
    try:
        with initialize_config_dir(str(configs.resolve()), version_base="1.3"):
            composed = hydra_compose(config_name, list(overrides))
        values = OmegaConf.to_container(composed, resolve=resolve)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise UserError(f"{where}: {error}") from None
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _state_of(configs: Path) -> tuple[tuple[str, int], ...]:
    """Names and times of the YAML files: what is composed of them is good for as long as these stay."""
    return tuple((str(file), file.stat().st_mtime_ns) for file in sorted(configs.rglob("*.yaml")))


@lru_cache(maxsize=256)
def _written(configs: Path, config_name: str, state: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    """The YAML as it is written, under no particular profile and with its references kept."""
    return _composed(configs, config_name, [], config_name, resolve=False)


@lru_cache(maxsize=16)
def _rules(configs: Path, profile: str, state: tuple[tuple[str, int], ...]) -> Rules:
    composed = _composed(configs, BASELINE, [f"profile={profile}"], f"profile {profile}", resolve=False)
    return Rules(composed.get(VALUES), f"profile {profile}")


def _of_schema(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in (STUDIES, VALUES)}


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is not a mapping, by its dotted key."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
