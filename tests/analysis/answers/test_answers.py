"""Answers to the questions of families, from tables of made-up runs."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest

from trm_scaling.analysis.answers import Question, answer, seed_variance
from trm_scaling.errors import UserError

PUZZLES = 10_000
NOISE = (-0.006, 0.002, 0.004, 0.005, -0.005)
"""Of five seeds, in accuracy: nothing on average."""


def table(
    accuracies: Mapping[str, float],
    axis: str = "experiment",
    values: Sequence[float] = (),
    seeds: int = 5,
    **measures: Sequence[float],
) -> pd.DataFrame:
    """A row a run: experiment -> true accuracy, with the same noise for all."""
    rows = []
    for index, (name, accuracy) in enumerate(accuracies.items()):
        for seed in range(seeds):
            solved = round(PUZZLES * (accuracy + NOISE[(seed + index) % len(NOISE)]))
            row = {"experiment": name, "seed": seed, "profile": "paper", "state": "finished"}
            row |= {"test_solved": solved, "test_total": PUZZLES, "test_accuracy": solved / PUZZLES}
            row |= {axis: values[index]} if values else {}
            row |= {measure: each[index] * (1 + NOISE[seed]) for measure, each in measures.items()}
            rows.append(row)
    return pd.DataFrame(rows)


SIZES = Question("Model size", "scaling", "params")
WIDTHS = [1.3e6, 2.9e6, 5e6, 11e6, 20e6, 44e6]
CURVE = {"exp01a": 0.55, "exp01b": 0.75, "exp01c": 0.85, "exp01d": 0.88, "exp01e": 0.885, "exp01f": 0.886}


def test_size_is_enough_where_nothing_larger_gains_two_points() -> None:
    found = answer(table(CURVE, "params", WIDTHS), SIZES)
    assert found.enough is not None
    assert found.enough.configuration == "exp01d"
    assert (found.verdict, found.enough.low, found.enough.high) == ("answered", "exp01d", "exp01d")
    assert found.sentence.startswith("11M parameters are enough (exp01d: 88.0 % [")
    assert [each.configuration for each in found.seeds] == list(CURVE)
    assert found.fit is not None
    assert 0.86 < found.fit.values["a"] < 0.92
    assert found.frontier is not None


def test_still_rising_at_the_end_is_said_and_not_called_answered() -> None:
    rising = {f"exp01{letter}": 0.3 + 0.1 * index for index, letter in enumerate("abcdef")}
    found = answer(table(rising, "params", WIDTHS), SIZES)
    assert found.sentence.startswith(
        "Tentative: accuracy still rises at the largest value tried (44M parameters"
    )
    assert found.verdict == "tentative"
    assert "largest value tried" in found.reason


def test_noise_as_large_as_the_gains_leaves_it_open_or_tentative() -> None:
    runs = table(dict.fromkeys(CURVE, 0.8), "params", WIDTHS)
    noise = np.random.default_rng(0).normal(0, 0.05, len(runs))
    runs["test_solved"] = (runs["test_solved"] * (1 + noise)).round()
    found = answer(runs, SIZES)
    assert found.verdict != "answered"
    assert found.enough is not None
    assert found.enough.low != found.enough.high
    assert f"95 % range {found.enough.low} to {found.enough.high}" in found.sentence
    assert found.sentence.startswith(("Tentative: ", "Open. "))


def test_one_seed_each_answers_nothing_and_says_why() -> None:
    found = answer(table(CURVE, "params", WIDTHS, seeds=1), SIZES)
    assert found.verdict == "open"
    assert "two seeds" in found.reason
    assert "run once" in found.caveats[0]


CHOICE = Question("Optimizer", "choice", "experiment", {"exp09a": "adam_atan2"}, reference="exp09a")


def test_the_best_of_a_few_with_its_lead_over_the_next() -> None:
    found = answer(table({"exp09a": 0.86, "exp09b": 0.83, "exp09c": 0.80}), CHOICE)
    assert (found.best, found.verdict) == ("exp09a", "answered")
    assert found.sentence.startswith("exp09a (adam_atan2) solves most: 86.0 % [")
    assert "Next is exp09b: -3.0 points [" in found.sentence
    assert {each.b for each in found.comparisons} == {"exp09b", "exp09c"}
    assert {each.claim.word for each in found.comparisons} == {"significant"}


def test_three_seeds_are_refused_the_word_significant() -> None:
    found = answer(table({"exp09a": 0.86, "exp09b": 0.80}, seeds=3), CHOICE)
    assert found.comparisons[0].claim.word == "too few seeds"
    assert any("cannot show a difference" in caveat for caveat in found.caveats)


def test_what_else_a_choice_changes_is_measured_against_the_reference() -> None:
    halting = Question("Halting", "choice", "experiment", reference="contrib02_baseline")
    runs = table(
        {"contrib02_baseline": 0.86, "contrib02_adaptive": 0.86},
        halting_mean_steps=[6.0, 3.0],
        throughput=[100.0, 101.0],
    )
    sentence = answer(runs, halting).sentence
    assert "contrib02_adaptive has 0.50 x the steps under the halting rule of contrib02_baseline" in sentence
    assert "a second" not in sentence, "one per cent is not worth saying"


BATCHES = [1536.0, 3072.0, 6144.0, 12288.0, 24576.0, 49152.0]
BATCH = Question("Batch size", "batch", "global_batch_size")
BY_BATCH = {
    "exp06_a": 0.86,
    "exp06_b": 0.862,
    "exp06_c": 0.86,
    "exp06_d": 0.855,
    "exp06_e": 0.8,
    "exp06_f": 0.6,
}


def curves(critical: float) -> pd.DataFrame:
    """Accuracy rises in a straight line to 0.5 in the steps that a hyperbola with `critical` asks for."""
    rows = []
    for index, (name, batch) in enumerate(zip(BY_BATCH, BATCHES, strict=True)):
        steps = 1000 * (1 + critical / batch) * (1 + NOISE[index % len(NOISE)])
        for share in np.linspace(0.1, 1, 10):
            step = round(steps * share)
            row = {"experiment": name, "seed": 0, "step": step, "puzzle_steps": step * batch}
            rows.append(row | {"val_accuracy": 0.5 * share})
    return pd.DataFrame(rows)


def test_the_largest_batch_that_is_as_good_and_the_critical_one() -> None:
    found = answer(table(BY_BATCH, "global_batch_size", BATCHES), BATCH, curves(8000.0))
    assert found.enough is not None
    assert found.enough.configuration == "exp06_d"
    assert found.critical_batch is not None
    assert found.critical_batch.critical_batch == pytest.approx(8000, rel=0.05)
    assert found.sentence.startswith("Batches up to 12,288 (exp06_d) learn as much")
    assert "The critical batch size is 8,0" in found.sentence


def test_without_learning_curves_the_critical_batch_is_missing_and_said_to_be() -> None:
    found = answer(table(BY_BATCH, "global_batch_size", BATCHES), BATCH)
    assert found.critical_batch is None
    assert any("learning curves" in caveat for caveat in found.caveats)


def test_runs_without_accuracy_are_left_out_by_name() -> None:
    runs = table(CURVE, "params", WIDTHS)
    lost = {"experiment": "exp01f", "seed": 9, "profile": "paper", "state": "failed", "reason": "non-finite"}
    found = answer(pd.concat([runs, pd.DataFrame([lost])]), SIZES)
    assert found.excluded == ("exp01f, seed 9: failed: non-finite",)


def test_one_configuration_is_nothing_to_compare() -> None:
    found = answer(table({"exp01a": 0.5}, "params", [1e6]), SIZES)
    assert (found.verdict, found.best) == ("open", None)
    assert "only exp01a has finished" in found.sentence


def test_two_profiles_in_one_table_are_refused() -> None:
    runs = table(CURVE, "params", WIDTHS)
    runs.loc[0, "profile"] = "smoke"
    with pytest.raises(UserError, match="paper, smoke"):
        answer(runs, SIZES)


def test_a_table_without_its_axis_is_refused_with_the_column_s_name() -> None:
    with pytest.raises(UserError, match="params"):
        answer(table(CURVE), SIZES)


def test_a_run_that_goes_on_does_not_count_with_the_accuracy_of_its_middle() -> None:
    runs = table(CURVE, "params", WIDTHS)
    middle = runs[runs["experiment"] == "exp01d"].head(1).assign(seed=9, state="running", test_solved=100)
    middle["test_accuracy"] = 0.01
    found = answer(pd.concat([runs, middle], ignore_index=True), SIZES)
    assert found.excluded == ("exp01d, seed 9: running",)
    assert {each.runs for each in found.seeds} == {5}


def test_equal_choices_are_open_and_said_to_show_no_difference() -> None:
    runs = table({"exp09a": 0.86, "exp09b": 0.855}, seeds=3)
    spread = np.tile([-400, 0, 400], 2)
    runs["test_solved"] += spread
    runs["test_accuracy"] = runs["test_solved"] / PUZZLES
    found = answer(runs, CHOICE)
    assert found.verdict == "open"
    assert found.sentence.startswith("Open. On the means, exp09a (adam_atan2)")


def test_choices_that_lie_close_are_known_to_be_equally_good() -> None:
    found = answer(table({"exp07a": 0.86, "exp07b": 0.86, "exp07c": 0.858}), CHOICE)
    assert found.verdict == "answered"
    assert found.sentence.startswith("All are within 2 points of the best: ")


def test_three_seeds_answer_no_choice_by_their_probability_alone() -> None:
    found = answer(table({"exp09a": 0.86, "exp09b": 0.80}, seeds=3), CHOICE)
    assert found.verdict == "tentative"
    assert found.sentence.startswith("Tentative: ")


def test_what_a_choice_is_about_is_said_however_small_it_is() -> None:
    about = Question("Precision", "choice", "experiment", measure="throughput", reference="exp07a")
    runs = table({"exp07a": 0.86, "exp07b": 0.86}, throughput=[100.0, 101.0])
    assert "exp07b has 1.01 [1.00, 1.02] x the samples per second" in answer(runs, about).sentence


def batches(*accuracies: float) -> pd.DataFrame:
    return table(dict(zip(BY_BATCH, accuracies, strict=True)), "global_batch_size", BATCHES)


def test_a_batch_above_worse_ones_is_not_said_to_hold_up_to_itself() -> None:
    found = answer(batches(0.6, 0.7, 0.8, 0.6, 0.5, 0.8), BATCH)
    assert "though some smaller ones do not" in found.sentence
    assert "up to" not in found.sentence


def test_the_ends_of_the_batches_that_were_tried_are_said() -> None:
    flat = answer(batches(*[0.8] * 6), BATCH)
    assert "49,152 (exp06_f), the largest tried," in flat.sentence
    falling = answer(batches(0.9, 0.8, 0.7, 0.6, 0.5, 0.4), BATCH)
    assert "no batch above the smallest tried, 1,536 (exp06_a)" in falling.sentence
    assert falling.verdict == "tentative"


def test_a_critical_batch_beyond_what_was_tried_is_a_caveat_and_no_headline() -> None:
    found = answer(batches(*BY_BATCH.values()), BATCH, curves(3e6))
    assert "critical batch size" not in found.sentence
    assert any("The critical batch size is" in caveat for caveat in found.caveats)


def test_an_evaluation_without_a_number_is_passed_over() -> None:
    holed = curves(8000.0)
    holed.loc[3, "val_accuracy"] = np.nan
    found = answer(batches(*BY_BATCH.values()), BATCH, holed)
    assert found.critical_batch is not None
    assert found.critical_batch.critical_batch == pytest.approx(8000, rel=0.1)


@pytest.mark.parametrize(
    ("runs", "question"),
    [
        (table({"exp09a": 0.86, "exp09b": 0.83}, seeds=1), CHOICE),
        (table(CURVE, "params", WIDTHS, seeds=1), SIZES),
        (table(BY_BATCH, "global_batch_size", BATCHES, seeds=1), BATCH),
    ],
)
def test_a_family_without_replicates_borrows_the_seed_variance_of_the_study(
    runs: pd.DataFrame, question: Question
) -> None:
    elsewhere = seed_variance(table({"exp02a_01": 0.8, "exp02a_02": 0.85}, seeds=3))
    assert elsewhere.averaged is not None
    assert {each.basis for each in answer(runs, question).seeds} == {"puzzles alone"}
    for each in answer(runs, question, elsewhere=elsewhere).seeds:
        assert each.basis == "pooled seed variance"
        assert each.interval is not None
        assert (
            f"study's configurations ({elsewhere.averaged.freedom} degrees of freedom)"
            in each.interval.method
        )


def test_runs_of_one_seed_each_have_no_seed_variance() -> None:
    assert seed_variance(table(CURVE, "params", WIDTHS, seeds=1)).averaged is None
    twice = pd.concat([table(CURVE, seeds=2), table(CURVE, seeds=1)])
    assert seed_variance(twice).averaged is None, "a seed twice"
