"""What the analysis is asked about a family."""

from typing import Any

import pandas as pd

from trm_scaling.analysis.answers import Question
from trm_scaling.experiments import Family
from trm_scaling.experiments.catalogue import BASELINE
from trm_scaling.report.quantities import said
from trm_scaling.results.columns import column_of_field


def question_of(family: Family, runs: pd.DataFrame) -> Question:
    """The family's question; its reference is the experiment that is the baseline itself."""
    names = runs["names"].fillna("").astype(str) if "names" in runs else pd.Series("", index=runs.index)
    is_baseline = [
        experiment
        for experiment, each in zip(runs["experiment"], names, strict=True)
        if BASELINE in {name.strip() for name in each.split(",")}
    ]
    return Question(
        title=family.title,
        asks=family.asks,
        axis=family.axis,
        labels={name: label_of(family, name, runs) for name in family.names},
        reference=next(iter(is_baseline), None),
    )


def label_of(family: Family, name: str, runs: pd.DataFrame) -> str:
    """What the experiment changes among the family's: `optimizer adamw, beta2 0.99`.

    With the values of its runs where it has any, since a profile may have mapped the planned ones.
    """
    differing = [field for field, values in family.values.items() if len(set(map(str, values))) > 1]
    own = runs[runs["experiment"] == name]
    parts = []
    for field in differing:
        column = column_of_field(field)
        value: Any = family.of(name)[field]
        if column in own and own[column].notna().any():
            value = own[column].dropna().iloc[0]
        parts.append(f"{field.split('.')[-1]} {said(value)}")
    return ", ".join(parts)
