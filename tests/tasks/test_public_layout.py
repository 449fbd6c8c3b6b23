"""The public code's folders: ours are what it expects, its own are what we sample from."""

import json
from pathlib import Path

import numpy as np
import pytest

from trm_scaling.errors import UserError
from trm_scaling.tasks.build import build_dataset
from trm_scaling.tasks.dataset import Dataset
from trm_scaling.tasks.opening import open_dataset
from trm_scaling.tasks.sampler import batch_indices, train_rows
from trm_scaling.tasks.sudoku.board import Shape
from trm_scaling.tasks.sudoku.description import SudokuData

CONFIG = SudokuData(
    source="generated", box_rows=2, box_cols=3, train_size=12, val_size=3, test_size=5, num_aug=7, seed=2
)


@pytest.fixture(scope="module")
def compact(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return build_dataset(CONFIG, tmp_path_factory.mktemp("compact") / "d")


@pytest.fixture
def public(tmp_path: Path) -> Dataset:
    return build_dataset(CONFIG, tmp_path / "d", layout="public")


def forget_manifest(dataset: Dataset) -> None:
    """Leave what the public builder would have written."""
    (dataset.path / "manifest.json").unlink()
    for ratings in dataset.path.rglob("all__ratings.npy"):
        ratings.unlink()


def test_stored_augmentations_are_those_made_on_the_device(compact: Dataset, public: Dataset) -> None:
    from trm_scaling.tasks.sudoku.augment import augment_batch

    puzzle, index = (each.astype(np.int32) for each in divmod(np.arange(12 * 8), 8))
    inputs, labels = augment_batch(
        CONFIG.seed,
        puzzle,
        index,
        compact.train.inputs[puzzle],
        compact.train.labels[puzzle],
        Shape(2, 3),
    )
    np.testing.assert_array_equal(public.train.inputs, inputs)
    np.testing.assert_array_equal(public.train.labels, labels)
    assert public.fingerprint == compact.fingerprint
    assert (public.num_puzzles, public.num_aug) == (12, 7)
    for name in ("val", "test"):
        np.testing.assert_array_equal(getattr(public, name).inputs, getattr(compact, name).inputs)
        np.testing.assert_array_equal(getattr(public, name).difficulty, getattr(compact, name).difficulty)


def test_files_are_what_the_public_loader_reads(public: Dataset) -> None:
    """Fields, lengths and meanings as `puzzle_dataset.py` of the public code uses them."""
    for split, groups, images in (("train", 12, 8), ("test", 5, 1)):
        folder = public.path / split
        metadata = json.loads((folder / "dataset.json").read_text())
        assert metadata == {
            "pad_id": 0,
            "ignore_label_id": 0,
            "blank_identifier_id": 0,
            "vocab_size": 8,
            "seq_len": 36,
            "num_puzzle_identifiers": 1,
            "total_groups": groups,
            "mean_puzzle_examples": 1,
            "total_puzzles": groups,
            "sets": ["all"],
        }
        arrays = {
            field: np.load(folder / f"all__{field}.npy")
            for field in ("inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices")
        }
        assert arrays["inputs"].shape == arrays["labels"].shape == (groups * images, 36)
        assert arrays["puzzle_indices"].tolist() == list(range(groups * images + 1))
        assert arrays["group_indices"].tolist() == list(range(0, groups * images + 1, images))
        assert not arrays["puzzle_identifiers"].any()
        # The loader casts to int32 and takes 0 for "ignore": no token may change.
        np.testing.assert_array_equal(arrays["inputs"].astype(np.int32), arrays["inputs"])
        assert arrays["inputs"].min() == 1
        assert arrays["labels"].min() == 2
    assert json.loads((public.path / "identifiers.json").read_text()) == ["<blank>"]


def test_training_draws_a_puzzle_and_one_of_its_stored_images(public: Dataset) -> None:
    row, aug, ids = train_rows(public, 3, 5, 64)
    assert not ids.any()
    puzzle, member = batch_indices(3, 5, 64, 12, 7)
    np.testing.assert_array_equal(row, puzzle * 8 + member)
    assert not aug.any()
    part, _, _ = train_rows(public, 3, 5, 64, 10, 20)
    np.testing.assert_array_equal(part, row[10:20])


def test_compact_training_draws_a_puzzle_and_an_augmentation(compact: Dataset) -> None:
    row, aug, _ = train_rows(compact, 3, 5, 64)
    for ours, direct in zip((row, aug), batch_indices(3, 5, 64, 12, 7), strict=True):
        np.testing.assert_array_equal(ours, direct)


def test_a_folder_of_the_public_builder_opens(public: Dataset) -> None:
    forget_manifest(public)
    for file in ("all__inputs.npy", "all__labels.npy"):  # it stores int64
        np.save(public.path / "train" / file, np.load(public.path / "train" / file).astype(np.int64))
    foreign = open_dataset(public.path)
    assert foreign.task.board == {"box_rows": 2, "box_cols": 3}  # told by the solutions, not by the metadata
    assert (foreign.num_puzzles, foreign.num_aug, foreign.train.difficulty) == (12, 7, None)
    assert foreign.train.inputs.dtype == np.uint8
    np.testing.assert_array_equal(foreign.train.inputs, public.train.inputs)
    assert (foreign.manifest.seed, foreign.manifest.about) == (None, {})


def test_without_a_validation_folder_validation_is_empty(public: Dataset) -> None:
    forget_manifest(public)
    for file in (public.path / "val").iterdir():
        file.unlink()
    (public.path / "val").rmdir()
    assert len(open_dataset(public.path).val) == 0


def test_groups_of_unequal_size_are_drawn_evenly(public: Dataset) -> None:
    forget_manifest(public)
    starts = np.array([0, 1, 4, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96])
    np.save(public.path / "train" / "all__group_indices.npy", starts)
    ragged = open_dataset(public.path)
    row, _, _ = train_rows(ragged, 0, 0, 12 * 3000)
    group = np.searchsorted(starts, row, side="right") - 1
    np.testing.assert_array_equal(np.bincount(group), 3000)
    members = np.bincount(row)
    np.testing.assert_allclose(members[1:4], 1000, atol=130)  # five standard deviations
    np.testing.assert_allclose(members[80:], 3000 / 16, atol=68)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("dataset.json", b"{", "no JSON"),
        ("dataset.json", b'{"pad_id": 0}', "lacks ignore_label_id"),
        ("all__labels.npy", None, "missing"),
        ("all__labels.npy", b"\x93NUMPY", "no readable array"),
        ("all__group_indices.npy", np.array([0, 5]), "does not cut 0..96"),
        ("all__inputs.npy", np.full((96, 36), 8), "tokens 8..8"),
        ("all__inputs.npy", np.ones((96, 35), np.int64), "not integers"),
        ("all__labels.npy", np.full((96, 36), 3), "the answers are no Sudoku"),
    ],
)
def test_a_damaged_or_foreign_folder_is_refused(
    public: Dataset, file: str, content: bytes | np.ndarray | None, message: str
) -> None:
    forget_manifest(public)
    target = public.path / "train" / file
    match content:
        case None:
            target.unlink()
        case bytes():
            target.write_bytes(content)
        case _:
            np.save(target, content)
    with pytest.raises(UserError, match=message):
        open_dataset(public.path)


def test_a_folder_of_no_task_is_refused(public: Dataset) -> None:
    forget_manifest(public)
    file = public.path / "train" / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"seq_len": 899, "vocab_size": 12}))
    with pytest.raises(UserError, match="the puzzles of no task here"):
        open_dataset(public.path)


def test_our_own_checksums_hold_here_too(public: Dataset) -> None:
    file = public.path / "train" / "all__labels.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(UserError, match=r"all__labels\.npy: not the file that was written"):
        open_dataset(public.path)
