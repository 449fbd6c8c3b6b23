"""The study's YAML, put together: files of a `configs/` folder, their `defaults:` lists, `${...}` references.

The forms are Hydra's, as the public TRM code writes them:

- `defaults:` lists `name`, `/group/name`, `group: name`, `group@package: name` and `_self_` (this file, last
  where it is not named), each laid over the ones before it. `override /group@package: name` chooses anew what
  an included file chose.
- A file's values lie under its group's name, under `package` where one is given, or at the top when it begins
  with `# @package _global_`.
- `${arch.hidden_size}` is another field, `${.hidden_size}` one of the same group.
"""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from trm_scaling.errors import UserError

# libyaml's loader where it was compiled in, as in PyPI's wheels: ten times as fast.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ValueLoader(_Base):
    """YAML 1.1 calls 1e-4 a string; whoever writes it, a number."""


ValueLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)

_GLOBAL = re.compile(r"\s*#\s*@package\s+(\S+)")
_REFERENCE = re.compile(r"\$\{(?P<dots>\.*)(?P<field>[\w.]*)\}")
_DEEPEST = 20
"""References that may follow one another; more is a circle."""

Choices = Mapping[str, str]
"""`group@package` -> the file chosen in it."""


def read_study_yaml(configs: Path, name: str, choices: Choices | None = None) -> dict[str, Any]:
    """The values of `configs/<name>.yaml` with its defaults laid under them, references unresolved.

    `choices` go before what the files choose: `{"profile": "laptop"}`. Raises UserError for a file that is
    missing or broken, with the nearest name.
    """
    key = (str(configs), name, tuple(sorted((choices or {}).items())))
    if key not in _composed or any(_changed(*each) for each in _composed[key][0].items()):
        files: Files = {}
        found: dict[str, Any] = {}
        group, _, stem = name.rpartition("/")
        _lay(found, configs, group, stem, None, dict(choices or {}), files)
        _composed[key] = files, found
    own: dict[str, Any] = {}
    _merge(own, _composed[key][1])
    return own


Files = dict[str, int]
"""The files that were read, and when each was changed last (nanoseconds)."""

_composed: dict[tuple[str, str, tuple[tuple[str, str], ...]], tuple[Files, dict[str, Any]]] = {}
"""What was put together before, good for as long as its files stay as they are."""


def _changed(path: str, then_ns: int) -> bool:
    try:
        return os.stat(path).st_mtime_ns != then_ns
    except OSError:
        return True


def _lay(
    found: dict[str, Any],
    configs: Path,
    group: str,
    stem: str,
    package: str | None,
    choices: dict[str, str],
    files: Files,
) -> None:
    """Lay `group/stem` with its defaults over `found`."""
    path = configs / group / f"{stem}.yaml"
    try:
        files[str(path)] = path.stat().st_mtime_ns
    except OSError:
        check_choice(configs / group, stem, group or "configuration")
        raise
    own, header = _read(path, files[str(path)])
    package = package if package is not None else header if header is not None else group.replace("/", ".")
    entries = own.get("defaults", [])
    if not isinstance(entries, list):
        raise UserError(f"{path}: defaults: is no list")
    values = {key: value for key, value in own.items() if key != "defaults"}
    entries = entries if "_self_" in entries else [*entries, "_self_"]
    for entry in entries:
        if isinstance(entry, dict) and len(entry) == 1:
            ((key, option),) = entry.items()
            if key.startswith("override "):
                choices.setdefault(key.removeprefix("override ").strip().lstrip("/"), str(option))
    for entry in entries:
        match entry:
            case "_self_":
                _merge(_package(found, package), values)
            case str():
                inner, _, name = entry.lstrip("/").rpartition("/")
                beside = not inner and not entry.startswith("/")
                _lay(
                    found,
                    configs,
                    group if beside else inner,
                    name,
                    package if beside else None,
                    choices,
                    files,
                )
            case dict() if len(entry) == 1:
                ((key, option),) = entry.items()
                if not key.startswith("override "):
                    key = key.lstrip("/")
                    chosen, _, at = key.partition("@")
                    _lay(found, configs, chosen, choices.get(key, str(option)), at or None, choices, files)
            case _:
                raise UserError(f"{path}: defaults: {entry!r} is neither a name nor `group: name`")


