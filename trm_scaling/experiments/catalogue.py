"""What experiments a study has: their names in order, what each is for, and patterns over them."""

import difflib
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from trm_scaling.config import RunConfig
from trm_scaling.config.compose import BASELINE, compose
from trm_scaling.config.identity import identity
from trm_scaling.config.study_yaml import check_choice
from trm_scaling.errors import UserError
from trm_scaling.experiments.family import Family

TABLE = Path("utils") / "generate_experiment_configs.py"
"""Where a study keeps the table of its families, as `FAMILIES`, and of others, as `BESIDE`."""


class Catalogue:
    """The experiments of one study."""

    def __init__(self, configs: Path, families: Sequence[Family], beside: Sequence[Family] = ()) -> None:
        """`families` and those `beside` them as the table has them; experiments that only have a file come
        last.
        """
        self.families = tuple(families)
        """Those that the report and the specification are about."""
        self.beside = tuple(beside)
        self._configs = configs
        self._family = {name: family for family in (*families, *beside) for name in family.names}
        files = sorted(file.stem for file in (configs / "experiments").glob("*.yaml"))
        own = [name for name in files if name not in self._family]
        self.names = (BASELINE, *(name for name in self._family if name in set(files)), *own)
        self._identities = cache(self._identities_under)

    def family_of(self, name: str) -> Family | None:
        """The family of `name`; None for the baseline and for an experiment that has only a file."""
        return self._family.get(name)

    def group_of(self, name: str) -> str:
        """The family's key, or the name itself where there is none."""
        family = self.family_of(name)
        return family.key if family else name

    def describe(self, name: str) -> str:
        """What it changes, with the paper's values: `hidden_size 256, num_heads 4`."""
        family = self.family_of(name)
        if family is None:
            return ""
        return ", ".join(f"{field.split('.')[-1]} {_said(value)}" for field, value in family.of(name).items())

    def alias_of(self, name: str, profile: str) -> str | None:
        """The earlier name that is the same run under `profile`; None where there is none.

        Raises UserError for an unknown profile.
        """
        check_choice(self._configs / "profile", profile, "profile")
        own = self._identities(profile).get(name)
        first = next((each for each, found in self._identities(profile).items() if found == own), name)
        return None if own is None or first == name else first

    def names_of(self, identity8: str, profile: str) -> tuple[str, ...]:
        """All names whose identity under `profile` begins with these eight digits, in order."""
        return tuple(name for name, found in self._identities(profile).items() if found[:8] == identity8)

    def _identities_under(self, profile: str) -> dict[str, str]:
        """Name -> identity, of every experiment that can be composed under `profile`."""
        found = {}
        for name in self.names:
            # One that the profile or the schema refuses is no other one's alias; asking for it says why.
            with suppress(UserError):
                found[name] = identity(compose(self._configs, name, profile))
        return found

    def matching(self, patterns: Sequence[str]) -> list[str]:
        """Names that hold a pattern as a substring or match it as a glob, in order, each once.

        Those beside the study are matched only by patterns with the first word of their family (`maze_exp01`,
        `law*`): `exp01` and `*` are of the study itself.

        Raises UserError, with the nearest names, for a pattern that nothing matches.
        """
        chosen = set()
        for pattern in patterns:
            found = [
                name
                for name in self.names
                if (pattern in name or fnmatchcase(name, pattern))
                and self._kin_of(name) in (None, *re.split(r"[^a-z]+", pattern))
            ]
            if not found:
                raise UserError(f"no experiment matches {pattern!r}; {self._suggestions(pattern)}")
            chosen.update(found)
        return [name for name in self.names if name in chosen]

    @property
    def study_names(self) -> tuple[str, ...]:
        """Those of the study itself, without the families beside it."""
        return tuple(name for name in self.names if self._kin_of(name) is None)

    def _kin_of(self, name: str) -> str | None:
        """The first word of the family that `name` belongs to beside the study; None of the study's own."""
        family = self.family_of(name)
        return re.split(r"[^a-z]+", family.key)[0] if family in self.beside and family else None

    def composed(
        self,
        names: Sequence[str],
        profile: str,
        progress: Callable[[str, int, int], None],
        overrides: Sequence[str] = (),
    ) -> list[tuple[str, str, RunConfig]]:
        """Each of `names` with its family's key and its configuration, with `overrides` (`key=value`) in all
        of them. An alias is composed once, under the first name of its configuration. Raises UserError as
        `compose` does.
        """
        found: dict[str, RunConfig] = {}
        named = []
        for number, name in enumerate(names):
            progress("composing", number, len(names))
            own = self.alias_of(name, profile) or name
            if own not in found:
                found[own] = compose(self._configs, own, profile, list(overrides))
            named.append((name, self.group_of(name), found[own]))
        progress("composing", len(names), len(names))
        return named

    def check(self, names: Sequence[str]) -> None:
        """Raises UserError, with the nearest names, when one of `names` is no experiment."""
        for name in names:
            if name not in self.names:
                is_pattern = any(name in each for each in self.names)
                near = self._suggestions(name, patterns=False)
                hint = f"did you mean --pattern {name}?" if is_pattern else near
                raise UserError(f"no experiment {name!r}; {hint}")

    def _suggestions(self, text: str, patterns: bool = True) -> str:
        keys = [family.key for family in (*self.families, *self.beside)] if patterns else []
        near = difflib.get_close_matches(text, [*keys, *self.names], n=4, cutoff=0.4)
        return f"nearest: {', '.join(near)}" if near else "--list shows what there is"


def load_catalogue(study: Path) -> Catalogue:
    """The catalogue of the study in the folder `study`: its table, and its files.

    Raises UserError when the table cannot be run.
    """
    return Catalogue(study / "configs", *_families(study / TABLE))


def _families(table: Path) -> tuple[Sequence[Family], Sequence[Family]]:
    """The table's `FAMILIES`, and those `BESIDE` them if it has such."""
    if not table.is_file():
        return (), ()
    # Not imported: an import writes __pycache__ beside the file, and reading a study must not write into it.
    module = ModuleType("study_table")
    module.__file__ = str(table)
    try:
        exec(compile(table.read_bytes(), table, "exec"), module.__dict__)
        families: Sequence[Family] = module.FAMILIES
        beside: Sequence[Family] = getattr(module, "BESIDE", ())
    except Exception as error:  # the study's own code: whatever it does wrong is said to its writer
        raise UserError(f"{table} cannot be read: {type(error).__name__}: {error}") from error
    return families, beside


def _said(value: Any) -> str:
    match value:
        case bool():
            return "on" if value else "off"
        case None:
            return "none"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:g}"
        case _:
            return str(value)
