"""Dataset folders: built once, whole or not at all, and refused when they are not what they say."""

import json
import multiprocessing
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from trm_scaling.errors import UserError
from trm_scaling.tasks import build
from trm_scaling.tasks.build import RebuiltDataset, build_dataset, dataset_name, ensure_dataset
from trm_scaling.tasks.manifest import DamagedDataset, parse_manifest, sha256_file, write_manifest
from trm_scaling.tasks.opening import open_dataset
from trm_scaling.tasks.sudoku.description import SudokuData

SMALL = SudokuData(
    source="generated", box_rows=2, box_cols=2, train_size=30, val_size=20, test_size=10, num_aug=5
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "small"
    build_dataset(SMALL, folder)
    return folder


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "copy"))


def test_a_dataset_opens_as_it_was_built(built: Path) -> None:
    dataset = open_dataset(built)
    assert [len(split) for split in (dataset.train, dataset.val, dataset.test)] == [30, 20, 10]
    assert (dataset.vocab_size, dataset.seq_len, dataset.num_puzzle_ids) == (6, 16, 1)
    assert (dataset.num_puzzles, dataset.num_aug, dataset.group_start) == (30, 5, None)
    assert dataset.train.inputs.dtype == np.uint8
    manifest = dataset.manifest
    assert (manifest.source, manifest.seed, manifest.rated_by) == ("generated", 0, "trm")
    assert manifest.about["shared_solution_grids"] == 0
    assert manifest.about["shared_solution_classes"] in (1, 2)
    assert manifest.splits["val"].count == sum((manifest.splits["val"].ratings or {}).values()) == 20


def test_the_same_description_gives_the_same_content_and_files(built: Path, tmp_path: Path) -> None:
    again = build_dataset(SMALL, tmp_path / "again")
    assert again.manifest == open_dataset(built).manifest
    other = build_dataset(SMALL.model_copy(update={"seed": 1}), tmp_path / "other")
    assert other.fingerprint != again.fingerprint


def test_ensure_builds_once_and_names_the_folder_after_the_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ensure_dataset(SMALL, tmp_path)
    assert first.path == tmp_path / "data" / dataset_name(SMALL)
    assert first.path.name.startswith("sudoku-4x4-generated-30-aug-5-")
    monkeypatch.setattr(build, "_build", lambda *_: pytest.fail("built twice"))
    assert ensure_dataset(SMALL, tmp_path).fingerprint == first.fingerprint
    named = SMALL.model_copy(update={"path": f"data/{first.path.name}"})
    assert ensure_dataset(named, tmp_path).fingerprint == first.fingerprint
    assert dataset_name(SMALL.model_copy(update={"val_size": 21})) != first.path.name


def _ensure(root: Path, stamps: "multiprocessing.SimpleQueue[int]") -> None:
    dataset = ensure_dataset(SMALL, root)
    stamps.put((dataset.path / "manifest.json").stat().st_ino)


def test_two_processes_build_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    inodes: multiprocessing.SimpleQueue[int] = context.SimpleQueue()
    workers = [context.Process(target=_ensure, args=(tmp_path, inodes)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert inodes.get() == inodes.get()
    visible = [path.name for path in (tmp_path / "data").iterdir() if not path.name.startswith(".")]
    assert visible == [dataset_name(SMALL)]


def test_a_build_that_dies_leaves_nothing_to_read_and_the_next_one_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"

    def full_disk(*_: object) -> dict[str, str]:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(build, "write_compact", full_disk)
        with pytest.raises(UserError, match="no space left"):
            build_dataset(SMALL, target)
    assert not target.exists()
    # What a kill -9 leaves behind, since no handler runs then.
    (tmp_path / ".target.partial").mkdir()
    (tmp_path / ".target.partial" / "train.npz").write_bytes(b"half")
    assert len(build_dataset(SMALL, target).train) == 30
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".partial")] == []


