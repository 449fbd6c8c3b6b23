"""Which puzzle to look at: one that is written out, `new:N`, or `test:N` of a dataset."""

from pathlib import Path
from random import randrange

from trm_scaling.config import DataConfig
from trm_scaling.errors import UserError
from trm_scaling.tasks.build import ensure_dataset
from trm_scaling.tasks.dataset import Dataset
from trm_scaling.tasks.task import Chosen, task_of

FIRST = 100
"""Held-out puzzles among which the hardest is shown when none was asked for."""

SURPRISES = 100_000
"""New puzzles that one is taken of when none was asked for and none was held out."""


def choose_puzzle(text: str | None, data: DataConfig, data_root: Path | None) -> Chosen:
    """The puzzle that `text` writes out, or names as `test:N`, `new:N` or `arc:TASK`.

    None: a hard held-out one; a new one where there is no `data_root` (folder of datasets) to hold any.
    Raises UserError for a puzzle that is malformed or has no right answer, and for a number beyond the split.
    """
    if text is None and data_root is None:
        text = f"new:{randrange(SURPRISES)}"
    if text is None or text.startswith("test:"):
        if data_root is None:
            raise UserError(f"{text} is a puzzle that a run held out, and a model file has none: write new:0")
        return _held_out(text, ensure_dataset(data, data_root))
    if text.startswith(f"{data.task}:") and data_root is not None:
        dataset = ensure_dataset(data, data_root)
        if dataset.embedded is not None:
            return dataset.embedded.chosen(text.removeprefix(f"{data.task}:"))
    return task_of(data).choose(text)


def _held_out(text: str | None, dataset: Dataset) -> Chosen:
    test, task = dataset.test, dataset.task
    if text is None:
        row = 0 if test.difficulty is None else int(test.difficulty[:FIRST].argmax())
    else:
        number = text.removeprefix("test:")
        if not number.isdecimal() or int(number) >= len(test):
            raise UserError(f"{text!r} is no held-out puzzle: write test:0 to test:{len(test) - 1}")
        row = int(number)
    if dataset.embedded is not None:
        return dataset.embedded.chosen(dataset.embedded.name_of_test(row))
    rating = "" if test.difficulty is None else f", {task.difficulty(int(test.difficulty[row]))}"
    title = f"held-out puzzle test:{row}{rating}"
    return Chosen(task, title, test.inputs[row], test.labels[row], int(test.puzzle_ids[row]))
