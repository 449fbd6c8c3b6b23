"""The stream of training examples: a pure function of (seed, step), whatever the batch."""

from itertools import pairwise
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm_scaling.tasks.dataset import Dataset, Split
from trm_scaling.tasks.sampler import batch_indices, train_rows

seeds = st.integers(0, 2**32 - 1)
counts = st.integers(1, 40)


def stream(seed: int, length: int, batch: int, puzzles: int, augs: int) -> tuple[np.ndarray, np.ndarray]:
    parts = [batch_indices(seed, step, batch, puzzles, augs) for step in range(-(-length // batch))]
    return np.concatenate([p for p, _ in parts])[:length], np.concatenate([a for _, a in parts])[:length]


@given(seeds, counts, st.integers(0, 5))
def test_every_epoch_is_a_permutation(seed: int, puzzles: int, epoch: int) -> None:
    puzzle, _ = batch_indices(seed, epoch, puzzles, puzzles, 3)
    assert sorted(puzzle.tolist()) == list(range(puzzles))


@given(seeds, counts, st.integers(1, 50), st.integers(1, 50), st.integers(0, 1000))
def test_the_stream_does_not_depend_on_the_batch_size(
    seed: int, puzzles: int, batch: int, other: int, augs: int
) -> None:
    for one, two in zip(
        stream(seed, 100, batch, puzzles, augs), stream(seed, 100, other, puzzles, augs), strict=True
    ):
        np.testing.assert_array_equal(one, two)


@given(seeds, counts, st.integers(0, 1000), st.lists(st.integers(0, 64), max_size=4))
def test_the_shares_of_hosts_make_up_the_batch(seed: int, puzzles: int, step: int, cuts: list[int]) -> None:
    whole = batch_indices(seed, step, 64, puzzles, 9)
    edges = [0, *sorted(cuts), 64]
    shares = [batch_indices(seed, step, 64, puzzles, 9, start, stop) for start, stop in pairwise(edges)]
    for field in (0, 1):
        np.testing.assert_array_equal(np.concatenate([share[field] for share in shares]), whole[field])


def test_indices_are_int32_and_in_range_and_augmentations_uniform() -> None:
    puzzle, aug = batch_indices(0, 3, 50_000, 1000, 4)
    assert puzzle.dtype == aug.dtype == np.int32
    assert 0 <= puzzle.min() <= puzzle.max() == 999
    shares = np.bincount(aug, minlength=5) / len(aug)
    assert len(shares) == 5
    np.testing.assert_allclose(shares, 0.2, atol=0.01)


def test_epochs_and_seeds_differ() -> None:
    first, second = batch_indices(0, 0, 100, 100, 1000), batch_indices(0, 1, 100, 100, 1000)
    other = batch_indices(1, 0, 100, 100, 1000)
    for field in (0, 1):
        assert (first[field] != second[field]).any()
        assert (first[field] != other[field]).any()


def test_without_augmentation_every_index_is_the_identity() -> None:
    assert not batch_indices(0, 0, 100, 10, 0)[1].any()


def test_the_stream_is_pinned() -> None:
    """A changed stream would silently break the resumption of every earlier run."""
    puzzle, aug = batch_indices(0, 0, 8, 5, 1000)
    assert puzzle.tolist() == [0, 2, 1, 4, 3, 3, 2, 4]
    assert aug.tolist() == [277, 947, 987, 254, 195, 273, 815, 563]


@pytest.mark.parametrize("puzzles", [100, 1000])
def test_a_cached_epoch_cannot_be_spoilt_by_its_user(puzzles: int) -> None:
    first, _ = batch_indices(0, 0, 10, puzzles, 3)
    copy = first.copy()
    first[:] = -1
    np.testing.assert_array_equal(batch_indices(0, 0, 10, puzzles, 3)[0], copy)


def test_a_step_looks_at_the_groups_it_draws_and_not_at_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = np.zeros((9, 4), np.uint8)
    split = Split(tokens, tokens)
    starts = np.array([0, 2, 5, 9])
    dataset = Dataset(Path(), None, split, split, split, starts)  # type: ignore[arg-type]
    vars(dataset)["embedded"] = None  # all images of a puzzle share one embedding
    diff = Mock(wraps=np.diff)
    monkeypatch.setattr(np, "diff", diff)
    for step in range(20):
        row, aug, _ = train_rows(dataset, 0, step, 6)
        group = batch_indices(0, step, 6, 3, 2**31 - 2)[0]
        assert (starts[group] <= row).all()
        assert (row < starts[group + 1]).all()
        assert not aug.any()
    assert diff.call_count <= 1
