"""The augmented puzzles of an ARC dataset: which of them a step sees, and what their votes come to."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from trm_scaling.config.data import DataConfig
from trm_scaling.errors import UserError
from trm_scaling.tasks.arc.batches import train_batch
from trm_scaling.tasks.arc.dataset import ArcDataset
from trm_scaling.tasks.arc.evaluation import evaluate, score, submission_bytes
from trm_scaling.tasks.arc.identifiers import IdentifierMap
from trm_scaling.tasks.arc.on_device import packed
from trm_scaling.tasks.arc.splits import IDENTIFIERS, dataset_of
from trm_scaling.tasks.compact_layout import verified_bytes
from trm_scaling.tasks.dataset import Dataset
from trm_scaling.tasks.embedded import Predict, TrainRows, Voted
from trm_scaling.tasks.folder import Progress
from trm_scaling.tasks.scoring import interval
from trm_scaling.tasks.task import Chosen, Task

SUBMISSION = "submission.json"

Asked = Literal["test", "train"]


@dataclass(frozen=True, eq=False)
class ArcAugmentations:
    """See `tasks.embedded.EmbeddedAugmentations`."""

    arc: ArcDataset
    task: Task

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Those of an opened dataset."""
        if dataset.manifest.layout == "public":
            from trm_scaling.tasks.arc.public_folder import read_identifiers

            identifiers = read_identifiers(dataset.path)
        else:
            content = verified_bytes(dataset.path, IDENTIFIERS, dataset.manifest)
            identifiers = IdentifierMap.from_bytes(content, str(dataset.path / IDENTIFIERS))
        splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
        made = dataset_of(splits, identifiers, dataset.manifest.seed or 0, dataset.task.data.side)  # type: ignore[arg-type]
        return cls(made, dataset.task)

    @property
    def map_name(self) -> str:
        return IDENTIFIERS

    @cached_property
    def _map(self) -> bytes:
        return self.arc.identifiers.to_bytes()

    def map_bytes(self) -> bytes:
        return self._map

    def check_table(self, map_of_table: bytes | None, where: str) -> None:
        own = (
            None if map_of_table is None else IdentifierMap.from_bytes(map_of_table, f"{where}/{IDENTIFIERS}")
        )
        rows = len(self.arc.identifiers) if own is None else len(own)
        self.arc.identifiers.check_table(None if own is None else own.fingerprint, rows, where)

    def train_rows(self, seed: int, step: int, batch_size: int) -> TrainRows:
        batch = train_batch(self.arc, seed, step, batch_size)
        task = self.arc.identifiers.task[batch.identifiers]
        row = (self.arc.train.start[task] + batch.numbers).astype(np.int32)
        offset = self.arc.train_offsets(batch.identifiers, batch.numbers)
        return TrainRows(row, packed(self.arc.identifiers.code[batch.identifiers], offset), batch.identifiers)

    def name_of_test(self, row: int) -> str:
        start = self.arc.test.start
        task = int(np.searchsorted(start, row, side="right")) - 1
        # A task with test pairs gives up none for validation, so these are all that it holds out.
        return f"{self.arc.identifiers.tasks[task]}:{row - start[task]}"

    def chosen(self, name: str) -> Chosen:
        """The test pair of the task `name`, or pair `name:N` of those that are not trained on; one that is
        where there is no other. Raises UserError for an unknown task or number.
        """
        name, _, number = name.partition(":")
        tasks = {task.name: task for task in self.arc.tasks}
        if name not in tasks:
            raise UserError(_unknown(name, tasks))
        pairs = tasks[name].pairs
        shown = [pair for pair in pairs if pair.split == "train"]
        asked = [pair for pair in pairs if pair.split != "train"] or shown[-1:]
        if number and (not number.isdecimal() or int(number) >= len(asked)):
            raise UserError(f"task {name} has no pair {number!r} to ask: write 0 to {len(asked) - 1}")
        pair = asked[int(number or 0)]
        place = self.arc.identifiers.tasks.index(name)
        original = self.arc.identifiers.start[place : place + 1].astype(np.int32)
        first = sum(len(task.pairs) for task in self.arc.tasks[:place])

        def tokens(which: Any) -> tuple[np.ndarray, np.ndarray]:
            number = first + next(n for n, each in enumerate(pairs) if each is which)
            made = self.arc.encode(original, np.array([number]), np.zeros((1, 2), np.int32))
            return made.inputs[0], made.labels[0]

        trained = ", which was trained on" if pair.split == "train" else ""
        title = f"task {name}, {len(shown)} demonstrations{trained}"
        examples = tuple(tokens(each) for each in shown if each is not pair)
        return Chosen(self.task, title, *tokens(pair), int(original[0]), examples)

    def voted(
        self,
        predict: Predict,
        data: DataConfig,
        batch_size: int,
        checkpoint: str,
        folder: Path | None,
        saves: bool,
        progress: Progress,
    ) -> Voted:
        def asked(dataset: ArcDataset, of: Asked, name: str) -> Any:
            ballots = evaluate(
                dataset,
                predict,
                batch_size,
                checkpoint=checkpoint,
                path=None if folder is None else folder / name,
                saves=saves,
                progress=progress,
            )
            rows.extend(_rows(dataset, ballots, of))
            return ballots

        rows: list[dict[str, Any]] = []
        ballots = asked(self.arc, "test", "votes.npz")
        if count := getattr(data, "memory_tasks", 0):
            asked(remembered(self.arc, count), "train", "memory_votes.npz")
        return Voted(rows, {SUBMISSION: submission_bytes(self.arc, ballots)})


def remembered(dataset: ArcDataset, count: int) -> ArcDataset:
    """`dataset` with the training pairs of its first `count` tasks as the test, and no others."""
    tasks = tuple(
        replace(
            task,
            pairs=tuple(
                replace(pair, split="test", is_test=True) for pair in task.pairs if pair.split == "train"
            )
            if number < count
            else (),
        )
        for number, task in enumerate(dataset.tasks)
    )
    return ArcDataset(tasks, dataset.identifiers, dataset.seed, dataset.side)


def _rows(dataset: ArcDataset, ballots: Any, asked: Asked) -> list[dict[str, Any]]:
    """A row for each number of attempts."""
    made = score(dataset, ballots)
    return [
        {
            **{"decoder": "vote", "split": asked, "attempts": attempts, "solved": solved},
            **{"puzzles": made.inputs, "exact_rate": solved / made.inputs},
            "interval_95": list(interval(solved, made.inputs) or ()),
            **{"tasks": made.tasks, "task_rate": made.pass_at[attempts]},
        }
        for attempts, solved in made.solved_inputs.items()
    ]


def _unknown(name: str, tasks: Iterable[str]) -> str:
    from difflib import get_close_matches

    known = list(tasks)
    near = get_close_matches(name, known, n=3, cutoff=0.3)
    return f"no task {name!r} in the dataset; near: {', '.join(near) or known[0]}"
