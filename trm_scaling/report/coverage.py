"""What ran of what was planned, and the command that runs the rest."""

import shlex
from dataclasses import dataclass

import pandas as pd

from trm_scaling.experiments import Family
from trm_scaling.results.format import amount, joined
from trm_scaling.results.table import names_of

FINISHED = "finished"


@dataclass(frozen=True)
class Coverage:
    """A family's experiments, by how far they have come."""

    planned: tuple[str, ...]
    complete: tuple[str, ...]
    """Finished with every seed that the study has."""
    partial: tuple[str, ...]
    """Finished with some of those seeds."""
    begun: tuple[str, ...]
    """With runs, none of them finished."""
    absent: tuple[str, ...]
    seeds: tuple[int, ...]
    """Of the study: all that any finished run of the table has."""
    failed: bool
    """Whether a run failed, so that running it again has to be asked for."""

    @property
    def missing(self) -> tuple[str, ...]:
        """What a command would have to run."""
        wanted = {*self.partial, *self.begun, *self.absent}
        return tuple(name for name in self.planned if name in wanted)

    def in_words(self) -> str:
        """`2 of 6 experiments were not run: a and b; 1 lacks seeds: c`; empty where nothing is missing."""
        said = []
        for names, one, many in (
            (self.absent, "was not run", "were not run"),
            (self.begun, "has no finished run", "have no finished run"),
            (self.partial, "lacks seeds", "lack seeds"),
        ):
            if names:
                verb = one if len(names) == 1 else many
                of = f"{len(names)} of {amount(len(self.planned), 'experiment')}"
                said.append(f"{of} {verb}: {joined(list(names), most=8)}")
        return "; ".join(said) + "." if said else ""

    def command(self, family: Family, profile: str | None) -> str:
        """What runs the missing experiments; empty where none is."""
        if not self.missing:
            return ""
        all_of_it = len(self.missing) == len(self.planned)
        words = ["trm", "batch", *(["--pattern", family.key] if all_of_it else self.missing)]
        words += ["--profile", profile] if profile else []
        if self.seeds:
            words += ["--seed", str(self.seeds[0])] if self.seeds[0] else []
            words += ["--replicates", str(len(self.seeds))] if len(self.seeds) > 1 else []
        words += ["--retry", "failed"] if self.failed else []
        return shlex.join(words)


def coverage(family: Family, runs: pd.DataFrame, seeds: tuple[int, ...]) -> Coverage:
    """How far `family` has come; `runs` are its rows of the table, `seeds` those of the whole study.

    A name that shares its configuration with an earlier one of the family is not looked for.
    """
    states = runs["state"].fillna("unknown") if "state" in runs else pd.Series(FINISHED, index=runs.index)
    done: dict[str, set[int]] = {}
    for name, seed, state in zip(runs["experiment"], _seeds(runs), states, strict=True):
        own = done.setdefault(name, set())
        if state == FINISHED:
            own.add(seed)
    planned = tuple(name for name in family.names if name not in _later_names(family, runs))
    finished = {name: found for name, found in done.items() if found}
    return Coverage(
        planned=planned,
        complete=tuple(name for name in planned if len(finished.get(name, ())) >= max(1, len(seeds))),
        partial=tuple(name for name in planned if name in finished and len(finished[name]) < len(seeds)),
        begun=tuple(name for name in planned if name in done and name not in finished),
        absent=tuple(name for name in planned if name not in done),
        seeds=seeds,
        failed=bool((states == "failed").any()),
    )


def _later_names(family: Family, runs: pd.DataFrame) -> set[str]:
    """Names of the family that are, in these runs, another of its names."""
    return {name for names in names_of(runs) for name in names} & set(family.names) - set(runs["experiment"])


def study_seeds(table: pd.DataFrame) -> tuple[int, ...]:
    """The seeds of finished runs, in order."""
    finished = table[table["state"] == FINISHED] if "state" in table else table
    return tuple(sorted(set(_seeds(finished))))


def _seeds(table: pd.DataFrame) -> list[int]:
    """A run without a known seed counts as one with seed 0."""
    if "seed" not in table:
        return [0] * len(table)
    return [int(seed) for seed in pd.to_numeric(table["seed"], errors="coerce").fillna(0)]
