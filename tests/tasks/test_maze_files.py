"""The public list and folder of mazes, both ways, against what the public builder made."""

import json
from pathlib import Path

import numpy as np
import pytest

from trm_scaling.errors import UserError
from trm_scaling.tasks.manifest import DamagedDataset
from trm_scaling.tasks.maze import dataset as maze_dataset
from trm_scaling.tasks.maze.board import FREE, PATH, START, WALL
from trm_scaling.tasks.maze.csv_file import csv_text, read_csv, write_csv
from trm_scaling.tasks.maze.dataset import MazeConfig, build_maze, build_splits, is_built, open_maze
from trm_scaling.tasks.maze.public_layout import is_maze_folder, public_arrays, read_public, write_public
from trm_scaling.tasks.maze.splits import class_keys, originals, split_of, with_images
from trm_scaling.tasks.task import HubUnavailable

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "tasks"
SMALL = MazeConfig(source="generated", side=6, train_size=12, val_size=3, test_size=4)


def golden_lists(folder: Path, side: int) -> Path:
    """A folder with the golden lists of one size, as the public data set names them."""
    folder.mkdir()
    for name in ("train", "test"):
        (folder / f"{name}.csv").write_bytes((GOLDEN / f"maze_{side}_{name}.csv").read_bytes())
    return folder


def test_the_copied_vectors_are_those_of_the_shared_folder(shared: Path) -> None:
    copies = sorted(GOLDEN.glob("maze_*"))
    assert len(copies) == 6
    for copy in copies:
        assert copy.read_bytes() == (shared / "golden_tasks" / copy.name).read_bytes()


@pytest.mark.parametrize("side", [9, 30])
@pytest.mark.parametrize("aug", [False, True])
def test_the_public_builder_s_folder_is_reproduced(tmp_path: Path, side: int, aug: bool) -> None:
    config = MazeConfig(source=str(golden_lists(tmp_path / "lists", side)), aug=aug)
    manifest = build_maze(config, tmp_path / "out")
    assert (manifest.side, manifest.aug, manifest.shared_classes) == (side, aug, 0)
    with np.load(GOLDEN / f"maze_build_{side}.npz", allow_pickle=False) as golden:
        names = [name for name in golden.files if name.startswith(f"aug{int(aug)}/")]
        assert len(names) == 10
        for name in names:
            _, folder, field = name.split("/")
            stored = np.load(tmp_path / "out" / folder / f"all__{field}.npy", allow_pickle=False)
            np.testing.assert_array_equal(stored, golden[name])
            assert stored.dtype == golden[name].dtype
    for split, count in ((manifest.splits["train"], 4), (manifest.splits["test"], 3)):
        assert (split.count, split.unique, split.optimal) == (count, count, count)


@pytest.mark.parametrize("side", [9, 30])
def test_a_public_folder_without_our_manifest_is_read(tmp_path: Path, side: int) -> None:
    built = build_maze(
        MazeConfig(source=str(golden_lists(tmp_path / "in", side)), aug=True), tmp_path / "out"
    )
    for extra in ("manifest.json", "train/all__ratings.npy", "test/all__ratings.npy"):
        (tmp_path / "out" / extra).unlink()
    manifest, splits = open_maze(tmp_path / "out")
    assert (manifest.fingerprint, manifest.aug, manifest.seed) == (built.fingerprint, True, None)
    assert (len(splits["train"]), splits["train"].num_mazes, len(splits["val"])) == (32, 4, 0)
    given = read_csv(GOLDEN / f"maze_{side}_train.csv")
    assert originals(splits["train"]).difficulty.tolist() == given.difficulty.tolist()


@pytest.mark.parametrize("name", ["maze_9_train", "maze_9_test", "maze_30_train", "maze_30_test"])
def test_a_public_list_is_written_as_it_was_read(tmp_path: Path, name: str) -> None:
    split = read_csv(GOLDEN / f"{name}.csv")
    write_csv(tmp_path / "again.csv", split, "made")
    assert (tmp_path / "again.csv").read_text() == (GOLDEN / f"{name}.csv").read_text().replace("\r\n", "\n")


def line(q: str = "S" + " " * 23 + "G", a: str | None = None, rating: str = "8") -> str:
    answer = q if a is None else a
    return f"x,{q},{answer},{rating}\n"