@lru_cache(maxsize=1024)
def _read(path: Path, changed_ns: int) -> tuple[dict[str, Any], str | None]:
    """The values of a file and the package of its header, which is empty for `_global_`."""
    values = read_yaml(path)
    header = next(
        (found[1] for line in path.read_text().splitlines()[:10] if (found := _GLOBAL.match(line))), None
    )
    return values, "" if header == "_global_" else header


def _package(found: dict[str, Any], package: str) -> dict[str, Any]:
    for part in filter(None, package.split(".")):
        inner = found.setdefault(part, {})
        if not isinstance(inner, dict):
            raise UserError(f"{package} holds {inner!r}, and a file of the study lays values under it")
        found = inner
    return found


def _merge(under: dict[str, Any], over: dict[str, Any]) -> None:
    """Lay `over` on `under`, mapping into mapping. `over` is copied."""
    for key, value in over.items():
        if isinstance(value, dict):
            inner = under.get(key)
            under[key] = inner if isinstance(inner, dict) else {}
            _merge(under[key], value)
        else:
            under[key] = value


def set_value(tree: dict[str, Any], field: str, value: Any) -> None:
    """Set a dotted field; a mapping is laid over what is there."""
    *parents, leaf = field.split(".")
    _merge(_package(tree, ".".join(parents)), {leaf: value})


def resolved(tree: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`tree` with every `${...}` replaced. Raises UserError for one that leads nowhere, or in a circle."""

    def of_mapping(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        return {key: of_value(value, f"{prefix}{key}", 0) for key, value in values.items()}

    def of_value(value: Any, field: str, depth: int) -> Any:
        if isinstance(value, dict):
            return of_mapping(value, f"{field}.")
        if isinstance(value, list):
            return [of_value(each, field, depth) for each in value]
        if not isinstance(value, str) or "${" not in value:
            return value
        if depth > _DEEPEST:
            raise UserError(f"{where}: {field}: {value} leads back to itself")
        if whole := _REFERENCE.fullmatch(value):
            return of_reference(whole, field, depth)
        text = _REFERENCE.sub(lambda each: str(of_reference(each, field, depth)), value)
        if "${" in text:
            raise UserError(f"{where}: {field}: {value!r} is no reference; write ${{field}}, or ${{.field}}")
        return text

    def of_reference(found: re.Match[str], field: str, depth: int) -> Any:
        target = target_of(found, field)
        value: Any = tree
        for part in target.split("."):
            if not isinstance(value, Mapping) or part not in value:
                raise UserError(f"{where}: {field}: {found[0]}: {target!r} not found")
            value = value[part]
        return of_value(value, target, depth + 1)

    return of_mapping(tree, "")


def target_of(reference: str | re.Match[str], field: str) -> str:
    """The dotted field that a reference in `field` means; an empty text where `reference` is none."""
    found = _REFERENCE.fullmatch(reference) if isinstance(reference, str) else reference
    if found is None:
        return ""
    parents = field.split(".")[: -len(found["dots"])] if found["dots"] else []
    return ".".join([*parents, found["field"]])


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that the file holds. Raises UserError when it is unreadable, broken or no mapping."""
    try:
        values = yaml.load(path.read_bytes(), Loader=ValueLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} is not readable YAML: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no configuration: it should be `key: value` lines")
    return values


def check_choice(folder: Path, name: str, kind: str, also: Sequence[str] = ()) -> None:
    """Raises UserError, with the nearest names, when `folder` has no `name`.yaml and `also` no `name`."""
    if name in also or (name == Path(name).name and (folder / f"{name}.yaml").is_file()):
        return
    known = [*also, *sorted(file.stem for file in folder.glob("*.yaml"))]
    members = [each for each in known if name and each.startswith(name)]
    if len(members) > 1:
        some = ", ".join(members[:6]) + (", ..." if len(members) > 6 else "")
        raise UserError(
            f"no {kind} {name!r}, but {len(members)} whose names begin with it: {some}. Name one of them"
            + (f", or train all with `trm batch --pattern {name}`" if kind == "experiment" else "")
        )
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    more = f" and {len(known) - 8} more" if len(known) > 8 else ""
    hint = f"nearest: {', '.join(near)}" if near else f"known: {', '.join(known[:8])}{more}"
    raise UserError(f"no {kind} {name!r} in {folder}; {hint}")
