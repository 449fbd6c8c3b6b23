"""Puzzles from lists: what is read, what is chosen, and what a bad line says."""

import gzip
import logging
from pathlib import Path

import numpy as np
import pytest

from trm_scaling.errors import UserError
from trm_scaling.tasks.build import build_dataset, ensure_dataset
from trm_scaling.tasks.dataset import Dataset, Split
from trm_scaling.tasks.sudoku.board import Shape, to_text, tokens_to_digits
from trm_scaling.tasks.sudoku.classes import puzzle_keys
from trm_scaling.tasks.sudoku.description import SudokuData
from trm_scaling.tasks.sudoku.generate import Wish, make_candidates
from trm_scaling.tasks.sudoku.symmetry import random_symmetry

SHAPE = Shape(2, 3)
MADE = make_candidates(SHAPE, Wish(), 4, 0, 60)
HEADER = "source,question,answer,rating"


def csv_lines(ratings: bool = True) -> list[str]:
    return [
        f"me,{to_text(puzzle)},{to_text(answer)}" + (f",{number}" if ratings else "")
        for number, (puzzle, answer) in enumerate(zip(MADE.puzzles, MADE.solutions, strict=True))
    ]


def config(source: Path, **fields: object) -> SudokuData:
    described = {
        "train_size": 20,
        "val_size": 10,
        "test_size": 15,
        "box_rows": 2,
        "box_cols": 3,
        "num_aug": 3,
    }
    return SudokuData.model_validate(described | {"source": str(source)} | fields)


def write(path: Path, lines: list[str]) -> Path:
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def texts(split: Split) -> list[str]:
    return [to_text(tokens_to_digits(row)) for row in split.inputs]


def everything(dataset: Dataset) -> list[str]:
    return texts(dataset.train) + texts(dataset.val) + texts(dataset.test)


def test_csv_text_and_gzip_give_the_same_puzzles(tmp_path: Path) -> None:
    plain = [to_text(puzzle) for puzzle in MADE.puzzles]
    files = [
        write(tmp_path / "a.csv", [HEADER, *csv_lines()]),
        write(tmp_path / "b.csv.gz", csv_lines()),
        write(tmp_path / "c.txt", ["# my puzzles", *plain[:10], "", *plain[10:]]),
        write(tmp_path / "d.csv", ["Question", *(text.replace(".", "0") for text in plain)]),
        write(tmp_path / "e.csv", [f"{p},{to_text(a)}" for p, a in zip(plain, MADE.solutions, strict=True)]),
    ]
    built = [build_dataset(config(file), tmp_path / f"out-{file.stem}") for file in files]
    assert len({tuple(everything(dataset)) for dataset in built}) == 1
    assert [dataset.manifest.rated_by for dataset in built] == ["source", "source", "trm", "trm", "trm"]
    assert set(everything(built[0])) <= set(plain)
    assert len(set(everything(built[0]))) == 45


