"""The verbs on one tiny finished run, from training to weights that went out and came back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.run.tiny import TINY, copy_of, finished, make_study, tiny_folder, tiny_run
from trm_scaling.cli.app import app
from trm_scaling.config import RunConfig
from trm_scaling.errors import UserError
from trm_scaling.io.study import Study
from trm_scaling.results.evaluations import headline as headline_of
from trm_scaling.results.evaluations import scored_weights
from trm_scaling.results.record import read_record
from trm_scaling.tasks.build import ensure_dataset

Said = Callable[..., str]
PROFILE = ("--profile", "smoke")


def invoke(study: Study, *arguments: str) -> str:
    """Standard output of `trm` in this process."""
    done = CliRunner().invoke(app, arguments, env={"TRM_STUDY": str(study.path), "COLUMNS": "80"})
    if done.exception is not None:
        raise done.exception
    return done.stdout


def record_of(study: Study) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(tiny_folder(study).result.read_text())
    return record


def headline(study: Study) -> dict[str, Any]:
    """The summary of the best checkpoint's moving average."""
    return headline_of(record_of(study)).summary


def test_run_says_what_came_of_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    study, printed = finished(tmp_path_factory.getbasetemp())
    final = headline(study)["final"]
    lines = printed.splitlines()
    where = tiny_folder(study).path.relative_to(study.data_root)
    assert lines[0] == f"baseline under smoke: {where}"
    assert "training from step 0 to 60; compiling first" in lines
    assert sum(line.startswith("step") and "validation" in line for line in lines) == 6
    assert f"({final['solved']} of 32 puzzles; 95 % interval" in printed
    assert invoke(study, "run", "baseline", *PROFILE, *TINY).splitlines()[-5:] == lines[-5:]


