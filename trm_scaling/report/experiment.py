"""The report on one family of experiments, from a table that a caller has."""

import difflib
from pathlib import Path

import pandas as pd

from trm_scaling.errors import UserError
from trm_scaling.experiments import Family, load_catalogue
from trm_scaling.io.study import Study, find_study
from trm_scaling.report.build import experiment_page
from trm_scaling.report.family import slug
from trm_scaling.report.write import Written, write_page
from trm_scaling.results.frame import checked_table
from trm_scaling.results.table import runs_of_family
from trm_scaling.results.wandb_export import parse_wandb_frame

_NAMES = ("Name", "name")
"""The column that holds a run's name, in a runs table and in what the API gives."""


def generate_experiment_report(
    experiment: str, results: pd.DataFrame, folder: str | Path, *, study: str | Path | None = None
) -> Written:
    """Write the report on the family `experiment` ("Exp01", in any case) into `folder`, which is made.

    `results` is a table of runs: `results_table`'s, or what `pandas.read_csv` makes of an export of Weights &
    Biases. The family is looked up in the study at `study`, by default the nearest one. Raises UserError
    for an unknown family, for a table without runs of it, for one that lacks the columns it takes, and for
    cells that their columns cannot hold (text for a number, percentages for fractions, negative counts).
    """
    found = find_study(None if study is None else Path(study))
    family = _family(experiment, found)
    page = experiment_page(_table(results, family, found), family)
    return write_page(page, Path(folder), slug(family.key))


def _family(experiment: str, study: Study) -> Family:
    families = {family.key.casefold(): family for family in load_catalogue(study.path).families}
    wanted = experiment.strip().casefold()
    if wanted in families:
        return families[wanted]
    # Exp02 is two families, and a name of an experiment is in one.
    near = [key for key in families if key.startswith(wanted)] or [
        family.key for family in families.values() if wanted in {name.casefold() for name in family.names}
    ]
    near = near or difflib.get_close_matches(wanted, families, n=3, cutoff=0.4) or list(families)
    raise UserError(f"no family of experiments is called {experiment!r}; there is {', '.join(near)}")


def _table(results: object, family: Family, study: Study) -> pd.DataFrame:
    """`results` as a table of runs, with some of `family`."""
    if not isinstance(results, pd.DataFrame):
        raise UserError(
            f"results is a {type(results).__name__}, and a report needs a table with a row a run: read one "
            "with pandas.read_csv, or make one with trm results --csv"
        )
    table = checked_table(results if "experiment" in results else _exported(results, study))
    if runs_of_family(table, family).table.empty:
        there = ", ".join(sorted({str(name) for name in table["experiment"]})[:8]) or "none at all"
        raise UserError(
            f"the table has no run of {family.key}, whose experiments are {', '.join(family.names)}; "
            f"its runs are {there}"
        )
    return table


def _exported(results: pd.DataFrame, study: Study) -> pd.DataFrame:
    """What `pandas.read_csv` made of an export of Weights & Biases, as the table that reading it makes."""
    if not any(name in results for name in _NAMES):
        raise UserError(
            f"the table is none of runs: it has no column experiment, nor {' or '.join(_NAMES)} as an export "
            f"of Weights & Biases has; its columns are {', '.join(map(str, results.columns[:8])) or 'none'}"
        )
    return parse_wandb_frame(results, study)
