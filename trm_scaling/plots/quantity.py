"""What columns of the table are called on an axis, their units, and how their numbers are written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["number", "count", "flops", "bytes", "hours", "money", "rate", "accuracy"]

_SI = ((1e24, "Y"), (1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BINARY = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))
_SHORT = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))


@dataclass(frozen=True)
class Quantity:
    """A column on an axis."""

    column: str
    name: str
    """Begins with a capital: Parameters."""
    kind: Kind = "number"
    log: bool = False
    """Whether equal ratios are equal distances."""

    def unit(self, values: Sequence[float] | np.ndarray) -> tuple[float, str]:
        """What to divide `values` by, and the unit that they then are in; no unit is an empty string."""
        sizes = np.abs(np.asarray(values, dtype=float))
        sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
        typical = float(np.exp(np.log(sizes).mean())) if sizes.size else 1.0
        match self.kind:
            case "accuracy":
                return 0.01, "% of puzzles"
            case "flops":
                factor, prefix = next((each for each in _SI if typical >= each[0]), (1.0, ""))
                return factor, f"{prefix}FLOP"
            case "bytes":
                return next((each for each in _BINARY if typical >= each[0]), (1.0, "bytes"))
            case "hours":
                return (1.0, "h") if typical >= 1 else (1 / 60, "min")
            case "money":
                return 1.0, "USD"
            case "rate":
                return 1.0, "puzzle-steps/s"
            case "number" | "count":
                return 1.0, ""

    def label(self, values: Sequence[float] | np.ndarray) -> str:
        """The axis label: `Training compute (EFLOP)`."""
        unit = self.unit(values)[1]
        return f"{self.name} ({unit})" if unit else self.name

    def written(self, value: float, factor: float = 1.0) -> str:
        """`value`, divided by the unit's `factor`, as a tick label."""
        return compact(value / factor) if self.kind == "count" else plain(value / factor)


def compact(value: float) -> str:
    """`6,144`, `49.2K`, `5.03M`: exact below ten thousand, else three digits."""
    if abs(value) < 1e4:
        return plain(value)
    size, letter = next(each for each in _SHORT if abs(value) >= each[0])
    return f"{value / size:.3g}{letter}"


def plain(value: float) -> str:
    """Without needless digits: `0.5`, `1,536`, `3e-05`."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:,.6g}" if abs(value) < 1e3 else f"{value:,.0f}"
    return f"{value:.3g}"


def percent(fraction: float, digits: int = 1) -> str:
    return f"{100 * fraction:.{digits}f} %"


ACCURACY = Quantity("test_accuracy", "Test accuracy", "accuracy")


def quantity_of(column: str) -> Quantity:
    """How `column` stands on an axis; a column without words of its own keeps its name."""
    match column:
        case "test_accuracy":
            return ACCURACY
        case "params":
            return Quantity(column, "Parameters, without puzzle embeddings", "count", log=True)
        case "hidden_size":
            return Quantity(column, "Hidden size (channels)", log=True)
        case "L_cycles":
            return Quantity(column, "L_cycles (latent updates a cycle)")
        case "H_cycles":
            return Quantity(column, "H_cycles (cycles a supervision step)")
        case "L_layers":
            return Quantity(column, "L_layers (layers of the network)")
        case "halt_max_steps":
            return Quantity(column, "Supervision steps allowed")
        case "train_size":
            return Quantity(column, "Training puzzles", "count", log=True)
        case "num_aug":
            return Quantity(column, "Augmentations of each puzzle", "count", log=True)
        case "global_batch_size":
            return Quantity(column, "Batch size (puzzles)", "count", log=True)
        case "lr":
            return Quantity(column, "Learning rate", log=True)
        case "training_flops":
            return Quantity(column, "Training compute", "flops", log=True)
        case "inference_flops":
            return Quantity(column, "Compute for one answer", "flops", log=True)
        case "device_hours":
            return Quantity(column, "Device time", "hours", log=True)
        case "cost_usd":
            return Quantity(column, "Cost of a run", "money", log=True)
        case "throughput":
            return Quantity(column, "Throughput", "rate")
        case "peak_memory_bytes":
            return Quantity(column, "Peak memory", "bytes")
        case "halting_mean_steps":
            return Quantity(column, "Mean supervision steps before halting")
        case "step":
            return Quantity(column, "Training steps", "count")
        case "puzzle_steps":
            return Quantity(column, "Puzzle-steps (steps x batch)", "count")
        case "val_accuracy":
            return Quantity(column, "Validation accuracy", "accuracy")
        case "supervision_step":
            return Quantity(column, "Supervision step")
        case _:
            return Quantity(column, column)