def test_dry_run_prints_the_configuration_and_touches_nothing(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    command = ("run", "baseline", *PROFILE, *TINY, "--seed", "3", "--dry-run")
    printed = invoke(study, *command)
    run = tiny_run(study, "seed=3")
    assert RunConfig.model_validate(json.loads(invoke(study, *command, "--json"))["config"]) == run.config
    assert "60 steps of 16 puzzles" in printed
    assert f"{run.folder.path.name}: new" in printed
    assert sorted(tmp_path.rglob("*")) == before


def test_eval_agrees_with_the_record(trained: Study) -> None:
    said = json.loads(invoke(trained, "eval", "baseline", *PROFILE, "--json"))
    record = record_of(trained)
    assert said["run"] == str(tiny_folder(trained).path)
    assert said["step"] == record["best_step"]
    best = {each.ema_rate: each.summary for each in scored_weights(record) if each.at == "best"}
    rate = record["config"]["ema_rate"]
    assert said["weights"] == {"moving average": best[rate], "current weights": best[None]}


def test_eval_s_table_holds_the_same_counts(trained: Study) -> None:
    table = (
        invoke(trained, "eval", "baseline", *PROFILE).split("moving average")[1].split("current weights")[0]
    )
    rows = [line.split() for line in table.strip().splitlines()[1:]]
    summary = headline(trained)
    for row, expected in zip(rows, summary["by_step"], strict=False):
        assert row[0] == str(expected["supervision_step"])
        assert row[5] == f"{expected['solved']}/{expected['puzzles']}"
        assert row[6] == f"{expected['cell_rate']:.2%}"
    assert rows[2][:2] == ["halting", "rule"]
    assert rows[2][6] == f"{summary['halting_rule']['solved']}/32"


def test_eval_takes_any_steps_split_and_limit(trained: Study) -> None:
    folder = str(tiny_folder(trained).path)
    options = ("--steps", "4", "--split", "val", "--limit", "5", "--at", "last", "--json")
    said = json.loads(invoke(trained, "eval", folder, *PROFILE, *options))
    assert said["step"] == 60
    summary = said["weights"]["moving average"]
    assert [row["puzzles"] for row in summary["by_step"]] == [5, 5, 5, 5]


def test_solve_shows_the_board_after_each_step(trained: Study) -> None:
    shown = invoke(trained, "solve", "baseline", *PROFILE, "test:3", "--steps", "3")
    test = ensure_dataset(tiny_run(trained).config.data, trained.data_root).test
    assert shown.startswith("held-out puzzle test:3")
    boards = [block for block in shown.split("\n\n") if "----+----" in block]
    cells = [char for char in boards[0].split("\n", 1)[1] if char.isdigit() or char == "."][
        : test.inputs.shape[1]
    ]
    assert "".join(cells) == "".join("." if token == 1 else str(token - 1) for token in test.inputs[3])
    assert "\nafter supervision step 3: " in shown
    assert "supervision step 4" not in shown


def test_solve_says_how_far_an_unfinished_run_came(trained: Study, tmp_path: Path) -> None:
    study = copy_of(trained, tmp_path / "copy")
    folder = tiny_folder(study)
    best = read_record(folder.result).best_step
    folder.result.unlink()
    shown = invoke(study, "solve", "baseline", *PROFILE, "test:3")
    assert shown.startswith(f"interrupted at step 60 of 60; checkpoint of step {best}\nheld-out puzzle")


def test_an_unsolved_puzzle_is_followed_by_its_solution(trained: Study) -> None:
    test = ensure_dataset(tiny_run(trained).config.data, trained.data_root).test
    told = {row: invoke(trained, "solve", "baseline", *PROFILE, f"test:{row}") for row in range(8)}
    wrong = [row for row, shown in told.items() if ": solved" not in shown]
    assert wrong, "a minute of training does not solve every puzzle"
    end = told[wrong[0]].split("\n\n")[-1]
    title, board = end.split("\n", 1)
    assert title.endswith("is not solved (x marks a wrong cell). Its solution:")
    assert [char for char in board if char.isdigit()] == [str(each - 1) for each in test.labels[wrong[0]]]


def test_solve_takes_a_puzzle_with_white_space(trained: Study) -> None:
    shown = invoke(trained, "solve", "baseline", *PROFILE, "1... ..3.\n\t.4.. ...2 ")
    assert shown.startswith(
        "your puzzle\n1 . | . .\n. . | 3 .\n----+----\n. 4 | . .\n. . | . 2\n4 of 16 cells given"
    )
    assert shown == invoke(trained, "solve", "baseline", *PROFILE, "10000030" + "04000002")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_weights_go_out_and_come_back(trained: Study, tmp_path: Path, suffix: str) -> None:
    study = copy_of(trained, tmp_path / "copy")
    file = tmp_path / f"weights{suffix}"
    assert f"moving average at step {record_of(study)['best_step']}" in invoke(
        study, "export-torch", "baseline", str(file), *PROFILE
    )
    imported = invoke(study, "import-torch", str(file), "--name", "back", *PROFILE, *TINY)
    assert imported.splitlines()[-1] == "next: trm eval back --profile smoke"
    said = json.loads(invoke(study, "eval", "back", *PROFILE, "--json"))
    assert said["weights"]["moving average"] == headline(study)


def test_export_writes_the_current_weights_when_asked(trained: Study, tmp_path: Path) -> None:
    files = [tmp_path / "average.npz", tmp_path / "current.npz"]
    invoke(trained, "export-torch", "baseline", str(files[0]), *PROFILE)
    said = invoke(trained, "export-torch", "baseline", str(files[1]), *PROFILE, "--at", "last", "--current")
    assert "current weights at step 60" in said
    with np.load(files[0], allow_pickle=False) as average, np.load(files[1], allow_pickle=False) as current:
        assert average.files == current.files
        assert any(not np.array_equal(average[name], current[name]) for name in average.files)


def test_an_attempt_that_failed_at_once_does_not_hide_the_run_before_it(
    trained: Study, tmp_path: Path
) -> None:
    study = copy_of(trained, tmp_path / "copy")
    failed = tiny_folder(study, "seed=1")
    failed.path.mkdir(parents=True)
    failed.config.write_text(tiny_folder(study).config.read_text())
    said = json.loads(invoke(study, "eval", "baseline", *PROFILE, "--limit", "4", "--json"))
    assert said["run"] == str(tiny_folder(study).path)


@pytest.mark.e2e
def test_eval_scores_further_decoders_of_several_samples(trained: Study) -> None:
    command = ("eval", "baseline", *PROFILE, "--decoder", "best_q", "--decoder", "mode")
    noisy = (*command, "--samples", "3", "--noise", "0.5")
    said, again, other = (
        json.loads(invoke(trained, *noisy, "--sampling-seed", seed, "--json")) for seed in ("1", "1", "2")
    )
    assert (said["samples"], said["noise"]) == (3, 0.5)
    rows = [row for row in said["evaluations"] if row["decoder"] in ("best_q", "mode")]
    assert {(row["weights"], row["decoder"]) for row in rows} == {
        (weights, name) for weights in ("moving average", "current weights") for name in ("best_q", "mode")
    }
    assert {row["mean_steps"] for row in rows} == {6}, "three samples of two steps"
    assert said["evaluations"] == again["evaluations"]
    assert said["weights"] == other["weights"], "the first sample has no noise"
    with pytest.raises(UserError, match="mode compares samples"):
        invoke(trained, *command)


def test_verify_says_what_it_does_before_it_compiles(trained: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def replay(*_: Any) -> None:
        raise UserError("enough")

    monkeypatch.setattr("trm_scaling.run.verify.replay", replay)
    done = CliRunner().invoke(app, ["verify", "baseline", *PROFILE], env={"TRM_STUDY": str(trained.path)})
    assert str(done.exception) == "enough"
    assert "steps 1 to 20" in done.stderr
    assert done.stdout == ""