HEADER = "source,q,a,rating\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the columns are ''"),
        ("q,a\n", "line 1: the columns are 'q,a'"),
        (HEADER, "holds no maze"),
        (HEADER + "x,y\n", "line 2: 2 columns, not 4"),
        (HEADER + line("S" * 25), "line 2, q: 25 S and 0 G"),
        (HEADER + line() + line("SG "), "line 3, q: 3 characters"),
        (HEADER + line(a="S#" + " " * 22 + "G"), "line 2: a is not the maze in q"),
        (HEADER + line(a="S" + " " * 34 + "G"), "line 2: a is not the maze in q"),
        (HEADER + line("So" + " " * 22 + "G"), "line 2, q: a maze without its path"),
        (HEADER + line(rating="8.5"), "line 2: rating '8.5'"),
        (HEADER + line() + line("S" + " " * 34 + "G"), "line 3: a maze of 36 cells among mazes of 25"),
        (HEADER + "x" * 20_000, "line 2: more than 10,000 characters"),
        (HEADER + 'x,"S\n', "cannot be read as a list of mazes"),
    ],
)
def test_a_list_that_is_none_names_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_csv(tmp_path / "list.csv")


def test_bytes_and_folders_are_no_lists(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"\xff\xfe\x00" * 9)
    for path in (tmp_path / "list.csv", tmp_path, tmp_path / "gone.csv"):
        with pytest.raises(UserError, match="cannot be read as a list of mazes"):
            read_csv(path)


