"""Test-time compute on the command line: surfaces, trajectories of one puzzle, inference that stops."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.run.tiny import tiny_folder
from trm_scaling.cli.app import app
from trm_scaling.errors import UserError
from trm_scaling.io.study import Study
from trm_scaling.results.surfaces import read_surface_tables, read_surfaces

PUZZLES = ("data.test_size=20", "data.train_size=20", "data.givens=6", "system.eval_batch_size=8")


def invoke(*arguments: str, study: Study | None = None, **env: str) -> str:
    given = {"TRM_STUDY": str(study.path) if study else None, **env}
    done = CliRunner().invoke(app, arguments, env=given)
    if done.exception is not None:
        raise done.exception
    return done.stdout


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_model_file_answers_other_puzzles_of_its_kind(tmp_path: Path) -> None:
    said = json.loads(invoke("eval", "4x4", *PUZZLES, "--steps", "2", "--json"))
    (rows,) = said["weights"].values()
    assert rows["final"]["puzzles"] == 20
    assert (tmp_path / "data").is_dir()
    with pytest.raises(UserError, match=r"arch.L_cycles: weights are evaluated as they were trained"):
        invoke("eval", "4x4", "arch.L_cycles=2")
    with pytest.raises(UserError, match="choose puzzles of the same kind and size"):
        invoke("eval", "4x4", *PUZZLES, "data.box_cols=3", "data.givens=12")


def test_a_surface_is_written_gone_on_with_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trm_scaling.evaluation.surface.AT_ONCE", 4)
    file = tmp_path / "found" / "surfaces.json"
    asked = ("eval", "4x4", *PUZZLES, "--steps", "4", "--samples", "4", "--noise", "0.5", "--surface")
    with pytest.raises(UserError, match="say with --out"):
        invoke(*asked)
    from trm_scaling.evaluation import surface as module

    add, calls = module.SurfaceCounts.add, 0

    def stop(self: Any, given: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise UserError("stopped here")
        add(self, given)

    monkeypatch.setattr(module.SurfaceCounts, "add", stop)
    with pytest.raises(UserError, match="stopped here"):
        invoke(*asked, "--out", str(file))
    assert [path.suffixes for path in file.parent.iterdir()] == [[".partial", ".json"]]
    shown = invoke(*asked, "--out", str(file))
    assert "oracle (knows the labels: the ceiling of the others, not a method)" in shown
    assert [path.name for path in file.parent.iterdir()] == ["surfaces.json"]
    (found,) = read_surfaces(file)
    assert {(row.steps, row.samples) for row in found.rows} == {(d, k) for d in (1, 2, 4) for k in (1, 2, 4)}
    assert {row.puzzles for row in found.rows} == {20}
    assert calls == 6, "what was counted is not counted again"
    whole = {(row.decoder, row.steps, row.samples): row for row in found.rows}
    assert whole["last", 4, 1].inference_flops == 4 * whole["last", 1, 1].inference_flops
    again = invoke(*asked, "--out", str(file), "--sampling-seed", "1", "--json")
    assert json.loads(again)["sampling_seed"] == 1
    assert len(read_surfaces(file)) == 2, "another seed is another surface"
    assert len(read_surface_tables([file])) == 2 * len(found.rows)
    report = ("report", "--surfaces", str(file), "--out", str(tmp_path / "page"))
    with pytest.raises(UserError, match="and no pattern, profile or csv"):
        invoke(*report, "--profile", "smoke")
    # A shell's usual profile is no option that was given.
    page = Path(invoke(*report, TRM_PROFILE="smoke").strip())
    text = page.with_suffix(".md").read_text()
    assert "The highest accuracy measured at each budget of inference FLOPs" in text
    assert "3 numbers of steps; a law takes 5" in text
    assert page.read_text().count("<svg") >= 2


def test_a_surface_of_few_decoders_has_the_plain_answers_beside_and_refuses_rules_that_a_task_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "surfaces.json"
    few = ("--steps", "2", "--samples", "2", "--noise", "0.5", "--limit", "4")
    asked = ("eval", "4x4", *PUZZLES, *few, "--surface", "--out", str(file))
    monkeypatch.setattr("sys.argv", ["trm", "eval", "4x4", "a b", "--api-key", "hunter2"])
    assert "highest: last" in invoke(*asked, "--decoder", "oracle")
    (found,) = read_surfaces(file)
    assert {row.decoder for row in found.rows} == {"last", "halting", "oracle"}
    assert found.command == "trm eval 4x4 'a b' --api-key '***'"
    invoke(*asked, "--split", "val", "--decoder", "oracle")
    other = read_surfaces(file)[1]
    assert other.data_fingerprint != found.data_fingerprint, "validation puzzles are other puzzles"
    monkeypatch.setattr("trm_scaling.tasks.task.Task.has_rules", False)
    with pytest.raises(UserError, match="the decoder verified asks the rules of the task"):
        invoke(*asked, "--decoder", "verified")
    invoke(*asked)
    assert "verified" not in {row.decoder for row in read_surfaces(file)[-1].rows}


@pytest.mark.e2e
def test_the_report_of_a_run_with_a_surface_has_its_page(trained: Study, tmp_path: Path) -> None:
    asked = ("eval", "baseline", "--profile", "smoke", "--samples", "2", "--noise", "0.3", "--surface")
    invoke(*asked, "--limit", "8", study=trained)
    file = tiny_folder(trained).surfaces
    assert read_surfaces(file)[0].model == "baseline"
    try:
        out = str(tmp_path / "report")
        page = invoke(
            "report", "--profile", "smoke", "--out", out, "--figures", "svg", study=trained
        ).splitlines()[0]
        assert "Test-time compute" in Path(page.strip()).read_text()
    finally:
        file.unlink()


def test_solving_shows_how_far_trajectories_agree_and_why_one_was_chosen() -> None:
    shown = invoke("solve", "4x4", "new:3", "--samples", "6", "--steps", "3", "--decoder", "mode")
    assert "6 samples of 3 steps, 1 different answer; the most frequent in 6 of them" in shown
    assert shown.splitlines()[-1].startswith("chosen: sample ")
    assert shown.splitlines()[-1].endswith("(right), by mode: the answer of most samples, 6")
    with pytest.raises(UserError, match="the oracle knows the answer"):
        invoke("solve", "4x4", "new:3", "--samples", "6", "--decoder", "oracle")


def test_the_benchmark_of_stopping_compares_answers() -> None:
    asked = ("bench", "eval", "4x4", *PUZZLES, "--stop", "halting", "--repeats", "1", "--json")
    said = json.loads(invoke(*asked, "--steps", "4"))
    assert said["same_answers"] == said["puzzles"] == 20
    assert said["accuracy"] == said["accuracy_fixed"]
    assert 1 <= said["mean_steps"] < 4
    assert said["speedup"] == pytest.approx(said["fixed_s"]["median"] / said["stopping_s"]["median"])
    with pytest.raises(UserError, match="--stop"):
        invoke("bench", "eval", "4x4", "--samples", "4")
