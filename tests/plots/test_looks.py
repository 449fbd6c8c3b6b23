"""Colours that can be told apart, ticks that do not touch, lines of text that fit."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from tests.plots.frames import tick_labels
from trm_scaling.plots.curves import MOST_NAMED, named_of
from trm_scaling.plots.figure import printable, short, width_of, wrapped
from trm_scaling.plots.quantity import Quantity, quantity_of, set_axis
from trm_scaling.plots.style import DARK, LIGHT, MARKERS, Theme

# Linear RGB as it is seen without one kind of cone (Machado et al., 2009, severity 1).
BLINDNESS = {
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "none": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
}


def linear(colour: str) -> np.ndarray:
    channels = np.array(to_rgb(colour))
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.cbrt(np.clip(np.array(to_xyz) @ rgb / [0.9505, 1, 1.089], 1e-6, None))
    return np.array([116 * xyz[1] - 16, 500 * (xyz[0] - xyz[1]), 200 * (xyz[1] - xyz[2])])


def contrast(one: str, other: str) -> float:
    lights = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
@pytest.mark.parametrize("kind", BLINDNESS)
def test_series_are_told_apart_without_one_kind_of_cone(theme: Theme, kind: str):
    seen = [lab(np.array(BLINDNESS[kind]) @ linear(colour)) for colour in theme.series[:4]]
    distances = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)]
    assert min(distances) > 12


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_text_has_the_contrast_that_reading_takes(theme: Theme):
    assert contrast(theme.ink, theme.paper) > 7
    assert contrast(theme.muted, theme.paper) > 4.5
    assert all(contrast(colour, theme.paper) > 2 for colour in theme.series)
    assert len({theme.paper, theme.ink, theme.muted, theme.grid, *theme.series}) == 4 + len(theme.series)


def test_every_named_line_differs_in_more_than_colour():
    assert len(set(MARKERS)) == len(LIGHT.series) == MOST_NAMED
    named = named_of({f"run {index}": float(index) for index in range(10)})
    assert named == [f"run {index}" for index in range(10 - MOST_NAMED, 10)]


def ticks(quantity: Quantity, values: list[float], **options: bool) -> list[str]:
    axes = Figure().subplots()
    set_axis(axes, "x", quantity, values, **options)
    return tick_labels(axes)


def test_a_few_tried_values_have_ticks():
    sizes = quantity_of("train_size")
    assert ticks(sizes, [100, 250, 500, 1000, 2000, 5000], tried=True) == [
        "100",
        "250",
        "500",
        "1,000",
        "2,000",
        "5,000",
    ]
    many = ticks(sizes, [float(100 + number) for number in range(20)], tried=True)
    assert len(many) < 9


@pytest.mark.parametrize(
    ("column", "values", "label", "some"),
    [
        ("training_flops", [1.2e18, 8e18], "Training compute (EFLOP)", "2"),
        ("peak_memory_bytes", [2**31, 2**32], "Peak memory (GiB)", "3"),
        ("device_hours", [0.1, 0.2], "Device time (min)", "10"),
        ("test_accuracy", [0.5, 0.6], "Test accuracy (% of puzzles)", "54"),
        ("my_column", [1, 2], "my_column", "1.2"),
    ],
)
def test_units_follow_the_values(column: str, values: list[float], label: str, some: str):
    axes = Figure().subplots()
    set_axis(axes, "x", quantity_of(column), values)
    assert axes.get_xlabel() == label
    assert some in tick_labels(axes)


@pytest.mark.parametrize("rates", [[0.0, 0.0], [1.0, 1.0], [0.5], [0.0, 1.0]])
def test_an_axis_of_accuracy_shows_what_is_possible(rates: list[float]):
    axes = Figure().subplots()
    set_axis(axes, "y", quantity_of("test_accuracy"), rates)
    low, high = axes.get_ylim()
    assert low <= min(rates) <= max(rates) <= high
    assert high - low >= 0.0499 - 0.03, "noise should look like noise"
    assert all(0 <= float(label) <= 100 for label in tick_labels(axes, "y"))


def test_text_is_broken_where_it_does_not_fit():
    lines = wrapped("a sentence of some length that two inches cannot hold on one line " + "x" * 90, 8, 2.0)
    assert len(lines) > 3
    assert all(width_of(line, 8) <= 2.0 for line in lines)
    assert "".join(lines).replace(" ", "").endswith("x" * 90)
    assert wrapped("", 8, 2.0) == []


def test_names_are_one_printable_line():
    assert printable("a\nb\t\x00c\u6570") == "a b \N{WHITE SQUARE}c\N{WHITE SQUARE}"
    long = short("exp01a" + "-" * 100 + "seed 4")
    assert len(long) == 36
    assert long.startswith("exp01a")
    assert long.endswith("seed 4")
