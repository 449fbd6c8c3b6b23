"""From YAML and the command line to one frozen configuration; composition and overrides are Hydra's."""

import logging
from collections.abc import Sequence
from pathlib import Path

import yaml

from trm_scaling.config.run import RunConfig
from trm_scaling.config.strict import check_key, validate
from trm_scaling.errors import UserError


def compose(configs: Path, name: str, profile: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Experiment `name` under `profile`, with `key=value` overrides on top.

    `configs` is the study's `configs/` folder. Raises UserError for an unknown name, profile or
    key (with the nearest one), a malformed override, broken YAML, or an impossible combination.
    """
    # Hydra takes a third of a second to import; only composing needs it.
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    config_name = _config_name(configs, name)
    _check_choice(configs / "profile", profile, "profile")
    logging.getLogger("hydra").setLevel(logging.ERROR)
    try:
        with initialize_config_dir(str(configs.resolve()), version_base="1.3"):
            composed = hydra_compose(config_name, [f"profile={profile}", *_checked(overrides)])
        values = OmegaConf.to_container(composed, resolve=True)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise UserError(f"{name} under profile {profile}: {error}") from None
    assert isinstance(values, dict)
    named = {str(key): value for key, value in values.items()} | {"name": name}
    return validate(named, f"{name} under profile {profile}")


def load(path: Path) -> RunConfig:
    """The configuration a run folder keeps in `config.yaml`. Raises UserError when it is not one."""
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} is not a readable run configuration: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no configuration; is its folder a run folder of `trm run`?")
    return validate(values, str(path))


def dump(config: RunConfig) -> str:
    """`config` as YAML, every field written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _config_name(configs: Path, name: str) -> str:
    if name == "baseline":
        return name
    _check_choice(configs / "experiments", name, "experiment")
    return f"experiments/{name}"


def _check_choice(folder: Path, name: str, kind: str) -> None:
    if name == Path(name).name and (folder / f"{name}.yaml").is_file():
        return
    import difflib

    known = sorted(file.stem for file in folder.glob("*.yaml"))
    if kind == "experiment":
        known = ["baseline", *known]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    raise UserError(
        f"no {kind} {name!r} in {folder}; " + ("nearest: " if near else "known: ") + ", ".join(near or known)
    )


def _checked(overrides: Sequence[str]) -> list[str]:
    """Overrides made to add or replace, once their keys are known: the YAML need not name every field."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    checked = []
    for text in overrides:
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"override {text!r} cannot be read: {reason}; write key=value, as in arch.L_cycles=4"
            ) from None
        if override.is_delete() or override.is_sweep_override() or override.package is not None:
            raise UserError(
                f"override {text!r}: only key=value is taken here, as in arch.L_cycles=4 or lr=3e-4"
            )
        if override.key_or_group in ("name", "profile"):
            raise UserError(
                f"override {text!r}: choose the experiment by its name and the profile with --profile"
            )
        check_key(override.key_or_group, f"override {text!r}")
        checked.append("++" + text.lstrip("+"))
    return checked
