"""Which examples a batch of an ARC dataset holds, and where they lie: functions of (seed, step)."""

from pathlib import Path

import numpy as np
import pytest

from tests.tasks.arc.test_arc_dataset import built, write_collection
from trm_scaling.errors import UserError
from trm_scaling.tasks.arc.augmentation import random_words
from trm_scaling.tasks.arc.batches import train_batch
from trm_scaling.tasks.arc.dataset import build


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_collection(tmp_path)


def test_training_examples_lie_where_they_may(source: Path) -> None:
    """Of each puzzle one example at the top left; input and output at one place, the same each time."""
    dataset = build(str(source), ["training", "evaluation"], "evaluation", 60, seed=4)
    ids = dataset.identifiers
    identifier = np.repeat(np.arange(1, len(ids), dtype=np.int32), dataset.train.sizes[ids.task[1:]])
    number = np.concatenate([np.arange(size) for size in dataset.train.sizes[ids.task[1:]]])
    made = dataset.train_examples(identifier, number)
    np.testing.assert_array_equal(made.inputs, dataset.train_examples(identifier, number).inputs)

    def corner(tokens: np.ndarray) -> np.ndarray:
        filled = tokens.reshape(-1, 30, 30) > 1
        return np.stack([filled.any(axis=2).argmax(axis=1), filled.any(axis=1).argmax(axis=1)], axis=1)

    np.testing.assert_array_equal(corner(made.inputs), corner(made.labels))
    at_corner = (corner(made.inputs) == 0).all(axis=1)
    assert all(at_corner[identifier == each].any() for each in range(1, len(ids)))
    small = dataset.tasks[1].name
    assert small == "b91ae062"  # 3x3 and up to 12x12: offsets reach 18
    reached = corner(made.inputs)[ids.task[identifier] == 1]
    assert reached.max() >= 15
    assert 0.6 < np.mean(~at_corner[ids.task[identifier] == 1]) <= 5 / 6  # one of six stays


def test_batches_are_functions_of_seed_and_step(source: Path) -> None:
    dataset = built(source)
    late = train_batch(dataset, 0, 500, 8)
    steps = [train_batch(dataset, 0, step, 8) for step in range(12)]
    again = train_batch(dataset, 0, 500, 8)
    np.testing.assert_array_equal(late.identifiers, again.identifiers)
    np.testing.assert_array_equal(late.numbers, again.numbers)
    assert any((train_batch(dataset, 1, 0, 8).identifiers != steps[0].identifiers).tolist())
    sizes, ids = dataset.train.sizes, dataset.identifiers
    for batch in steps:
        assert batch.identifiers.shape == batch.numbers.shape == (8,)
        changes = np.flatnonzero(np.diff(batch.identifiers)) + 1
        for run in np.split(np.arange(8), changes)[:-1]:  # every puzzle but the last is whole
            assert sorted(batch.numbers[run]) == list(range(sizes[ids.task[batch.identifiers[run[0]]]]))
    # One epoch visits each task once: seven groups stand in the first puzzles of the stream.
    order = [task for batch in steps for task in dict.fromkeys(ids.task[batch.identifiers].tolist())]
    assert sorted(order[:7]) == list(range(7))


def test_every_augmentation_and_example_is_drawn_alike_often(source: Path) -> None:
    dataset = built(source)
    drawn = [train_batch(dataset, 3, step, 32) for step in range(600)]
    identifiers = np.concatenate([each.identifiers for each in drawn])
    of_task = identifiers[dataset.identifiers.task[identifiers] == 0]
    counts = np.bincount(of_task, minlength=8)[1:8]
    assert counts.min() > 0.75 * counts.mean()
    assert counts.max() < 1.25 * counts.mean()


def test_a_batch_larger_than_a_pass_is_refused(source: Path) -> None:
    with pytest.raises(UserError, match="smaller batch"):
        train_batch(built(source), 0, 0, 100_000)


def test_random_words_are_pinned() -> None:
    assert random_words(1, 2, np.arange(2)).tolist() == PINNED_WORDS


PINNED_WORDS = [16613338946343043936, 937349279089814987]
