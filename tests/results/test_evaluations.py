"""The test split in a record: a long table today, summaries in versions 1 and 2; read alike."""

import numpy as np
import pytest

from trm_scaling.evaluation.score import Outcomes
from trm_scaling.results.evaluations import headline, scored_weights
from trm_scaling.results.record import Evaluation
from trm_scaling.results.row import _tested

CONFIG = {"ema": True, "ema_rate": 0.9}


def outcomes(seed: int) -> Outcomes:
    """Five puzzles, three steps, some rated."""
    random = np.random.default_rng(seed)
    cells = np.full(5, 16, np.int32)
    right = random.integers(14, 17, (5, 3)).astype(np.int32)
    logits, loss = random.normal(size=(2, 5, 3)).astype(np.float32)
    ratings = np.array([-1, 0, 2, 2, 99], np.int32)
    return Outcomes(right == 16, right, cells, logits, loss, ratings)


SETS = [("best", 0.9, 40), ("best", None, 40), ("last", 0.9, 60), ("last", 0.5, 60)]


def test_rows_and_summaries_say_the_same() -> None:
    rows = [
        {"at": at, "ema_rate": rate, "step": step} | row
        for number, (at, rate, step) in enumerate(SETS)
        for row in outcomes(number).rows()
    ]
    found = scored_weights({"config": CONFIG, "evaluations": rows})
    assert [tuple(each[:3]) for each in found] == SETS
    assert [each.summary for each in found] == [outcomes(number).summary() for number in range(len(SETS))]


def test_records_of_versions_1_and_2_are_read_alike() -> None:
    summaries = [outcomes(number).summary() for number in range(len(SETS))]
    old = {
        "config": CONFIG,
        "test": [
            {"at": at, "averaged": rate is not None, "step": step, "summary": summary}
            for (at, rate, step), summary in zip(SETS[:3], summaries, strict=False)
        ],
        "averages": [{"ema_rate": 0.5, "at": "last", "step": 60, "summary": summaries[3]}],
    }
    found = scored_weights(old)
    assert [tuple(each[:3]) for each in found] == SETS
    assert [each.summary for each in found] == summaries
    assert headline(old) == found[0]
    assert headline(old | {"config": {"ema": False, "ema_rate": 0.9}}) == found[1]


@pytest.mark.parametrize("name", ["split", "asked"])
def test_the_split_of_a_row_is_read_by_its_older_name_too(name: str) -> None:
    row = outcomes(0).rows()[0] | {"at": "best", "ema_rate": 0.9, "step": 1, name: "train"}
    assert Evaluation.model_validate(row).split == "train"
    assert Evaluation.model_validate(row).model_dump()["split"] == "train"
    vote = row | {"decoder": "vote", "attempts": 2, "task_rate": 0.25}
    rows = [{"at": "best", "ema_rate": 0.9, "step": 1} | each for each in outcomes(0).rows()]
    votes = [vote, vote | {name: "test", "task_rate": 0.5}]
    assert _tested({"config": CONFIG, "evaluations": [*rows, *votes]})["test_pass_at_2"] == 0.5


def test_a_record_without_its_headline_is_damaged() -> None:
    with pytest.raises(KeyError, match="headline"):
        headline({"config": CONFIG, "test": []})