def test_validation_mazes_leave_the_training_list_and_samples_keep_its_order(tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    splits = build_splits(SMALL)
    for name in ("train", "test"):
        write_csv(lists / f"{name}.csv", splits[name], "made")
    parts = build_splits(MazeConfig(source=str(lists), train_size=5, val_size=4, test_size=2))
    assert [len(parts[name]) for name in ("train", "val", "test")] == [5, 4, 2]
    rows = {label.tobytes(): row for row, label in enumerate(splits["train"].labels)}
    chosen = [[rows[label.tobytes()] for label in parts[name].labels] for name in ("train", "val")]
    assert all(numbers == sorted(numbers) for numbers in chosen)
    assert not set(chosen[0]) & set(chosen[1])
    with pytest.raises(UserError, match="holds 8 mazes, fewer than the 9"):
        build_splits(MazeConfig(source=str(lists), train_size=9, val_size=4))
    write_csv(lists / "val.csv", splits["val"], "made")
    parts = build_splits(MazeConfig(source=str(lists)))
    assert class_keys(parts["val"]) == class_keys(splits["val"])
    assert len(parts["train"]) == 12


def test_the_same_wish_is_kept_and_another_one_refused(tmp_path: Path) -> None:
    folder = tmp_path / "mazes"
    first = build_maze(SMALL, folder)
    written = (folder / "manifest.json").stat().st_mtime_ns
    assert is_built(folder, SMALL)
    assert build_maze(SMALL, folder) == first
    assert (folder / "manifest.json").stat().st_mtime_ns == written
    other = SMALL.model_copy(update={"seed": 1})
    with pytest.raises(UserError, match="already holds a dataset, and not this one"):
        build_maze(other, folder)
    assert build_maze(other, folder, replace=True).fingerprint != first.fingerprint
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love.txt").write_text("dear")
    with pytest.raises(UserError, match="is no dataset"):
        build_maze(SMALL, tmp_path / "letters", replace=True)


def test_the_hub_out_of_reach_proposes_generated_mazes(tmp_path: Path, monkeypatch) -> None:
    def offline() -> tuple[Path, Path]:
        raise HubUnavailable(
            "no route",
            wish_in_fields="",
            wish_in_options="--size 30 --min-moves 111",
            own_list="a list",
            own_list_name="lists",
        )

    monkeypatch.setattr(maze_dataset, "fetch_hub", offline)
    with pytest.raises(UserError, match="--source generated --size 30 --min-moves 111"):
        build_maze(MazeConfig(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_hub_s_lists_make_the_dataset(tmp_path: Path, monkeypatch) -> None:
    lists = (GOLDEN / "maze_9_train.csv", GOLDEN / "maze_9_test.csv")
    monkeypatch.setattr(maze_dataset, "fetch_hub", lambda: lists)
    manifest = build_maze(MazeConfig(), tmp_path / "out")
    assert (manifest.source, manifest.splits["train"].count, manifest.asked) == (
        *("hub", 4),
        MazeConfig().digest,
    )


def damage(folder: Path, name: str, change) -> None:
    array = np.load(folder / name, allow_pickle=False)
    np.save(folder / name, change(array), allow_pickle=False)


def put(row: int, cell: int, value: int):
    def change(array: np.ndarray) -> np.ndarray:
        array[row, cell] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train/all__inputs.npy", put(3, 0, PATH), "row 3 holds a token that no maze has"),
        ("train/all__inputs.npy", lambda a: np.where(a == START, FREE, a), "row 0 has not one start"),
        ("train/all__labels.npy", lambda a: np.where(a == FREE, WALL, a), "row 0 has a label that is not"),
        ("test/all__labels.npy", lambda a: a[:-1], "are not two equal"),
        ("val/all__inputs.npy", lambda a: a.astype(np.float32), "float32, not whole numbers"),
        ("train/all__puzzle_indices.npy", lambda a: a[::-1], "a maze has one example"),
        ("train/all__group_indices.npy", lambda a: a[:-1], "does not cut 0 to 12"),
        ("train/all__group_indices.npy", lambda a: np.r_[a[:3], a[1:]], "does not increase"),
        ("train/all__puzzle_identifiers.npy", lambda a: a + 1, "mazes share one identifier"),
        ("train/all__ratings.npy", lambda a: a[1:], "shape"),
    ],
)
def test_a_foreign_folder_that_contradicts_itself_is_refused(tmp_path, name, change, message) -> None:
    write_folder = tmp_path / "public"
    write_folder.mkdir()
    write_public(write_folder, build_splits(SMALL))
    assert is_maze_folder(write_folder)
    damage(write_folder, name, change)
    with pytest.raises(DamagedDataset, match=message):
        read_public(write_folder)


def test_a_file_of_ours_that_changed_is_damage(tmp_path: Path) -> None:
    folder = tmp_path / "mazes"
    build_maze(SMALL, folder)
    with (folder / "test" / "all__labels.npy").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x06")
    with pytest.raises(DamagedDataset, match="sha256 differs"):
        open_maze(folder)
    (folder / "test" / "all__labels.npy").unlink()
    with pytest.raises(DamagedDataset, match="missing"):
        open_maze(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"files": {"../x": "0"}}))
    with pytest.raises(DamagedDataset, match="lies outside"):
        open_maze(folder)
    (folder / "manifest.json").write_text(json.dumps(manifest | {"version": 2}))
    with pytest.raises(DamagedDataset, match="version"):
        open_maze(folder)


def test_a_truncated_array_and_no_folder_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "public"
    folder.mkdir()
    write_public(folder, build_splits(SMALL))
    (folder / "train" / "all__inputs.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(DamagedDataset, match="no readable array"):
        read_public(folder)
    with pytest.raises(UserError, match="trm data maze --output-dir"):
        read_public(tmp_path)


def test_public_arrays_of_stored_images_are_groups_of_eight() -> None:
    arrays = public_arrays(with_images(build_splits(SMALL)["train"]))
    assert arrays["group_indices"].tolist() == list(range(0, 97, 8))
    assert len(arrays["puzzle_indices"]) == 97


def test_a_label_that_is_no_shortest_path_is_counted_in_the_manifest(tmp_path: Path) -> None:
    maze = "S" + " " * 23 + "G"
    answer = "Soooo" + "    o" + "    o" + "    o" + "    G"
    detour = "Soooo" + "   oo" + "   oo" + "    o" + "    G"
    lists = tmp_path / "lists"
    lists.mkdir()
    for name in ("train", "test"):
        (lists / f"{name}.csv").write_text(HEADER + line(maze, answer) + line(maze, detour))
    manifest = build_maze(MazeConfig(source=str(lists)), tmp_path / "out")
    assert (manifest.splits["test"].optimal, manifest.splits["test"].unique) == (1, 0)
    assert manifest.shared_classes == 1
    assert "x," in csv_text(split_of(*[read_csv(lists / "test.csv").inputs] * 2), "x")
