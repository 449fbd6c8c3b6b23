"""Small tables of made-up runs, and records as an analysis would have made them."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axes._base import _AxesBase
from matplotlib.collections import PathCollection

from trm_scaling.analysis import Fit, Interval, Prediction, Verdict
from trm_scaling.analysis.fits.record import Parameter

PARAMS = (1.4e6, 2.7e6, 5.03e6, 9.8e6, 17.6e6, 38.1e6)


def model_sizes(seeds: int = 3, **columns: object) -> pd.DataFrame:
    """Six sizes of exp01, the larger the better; `columns` are the same for every run."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "experiment": f"exp01{letter}",
            "seed": seed,
            "state": "finished",
            "params": params,
            "test_accuracy": round(0.9 - 60 * params**-0.38 + rng.normal(0, 0.01), 4),
            "training_flops": 6 * params * 1e10,
            "L_cycles": 6,
            "H_cycles": 3,
            **columns,
        }
        for letter, params in zip("abcdef", PARAMS, strict=True)
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


def choices(key: str, values: list[dict[str, object]], seeds: int = 3) -> pd.DataFrame:
    """Experiments `key`a, `key`b, ..., each with its own columns; their means are 80, 81, ... per cent."""
    rows = [
        {
            "experiment": f"{key}{letter}",
            "seed": seed,
            "test_accuracy": 0.80 + index / 100 + (seed - 1) / 250,
            **columns,
        }
        for index, (letter, columns) in enumerate(zip("abcdefgh", values, strict=False))
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


def law(word: str = "identified", reason: str = "Rival laws explain the runs less well.") -> Fit:
    """A law through `model_sizes`, with a band at three places."""
    values = {"a": 0.9, "b": 60.0, "c": 0.38}
    return Fit(
        law="saturating_power",
        formula="accuracy = a - b x^-c",
        likelihood="least_squares",
        parameters=tuple(
            Parameter(name, value, Interval(0.9 * value, 1.1 * value, "made up"))
            for name, value in values.items()
        ),
        objective=0.0,
        runs=18,
        configurations=6,
        replicates="made up",
        starts=1,
        agreeing=1,
        condition=1.0,
        aicc=None,
        rivals=(),
        extrapolation=None,
        predictions=tuple(
            Prediction({"x": x}, 0.9 - 60 * x**-0.38, Interval(0.6, 0.9, "made up"), None)
            for x in (PARAMS[0], PARAMS[2], PARAMS[-1])
        ),
        verdict=Verdict(word, reason),  # type: ignore[arg-type]  # a test says the word it needs
    )


def places(axes: Axes, gid: str) -> np.ndarray:
    """(n, 2) x and y of the marks that are called `gid`, in the units of the data."""
    found = [each for each in axes.collections if isinstance(each, PathCollection) and each.get_gid() == gid]
    return np.concatenate([np.asarray(each.get_offsets()) for each in found]) if found else np.zeros((0, 2))


def drawn_ids(axes: Axes) -> set[str]:
    """What is drawn in a panel, by its ids."""
    return {str(each.get_gid()) for each in (*axes.lines, *axes.collections, *axes.patches) if each.get_gid()}


def tick_labels(axes: Axes | _AxesBase, direction: str = "x") -> list[str]:
    """The labels of the major ticks, as they would be drawn."""
    axis = axes.xaxis if direction == "x" else axes.yaxis
    return [label.get_text() for label in axis.get_ticklabels()]
