"""The runs of a study as one table: a row a run, finished or not, each once whatever its names.

The columns are documented in `columns.py`, and `trm results --columns` prints them.
"""

import operator as op
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pandas as pd

from trm_scaling.config.fields import flattened
from trm_scaling.errors import UserError
from trm_scaling.experiments import Catalogue, Family, load_catalogue
from trm_scaling.io.study import Study
from trm_scaling.results.device_time import mark_shared, spans_of
from trm_scaling.results.frame import cell_of, frame_of, written
from trm_scaling.results.row import Row, run_row
from trm_scaling.results.run_names import PlainExperiments, called, differences, said_of
from trm_scaling.results.scan import FoundRun, scan_runs

SEPARATOR = ", "
"""Between the names of a run in the column `names`."""


DUPLICATE = "duplicate"
"""The state of a finished run whose configuration and seed another finished run has, with other weights."""


def results_table(
    study: Study,
    patterns: Sequence[str] = (),
    profile: str | None = None,
    catalogue: Catalogue | None = None,
) -> pd.DataFrame:
    """The runs of `study` under `profile` (all, by default), in the catalogue's order, then by seed.

    `patterns` choose runs by their names, as a substring or a glob; a run is then called by the first of
    its names that one of them matches. Raises UserError, with the nearest names, for a pattern that
    neither an experiment nor a run matches.
    """
    catalogue = catalogue or load_catalogue(study.path)
    runs = scan_runs(study, None if profile is None else [profile])
    _check(patterns, catalogue, runs)
    namer = _Namer(PlainExperiments(study.configs), catalogue, patterns)
    rows = _once([row for run in runs if (row := namer.row(run)) is not None])
    namer.tell_apart(rows)
    # Whatever ran beside a run counts, of every profile and whether it was asked for or not.
    mark_shared(rows, spans_of(runs if profile is None else scan_runs(study)))
    rank = {name: index for index, name in enumerate(catalogue.names)}

    def order(row: Row) -> tuple[Any, ...]:
        name = row["name"]
        return rank.get(name, len(rank)), name, row["profile"], row["overrides"], row["seed"], row["folder"]

    return frame_of(sorted(rows, key=order))


def one_profile(table: pd.DataFrame, profile: str | None = None) -> pd.DataFrame:
    """The rows of `profile`, or of the only one that `table` has.

    Runs of two profiles differ in more than what an experiment studies, so nothing may pool them.
    Raises UserError, naming the profiles, when there are several and none is chosen, and when none of
    the rows is of the chosen one.
    """
    counts = Counter("" if pd.isna(each) else str(each) for each in table["profile"])
    counted = (
        f"{name or 'unknown'} ({count} run{'' if count == 1 else 's'})"
        for name, count in sorted(counts.items())
    )
    said = SEPARATOR.join(counted)
    if profile is not None:
        if profile not in counts:
            raise UserError(f"no run of profile {profile!r}: there are {said or 'no runs at all'}")
        return table[table["profile"] == profile].reset_index(drop=True)
    if len(counts) > 1:
        raise UserError(
            f"runs of several profiles, which are not comparable: {said}; choose one with --profile"
        )
    return table


def goes_by(table: pd.DataFrame, patterns: Sequence[str], by: str = "names") -> pd.DataFrame:
    """The rows that a pattern matches, as a substring or a glob, in the column `by`; all, without patterns.

    Of the column `names` it is enough that one name matches.
    """
    if not patterns:
        return table
    names = [str(cell).split(SEPARATOR) if by == "names" else [str(cell)] for cell in table[by]]
    kept = [any(_matches(name, patterns) for name in each) for each in names]
    return _where(table, kept)


def with_exact_names(table: pd.DataFrame, patterns: Sequence[str], known: Iterable[str]) -> pd.DataFrame:
    """Of the rows that `patterns` chose those that they choose where a name of `known` means itself alone."""
    exact = set(patterns) & set(known)
    others = [each for each in patterns if each not in exact]
    kept = [any(name in exact or _matches(name, others) for name in each) for each in names_of(table)]
    return _where(table, kept) if exact else table


