"""Which runs a law is fitted to, and which are left out, with the reason."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from trm_scaling.errors import UserError
from trm_scaling.results.format import amount

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from trm_scaling.analysis import AccuracyRuns, LossRuns
    from trm_scaling.experiments import Catalogue, Family
    from trm_scaling.io.study import Study

SIZES = ("hidden_size", "num_heads", "L_layers", "expansion", "puzzle_emb_ndim")
"""Columns that decide `params`, and the width of the puzzle embedding, which follows `hidden_size`."""
DEPTHS = ("H_cycles", "L_cycles")
"""Columns that decide `passes`."""
_SCHEDULE = frozenset({"schedule", "epochs", "eval_interval", "reference_train_size", "reference_batch_size"})
"""Columns that say the length of training, which `puzzle_steps` says for all of them."""
PASSES = "passes"
"""Column of the passes through the network that one supervision step makes."""
_CELLS = "_cell_accuracy"
"""End of the columns that `_cell_error` is made of."""
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
    families: tuple[str, ...] = ()
    """Which families' runs were pooled and which not, with the reason; empty where that was asked for."""

    def split(self, selections: Sequence[str]) -> "tuple[Asked, Asked | None]":
        """The runs to fit, and those that `selections` hold out; None without selections.

        A selection is a name or glob of experiments, or `COLUMN>VALUE` (also <, >=, <=, =).
        Raises UserError for one that holds out nothing, or all.
        """
        import numpy as np

        if not selections:
            return self, None
        held = [_selected(self.table, selection) for selection in selections]
        for selection, rows in zip(selections, held, strict=True):
            if not rows.any():
                raise UserError(f"--hold-out {selection} holds out none of {len(self.table)} runs")
        mask = np.logical_or.reduce(held)
        if mask.all():
            raise UserError(f"--hold-out leaves none of {len(self.table)} runs to fit")
        return replace(self, table=self.table[~mask]), replace(self, table=self.table[mask], excluded=())

    def evaluations(self) -> "Asked":
        """A row an evaluation on validation, in place of a row a run. Raises UserError without any."""
        from trm_scaling.results.curves import learning_curves

        curves = learning_curves(self.table)
        if curves.empty:
            raise UserError(
                "no evaluations of these runs are on this machine: their run folders are needed "
                "(a table with a row an evaluation can be given with --csv)"
            )
        keys = ["experiment", "identity", "profile", "seed"]
        rest = self.table.drop(columns=[name for name in curves if name in self.table and name not in keys])
        return replace(self, table=_with_errors(curves.merge(rest, on=keys, how="inner")))

    def usable(self, *columns: str) -> "Asked":
        """Those with a number in each of `columns`; the others join `excluded`."""
        import pandas as pd

        from trm_scaling.results.counted import counts, left_out

        for column in columns:
            if column not in self.table:
                raise UserError(f"the table has no column {column!r}; trm results --columns lists them")
            _check_numeric(self.table, column)
        infinite = [float("inf"), -float("inf")]
        numbers = self.table.assign(
            **{
                column: pd.to_numeric(self.table[column], errors="coerce").replace(infinite, float("nan"))
                for column in columns
            }
        )
        finished = counts(numbers)
        kept = finished & numbers[list(columns)].notna().all(axis=1)
        excluded = [left_out(row, columns) for row in numbers[~kept].to_dict("records")]
        if not kept.any():
            empty = ", ".join(
                f"{column} has no value in {count}"
                for column in columns
                if (count := int((finished & numbers[column].isna()).sum()))
            )
            raise UserError(
                f"{self.title}: none of its {len(numbers)} runs can be fitted{': ' * bool(empty)}{empty}; "
                f"{'; '.join(excluded[:3])}{', ...' * (len(excluded) > 3)}. Name other columns with --x, --y"
            )
        return replace(self, table=numbers[kept], excluded=(*self.excluded, *excluded))

    def differing(self, inputs: Iterable[str]) -> tuple[str, ...]:
        """Columns of science in which the runs differ beside `inputs` and what those are made of."""
        from trm_scaling.results.columns import science_columns

        made_of = {"params": SIZES, PASSES: DEPTHS}
        known = {part for column in inputs for part in (column, *made_of.get(column, ()))}
        return tuple(
            column
            for column in ("puzzle_steps", *science_columns().values())
            if column not in known and column not in _SCHEDULE and self.table[column].nunique() > 1
        )

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

        return AccuracyRuns.of_results(self.table, x, y)

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
            seed="seed" if self.table["seed"].notna().all() else None,
        )


