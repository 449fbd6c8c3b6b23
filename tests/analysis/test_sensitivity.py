"""What a law depends on beside its runs, and the published laptop study."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.analysis.studies import SIX_SIZES, accuracy_runs, saturating
from trm_scaling.analysis import (
    Held,
    fit_accuracy,
    limited,
    link_cells,
    speed_at_budget,
    with_choices,
    with_held_out,
    with_sizes,
)
from trm_scaling.analysis.answers import Question, answer
from trm_scaling.analysis.fits.replicates import constant_fits
from trm_scaling.analysis.fits.sensitivity import SPEED
from trm_scaling.analysis.runs import AccuracyRuns, Configurations
from trm_scaling.results.csv_file import read_results

PUBLISHED = Path(__file__).parents[2] / "kellen" / "analysis" / "laptop" / "report.csv"


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    return read_results(PUBLISHED)


def of(table: pd.DataFrame, family: str) -> pd.DataFrame:
    return table[table["names"].str.contains(family)].reset_index(drop=True)


def test_exp01s_law_is_weakly_identified_with_the_reason(published: pd.DataFrame) -> None:
    found = answer(of(published, "exp01"), Question("Model size", "scaling", "params"))
    assert found.fit is not None
    assert found.fit.verdict.word == "weakly identified"
    assert SPEED in found.fit.verdict.reason
    assert "choice of N" in found.fit.verdict.reason
    assert any(SPEED in caveat for caveat in found.caveats)
    assert found.verdict in ("tentative", "open")
    values = [each.exponent.value for each in found.fit.choices]
    assert min(values) < 0.95
    assert max(values) > 3.4


def test_no_answer_of_runs_that_were_cut_short_is_firm(published: pd.DataFrame) -> None:
    assert (published["best_step"] >= published["steps"]).all()
    found = answer(of(published, "exp09"), Question("Optimizer", "choice", "experiment"))
    assert found.verdict != "answered"
    assert any(SPEED in caveat for caveat in found.caveats)


def test_the_link_from_cells_to_puzzles(published: pd.DataFrame) -> None:
    error = 1 - published["test_cell_accuracy"].to_numpy(float)
    exact = published["test_accuracy"].to_numpy(float)
    link = link_cells(error, exact)
    assert link.runs == ((exact > 0) & (exact < 1)).sum()
    assert link.residual_sd == pytest.approx(0.12, abs=0.02)
    near = (error > 0.01) & (error < 0.1)
    assert link.accuracy(error[near]) == pytest.approx(exact[near], abs=0.1)


def test_sizes_without_what_all_share(published: pd.DataFrame) -> None:
    table = with_sizes(of(published, "exp01"))
    assert set(table["params"] - table["params_without_mixing"]) == {30_720.0}
    assert (table["params_of_blocks"] < table["params_without_mixing"]).all()
    assert list(with_sizes(pd.DataFrame({"params": [1.0]}))) == ["params"]


def law() -> tuple[AccuracyRuns, object]:
    runs = accuracy_runs(
        saturating(SIX_SIZES, a=0.8, c=0.8), SIX_SIZES, np.random.default_rng(1), seeds=5, sd=0.01
    )
    return runs, fit_accuracy(runs)


def test_an_exponent_that_other_choices_move_is_weak() -> None:
    _, fit = law()
    assert fit.verdict.word == "identified"  # type: ignore[attr-defined]
    own = fit.exponent  # type: ignore[attr-defined]
    near = with_choices(fit, {"N = a": own})  # type: ignore[arg-type]
    assert near.verdict.word == "identified"
    far = with_choices(fit, {"N = a": dataclasses.replace(own, value=3 * own.value)})  # type: ignore[arg-type]
    assert far.verdict.word == "weakly identified"
    assert "choice of N" in far.verdict.reason
    assert [each.label for each in far.choices] == ["N = a"]


def test_speed_is_said_where_most_runs_still_rose() -> None:
    rising = pd.DataFrame({"steps": [500] * 4, "best_step": [500, 500, 500, 400]})
    said = speed_at_budget(rising)
    assert said is not None
    assert "3 of 4" in said
    assert speed_at_budget(rising.assign(best_step=[500, 500, 400, 300])) is None
    assert speed_at_budget(pd.DataFrame({"steps": [1]})) is None
    _, fit = law()
    found = limited(fit, said)  # type: ignore[arg-type]
    assert (found.verdict.word, found.caveats) == ("weakly identified", (said,))
    assert limited(fit, None) is fit  # type: ignore[arg-type]


def test_what_is_held_out_is_predicted_and_compared() -> None:
    runs, _ = law()
    largest = runs.x == SIX_SIZES[-1]
    held = Held.of(runs.take(largest))
    assert held.places == ({"x": SIX_SIZES[-1]},)
    fit = with_held_out(
        fit_accuracy(runs.take(~largest), predict=[5e6, *(p["x"] for p in held.places)]), held
    )
    assert [each.at["x"] for each in fit.predictions] == [5e6]
    (found,) = fit.held_out
    assert found.observed == pytest.approx(runs.accuracy[largest].mean())
    assert found.ln_ratio == pytest.approx(np.log(found.predicted / found.observed))
    assert found.inside
    assert found.runs == 5


def test_a_constant_is_tested_by_a_free_curve() -> None:
    """Rises and falls again: no line shows it, and seeds do."""
    values, rng = np.repeat([0.2, 0.8, 0.2, 0.8], 3), np.random.default_rng(0)
    labels, x = Configurations.of(np.repeat(np.arange(4), 3)), np.repeat(SIX_SIZES[:4], 3)
    assert constant_fits(labels, values + rng.normal(0, 0.02, 12), x) < 1e-6
    assert constant_fits(labels, rng.normal(0.5, 0.02, 12), x) > 0.05
    alone = Configurations.of(range(6))
    assert constant_fits(alone, np.array([0.0, 0.1, 0.2, 0.9, 0.95, 1.0]), SIX_SIZES) < 0.02
    assert constant_fits(alone, np.array([0.5, 0.4, 0.6, 0.45, 0.55, 0.5]), SIX_SIZES) > 0.05
    assert constant_fits(alone, np.full(6, 0.5), SIX_SIZES) == 1.0
