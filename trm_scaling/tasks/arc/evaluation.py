"""The ARC evaluation: predictions of every augmented test input, votes, pass@K and the Kaggle submission.

One evaluation is of one checkpoint. The public code adds the votes of successive evaluations together unless
told otherwise, which makes its result that of an ensemble of checkpoints (41.0 against 38.5 % in one
reproduction). Here `single_checkpoint` and `ensemble` are two results with two names.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from trm_scaling.errors import UserError
from trm_scaling.tasks.arc.batches import evaluation_rows
from trm_scaling.tasks.arc.collection import Grid
from trm_scaling.tasks.arc.dataset import ArcDataset
from trm_scaling.tasks.arc.votes import Ballots
from trm_scaling.tasks.embedded import Predict
from trm_scaling.tasks.folder import Progress, silent

PASS_AT = (1, 2, 5, 10, 100, 1000)
ATTEMPTS = 2

_SAVE_SECONDS = 60.0
_SAVE_SHARE = 0.05
"""Saving the votes takes at most this share of the time, and happens at most once in so many seconds."""


@dataclass(frozen=True)
class ArcScore:
    """How many test tasks were solved within K attempts."""

    kind: Literal["single_checkpoint", "ensemble"]
    evaluations: int
    """1, or the checkpoints whose votes were added."""

    pass_at: dict[int, float]
    """K -> mean over the test tasks of the share of their test inputs answered within K attempts, 0..1."""

    solved_inputs: dict[int, int]
    """K -> test inputs answered within K attempts."""

    tasks: int
    inputs: int
    """Test inputs of all tasks."""

    inputs_without_votes: int
    """They count as wrong, and the submission lacks them."""

    votes: int


def evaluate(
    dataset: ArcDataset,
    predict: Predict,
    batch_size: int,
    *,
    checkpoint: str,
    path: Path | None = None,
    saves: bool = True,
    progress: Progress = silent,
) -> Ballots:
    """Predict every row of the test split and count the votes. Memory is that of the different answers.

    Args:
        dataset: with the tasks to test.
        predict: the model.
        batch_size: rows of a batch; the last one is filled with padding rows.
        checkpoint: a name of the weights, such as their fingerprint.
        path: where votes are kept; an evaluation of this checkpoint that was cut short goes on from there.
        saves: whether this process writes `path`; of several that predict together all read it, one writes.
        progress: told of each batch.

    Raises:
        UserError: `path` belongs to another evaluation.
    """
    batches = -(-dataset.num_test_rows // batch_size)
    setting = {"checkpoint": checkpoint, "batch_size": batch_size}
    ballots, batch = Ballots(dataset), 0
    if path is not None and path.exists():
        ballots, state = Ballots.load(path, dataset)
        batch = state.pop("batch")
        if other := [f"{key} {state[key]!r}" for key, value in setting.items() if state.get(key) != value]:
            raise UserError(f"{path} was begun with {', '.join(other)}; go on with that, or delete the file")
    saved, took = time.monotonic(), 0.0

    def save() -> None:
        nonlocal saved, took
        if path is not None and saves:
            began = time.monotonic()
            ballots.save(path, {"batch": batch, **setting})
            saved = time.monotonic()
            took = saved - began

    while batch < batches:
        rows = evaluation_rows(dataset.num_test_rows, batch, batch_size)
        predictions, q_logits = predict(dataset.test_examples(rows))
        ballots.add(rows, predictions, q_logits)
        batch += 1
        progress("evaluation", min(batch * batch_size, dataset.num_test_rows), dataset.num_test_rows)
        if time.monotonic() - saved > max(_SAVE_SECONDS, took / _SAVE_SHARE):
            save()
    save()
    return ballots


def ensemble(evaluations: Sequence[Ballots], dataset: ArcDataset) -> Ballots:
    """The votes of several evaluations together, in their order; the evaluations are left as they are.

    Raises `UserError` when one of them is of another dataset.
    """
    together = Ballots(dataset)
    together.evaluations = 0
    for each in evaluations:
        together.merge(each, later=True)
    return together


def score(dataset: ArcDataset, ballots: Ballots) -> ArcScore:
    """pass@K over all test tasks. Raises `UserError` when the dataset has none."""
    shares = dict.fromkeys(PASS_AT, 0.0)
    solved = dict.fromkeys(PASS_AT, 0)
    tasks = np.flatnonzero(dataset.test.sizes).tolist()
    if not tasks:
        raise UserError("no task of the dataset has a test pair to answer; build it with another test subset")
    silent = 0
    for task in tasks:
        ranks = []
        for pair in _test_pairs(dataset, task):
            ranked = ballots.ranked(pair)
            silent += not ranked
            answer = _answer(dataset, pair)
            ranks.append(
                next((n for n, each in enumerate(ranked) if np.array_equal(each.grid, answer)), None)
            )
        for k in PASS_AT:
            within = sum(rank is not None and rank < k for rank in ranks)
            solved[k] += within
            shares[k] += within / len(ranks)
    return ArcScore(
        kind="single_checkpoint" if ballots.evaluations == 1 else "ensemble",
        evaluations=ballots.evaluations,
        pass_at={k: float(total / len(tasks)) for k, total in shares.items()},
        solved_inputs=solved,
        tasks=len(tasks),
        inputs=len(dataset.test.pair),
        inputs_without_votes=silent,
        votes=ballots.num_votes,
    )


def submission(dataset: ArcDataset, ballots: Ballots) -> dict[str, list[dict[str, list[list[int]]]]]:
    """The two best answers to each test input, in the Kaggle format; a single answer fills both attempts.

    A test input without votes is left out, and a task keeps its (then shorter) list, as in the public code.
    """
    entries: dict[str, list[dict[str, list[list[int]]]]] = {}
    for task in np.flatnonzero(dataset.test.sizes).tolist():
        inputs = [ranked for pair in _test_pairs(dataset, task) if (ranked := ballots.ranked(pair))]
        entries[dataset.tasks[task].name] = [
            {f"attempt_{n + 1}": ranked[n if n < len(ranked) else 0].grid.tolist() for n in range(ATTEMPTS)}
            for ranked in inputs
        ]
    return entries


def submission_bytes(dataset: ArcDataset, ballots: Ballots) -> bytes:
    """`submission.json`."""
    return json.dumps(submission(dataset, ballots), separators=(",", ":")).encode()


def _test_pairs(dataset: ArcDataset, task: int) -> list[int]:
    return dataset.test.pair[dataset.test.start[task] : dataset.test.start[task + 1]].tolist()


def _answer(dataset: ArcDataset, pair: int) -> Grid:
    height, width = dataset.outputs.shapes[pair]
    return dataset.outputs.cells[pair, :height, :width]
