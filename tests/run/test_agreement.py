"""What counts as equal, close and different between two records of the same steps."""

from typing import Any

import pytest

from trm_scaling.run.verify import agreement

LINES: list[dict[str, Any]] = [
    {
        "step": step,
        "kind": "train",
        "time": 1.0 * step,
        "time/examples_per_s": None,
        "train/loss": 2.0 / step,
        "train/lr": 1e-4 * step,
        "train/finished_rate": 0.5,
        "train/finished_steps_histogram": [0, 16],
    }
    for step in (2, 4, 20)
]


def changed(step: int, **values: object) -> list[dict[str, object]]:
    named = {f"train/{name}": value for name, value in values.items()}
    return [line | (named if line["step"] == step else {}) for line in LINES]


def test_times_are_no_difference() -> None:
    later = [line | {"time": 99.0, "time/examples_per_s": 7.0} for line in LINES]
    found = agreement(LINES, later, "float32", 16)
    assert (found.verdict, found.compared) == ("equal", 3 * 5)


@pytest.mark.parametrize(
    ("step", "values", "verdict"),
    [
        (2, {"loss": 1.0 + 1e-6}, "close"),
        (2, {"loss": 1.0 + 1e-3}, "differs"),
        (20, {"loss": 0.1 + 1e-4}, "close"),
        (20, {"loss": 0.15}, "differs"),
        (20, {"lr": 2e-3 * (1 + 1e-3)}, "differs"),
        (2, {"finished_rate": 0.5 + 1 / 16}, "close"),
        (2, {"finished_rate": 1.0}, "differs"),
        (2, {"finished_steps_histogram": [1, 15]}, "close"),
        (2, {"finished_steps_histogram": [16, 0]}, "differs"),
        (2, {"finished_steps_histogram": [16]}, "differs"),
        (4, {"loss": None}, "differs"),
    ],
)
def test_what_is_close_depends_on_the_step_and_the_metric(
    step: int, values: dict[str, object], verdict: str
) -> None:
    found = agreement(LINES, changed(step, **values), "float32", 16)
    assert found.verdict == verdict
    assert len(found.differences) == 1
    assert (found.worst.step, found.worst.metric) == (step, f"train/{next(iter(values))}")


def test_half_precision_is_given_more_room() -> None:
    other = changed(2, loss=1.0 + 1e-3)
    assert agreement(LINES, other, "bfloat16", 16).verdict == "close"
    assert agreement(LINES, other, "float32", 16).verdict == "differs"


def test_where_the_first_line_is_late_nothing_but_equal_bits_decides() -> None:
    late = [{**line, "step": line["step"] + 9} for line in LINES]
    other = [{**line, "train/loss": 2.02 / (line["step"] - 9)} for line in late]
    assert agreement(late, late, "bfloat16", 16).verdict == "equal"
    assert agreement(late, other, "bfloat16", 16).verdict == "undecided"
    assert agreement(late, other, "float32", 16).verdict == "differs"


def test_a_missing_line_differs() -> None:
    found = agreement(LINES, LINES[:-1], "float32", 16)
    assert found.verdict == "differs"
    assert found.first_far.step == 20
