"""Whatever the user gets wrong ends in one message: what was found, where, and what to do."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.run.tiny import TINY, copy_of, make_study, tiny_folder, tiny_run
from trm_scaling.cli import main
from trm_scaling.errors import UserError
from trm_scaling.io.study import Study
from trm_scaling.tasks.build import dataset_name
from trm_scaling.tasks.choose import choose_puzzle
from trm_scaling.tasks.sudoku.description import SudokuData

Refused = Callable[..., str]
RUN = ("run", "baseline", "--profile", "smoke")


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Calls `trm` in this process, which must refuse; returns its one message."""
    # The command line sets how warnings are shown, for its process.
    monkeypatch.setattr("warnings.showwarning", None)

    def call(*arguments: str, status: int = 2) -> str:
        monkeypatch.setattr(sys, "argv", ["trm", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == status
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        said, error, message = printed.err.partition("error: ")
        # A verb that has much to import says what it loads before it knows whether that can be read.
        assert re.fullmatch(r"((loading|reading) .+ \.\.\.\n)?", said)
        assert error
        assert "error: " not in message
        return message

    return call


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """An empty study, which `trm` finds from the folder it is called in."""
    monkeypatch.delenv("TRM_STUDY", raising=False)
    monkeypatch.delenv("TRM_PROFILE", raising=False)
    found = make_study(tmp_path)
    monkeypatch.chdir(tmp_path)
    return found


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        ([*RUN, "arch.hiden_size=3"], ["'arch.hiden_size=3'", "did you mean 'arch.hidden_size'?"]),
        ([*RUN, "learning_rate=3"], ["unknown key 'learning_rate'"]),
        ([*RUN, "lr=fast"], ["baseline under profile smoke", "lr='fast'", "valid number"]),
        ([*RUN, "lr"], ["override 'lr' cannot be read", "write key=value, as in arch.L_cycles=4"]),
        ([*RUN, "lr=1,2"], ["override 'lr=1,2'", "only key=value"]),
        ([*RUN, "optimizer=sgd"], ["optimizer='sgd'", "'adam_atan2', 'adamw', 'adam' or 'lion'"]),
        ([*RUN, "optimizer=adam"], ["no decoupled decay", "set weight_decay=0 or optimizer=adamw"]),
        ([*RUN, "curriculum.until_epoch=999"], ["curriculum.until_epoch=999 lies after", "lower it"]),
        ([*RUN, "data.box_rows=4", "data.box_cols=4"], ["side 16", "change one of the two"]),
        ([*RUN, "data.givens=17"], ["givens=17 is more than the 16 cells"]),
        ([*RUN, "eval_interval=9999"], ["eval_interval=9999 epochs is longer", "lower eval_interval"]),
        ([*RUN, "lr=${nothing}"], ["baseline under profile smoke", "'nothing' not found"]),
        ([*RUN, "name=other"], ["'name=other'", "choose the experiment by its name"]),
        (["run", "basline", "--profile", "smoke"], ["no experiment 'basline'", "nearest: baseline"]),
        (["run", "../baseline", "--profile", "smoke"], ["no experiment '../baseline'"]),
        (["run", "baseline", "--profile", "smok"], ["no profile 'smok'", "nearest: smoke"]),
        ([*RUN, "--study", "elsewhere"], ["elsewhere is not a study", "name the folder kellen/"]),
        (
            ["eval", "baseline", "--profile", "smoke"],
            ["no run of 'baseline'", "trm run baseline --profile smoke"],
        ),
        (["import-torch", "gone.npz", "--profile", "smoke"], ["gone.npz does not exist", ".safetensors"]),
        (["import-torch", "gone.npz", "--name", "../x"], ["--name '../x'", "letters, digits"]),
        (["data", "inspect", "gone"], ["no dataset folder at gone", "trm data", "--output-dir gone"]),
    ],
)
def test_what_cannot_be_is_refused(
    refused: Refused, study: Study, arguments: list[str], fragments: list[str]
) -> None:
    before = sorted(study.data_root.rglob("*"))
    message = refused(*arguments)
    for fragment in fragments:
        assert fragment in message
    assert sorted(study.data_root.rglob("*")) == before


