"""Numbers as a reader wants them."""

import numpy as np
import pandas as pd
import pytest

from trm_scaling.analysis import Interval
from trm_scaling.report.quantities import (
    compact,
    duration,
    hours,
    joined,
    memory,
    number,
    percent,
    percent_interval,
    plain_interval,
    points_interval,
    said,
    significant,
)


@pytest.mark.parametrize(
    "missing", [None, float("nan"), pd.NA, "", "no number", float("inf"), np.float64("nan")]
)
def test_what_is_no_number_is_missing(missing: object) -> None:
    assert number(missing) is None
    assert [write(number(missing)) for write in (percent, significant, compact, hours, duration, memory)] == [
        ""
    ] * 6


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.float32(3), "3"])
def test_what_is_one_is_one(value: object) -> None:
    assert number(value) == 3.0


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (percent(0.8743), "87.4 %"),
        (significant(5_028_866), "5,028,866"),
        (significant(0.031249), "0.0312"),
        (significant(1234.5), "1,234"),
        (significant(1.2), "1.20"),
        (significant(410.2), "410"),
        (significant(3.1e-7), "3.10e-07"),
        (significant(0), "0"),
        (compact(5_028_866), "5.03 M"),
        (compact(49_152), "49,152"),
        (compact(1.63e18, "FLOP"), "1.63 EFLOP"),
        (compact(2.5e22, "FLOP"), "2.5e+22 FLOP"),
        (hours(0.012), "0.012"),
        (hours(3229.2), "3,229"),
        (duration(7.25), "7.2 s"),
        (duration(5000), "83.3 min"),
        (memory(79 * 2**20), "79 MiB"),
        (said(True), "on"),
        (said(np.bool_(False)), "off"),
        (said(None), "none"),
        (said(5e-5), "5e-05"),
        (said(49_152), "49,152"),
        (said("adamw"), "adamw"),
        (joined(["a"]), "a"),
        (joined(["a", "b", "c"]), "a, b and c"),
        (joined(["a", "b", "c", "d"], most=2), "a, b and 2 more"),
    ],
)
def test_as_it_is_written(written: str, expected: str) -> None:
    assert written == expected


def test_intervals_without_an_end_say_so() -> None:
    assert percent_interval(Interval(0.851, 0.892, "t")) == "85.1 to 89.2 %"
    assert percent_interval(Interval(0.851, None, "t")) == "above 85.1 %"
    assert points_interval(Interval(-0.004, 0.028, "t")) == "-0.4 to +2.8"
    assert plain_interval(Interval(None, 0.52, "t")) == "below 0.520"
    assert plain_interval(Interval(None, None, "t")) == "no bound found"
    assert percent_interval(None) == ""