@pytest.mark.parametrize("name", ["train.npz", "manifest.json"])
def test_a_damaged_one_that_was_built_here_is_kept_aside_and_built_again(tmp_path: Path, name: str) -> None:
    first = ensure_dataset(SMALL, tmp_path)
    content = bytearray((first.path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (first.path / name).write_bytes(content)
    with pytest.warns(RebuiltDataset, match=rf"{name}.*kept as {first.path.name}\.damaged-1"):
        again = ensure_dataset(SMALL, tmp_path)
    assert again.fingerprint == first.fingerprint
    aside = first.path.with_name(f"{first.path.name}.damaged-1")
    assert (aside / name).read_bytes() == content
    assert ensure_dataset(SMALL, tmp_path).fingerprint == first.fingerprint


@pytest.mark.skipif(sys.platform != "linux", reason="the file that cannot be read is Linux's")
@pytest.mark.parametrize("name", ["train.npz", "manifest.json"])
def test_one_on_a_bad_block_is_damaged_too(tmp_path: Path, name: str) -> None:
    first = ensure_dataset(SMALL, tmp_path)
    (first.path / name).unlink()
    (first.path / name).symlink_to("/proc/self/mem")  # opens, and reading it fails with EIO
    with pytest.warns(RebuiltDataset, match=rf"{name}: cannot be read: Input/output error; it is kept"):
        assert ensure_dataset(SMALL, tmp_path).fingerprint == first.fingerprint


def test_a_changed_value_of_the_manifest_is_damage(copy: Path) -> None:
    text = (copy / "manifest.json").read_text()
    # Augmentations are made from the seed: another one would train on other puzzles without a word.
    (copy / "manifest.json").write_text(text.replace('"seed": 0', '"seed": 8'))
    with pytest.raises(DamagedDataset, match="not the manifest that was written"):
        open_dataset(copy)
    content = json.loads(text)
    del content["sha256"]
    (copy / "manifest.json").write_text(json.dumps(content))
    assert len(open_dataset(copy).train) == 30, "a manifest from before it held its own checksum"


def test_a_manifest_from_before_there_were_other_tasks_is_read(copy: Path) -> None:
    now = open_dataset(copy)
    content = json.loads((copy / "manifest.json").read_text())
    board, about = content.pop("board"), content.pop("about")
    del content["task"], content["sha256"]
    old = {**content, **board, **about, "format": "trm-scaling-sudoku"}
    (copy / "manifest.json").write_text(json.dumps(old))
    then = open_dataset(copy)
    assert then.spec == now.spec
    assert then.manifest.model_copy(update={"sha256": now.manifest.sha256}) == now.manifest


def test_a_failed_replacement_keeps_the_dataset_that_was_there(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_dataset(copy).fingerprint
    monkeypatch.setattr(build, "write_manifest", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        build_dataset(SMALL.model_copy(update={"seed": 9}), copy, replace=True)
    assert open_dataset(copy).fingerprint == before


def test_the_same_wish_again_finds_what_it_built(copy: Path) -> None:
    written = {file.name: file.stat().st_mtime_ns for file in copy.iterdir()}
    assert build_dataset(SMALL, copy).fingerprint == open_dataset(copy).fingerprint
    assert {file.name: file.stat().st_mtime_ns for file in copy.iterdir()} == written


def test_only_datasets_are_replaced_and_only_when_asked(copy: Path, tmp_path: Path) -> None:
    for wish in (SMALL.model_copy(update={"seed": 9}), SMALL.model_copy(update={"test_size": 41})):
        with pytest.raises(UserError, match="already holds a dataset, and not this one; add --force"):
            build_dataset(wish, copy)
    with pytest.raises(UserError, match="already holds"):
        build_dataset(SMALL, copy, layout="public")
    other = build_dataset(SMALL.model_copy(update={"seed": 9}), copy, replace=True)
    assert open_dataset(copy).fingerprint == other.fingerprint
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").touch()
    with pytest.raises(UserError, match="is no dataset, so it is left alone"):
        build_dataset(SMALL, precious, replace=True)
    assert (precious / "thesis.tex").exists()


def test_a_missing_or_foreign_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no dataset folder at .*nowhere; build one"):
        open_dataset(tmp_path / "nowhere")
    (tmp_path / "readme.txt").touch()
    with pytest.raises(UserError, match=r"neither manifest\.json nor the public layout's"):
        open_dataset(tmp_path)


def test_damage_is_found_and_named(copy: Path) -> None:
    data = bytearray((copy / "val.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "val.npz").write_bytes(data)
    with pytest.raises(UserError, match=r"val\.npz: not the val\.npz that was written .* build it again"):
        open_dataset(copy)
    (copy / "val.npz").write_bytes(data[:50])
    with pytest.raises(UserError, match=r"val\.npz: not the val\.npz that was written"):
        open_dataset(copy)
    (copy / "val.npz").unlink()
    with pytest.raises(UserError, match=r"val\.npz: missing"):
        open_dataset(copy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the whole file"),
        ("{", "the whole file"),
        ('{"format": "something else"}', "format|layout"),
        ("[1]", "the whole file"),
    ],
)
def test_a_manifest_that_is_none_is_refused(copy: Path, text: str, message: str) -> None:
    (copy / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=rf"manifest\.json is no manifest .*({message})"):
        open_dataset(copy)


def test_a_later_format_version_is_refused(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"version": 2}))
    with pytest.raises(UserError, match="version"):
        open_dataset(copy)


def test_an_archive_that_needs_pickle_is_not_loaded(copy: Path) -> None:
    np.savez(copy / "val.npz", inputs=np.array([{}], dtype=object), labels=np.zeros(1), ratings=np.zeros(1))
    manifest = parse_manifest(copy / "manifest.json")
    files = {**manifest.files, "val.npz": sha256_file(copy / "val.npz")}
    write_manifest(copy / "manifest.json", manifest.model_copy(update={"files": files}))
    with pytest.raises(UserError, match=r"val\.npz: not the arrays expected"):
        open_dataset(copy)


def test_generated_puzzles_need_a_test_size(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="test_size"):
        build_dataset(SudokuData(source="generated"), tmp_path / "x")