def test_a_wrong_study_variable_is_named(
    refused: Refused, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRM_STUDY", "elsewhere")
    assert "elsewhere is not a study: it has no configs/baseline.yaml" in refused(*RUN)


def test_without_a_study_it_says_where_it_looked(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRM_STUDY", raising=False)
    monkeypatch.chdir(tmp_path)
    message = refused(*RUN)
    assert f"neither {tmp_path} nor a folder above it holds kellen/configs/baseline.yaml" in message
    assert "--study or TRM_STUDY" in message


def test_a_broken_experiment_file_is_named(refused: Refused, study: Study) -> None:
    (study.configs / "experiments").mkdir(exist_ok=True)
    (study.configs / "experiments" / "mine.yaml").write_text("arch: {L_cycles: 3\n")
    assert "mine" in refused("run", "mine", "--profile", "smoke")
    (study.configs / "experiments" / "mine.yaml").write_text(
        "# @package _global_\ndefaults: [/baseline, _self_]\nlearn: 3\n"
    )
    assert "unknown key 'learn'" in refused("run", "mine", "--profile", "smoke")


@pytest.mark.parametrize(
    ("puzzle", "fragments"),
    [
        (
            "1....3...4....2",
            ["15 characters where a 4x4 board (2x2 boxes) has 16 cells", "write one character"],
        ),
        ("1....3...4....2..", ["17 characters"]),
        ("12..34......4...", ["more than one solution", "add givens"]),
        ("11..............", ["digit 1 stands twice in row 1", "correct one of them"]),
        ("12....34........", ["no solution"]),
        ("1x..............", ["'x' at character 2 (row 1 column 2)", "use 1-4"]),
        ("test:32", ["no held-out puzzle", "test:0 to test:31"]),
        ("test:-1", ["no held-out puzzle"]),
    ],
)
def test_a_puzzle_that_is_none_is_refused(
    refused: Refused, trained: Study, puzzle: str, fragments: list[str]
) -> None:
    message = refused("solve", str(tiny_folder(trained).path), puzzle, "--study", str(trained.path), *RUN[2:])
    for fragment in fragments:
        assert fragment in message


def test_a_puzzle_of_80_characters_is_refused() -> None:
    with pytest.raises(UserError, match=r"80 characters where a 9x9 board .* has 81 cells"):
        choose_puzzle("." * 80, SudokuData(), Path())


def test_a_foreign_dataset_folder_is_refused(refused: Refused, study: Study) -> None:
    foreign = study.data_root / "foreign"
    assert "no dataset folder at" in refused(*RUN, *TINY, "data.path=foreign")
    foreign.mkdir()
    (foreign / "train.csv").write_text("1,2\n")
    assert f"{foreign} is no dataset folder" in refused(*RUN, *TINY, "data.path=foreign")
    (foreign / "manifest.json").write_text('{"format": "another"}')
    assert f"{foreign / 'manifest.json'} is no manifest of a dataset" in refused(
        *RUN, *TINY, "data.path=foreign"
    )
    (foreign / "manifest.json").write_bytes(b"\xff\xfe not text")
    assert "is no manifest of a dataset" in refused(*RUN, *TINY, "data.path=foreign")


def test_a_dataset_that_was_damaged_or_is_of_other_boards_is_refused(
    refused: Refused, study: Study, trained: Study
) -> None:
    copy = copy_of(trained, study.data_root / "copy")
    folder = copy.data_root / "data" / dataset_name(tiny_run(trained).config.data)
    path = f"data.path={folder}"
    message = refused(*RUN, *TINY, path, "data.box_cols=3")
    assert "holds 4x4 Sudoku (box_rows=2, box_cols=2), but" in message
    train = folder / "train.npz"
    train.write_bytes(train.read_bytes()[:100])
    message = refused(*RUN, *TINY, path)
    assert f"{train}: not the train.npz that was written" in message
    assert "delete its folder and build it again" in message
    train.unlink()
    assert f"{train}: missing" in refused(*RUN, *TINY, path)


def test_a_missing_extra_names_its_installation(
    refused: Refused, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    (study.data_root / "weights.pt").write_bytes(b"PK")
    message = refused("import-torch", "weights.pt", "--profile", "smoke")
    assert "pip install '.[torch]'" in message
    assert ".safetensors and .npz files are read and written without it" in message


@pytest.mark.parametrize("name", ["weights.npz", "weights.safetensors"])
def test_weights_that_are_none_or_of_another_shape_are_refused(
    refused: Refused, study: Study, trained: Study, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = study.data_root / name
    file.write_bytes(b"no weights at all")
    importing = ("import-torch", str(file), "--name", "mine", "--profile", "smoke", *TINY)
    assert str(file) in refused(*importing)
    sys.argv[1:] = ["export-torch", str(tiny_folder(trained).path), str(file), "--profile", "smoke"]
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    capsys.readouterr()
    message = refused(*importing, "arch.hidden_size=24")
    assert str(file) in message
    assert "shape" in message or "[" in message
    assert not study.run_folders("smoke", "mine")


def test_a_diverging_run_says_so_once(refused: Refused, study: Study, trained: Study) -> None:
    copy = copy_of(trained, study.data_root / "copy")
    message = refused(*RUN, *TINY, "lr=1e4", "lr_warmup_steps=0", "--study", str(copy.path), status=65)
    assert message.startswith("the loss is ")
    assert "at step " in message
    assert "lower lr" in message


def test_a_run_folder_of_another_configuration_is_refused(
    refused: Refused, study: Study, trained: Study
) -> None:
    copy = copy_of(trained, study.data_root / "copy")
    folder = tiny_folder(copy)
    folder.config.write_text(folder.config.read_text().replace("\nbeta1: 0.9\n", "\nbeta1: 0.8\n"))
    message = refused(*RUN, *TINY, "--study", str(copy.path))
    assert f"{folder.path} holds a run of another configuration (it differs in beta1)" in message
    assert "move the folder away" in message


def test_a_record_that_was_broken_is_named(refused: Refused, study: Study, trained: Study) -> None:
    copy = copy_of(trained, study.data_root / "copy")
    folder = tiny_folder(copy)
    record = json.loads(folder.result.read_text())
    for broken in (json.dumps(record)[:500], json.dumps(record | {"version": 0}), "[]"):
        folder.result.write_text(broken)
        message = refused(*RUN, *TINY, "--study", str(copy.path))
        assert f"{folder.result} is not a run record of version " in message
        assert "move it away and run the same command again" in message
