"""How a column of the table of runs stands on an axis: its name, its unit, its scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from trm_scaling.results.format import compact, plain

_SI = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_BINARY = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "bytes"))
_MOST_TRIED = 8
"""Values that may each have a tick."""
_LEAST_SPAN = 0.05
"""Of an axis of accuracy: smaller differences are noise and should look like it."""


@dataclass(frozen=True)
class Quantity:
    """A column on an axis."""

    column: str
    name: str
    kind: Literal["number", "count", "flops", "bytes", "hours", "money", "accuracy"] = "number"
    log: bool = False
    """Whether equal ratios are equal distances."""

    def unit(self, values: Sequence[float] | np.ndarray) -> tuple[float, str]:
        """What to divide `values` by, and the unit that they then have; "" without one."""
        sizes = np.abs(np.asarray(values, dtype=float))
        sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
        typical = float(np.exp(np.log(sizes).mean())) if sizes.size else 1.0
        match self.kind:
            case "accuracy":
                return 0.01, "% of puzzles"
            case "flops":
                factor, prefix = next((each for each in _SI if typical >= each[0]), _SI[-1])
                return factor, f"{prefix}FLOP"
            case "bytes":
                return next((each for each in _BINARY if typical >= each[0]), _BINARY[-1])
            case "hours":
                return (1.0, "h") if typical >= 1 else (1 / 60, "min")
            case "money":
                return 1.0, "USD"
            case "number" | "count":
                return 1.0, ""

    def written(self, value: float, factor: float = 1.0) -> str:
        """`value`, divided by the unit's `factor`."""
        return compact(value / factor) if self.kind == "count" else plain(value / factor)


_QUANTITIES = {
    each.column: each
    for each in (
        Quantity("test_accuracy", "Test accuracy", "accuracy"),
        Quantity("val_accuracy", "Validation accuracy", "accuracy"),
        Quantity("params", "Parameters, without puzzle embeddings", "count", log=True),
        Quantity("hidden_size", "Hidden size", log=True),
        Quantity("L_cycles", "L_cycles: latent updates per cycle"),
        Quantity("H_cycles", "H_cycles: cycles per supervision step"),
        Quantity("L_layers", "Layers of the network"),
        Quantity("halt_max_steps", "Supervision steps allowed"),
        Quantity("supervision_step", "Supervision step"),
        Quantity("train_size", "Training puzzles", "count", log=True),
        Quantity("num_aug", "Augmentations of each puzzle", "count", log=True),
        Quantity("global_batch_size", "Batch size (puzzles)", "count", log=True),
        Quantity("lr", "Learning rate", log=True),
        Quantity("training_flops", "Training compute", "flops", log=True),
        Quantity("inference_flops", "Compute for one answer", "flops", log=True),
        Quantity("device_hours", "Device time", "hours", log=True),
        Quantity("cost_usd", "Cost of a run", "money", log=True),
        Quantity("throughput", "Samples per second"),
        Quantity("peak_memory_bytes", "Peak memory", "bytes"),
        Quantity("halting_mean_steps", "Mean steps before halting"),
        Quantity("step", "Training steps", "count"),
        Quantity("puzzle_steps", "Samples (training steps x batch)", "count"),
    )
}
ACCURACY = _QUANTITIES["test_accuracy"]


def quantity_of(column: str) -> Quantity:
    """How `column` stands on an axis; a column that is not listed keeps its name."""
    return _QUANTITIES.get(column) or Quantity(column, column)


def set_axis(
    axes: Axes,
    direction: Literal["x", "y"],
    quantity: Quantity,
    values: Sequence[float] | np.ndarray,
    *,
    tried: bool = False,
    from_zero: bool = False,
) -> None:
    """Scale, limits, ticks and label of one axis for `values`; a tick at each of a few where `tried`."""
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    factor, unit = quantity.unit(finite)
    log = quantity.log and not from_zero and finite.size > 0 and bool((finite > 0).all())
    axis = axes.xaxis if direction == "x" else axes.yaxis
    low, high = _limits(finite, quantity.kind == "accuracy", log, from_zero)
    if direction == "x":
        axes.set(xscale="log" if log else "linear", xlim=(low, high))
    else:
        axes.set(yscale="log" if log else "linear", ylim=(low, high))
    distinct = np.unique(finite)
    if tried and distinct.size <= _MOST_TRIED:
        axis.set_major_locator(FixedLocator(distinct.tolist()))
    else:
        # In the shown unit, so that the steps are round there.
        nice = (
            LogLocator(subs=_subs(high / low, direction), numticks=8)
            if log
            else MaxNLocator(6, steps=[1, 2, 2.5, 5, 10])
        )
        places = factor * np.asarray(nice.tick_values(low / factor, high / factor))
        axis.set_major_locator(FixedLocator(places[(places >= low) & (places <= high)].tolist()))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: quantity.written(value, factor)))
    axis.set_label_text(f"{quantity.name} ({unit})" if unit else quantity.name)


def _subs(ratio: float, direction: Literal["x", "y"]) -> tuple[float, ...]:
    """Ticks in each decade: side by side, those of many decades would touch."""
    if direction == "y" or ratio <= 30:
        return (1.0, 2.0, 5.0)
    return (1.0, 3.0) if ratio <= 300 else (1.0,)


def _limits(values: np.ndarray, accuracy: bool, log: bool, from_zero: bool) -> tuple[float, float]:
    """A little wider than `values`; of accuracies at least five points, within what is possible."""
    if values.size == 0:
        return (0.5, 2.0) if log else (0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if from_zero:
        return 0.0, 1.08 * high or 1.0
    if log:
        margin = (high / low) ** 0.08 if high > low else 2.0
        return low / margin, high * margin
    if accuracy:
        margin = max(0.06 * (high - low), (_LEAST_SPAN - (high - low)) / 2)
        hair = 0.02 * (high - low + 2 * margin)  # whole markers at 0 and at 100 %
        return max(low - margin, -hair), min(high + margin, 1 + hair)
    margin = 0.07 * (high - low) if high > low else max(abs(high) / 2, 0.5)
    return low - margin, high + margin
