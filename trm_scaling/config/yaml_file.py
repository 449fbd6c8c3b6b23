"""Reading one YAML file, with the numbers that people write."""

import difflib
import re
from collections.abc import Sequence
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
