"""Which columns say what of the puzzles: they depend on the task of a row."""

from typing import Any

import pandas as pd

from trm_scaling.config.data import DataConfig
from trm_scaling.results.columns import column_of_field

_NOT_OF_THE_TEST = frozenset({"task", "train_size", "num_aug", "val_size", "puzzle_ids", "memory_tasks"})


def description_of(task: Any) -> type[DataConfig]:
    """The description of `task`, a cell of the column; the usual one where it is missing, as in older
    tables.
    """
    kinds = DataConfig.kinds()
    return next((kind for kind in kinds if kind.model_fields["task"].default == task), kinds[0])


def test_columns(description: type[DataConfig]) -> tuple[str, ...]:
    """Columns that describe the test split: it is drawn before the training puzzles, whatever their
    number.
    """
    fields = (name for name in description.model_fields if name not in _NOT_OF_THE_TEST)
    return tuple(column_of_field(f"data.{name}") for name in fields)


def cells_of(table: pd.DataFrame) -> "pd.Series[float] | None":
    """The cells of each row's puzzles; None where the columns that say so are not there."""
    tasks = table["task"] if "task" in table else pd.Series([None] * len(table), table.index)
    cells = pd.Series(float("nan"), table.index)
    for name in tasks.unique():
        rows = table[tasks.isna() if name is None or name != name else tasks == name]
        found = description_of(name).cells_of({str(column): values for column, values in rows.items()})
        if found is None:
            return None
        cells[rows.index] = found
    return cells
