"""Accuracy against supervision steps at test time: two forms fitted to up to 32 steps, and asked for 64.

`test_time.json` of a law's folder holds surfaces that `trm eval RUN --surface --steps 64` made of the runs'
final weights, all of the same puzzles; of each the plain answer after D steps is read (decoder `last`).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trm_scaling.analysis import AccuracyRuns, fit_accuracy
from trm_scaling.analysis.fits.forms import Form
from trm_scaling.errors import UserError
from trm_scaling.preregistration.recursion import Table
from trm_scaling.results.surfaces import Surface, read_surfaces

FILE = "test_time.json"
HELD_OUT = 64
"""Supervision steps that no fit sees."""
FORMS: dict[Form, str] = {"saturating_exponential": "exponential", "saturating_power": "power"}


def accuracies(surface: Surface) -> dict[int, float]:
    """Of one trajectory's answer after each number of steps."""
    return {row.steps: row.accuracy for row in surface.rows if row.decoder == "last" and row.samples == 1}


def predicted(seen: dict[int, float], form: Form) -> float:
    """The accuracy after HELD_OUT steps, from those after fewer; nan where the form cannot be fitted."""
    fewer = {steps: value for steps, value in seen.items() if steps < HELD_OUT}
    columns = {
        "configuration": [str(steps) for steps in fewer],
        "steps": np.array(list(fewer), dtype=float),
        "accuracy": np.array(list(fewer.values())),
    }
    try:
        runs = AccuracyRuns.of(columns, "steps", seed=None, accuracy="accuracy")
        return fit_accuracy(runs, form, predict=[HELD_OUT], replicates=50).predictions[0].value
    except UserError:
        return float("nan")


def section(folder: Path) -> Iterator[str | Table]:
    """The paragraphs and the table of the report; none where no surface is measured."""
    surfaces = [each for each in read_surfaces(folder / FILE) if HELD_OUT in accuracies(each)]
    if not surfaces:
        return
    rows, errors = [], []
    for surface in sorted(surfaces, key=lambda each: (each.params, each.model, each.seed)):
        seen = accuracies(surface)
        said = [predicted(seen, form) for form in FORMS]
        errors.append([abs(value - seen[HELD_OUT]) for value in (*said, seen[HELD_OUT // 2])])
        shown = [seen[1], seen[surface.trained_steps], seen[HELD_OUT // 2], seen[HELD_OUT], *said]
        rows.append(
            (
                f"{surface.model} seed {surface.seed}",
                f"{surface.params:,}",
                *(f"{100 * value:.1f}" for value in shown),
            )
        )
    exponential, power, same = (f"{100 * value:.2f}" for value in np.nanmedian(np.array(errors), axis=0))
    hours = sum(each.device_seconds for each in surfaces) / 3600
    first = surfaces[0]
    yield "## Steps at test time"
    yield (
        f"Exact accuracy (%) of final weights on {first.rows[0].puzzles} {first.split} puzzles after D steps "
        f"(trained with {first.trained_steps}): {len(surfaces)} runs, {hours:.2f} device-hours. Each form is "
        f"fitted to D of 1 to {HELD_OUT // 2} and asked for {HELD_OUT}. Median error there, in points: "
        f"exponential {exponential}, power {power}, the value after {HELD_OUT // 2} steps itself {same}."
    )
    headings = ("run", "N", "D 1", f"D {first.trained_steps}", f"D {HELD_OUT // 2}", f"D {HELD_OUT}")
    yield (*headings, *(f"{name}, {HELD_OUT}" for name in FORMS.values())), rows