def asked_runs(
    study: "Study | None",
    csv: Path | None,
    patterns: Sequence[str],
    profile: str | None,
    conditions: Sequence[str] = (),
    *,
    of_loss: bool = False,
) -> Asked:
    """The runs of the study, or in the file `csv`, whose names match `patterns` and that meet `conditions`.

    `csv` is what `trm results --csv` wrote, or an export of Weights & Biases. Without patterns a law of the
    loss (`of_loss`) gets the runs of the families that vary size, recursion or data alone: those of the
    others differ in what the law has no term for.

    Raises UserError when there are none, or when they are of several profiles.
    """
    from trm_scaling.analysis import with_sizes
    from trm_scaling.experiments import load_catalogue
    from trm_scaling.results.counted import runs_of_family
    from trm_scaling.results.table import one_profile, results_table, where
    from trm_scaling.results.wandb_export import parse_wandb_export

    catalogue = None if study is None else load_catalogue(study.path)
    if csv is not None:
        table = _matching(parse_wandb_export(csv, study), patterns)
    else:
        assert study is not None
        table = results_table(study, patterns, profile, catalogue)
    source = str(csv) if csv is not None else "the study"
    if (table := where(table, conditions)).empty:
        asked = ", ".join([*patterns, *conditions]) or "any experiment"
        raise UserError(f"{source} has no runs of {asked}: there is nothing to fit")
    table = one_profile(table, profile)
    table = table.copy().assign(**{PASSES: table["H_cycles"] * (table["L_cycles"] + 1)})
    table = _with_errors(with_sizes(table))
    said = ", ".join(patterns) or "all runs"
    name = table["profile"].iloc[0]
    title = said if name != name else f"{said}, profile {name}"
    if of_loss and not patterns and catalogue is not None:
        return _pooled(catalogue, table, title)
    family = _family(catalogue, table, patterns)
    if family is None:
        return Asked(title, None, table, ())
    runs = runs_of_family(table, family)
    return Asked(title, family, runs.table, runs.excluded)


def _pooled(catalogue: "Catalogue", table: "pd.DataFrame", title: str) -> Asked:
    """The runs of the families that vary size, recursion or data, as they are written.

    All of `table` where none of its runs is of such a family: the study says nothing of them then.
    """
    from trm_scaling.results.table import names_of

    used = [family for family in catalogue.families if _is_of_inputs(family)]
    inputs = {name for family in used for name in family.names}
    names = names_of(table)
    known = [not inputs.isdisjoint(each) for each in names]
    if not any(known):
        return Asked(title, None, table, (), ("families: none of the study varies size, recursion or data",))
    plain = (table["overrides"].fillna("") == "").tolist()
    kept = [a and b for a, b in zip(known, plain, strict=True)]
    there = [name for each, is_kept in zip(names, kept, strict=True) if is_kept for name in each]
    # The baseline is in most families: it alone is none of them.
    pooled = [family.key for family in used if len(set(family.names) & set(there)) > 1]
    said = [
        f"families: {', '.join(pooled) or 'the baseline alone, of those'}, which vary size, recursion or data"
    ]
    others = [each for each, is_known in zip(names, known, strict=True) if not is_known]
    for family in catalogue.families:
        count = sum(not set(family.names).isdisjoint(each) for each in others)
        if count:
            varied = ", ".join(field.removeprefix("arch.").removeprefix("data.") for field in family.values)
            said.append(f"not used: {family.key} ({amount(count, 'run')}), which varies {varied}")
        others = [each for each in others if set(family.names).isdisjoint(each)]
    if others:
        named = ", ".join(dict.fromkeys(each[0] for each in others))
        said.append(f"not used: {amount(len(others), 'run')} of no family: {named}")
    changed = [a and not b for a, b in zip(known, plain, strict=True)]
    excluded = tuple(dict.fromkeys(f"{name}: run with overrides" for name in table["experiment"][changed]))
    return Asked(title, None, table[kept].reset_index(drop=True), excluded, tuple(said))


def _with_errors(table: "pd.DataFrame") -> "pd.DataFrame":
    """With the share of wrong cells for each column of right ones; none where no cell is wrong."""
    errors = {
        name.removesuffix(_CELLS) + "_cell_error": (1 - table[name]).where(table[name] < 1)
        for name in map(str, table)
        if name.endswith(_CELLS)
    }
    return table.assign(**errors)


def _selected(table: "pd.DataFrame", selection: str) -> "np.ndarray":
    """(n,) bool. Raises UserError for an unknown column or a value that is not a number."""
    import numpy as np

    from trm_scaling.results.table import meets

    if re.match(r"\s*\w[\w.]*\s*[<>=!]", selection) is None:
        return np.array([fnmatchcase(str(name), selection) for name in table["experiment"]])
    return np.array(meets(table, selection, "--hold-out"))


def _is_of_inputs(family: "Family") -> bool:
    fields = all(field.startswith("arch.") or field == "data.train_size" for field in family.values)
    return family.asks in ("scaling", "tradeoff") and fields


def _check_numeric(table: "pd.DataFrame", column: str) -> None:
    """Raise UserError where `column` holds text: a hash may look like a number."""
    import pandas as pd

    there = table[column].dropna()
    if pd.api.types.is_string_dtype(there) and len(there):
        raise UserError(
            f"the column {column} is not numeric: it holds {str(there.iloc[0])!r:.40}; choose one of numbers"
        )


def _matching(table: "pd.DataFrame", patterns: Sequence[str]) -> "pd.DataFrame":
    from trm_scaling.results.table import names_of

    def matches(names: Sequence[str]) -> bool:
        return any(pattern in name or fnmatchcase(name, pattern) for name in names for pattern in patterns)

    return table[[not patterns or matches(names) for names in names_of(table)]].reset_index(drop=True)


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
