"""`trm sync`: W&B runs made from run folders afterwards, by the command line."""

import fcntl
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.run.tiny import ROOT, copy_of, finished, make_study, tiny_folder, trm
from tests.tracking.wandb_runs import FAILED, ID, fail, finish, make_run, offline_runs, train
from tests.tracking.wandb_server import KEY, wandb_server
from trm_scaling.cli.sync import sync
from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_json
from trm_scaling.io.jsonl import read_jsonl
from trm_scaling.io.study import Study
from trm_scaling.results.evaluations import headline
from trm_scaling.tracking.wandb_mirror import start_mirror
from trm_scaling.tracking.wandb_run import config_of, shown, summary_of

pytestmark = pytest.mark.usefixtures("logged_out")

EVERY_STEP = list(range(10, 201, 10))


def study_in(folder: Path) -> Study:
    """A study with the table of experiments, from which groups are."""
    study = make_study(folder)
    shutil.copytree(ROOT / "kellen" / "utils", study.path / "utils")
    return study


def synced(study: Study, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """`trm sync`, which must succeed."""
    done = trm(study.data_root, ["sync", *map(str, arguments)])
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.e2e
def test_a_real_run_is_all_there(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    study = copy_of(finished(tmp_path_factory.getbasetemp())[0], tmp_path / "copy")
    run = tiny_folder(study)
    done = synced(study, "baseline", "--profile", "smoke", "--offline")
    (read,) = offline_runs(run)
    records = read_jsonl(run.metrics).records
    assert f"/{run.path.name}: {len(read.steps)} steps: " in done.stdout
    assert read.steps == sorted({record["step"] for record in records})
    rows = {row["_step"]: row for row in read.rows}
    for record in records:
        for key, value in record.items():
            if isinstance(value, float | int | str) and key not in ("step", "kind", "time"):
                assert rows[record["step"]][key] == value, key
    result: dict[str, Any] = json.loads(run.result.read_text())
    assert read.run["run_group"] == "baseline"
    assert read.summary["weights_sha256"] == result["weights_sha256"]
    assert read.summary["test/best/exact_rate"] == headline(result).summary["final"]["exact_rate"]
    assert read.summary["examples_per_s"] == result["examples_per_s"]


def test_it_makes_good_what_a_killed_mirror_left(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    run = make_run(study.checkpoints)
    mirror = start_mirror(run.path, "exp01")
    assert mirror is not None
    with mirror:
        train(run, 10, 100)
        mirror.process.kill()
        mirror.process.wait()
        train(run, 110, 200)
        finish(run)
    done = synced(study, "exp01a")
    assert "not logged in to W&B" in done.stderr
    (read,) = offline_runs(run)
    assert read.run["run_id"] == ID
    assert (read.steps, read.exit_code) == (EVERY_STEP, 0)


@pytest.mark.e2e
def test_it_sends_every_run_once_and_only_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    study = study_in(tmp_path)
    done, failed = make_run(study.checkpoints), make_run(study.checkpoints, "exp01b")
    (study.checkpoints / "smoke" / "exp01c").symlink_to("exp01a")
    (study.checkpoints / "laptop" / "baseline" / "1a2b3c4d-s0").mkdir(parents=True)  # recorded nothing
    train(done, 10, 200)
    finish(done)
    train(failed, 10, 50)
    fail(failed)
    failed.path.rename(failed.path.with_name("5e6f7a8b-s1"))
    with wandb_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        first = synced(study, "--all").stdout.splitlines()
        second = synced(study, "exp01*").stdout.splitlines()
    assert [line.split(": ")[:2] for line in first] == [
        ["smoke/exp01a/1a2b3c4d-s0", "20 steps"],
        ["smoke/exp01b/5e6f7a8b-s1", "5 steps"],
    ]
    assert [line.split(": ")[1] for line in second] == ["0 steps", "0 steps"]
    assert set(server.runs) == {ID, "smoke-5e6f7a8b-s1"}
    assert server.runs[ID].steps == EVERY_STEP
    assert (server.runs[ID].exit_code, server.runs["smoke-5e6f7a8b-s1"].exit_code) == (0, 1)
    assert server.runs["smoke-5e6f7a8b-s1"].summary["status"] == FAILED
    assert server.runs[ID].group == "exp01"


def test_a_run_that_is_being_mirrored_is_left_alone(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    run = make_run(study.checkpoints)
    train(run, 10, 50)
    (run.path / "wandb").mkdir()
    with open(run.path / "wandb" / "mirror.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = synced(study, run.path, "--offline")
    assert done.stdout.endswith("left alone\n")
    assert offline_runs(run) == []


@pytest.mark.e2e
def test_a_server_that_refuses_is_an_error_that_names_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    study = study_in(tmp_path)
    train(make_run(study.checkpoints), 10, 50)
    with wandb_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    done = trm(tmp_path, ["sync", "exp01a"])
    assert done.returncode == 2
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: smoke/exp01a/1a2b3c4d-s0: W&B: ")
    assert error.endswith("connection refused; the runs before it are complete")


def test_what_cannot_be_synced_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    study = study_in(tmp_path).path
    with pytest.raises(UserError, match="name the runs to sync, or say --all"):
        sync(study=study)
    with pytest.raises(UserError, match="name the runs to sync, or say --all"):
        sync(["baseline"], everything=True, study=study)
    with pytest.raises(UserError, match="no run of 'exp01a' under profile smoke in"):
        sync(["exp01a"], profile="smoke", study=study)
    with pytest.raises(UserError, match=r"no run in .*checkpoints: train one"):
        sync(everything=True, study=study)
    run = make_run(study / "checkpoints")
    train(run, 10, 50)
    run.config.write_text("lr: 1\n")
    with pytest.raises(UserError, match=r"config\.yaml is not the configuration of a run"):
        sync(["exp01a"], offline=True, study=study)
    monkeypatch.setattr("trm_scaling.tracking.wandb_run.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install -c requirements/constraints\.txt -e '\.\[wandb\]'"):
        sync(["exp01a"], study=study)


TOKEN = "hf_" + "a1B2" * 8


def test_keys_and_tokens_are_masked(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.config.write_text(f"name: mine\nprofile: smoke\ndata: {{path: 'https://me:{TOKEN}@host/x'}}\n")
    assert config_of(run)["data"] == {"path": "https://***@host/x"}
    fail(run)
    write_json(run.failure, {"failure": "other", "error": "OSError", "message": f"refused {TOKEN}"})
    assert summary_of(run) == {"status": "other: OSError: refused ***"}


@pytest.mark.parametrize("text", ["", "lr: 1\n", "{", "- a list\n", "name: \xff"])
def test_another_file_is_not_a_configuration(tmp_path: Path, text: str) -> None:
    run = make_run(tmp_path)
    run.config.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="is not the configuration of a run"):
        config_of(run)


def test_a_run_that_left_no_word_has_no_summary(tmp_path: Path) -> None:
    assert summary_of(make_run(tmp_path)) == {}


def test_scores_without_an_average_are_the_headline_of_a_run_that_has_none(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    finish(run)
    record = json.loads(run.result.read_text())
    assert summary_of(run)["test/best/solved"] == 1
    record["config"]["ema"], record["test"] = False, record["test"][1:]
    write_json(run.result, record)
    summary = summary_of(run)
    assert summary["test/best/solved"] == 0
    assert not any("current" in key for key in summary)
    assert not {"name", "version", "mfu", "config", "learning_curve"} & summary.keys()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"test": [{}]}'])
def test_a_damaged_record_is_an_error_that_says_so(tmp_path: Path, text: str) -> None:
    run = make_run(tmp_path)
    run.result.write_text(text)
    with pytest.raises(UserError, match=r"result\.json is not a run's record"):
        summary_of(run)


def test_only_counts_become_histograms() -> None:
    values = {"words": ["a"], "rates": [0.5], "flags": [True], "none": [], "many": [1] * 513, "one": 1}
    assert shown(values) == values
    histogram = shown({"counts": [4, 0, 1]})["counts"]
    assert histogram.histogram == [4, 0, 1]
    assert histogram.bins == [0.5, 1.5, 2.5, 3.5]
