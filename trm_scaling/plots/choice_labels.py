"""What the configurations of a family are called on an axis: what they change, in words.

Each label is None where a row lacks the columns that it is made of.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from trm_scaling.plots.quantity import plain


def labelled(label: Callable[[pd.Series], str | None]) -> Callable[[pd.Series], str]:
    """`label`, or the experiment's name where the row lacks what the label says."""
    return lambda row: label(row) or str(row["experiment"])


def depth_label(row: pd.Series) -> str | None:
    layers, cycles = _number(row, "L_layers"), _number(row, "L_cycles")
    if layers is None or cycles is None:
        return None
    return f"{layers:g} layer{'s' * (layers != 1)} by {cycles:g} L_cycles"


def dtype_label(row: pd.Series) -> str | None:
    return _text(row, "forward_dtype")


def ema_label(row: pd.Series) -> str | None:
    kept, rate = _text(row, "ema"), _number(row, "ema_rate")
    if kept is None or rate is None:
        return None
    return f"rate {rate:g}" if kept.lower() in {"true", "1", "1.0"} else "no average"


def optimizer_label(row: pd.Series) -> str | None:
    name = _text(row, "optimizer")
    betas = [_number(row, column) for column in ("beta1", "beta2")]
    if name is None:
        return None
    known_as = {"adam_atan2": "AdamATan2", "adamw": "AdamW", "adam": "Adam", "lion": "Lion"}.get(name, name)
    return known_as if None in betas else f"{known_as} ({', '.join(f'{beta:g}' for beta in betas)})"


def lr_label(row: pd.Series) -> str | None:
    rate, least = _number(row, "lr"), _number(row, "lr_min_ratio")
    if rate is None:
        return None
    if least is None:
        return plain(rate)
    return f"{plain(rate)}, constant" if least == 1 else f"{plain(rate)}, cosine to {plain(rate * least)}"


def curriculum_label(row: pd.Series) -> str | None:
    until = _number(row, "curriculum.until_epoch")
    if until is None:
        return None
    return f"rising until epoch {until:,.0f}" if until else "fixed depth"


def exploration_label(row: pd.Series) -> str | None:
    start, end = _number(row, "halt_exploration_prob"), _number(row, "halt_exploration_prob_end")
    if start is None:
        return None
    return f"exploration {start:g}" if end is None else f"exploration {start:g} to {end:g}"


def _number(row: pd.Series, column: str) -> float | None:
    value = float(pd.to_numeric(pd.Series([row.get(column)]), errors="coerce").iloc[0])
    return value if np.isfinite(value) else None


def _text(row: pd.Series, column: str) -> str | None:
    value = row.get(column)
    return None if value is None or pd.isna(value) else str(value)
