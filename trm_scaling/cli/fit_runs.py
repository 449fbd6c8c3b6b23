"""Which runs a law is fitted to, and which are left out, with the reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_scaling.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from trm_scaling.analysis import AccuracyRuns, LossRuns
    from trm_scaling.experiments import Catalogue, Family
    from trm_scaling.io.study import Study

_COUNTS = {"test_accuracy": ("test_solved", "test_total"), "val_accuracy": ("val_solved", "val_total")}
PASSES = "passes"
"""Column of the passes through the network that one supervision step makes."""
INPUTS = {"N": "params", "D": "puzzle_steps", "r": PASSES}
"""Symbol in a law of the loss -> column."""


@dataclass(frozen=True)
class Asked:
    """Runs that were asked for."""

    title: str
    """`exp01, profile laptop`."""
    family: "Family | None"
    """None where they are of several, or of none that the study knows."""
    table: "pd.DataFrame"
    excluded: tuple[str, ...]

    def usable(self, *columns: str) -> "Asked":
        """Those with a number in each of `columns`; the others join `excluded`."""
        import pandas as pd

        for column in columns:
            if column not in self.table:
                raise UserError(f"the table has no column {column!r}; trm results --columns lists them")
        numbers = self.table.assign(
            **{column: pd.to_numeric(self.table[column], errors="coerce") for column in columns}
        )
        finished = numbers["state"].isna() | (numbers["state"] == "finished")
        kept = finished & numbers[list(columns)].notna().all(axis=1)
        left_out = [_left_out(row, columns) for row in numbers[~kept].to_dict("records")]
        return Asked(self.title, self.family, numbers[kept], (*self.excluded, *left_out))

    @property
    def axis(self) -> str:
        """The column that their family varies. Raises UserError where there is none."""
        if self.family is None:
            raise UserError(
                f"{self.title}: not one family of the study, so what varies is unknown; choose one with "
                "--pattern, or a column with --x"
            )
        if self.family.axis == "experiment":
            choices = " ".join(self.family.names)
            raise UserError(
                f"{self.family.key} compares choices, which lie along no axis: use trm compare {choices}, "
                "or name a column with --x"
            )
        return self.family.axis

    def accuracies(self, x: str, y: str) -> "AccuracyRuns":
        """Column `y` against column `x`, with counts where every run has them."""
        from trm_scaling.analysis import AccuracyRuns

        solved, total = _COUNTS.get(y, ("", ""))
        counted = solved in self.table and bool(self.table[[solved, total]].notna().all(axis=None))
        return AccuracyRuns.of(
            self.table,
            x,
            configuration="experiment",
            seed=self._seed,
            solved=solved,
            total=total,
            accuracy=None if counted else y,
        )

    def losses(self, y: str, size: str, data: str | None, recursions: str | None) -> "LossRuns":
        """Column `y` against the columns of what it depends on."""
        from trm_scaling.analysis import LossRuns

        return LossRuns.of(
            self.table,
            loss=y,
            params=size,
            data=data,
            recursions=recursions,
            configuration="experiment",
            seed=self._seed,
        )

    @property
    def _seed(self) -> str | None:
        return "seed" if self.table["seed"].notna().all() else None


def asked_runs(
    study: "Study | None", csv: Path | None, patterns: Sequence[str], profile: str | None
) -> Asked:
    """The runs of the study, or in the file `csv`, whose names match `patterns`.

    Raises UserError when there are none, or when they are of several profiles.
    """
    from trm_scaling.experiments import load_catalogue
    from trm_scaling.results.csv_file import read_results
    from trm_scaling.results.families import runs_of_family
    from trm_scaling.results.table import one_profile, results_table

    catalogue = None if study is None else load_catalogue(study.path)
    if csv is not None:
        table = _matching(read_results(csv), patterns)
    else:
        assert study is not None
        table = results_table(study, patterns, profile, catalogue)
    where = str(csv) if csv is not None else "the study"
    if table.empty:
        raise UserError(
            f"{where} has no runs of {', '.join(patterns) or 'any experiment'}: there is nothing to fit"
        )
    table = one_profile(table, profile)
    table = table.assign(**{PASSES: table["H_cycles"] * (table["L_cycles"] + 1)})
    said = ", ".join(patterns) or "all runs"
    name = table["profile"].iloc[0]
    title = said if name != name else f"{said}, profile {name}"
    family = _family(catalogue, table, patterns)
    if family is None:
        return Asked(title, None, table, ())
    runs = runs_of_family(table, family)
    return Asked(title, family, runs.table, runs.excluded)


def _matching(table: "pd.DataFrame", patterns: Sequence[str]) -> "pd.DataFrame":
    def goes_by(row: Mapping[Any, Any]) -> bool:
        names = [str(row["experiment"]), *str(row["names"]).split(", ")]
        return any(pattern in name or fnmatchcase(name, pattern) for name in names for pattern in patterns)

    if not patterns:
        return table
    return table[[goes_by(row) for row in table.to_dict("records")]].reset_index(drop=True)


def _family(catalogue: "Catalogue | None", table: "pd.DataFrame", patterns: Sequence[str]) -> "Family | None":
    """The one family that was asked for; None where there are several, or none."""
    if catalogue is None:
        return None
    experiments = dict.fromkeys(str(name).split("[")[0] for name in table["experiment"])
    try:
        asked = catalogue.matching(patterns) if patterns else list(experiments)
    except UserError:  # runs of a name that is no experiment
        return None
    families = [catalogue.family_of(name) for name in asked]
    return families[0] if all(each is families[0] for each in families) else None


def _left_out(row: Mapping[Any, Any], columns: Sequence[str]) -> str:
    seed = "" if row["seed"] != row["seed"] else f" seed {row['seed']:.0f}"
    missing = [column for column in columns if row[column] != row[column]]
    why = [str(row[name]) for name in ("state", "reason") if row[name] == row[name]]
    if row["state"] == "finished" or not why:
        why = [f"no {' and no '.join(missing)}"]
    return f"{row['experiment']}{seed}: {': '.join(why)}"
