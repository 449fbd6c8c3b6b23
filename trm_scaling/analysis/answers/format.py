"""Numbers as people say them."""

from collections.abc import Mapping

from trm_scaling.analysis.interval import Interval
from trm_scaling.analysis.seeds import SeedSummary

_UNITS: Mapping[str, str] = {
    "params": "parameters",
    "train_size": "training puzzles",
    "num_aug": "augmentations a puzzle",
    "halt_max_steps": "supervision steps",
    "L_cycles": "L cycles",
    "H_cycles": "H cycles",
    "L_layers": "layers",
    "global_batch_size": "puzzles a batch",
}


def quantity(column: str, value: float) -> str:
    """`5.03M parameters`, `16 supervision steps`."""
    return f"{count(value)} {_UNITS.get(column, column)}"


def count(value: float) -> str:
    """`11M`, `12,288`; three digits of what is not whole."""
    for size, letter in ((1e9, "B"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    whole = value == round(value)
    return f"{value:,.0f}" if whole else f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def accuracy(summary: SeedSummary) -> str:
    """`86.2 % [84.1, 88.0]`."""
    return f"{100 * summary.mean:.1f} %{span(summary.interval)}"


def span(interval: Interval | None) -> str:
    """` [84.1, 88.0]` of an interval of fractions, in per cent; nothing without both ends."""
    if interval is None or interval.low is None or interval.high is None:
        return ""
    return f" [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def points(difference: float, interval: Interval | None) -> str:
    """`+3.1 points [0.5, 5.7]`."""
    # Adding zero takes the sign from a zero.
    return f"{round(100 * difference, 1) + 0.0:+.1f} points{span(interval)}"


def probability(value: float) -> str:
    """`P = 0.68`, of a share of draws: never quite 0 or 1."""
    return "P > 0.99" if value > 0.99 else "P < 0.01" if value < 0.01 else f"P = {value:.2f}"


def listed(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