def names_of(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """Every name that each run goes by: its experiment's, then the others of its configuration."""
    told = table.reindex(columns=["experiment", "names"]).astype(object).fillna("").itertuples(index=False)
    split = ([name.strip() for cell in row for name in str(cell).split(",")] for row in told)
    return [tuple(name for name in dict.fromkeys(each) if name) for each in split]


_CONDITION = re.compile(r"\s*(?P<column>[^=<>!]+?)\s*(?P<sign>==|!=|>=|<=|=|>|<)\s*(?P<value>.*?)\s*")
_SIGNS = {"=": op.eq, "==": op.eq, "!=": op.ne, ">=": op.ge, "<=": op.le, ">": op.gt, "<": op.lt}


def where(table: pd.DataFrame, conditions: Sequence[str]) -> pd.DataFrame:
    """The rows for which all `conditions` hold, as `meets` has it."""
    for condition in conditions:
        table = _where(table, meets(table, condition))
    return table


def meets(table: pd.DataFrame, condition: str, option: str = "--where") -> list[bool]:
    """For which rows `condition` holds: `num_aug>0`, `lr=1e-3`, `experiment!=exp01f`.

    For none without a value in the column. Raises UserError for text that is no condition, for a column that
    the table lacks, and for a value that no cell of the column can be compared with; `option` gave it.
    """
    found = _CONDITION.fullmatch(condition)
    where = f"{option} {condition!r}"
    if found is None or not found["value"]:
        raise UserError(f"{where} is no condition: write 'num_aug>0' or 'optimizer=adamw'")
    name, value = found["column"], found["value"]
    if name not in table:
        near = get_close_matches(name, map(str, table.columns), 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"{where}: the table has no column {name!r}{hint} `trm results --columns` lists them")
    cells = table[name]
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        try:
            wanted: Any = cell_of(value, "number")
        except ValueError as error:
            raise UserError(f"{where}: {error}, and {name} holds numbers") from None
    elif found["sign"] in ("=", "==", "!="):
        cells, wanted = cells.map(written, na_action="ignore"), value
    else:
        raise UserError(f"{where}: {name} holds text, so compare it with = or !=")
    held: list[bool] = (_SIGNS[found["sign"]](cells, wanted) & cells.notna()).tolist()
    return held


def check_replicates(table: pd.DataFrame) -> None:
    """Raise UserError when two finished runs of one experiment and profile cannot be told to be replicates.

    They have the same seed, or none is known: then they may be one run, or differ in more than the seed.
    """
    counted = table[table["state"].isna() | (table["state"] == "finished")]
    seeds: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for profile, name, seed in zip(counted["profile"], counted["experiment"], counted["seed"], strict=True):
        seeds[str(profile), str(name)].append(None if pd.isna(seed) else seed)
    for (_, name), found in seeds.items():
        same = [
            seed for seed, count in Counter(found).items() if count > 1 or (seed is None and len(found) > 1)
        ]
        if same:
            said = "no seed" if same[0] is None else f"seed {same[0]:g}"
            raise UserError(
                f"{len(found)} runs are called {name!r}, {found.count(same[0])} of them with {said}: they "
                "cannot be told apart. Export the column seed and the configuration too, or remove the rows "
                "that do not count"
            )


def family_rows(table: pd.DataFrame, family: Family) -> pd.DataFrame:
    """The rows whose configuration is one of `family`'s experiments, called by that experiment's name.

    A run that several families share (the baseline's is in all of them) is a row in each one's table.
    """
    wanted = set(family.names)
    own = [_first(str(names).split(SEPARATOR), wanted) for names in table["names"]]
    kept = [name is not None for name in own]
    rows = _where(table, kept)
    names = [name for name in own if name is not None]
    rows["experiment"] = pd.Series(map(called, names, rows["overrides"]), dtype="str")
    rows["family"] = pd.Series([family.key] * len(names), dtype="str")
    order = {name: index for index, name in enumerate(family.names)}
    by_family = sorted(range(len(rows)), key=lambda row: order[names[row]])
    return rows.iloc[by_family].reset_index(drop=True)


class _Namer:
    """Says of each run which experiment it is."""

    def __init__(self, plain: PlainExperiments, catalogue: Catalogue, patterns: Sequence[str]) -> None:
        self._plain = plain
        self._catalogue = catalogue
        self._patterns = patterns
        self._changed: dict[tuple[str, str, str], dict[str, Any] | None] = {}
        self._uncharted: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = defaultdict(dict)

    def row(self, run: FoundRun) -> Row | None:
        """The row of `run`; None when it was not asked for."""
        # Cheap and rough before anything is read; what the record says decides below.
        aliases = self._by_identity(run.profile, run.identity8)
        if not self._asked((*aliases, *run.names)):
            return None
        row, values, known = run_row(run)
        imported = row["state"] == "imported"
        names, overrides = (run.names, "") if imported else self._names(run, row["identity"], values, known)
        asked = [name for name in names if self._asked((name,))]
        row["names"] = SEPARATOR.join(names)
        row["overrides"] = overrides
        self._call(row, asked[0] if asked else names[0])
        return row

    def tell_apart(self, rows: Sequence[Row]) -> None:
        """Give different configurations different names, where the catalogue says nothing of them.

        Runs of a name that is no experiment are told by the fields that they differ in. A run whose fields
        are an experiment's and whose identity is not (it was made when the schema had other fields) keeps
        the experiment's name, unless another run has a better claim to it.
        """
        for row in rows:
            group = self._uncharted.get((row["profile"], row["names"]), {})
            if row["identity"] in group:
                base, own = next(iter(group.values())), flattened(group[row["identity"]])
                fields = {field for values in group.values() for field in differences(base, values)}
                row["overrides"] = said_of({field: own.get(field) for field in sorted(fields)})
                self._call(row, row["name"])
        identities: dict[tuple[str, str], set[str]] = defaultdict(set)
        for row in rows:
            identities[row["profile"], row["experiment"]].add(row["identity"][:8])
        for row in rows:
            shared = len(identities[row["profile"], row["experiment"]]) > 1
            if shared and not self._by_identity(row["profile"], row["identity"]):
                row["overrides"] = f"{row['overrides']} identity={row['identity'][:8]}".strip()
                self._call(row, row["name"])

    def _names(
        self,
        run: FoundRun,
        identity: str,
        values: Mapping[str, Any] | None,
        recorded: Mapping[str, Any] | None,
    ) -> tuple[tuple[str, ...], str]:
        """All names of the run's configuration, and its overrides as text.

        A configuration that the study has no longer, or never had, is what its record calls it.
        """
        known = self._by_identity(run.profile, identity)
        if known:
            return known, ""
        if recorded is not None and recorded["names"]:
            return tuple(recorded["names"]), said_of(recorded["overrides"] or {})
        if values is None:
            return run.names, f"identity={identity[:8]}"
        key = (run.profile, run.names[0], identity)
        if key not in self._changed:
            self._changed[key] = self._plain.overrides(run.names[0], run.profile, values)
        changed = self._changed[key]
        if changed is None:
            self._uncharted[run.profile, SEPARATOR.join(run.names)][identity] = values
        return run.names, said_of(changed or {})

    def _by_identity(self, profile: str, identity: str) -> tuple[str, ...]:
        # A folder's name holds eight digits, which is all that is known of a run that broke off early.
        return self._catalogue.names_of(identity[:8], profile)

    def _asked(self, names: Iterable[str]) -> bool:
        return not self._patterns or any(_matches(name, self._patterns) for name in names)

    def _call(self, row: Row, name: str) -> None:
        row["name"] = name
        row["experiment"] = called(name, row["overrides"])
        row["family"] = self._catalogue.group_of(name)


def _check(patterns: Sequence[str], catalogue: Catalogue, runs: Sequence[FoundRun]) -> None:
    for pattern in patterns:
        if not any(run.goes_by(pattern) for run in runs):
            catalogue.matching([pattern])


def _once(rows: list[Row]) -> list[Row]:
    """`rows` without copies: a study that was copied with its links followed holds one run many times.

    Of finished runs with one configuration and seed the first counts; one with other weights stays, as a
    duplicate.
    """
    first: dict[tuple[str, str, int], Row] = {}
    kept = []
    for row in rows:
        if row["state"] == "finished":
            before = first.setdefault((row["profile"], row["identity"], row["seed"]), row)
            if before is not row and before.get("weights_sha256") == row.get("weights_sha256"):
                continue
            if before is not row:
                row["state"] = DUPLICATE
                row["reason"] = f"{before['folder']} is of the same configuration and seed, and counts"
        kept.append(row)
    return kept


def _where(table: pd.DataFrame, kept: Sequence[bool]) -> pd.DataFrame:
    # As an array: an empty list would choose no columns rather than no rows.
    return table[np.array(kept, dtype=bool)].reset_index(drop=True)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(pattern in name or fnmatchcase(name, pattern) for pattern in patterns)


def _first(names: Sequence[str], wanted: set[str]) -> str | None:
    return next((name for name in names if name in wanted), None)
