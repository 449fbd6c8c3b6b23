"""The tables of how fast a family learns and when it halts."""

from dataclasses import replace

import pandas as pd
import pytest

from tests.report.conftest import Reported
from tests.report.test_page import block_of, column, family_of, section_of
from tests.results.made_up import PROFILE
from trm_scaling.analysis.answers import StudyVariance
from trm_scaling.experiments import Family
from trm_scaling.report import family as family_section
from trm_scaling.report.family import section, study_family
from trm_scaling.report.front import frontiers
from trm_scaling.report.learning import halting, learning

FAMILY = Family("exp01", "Model size", "Find it.", ("exp01a", "exp01b", "exp01c"), {"lr": [1, 2, 3]})
RUNS = pd.DataFrame(
    {"experiment": ["exp01a", "exp01a", "exp01b"], "seed": [0, 1, 0], "device_count": [2, 2, None]}
)
NAN = float("nan")


def curve(experiment: str, seed: int, accuracy: list[float]) -> pd.DataFrame:
    step = [100 * (index + 1) for index in range(len(accuracy))]
    return pd.DataFrame(
        {
            "experiment": experiment,
            "seed": seed,
            "step": step,
            "seconds": [36.0 * each for each in step],
            "val_accuracy": accuracy,
        }
    )


def test_landmarks_are_means_over_seeds() -> None:
    curves = pd.concat(
        [curve("exp01a", 0, [0.4, NAN, 0.5]), curve("exp01a", 1, [0.8, 0.5]), curve("exp01b", 0, [0.0])]
    )
    (table,) = learning(FAMILY, RUNS, curves).tables
    assert column(table, "experiment") == ["exp01a", "exp01b"]
    assert column(table, "runs") == ["2", "1"]
    # 80 % of 0.5 is reached at step 100 by one, and on the way to the first evaluation by the other.
    assert column(table, "steps to 80 %") == ["75", ""]
    # 7500 steps of 36 s / 100 on two devices.
    assert column(table, "device-hours to 80 %") == ["1.50", ""]
    assert column(table, "peak") == ["65.0 %", "0.0 %"]
    assert column(table, "peak at step") == ["200", "100"]
    assert column(table, "decline after it") == ["+15.0", "+0.0"]
    assert "1 run ended at 0" in learning(FAMILY, RUNS, curves).points[0]


def test_a_curve_that_goes_back_is_left_out_and_said_to_be() -> None:
    twice = pd.concat([curve("exp01a", 0, [0.4]), curve("exp01a", 0, [0.5]), curve("exp01a", 1, [0.5])])
    block = learning(FAMILY, RUNS, twice)
    assert column(block.tables[0], "runs") == ["1"]
    assert block.points[1].startswith("The learning curve of exp01a, seed 0, is left out")


def test_halting_on_the_test_split() -> None:
    counts = pd.DataFrame(
        {
            "experiment": "exp01b",
            "seed": 0,
            "at": ["test"] * 4 + ["train step 5"] * 4,
            "supervision_step": [1, 2, 3, 4] * 2,
            "count": [5, 3, 0, 2, 0, 0, 0, 9],
        }
    )
    (table,) = halting(FAMILY, RUNS.assign(halting_accuracy=0.25, test_accuracy=0.26), counts).tables
    told = {each.label: each.text(value) for each, value in zip(table.columns, table.rows[0], strict=True)}
    assert told == {
        "experiment": "exp01b",
        "runs": "1",
        "steps allowed": "4",
        "halts at step": "1.90",
        "at the limit": "20.0 %",
        "accuracy when halting": "25.0 %",
        "accuracy of all steps": "26.0 %",
        "steps saved": "52.5 %",
    }
    (table,) = halting(FAMILY, RUNS.assign(halting_accuracy=0.25, test_accuracy=0.9), counts).tables
    assert "steps saved" not in [each.label for each in table.columns], "below 95 % of the full accuracy"
    assert not halting(FAMILY, RUNS, counts[counts["at"] != "test"]).tables


def test_a_section_has_both(reported: Reported) -> None:
    blocks = section_of(reported.page, "exp07").blocks
    (table,) = block_of(blocks, "Learning").tables
    assert column(table, "runs") == ["2", "2", "2"], "at the seeds that all have"
    assert all(column(table, "device-hours to 95 %"))
    assert block_of(blocks, "Halting").tables


def test_broken_curves_do_not_lose_the_answer(reported: Reported, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = pd.concat([curve("exp01a", 0, [0.4]).assign(puzzle_steps=10)] * 2)
    monkeypatch.setattr(family_section, "learning_curves", lambda runs: broken)
    batches = replace(family_of(reported, "exp01"), asks="batch", axis="hidden_size")
    studied = study_family(batches, reported.table, (0, 1, 2), None)
    assert studied.answer is not None
    caveats = block_of(section(studied, PROFILE).blocks, "Caveats and exclusions").points
    assert any(each.startswith("The answer does without the learning curves") for each in caveats)


def test_places_on_a_frontier_that_data_may_have_bought(reported: Reported) -> None:
    table = reported.table
    assert not any("more data" in point for point in frontiers(table, StudyVariance()).points)
    more = table.assign(train_size=table["train_size"].where(table["experiment"] != "exp01a", 5000))
    assert any(
        point.startswith("exp01a: more data than the baseline")
        for point in frontiers(more, StudyVariance()).points
    )
