"""Numbers as a reader wants them."""

import numpy as np
import pandas as pd
import pytest

from trm_scaling.analysis import Interval
from trm_scaling.report.page import Column
from trm_scaling.results.format import (
    compact,
    hours,
    joined,
    memory,
    number,
    percent,
    plain,
    points,
    setting,
    significant,
)


@pytest.mark.parametrize(
    "missing", [None, float("nan"), pd.NA, "", "no number", float("inf"), np.float64("nan"), True]
)
def test_what_is_not_a_number_is_missing(missing: object) -> None:
    assert number(missing) is None
    written = [write(missing) for write in (percent, points, significant, plain, compact, hours, memory)]
    assert written == [""] * 7


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.float32(3), "3"])
def test_what_is_one_is_one(value: object) -> None:
    assert number(value) == 3.0


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (percent(0.8743), "87.4 %"),
        (points(-0.0004), "+0.0"),
        (significant(5_028_866), "5,028,866"),
        (significant(0.031249), "0.0312"),
        (significant(1234.5), "1,234"),
        (significant(1.2), "1.20"),
        (significant(3.1e-7), "3.10e-07"),
        (significant(0), "0"),
        (plain(1e-4), "0.0001"),
        (plain(1536), "1,536"),
        (plain(2.5e9), "2.5e+09"),
        (compact(6144), "6,144"),
        (compact(5_028_866), "5.03 M"),
        (compact(49_730), "49.7 k"),
        (compact(50_000), "50 k"),
        (compact(303_362), "303 k"),
        (compact(999_999), "1.00 M"),
        (compact(1.63e18, "FLOP"), "1.63 EFLOP"),
        (compact(2.5e22, "FLOP"), "2.5e+22 FLOP"),
        (hours(0.012), "0.012"),
        (hours(3229.2), "3,229"),
        (memory(79 * 2**20), "79 MiB"),
        (setting(True), "on"),
        (setting(np.bool_(False)), "off"),
        (setting(None), "none"),
        (setting(5e-5), "5e-05"),
        (setting("adamw"), "adamw"),
        (joined(["a"]), "a"),
        (joined(["a", "b", "c"]), "a, b and c"),
        (joined(["a", "b", "c", "d"], most=2), "a, b and 2 more"),
    ],
)
def test_as_it_is_written(written: str, expected: str) -> None:
    assert written == expected


def test_cells_are_written_by_their_kind_and_sorted_by_their_value() -> None:
    span = Interval(0.851, 0.892, "t")
    assert Column("x", "interval").text(span) == "[85.1, 89.2]"
    assert Column("x", "interval").sort_key(span) == "0.851"
    assert Column("x", "interval").text(Interval(0.851, None, "t")) == "[85.1, no upper bound]"
    assert Column("x", "points interval").text(Interval(-0.004, 0.028, "t")) == "[-0.4, +2.8]"
    assert Column("x", "accuracy").text(float("nan")) == Column("x").text(None) == ""
    assert Column("x", "accuracy").sort_key(float("nan")) == ""
    assert Column("x", "flops").sort_key(6.3e12) == "6300000000000.0"
