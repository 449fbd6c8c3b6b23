"""What a family changes and what it holds equal, read off its runs rather than promised."""

import pandas as pd

from trm_scaling.experiments import Family
from trm_scaling.report.page import Fact
from trm_scaling.report.quantities import amount, compact, joined, number, said
from trm_scaling.report.runs import changed_columns
from trm_scaling.results.columns import column_of_field, configured_columns

_WORTH_NAMING = (
    *("puzzle_steps", "params", "hidden_size", "L_layers", "L_cycles", "H_cycles", "halt_max_steps"),
    *("train_size", "num_aug", "global_batch_size", "optimizer", "lr", "weight_decay", "ema_rate"),
)
"""What a reader asks about first, of what is equal."""

_FOLLOWING = ("params", "puzzle_steps", "steps", "training_flops", "inference_flops")
"""Measured quantities that may follow from what is changed."""


def design(family: Family, runs: pd.DataFrame, profile: str | None) -> tuple[Fact, ...]:
    """Statements about the design of `family`, whose `runs` are of one profile."""
    changed = changed_columns(family, runs)
    facts = [
        Fact(f"Changed: {column}", _values(family, field, runs, column)) for field, column in _fields(family)
    ]
    if not runs.empty:
        facts += _held(runs, set(changed))
    facts.append(Fact("Seeds", _seeds(runs), missing=runs.empty))
    facts.append(Fact("Profile", profile or "not recorded", missing=profile is None))
    return tuple(facts)


def _fields(family: Family) -> list[tuple[str, str]]:
    """What differs between the family's experiments: field and column."""
    differing = [field for field, values in family.values.items() if len(set(map(str, values))) > 1]
    return [(field, column_of_field(field)) for field in differing]


def _values(family: Family, field: str, runs: pd.DataFrame, column: str) -> str:
    planned = [said(value) for value in family.values[field]]
    text = ", ".join(dict.fromkeys(planned))
    if column not in runs or runs[column].isna().all():
        return text
    first = runs.drop_duplicates("experiment").set_index("experiment")[column]
    here = [said(first[name]) for name in family.names if name in first.index]
    there = [planned[index] for index, name in enumerate(family.names) if name in first.index]
    return (
        text
        if here == there
        else f"{text} in the paper's profile; {', '.join(dict.fromkeys(here))} in these runs"
    )


def _held(runs: pd.DataFrame, changed: set[str]) -> list[Fact]:
    configured = [
        column.name
        for field, column in configured_columns().items()
        if column.name in runs and not field.startswith("system.") and runs[column.name].notna().any()
    ]
    varying = [name for name in configured if name not in changed and _varies(runs[name])]
    equal = [name for name in configured if name not in changed and name not in varying]
    named = [name for name in _WORTH_NAMING if name in equal or (name in runs and name in _FOLLOWING)]
    alike = [f"{name} {said(runs[name].dropna().iloc[0])}" for name in named if _is_constant(runs[name])]
    facts = []
    if equal:
        fields = f"{amount(len(equal), 'field')} of the configuration"
        text = f"{joined(alike)}, among {fields}" if alike else fields
        facts.append(Fact("Equal in all runs", text))
    if varying:
        facts.append(Fact("Differs as well", joined([_spread(runs, name) for name in varying], most=12)))
    follows = [name for name in _FOLLOWING if name in runs and _varies(runs[name])]
    if follows:
        facts.append(Fact("Follows from it", joined([_spread(runs, name) for name in follows])))
    return facts


def _varies(values: pd.Series) -> bool:
    return bool(values.nunique(dropna=True) > 1)


def _is_constant(values: pd.Series) -> bool:
    return bool(values.nunique(dropna=True) == 1)


def _spread(runs: pd.DataFrame, name: str) -> str:
    values = runs[name].dropna()
    numbers = [
        found
        for value in values
        if not isinstance(value, bool | str) and (found := number(value)) is not None
    ]
    if len(numbers) == len(values):
        low, high = compact(min(numbers)), compact(max(numbers))
        return f"{name} about {low}" if low == high else f"{name} {low} to {high}"
    return f"{name} ({', '.join(dict.fromkeys(said(value) for value in values))})"


def _seeds(runs: pd.DataFrame) -> str:
    if runs.empty:
        return "no run yet"
    if "seed" not in runs or runs["seed"].isna().all():
        return "not recorded"
    counts = runs.dropna(subset=["seed"]).groupby("experiment")["seed"].nunique()
    each = (
        f"{counts.iloc[0]} of each experiment"
        if counts.nunique() == 1
        else f"{counts.min()} to {counts.max()} of each experiment"
    )
    seeds = sorted({int(seed) for seed in runs["seed"].dropna()})
    return f"{each}: {joined([str(seed) for seed in seeds], most=10)}"
