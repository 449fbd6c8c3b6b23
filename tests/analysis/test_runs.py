"""What the table of runs refuses, and what it makes of replicates."""

import numpy as np
import pytest

from trm_scaling.analysis import AccuracyRuns, LossRuns
from trm_scaling.analysis.runs import Configurations, largest
from trm_scaling.errors import UserError

TABLE = {
    "configuration": ["b", "b", "a"],
    "seed": [0, 1, 0],
    "params": [2e6, 2e6, 1e6],
    "solved": [40, 60, 10],
    "total": [100, 100, 100],
    "loss": [0.4, 0.5, 0.9],
}


def test_accuracy_is_solved_of_total() -> None:
    runs = AccuracyRuns.of(TABLE, "params")
    assert runs.accuracy.tolist() == [0.4, 0.6, 0.1]
    assert runs.configurations.names == ("a", "b")
    assert runs.configurations.codes.tolist() == [1, 1, 0]


def test_replicates_collapse_to_their_mean() -> None:
    means = AccuracyRuns.of(TABLE, "params").collapsed()
    assert means.total is not None
    assert (means.accuracy.tolist(), means.x.tolist(), means.total.tolist()) == (
        [0.1, 0.5],
        pytest.approx([1e6, 2e6]),
        [100, 200],
    )
    assert LossRuns.of(TABLE).collapsed().loss == pytest.approx([0.9, np.sqrt(0.2)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"solved": [40, 60, 101]}, "larger than total"),
        ({"total": [100, 100, 0]}, "nothing below 1"),
        ({"solved": [40, None, 1]}, "no value in 1 of 3 rows"),
        ({"params": [2e6, 2e6, "small"]}, "not a column of numbers"),
        ({"params": [2e6, 2e6, 0]}, "holds 0"),
        ({"params": [2e6, 2e6, -1.0]}, "nothing below 0"),
        ({"seed": [0, 0, 0]}, "configuration b with seed 0 stands in the table more than once"),
        ({name: [] for name in TABLE}, "no rows"),
    ],
)
def test_impossible_tables_are_refused(change: dict[str, list[object]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        AccuracyRuns.of(TABLE | change, "params")


def test_a_percentage_is_refused() -> None:
    with pytest.raises(UserError, match="fraction"):
        AccuracyRuns.of(TABLE | {"accuracy": [40.0, 60.0, 10.0]}, "params", accuracy="accuracy")


def test_a_missing_column_is_named() -> None:
    with pytest.raises(UserError, match="no column 'flops'"):
        AccuracyRuns.of(TABLE, "flops")


def test_the_largest_tenth_is_held_out() -> None:
    labels = np.repeat(np.arange(30), 2)
    held = largest(Configurations.of(labels), labels.astype(float))
    assert set(labels[held].tolist()) == {27, 28, 29}
    assert largest(Configurations.of([0, 1, 1]), np.array([1.0, 2.0, 2.0])).tolist() == [False, True, True]


def test_configurations_of_one_size_are_held_out_together() -> None:
    sizes = np.log([5e6, 5e6, 5e6, 1e6, 5e6])
    held = largest(Configurations.of(["a", "a", "a", "b", "c"]), sizes)
    assert held.tolist() == [True, True, True, False, True]