def test_ratings_of_the_file_are_kept_and_filter(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", [HEADER, *csv_lines()])
    dataset = build_dataset(config(file, min_rating=10, max_rating=54), tmp_path / "out")
    ratings = np.concatenate([split.difficulty for split in (dataset.train, dataset.val, dataset.test)])
    assert sorted(ratings.tolist()) == list(range(10, 55))
    assert dataset.train.difficulty is not None
    for text, rating in zip(texts(dataset.train), dataset.train.difficulty.tolist(), strict=True):
        assert text == to_text(MADE.puzzles[rating])


def test_computed_ratings_filter_lists_without_any(tmp_path: Path) -> None:
    made = make_candidates(Shape(3, 3), Wish(), 0, 0, 60)
    file = write(tmp_path / "a.txt", [to_text(puzzle) for puzzle in made.puzzles])
    wanted = int((made.ratings >= 3).sum())
    fields = {
        "box_rows": 3,
        "box_cols": 3,
        "train_size": wanted - 2,
        "val_size": 1,
        "test_size": 1,
        "min_rating": 3,
    }
    dataset = build_dataset(config(file, **fields), tmp_path / "out")
    assert sorted(everything(dataset)) == sorted(to_text(p) for p in made.puzzles[made.ratings >= 3])


def test_held_out_puzzles_are_no_images_of_training_puzzles(tmp_path: Path) -> None:
    """Every puzzle stands in the list ten times, disguised; a naive split would leak nearly all."""
    rng = np.random.default_rng(0)
    images = [random_symmetry(SHAPE, rng).apply(puzzle) for puzzle in MADE.puzzles for _ in range(10)]
    file = write(tmp_path / "a.txt", [to_text(image) for image in images])
    dataset = build_dataset(config(file, train_size=40, val_size=20, test_size=None), tmp_path / "out")
    train, val, test = (
        set(puzzle_keys(tokens_to_digits(split.inputs), tokens_to_digits(split.labels), SHAPE).tolist())
        for split in (dataset.train, dataset.val, dataset.test)
    )
    assert train.isdisjoint(val)
    assert train.isdisjoint(test)
    assert val.isdisjoint(test)
    assert len(dataset.test) > 0
    with pytest.raises(UserError, match=r"too few puzzles: val 300 of 300, test \d+ of 15, train \d+ of 200"):
        build_dataset(config(file, train_size=200, val_size=300), tmp_path / "more")
    with pytest.raises(UserError, match=r"too few puzzles: val 0 of 0, train 500 of 500, test 0 of all"):
        build_dataset(config(file, train_size=500, val_size=0, test_size=None), tmp_path / "all")


def test_a_separate_test_list_is_used_and_its_images_of_training_puzzles_dropped(tmp_path: Path) -> None:
    rows = csv_lines()
    train = write(tmp_path / "train.csv", [HEADER, *rows[:40]])
    test = write(tmp_path / "test.csv", [HEADER, *rows[20:]])
    fields = {"train_size": 30, "val_size": 10, "test_size": None, "test_source": str(test)}
    dataset = build_dataset(config(train, **fields), tmp_path / "out")
    assert sorted(texts(dataset.test)) == sorted(to_text(puzzle) for puzzle in MADE.puzzles[40:])


def test_the_seed_chooses(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", [HEADER, *csv_lines()])
    prints = [
        build_dataset(config(file, seed=seed), tmp_path / f"out{number}").fingerprint
        for number, seed in enumerate((0, 0, 1))
    ]
    assert prints[0] == prints[1] != prints[2]


GOOD = csv_lines()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            GOOD[0].replace(to_text(MADE.puzzles[0]), to_text(MADE.puzzles[0])[:-1]),
            "line 2, puzzle: 35 characters",
        ),
        (
            GOOD[0].replace(to_text(MADE.solutions[0]), "7" + to_text(MADE.solutions[0])[1:]),
            "line 2, answer: '7' at",
        ),
        (f"me,{'.' * 36},{to_text(MADE.solutions[0])},0", "line 2, puzzle: more than one solution"),
        (f"me,11{'.' * 34},{to_text(MADE.solutions[0])},0", "line 2, puzzle: digit 1 stands twice in row 1"),
        (f"me,{to_text(MADE.puzzles[0])},{to_text(MADE.solutions[1])},0", r"line 2: answer \d at row \d"),
        (
            f"me,{to_text(MADE.puzzles[0])},{to_text(MADE.solutions[0])},hard",
            "line 2: the rating column holds 'hard'",
        ),
        ("me", "line 2: the rating column holds nothing"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = write(tmp_path / "a.csv", [HEADER, line])
    with pytest.raises(UserError, match=message):
        build_dataset(config(file, train_size=1, val_size=0, test_size=None), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "holds no puzzle"),
        ("a.csv", b"a,b,c\n1,2,3\n", "none of its first 2 lines holds a 6x6 board.*Line 2 is '1,2,3'"),
        ("a.csv", b"\xff\xfe\x00", "cannot be read as a puzzle list"),
        ("a.csv.gz", b"not gzip", "cannot be read as a puzzle list"),
        ("a.csv.gz", gzip.compress("\n".join(GOOD).encode())[:-20], "cannot be read as a puzzle list"),
    ],
)
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        build_dataset(config(tmp_path / name), tmp_path / "out")


