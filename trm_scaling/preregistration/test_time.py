"""Accuracy against supervision steps at test time: two forms fitted to up to 32 steps, and asked for 64.

`steps.csv` of a law's folder has a row a run and a power of two of steps: how many validation puzzles the
final, averaged weights solve after them (`trm law steps`).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from trm_scaling.analysis import AccuracyRuns, fit_accuracy
from trm_scaling.analysis.fits.forms import Form
from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_text
from trm_scaling.preregistration.protocol import Protocol
from trm_scaling.preregistration.recursion import CYCLES, Table, with_logs, worth_table
from trm_scaling.results.format import amount

FILE = "steps.csv"
COLUMNS = (
    "experiment",
    "seed",
    "params",
    "trained_steps",
    "steps",
    "solved",
    "puzzles",
    "cell_error",
    "seconds",
)
HELD_OUT = 64
"""Supervision steps that no fit sees."""
FORMS: dict[Form, str] = {"saturating_exponential": "exponential", "saturating_power": "power"}


def read_steps(folder: Path) -> pd.DataFrame:
    """The committed table of `folder`; without one, an empty one."""
    path = folder / FILE
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=list(COLUMNS))


def add_steps(
    folder: Path,
    run: dict[str, object],
    solved: Bool[np.ndarray, "M N"],
    cells_right: Int[np.ndarray, "M N"],
    cells: Int[np.ndarray, " M"],
) -> None:
    """Add a run to the table: `run` has COLUMNS up to `trained_steps` and `seconds`, the rest is counted."""
    at = [2**k for k in range(solved.shape[1].bit_length()) if 2**k <= solved.shape[1]]
    rows = [
        {
            **run,
            "steps": steps,
            "solved": int(solved[:, steps - 1].sum()),
            "puzzles": len(solved),
            "cell_error": 1 - float(cells_right[:, steps - 1].sum() / cells.sum()),
        }
        for steps in at
    ]
    known = read_steps(folder)
    table = pd.concat([each for each in (known, pd.DataFrame(rows)) if len(each)], ignore_index=True)
    table = table.sort_values(["params", "experiment", "seed", "steps"], kind="stable")
    write_text(folder / FILE, table[list(COLUMNS)].to_csv(index=False))


def predicted(steps: Int[np.ndarray, " n"], accuracy: np.ndarray, form: Form) -> float:
    """The accuracy after HELD_OUT steps, from those after fewer; nan where the form cannot be fitted."""
    fewer = steps < HELD_OUT
    columns = {
        "configuration": [str(each) for each in steps[fewer]],
        "steps": steps[fewer].astype(float),
        "accuracy": accuracy[fewer],
    }
    try:
        runs = AccuracyRuns.of(columns, "steps", seed=None, accuracy="accuracy")
        return fit_accuracy(runs, form, predict=[HELD_OUT], replicates=50).predictions[0].value
    except UserError:
        return float("nan")


def section(folder: Path, protocol: Protocol, points: pd.DataFrame) -> Iterator[str | Table]:
    """The paragraphs and the tables of the report; none where no run is measured."""
    table = read_steps(folder)
    if table.empty:
        return
    table = table.assign(accuracy=table["solved"] / table["puzzles"])
    rows, errors = [], []
    for (name, seed), run in table.groupby(["experiment", "seed"], sort=False):
        steps, accuracy = run["steps"].to_numpy(int), run["accuracy"].to_numpy(float)
        seen, first = dict(zip(steps.tolist(), accuracy.tolist(), strict=True)), run.iloc[0]
        said = [predicted(steps, accuracy, form) for form in FORMS]
        errors.append([abs(value - seen[HELD_OUT]) for value in (*said, seen[HELD_OUT // 2])])
        shown = (seen[1], seen[int(first["trained_steps"])], seen[HELD_OUT // 2], seen[HELD_OUT], *said)
        rows.append(
            (f"{name} seed {seed}", f"{first['params']:,.0f}", *(f"{100 * value:.1f}" for value in shown))
        )
    exponential, power, same = (f"{100 * value:.2f}" for value in np.nanmedian(np.array(errors), axis=0))
    hours = table.drop_duplicates(["experiment", "seed"])["seconds"].sum() / 3600
    trained, puzzles = int(table["trained_steps"].iloc[0]), int(table["puzzles"].iloc[0])
    yield "## Steps at test time"
    yield (
        f"Exact accuracy (%) of the final averaged weights on {puzzles} validation puzzles after D "
        f"supervision steps, trained with {trained}. {amount(len(rows), 'run')}, {hours:.2f} device-hours. "
        f"Each form is fitted to D of 1 to {HELD_OUT // 2} and asked for {HELD_OUT}. Median error there, "
        f"in points: exponential {exponential}, power {power}, "
        f"the value after {HELD_OUT // 2} steps itself {same}."
    )
    headings = ("run", "N", "D 1", f"D {trained}", f"D {HELD_OUT // 2}", f"D {HELD_OUT}")
    yield (*headings, *(f"{name}, {HELD_OUT}" for name in FORMS.values())), rows
    if protocol.recursion is None:
        return
    fitted = points[points["stage"] == protocol.recursion.fitted].drop_duplicates(["experiment", "seed"])
    logs = with_logs(fitted, protocol)[["experiment", "seed", "ln_N", "ln_H", "ln_L1"]]
    by_run = table.merge(logs, on=["experiment", "seed"])
    by_run["ln_L"] = np.log(1 - by_run["accuracy"].to_numpy(float))
    fits = [(str(D), by_run[by_run["steps"] == D]) for D in (trained, HELD_OUT)]
    if len(fits[0][1]) > len(CYCLES) + 2:
        yield "What recursion is worth by the share of unsolved puzzles after D steps, fitted runs alone:"
        yield worth_table("D", fits)