def test_a_missing_list_and_one_that_is_too_short_say_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no puzzle list at"):
        build_dataset(config(tmp_path / "nothing.csv"), tmp_path / "out")
    file = write(tmp_path / "a.csv", [HEADER, *csv_lines()])
    with pytest.raises(UserError, match=r"val 10 of 10, test 15 of 15, train 35 of 61\. It holds 60"):
        build_dataset(config(file, train_size=61), tmp_path / "out")


def out_of_reach(*_: object, **__: object) -> str:
    raise OSError("no route to host")


def test_the_command_s_folder_is_the_run_s_whatever_its_name(tmp_path: Path) -> None:
    described = SudokuData(
        source="generated", box_rows=2, box_cols=2, train_size=8, num_aug=4, val_size=2, test_size=2
    )
    mine = build_dataset(described, tmp_path / "data" / "mine")
    build_dataset(described.model_copy(update={"seed": 1}), tmp_path / "data" / "another", layout="public")
    found = ensure_dataset(described, tmp_path)
    assert found.path == tmp_path / "data" / "mine"
    assert found.fingerprint == mine.fingerprint
    # A folder that is damaged is left as it is, and a dataset of the run's own is built beside it.
    (mine.path / "train.npz").write_bytes(b"")
    own = ensure_dataset(described, tmp_path)
    assert own.path != mine.path
    assert own.fingerprint == mine.fingerprint
    assert (mine.path / "train.npz").read_bytes() == b""
    (mine.path / "manifest.json").write_text("{")
    assert ensure_dataset(described, tmp_path).path == own.path


def test_without_the_hub_the_message_names_the_other_two_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.hf_hub_download", out_of_reach)
    hub = SudokuData(train_size=77, num_aug=8)
    with pytest.raises(UserError, match="no route to host") as caught:
        build_dataset(hub, tmp_path / "out")
    command = f"--output-dir {tmp_path / 'out'} --subsample-size 77 --num-aug 8 --source"
    assert f"{command} generated --test-size 1000" in str(caught.value)
    assert f"{command} puzzles.csv.gz" in str(caught.value)
    with pytest.raises(UserError, match=r"data\.source=generated data\.test_size=1000"):
        ensure_dataset(hub, tmp_path)


def test_each_failed_attempt_to_reach_the_hub_is_not_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger, heard = logging.getLogger("huggingface_hub.utils._http"), []

    def refuse(*_: object, **__: object) -> None:
        heard.append(logger.isEnabledFor(logging.WARNING))
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    before = logger.isEnabledFor(logging.WARNING)
    with pytest.raises(UserError, match="no route to host"):
        build_dataset(SudokuData(), tmp_path / "out")
    assert heard == [False]
    assert logger.isEnabledFor(logging.WARNING) == before


def test_real_puzzles_carry_the_rating_that_our_solver_gives(shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "sudoku-hard" / "train.csv.gz"
    if not source.is_file():
        pytest.skip(f"no {source}")
    from trm_scaling.tasks.sudoku.search import solve_many

    dataset = build_dataset(
        SudokuData(source=str(source), train_size=300, val_size=100, test_size=100), tmp_path / "out"
    )
    for split in (dataset.train, dataset.val, dataset.test):
        _, _, ratings = solve_many(tokens_to_digits(split.inputs), Shape(3, 3))
        np.testing.assert_array_equal(ratings, split.difficulty)
