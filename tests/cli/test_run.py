"""`trm run` and the study's two scripts: what they pass on, and what they end with."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.run.tiny import ROOT, TINY, make_study
from trm_scaling.cli.app import app
from trm_scaling.cli.run import parting
from trm_scaling.errors import UserError
from trm_scaling.io.study import Study
from trm_scaling.parallel.hosts import Hosts

SCRIPTS = ROOT / "kellen" / "experiments"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setenv("WANDB_MODE", "offline")
    return make_study(tmp_path)


def call(study: Study, *arguments: str) -> Any:
    given = ["run", "baseline", "--profile", "smoke", *TINY, *arguments]
    return CliRunner().invoke(app, given, env={"TRM_STUDY": str(study.path)})


def test_replicates_are_seeds_one_after_another(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []

    def execute(run: Any, reporter: Any, hosts: Any) -> None:
        seeds.append(run.config.seed)

    monkeypatch.setattr("trm_scaling.run.single.execute", execute)
    monkeypatch.setattr("trm_scaling.cli.run.describe", lambda record: "described")
    done = call(study, "--seed", "3", "--replicates", "2")
    assert seeds == [3, 4]
    assert "baseline under smoke, seed 4: " in done.stdout
    assert done.stdout.count("described") == 2
    assert os.environ["WANDB_MODE"] == "offline"
    call(study, "--no-wandb")
    assert seeds == [3, 4, 0]
    assert os.environ["WANDB_MODE"] == "disabled"


def diverged() -> UserError:
    error = UserError("the loss is nan at step 7")
    error.exit_status = 65
    return error


def test_replicates_together_are_one_group(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[list[int]] = []

    def execute_together(runs: Any, reporters: Any) -> list[Any]:
        groups.append([run.config.seed for run in runs])
        assert len(reporters) == len(runs)
        return [f"record {runs[0].config.seed}", diverged(), f"record {runs[2].config.seed}"]

    monkeypatch.setattr("trm_scaling.run.vmapped_runs.execute_together", execute_together)
    monkeypatch.setattr("trm_scaling.cli.run.describe", lambda record: f"described {record}")
    done = call(study, "--seed", "3", "--replicates", "3", "--together")
    assert groups == [[3, 4, 5]]
    assert "seed 4: baseline under smoke, seed 4, one of 3 together: " in done.stdout
    assert "seed 3\ndescribed record 3\nseed 5\ndescribed record 5\n" in done.stdout
    assert isinstance(done.exception, UserError)
    assert done.exception.exit_status == 65


def test_a_seed_that_diverges_does_not_end_the_next(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []

    def execute(run: Any, reporter: Any, hosts: Any) -> None:
        seeds.append(run.config.seed)
        if run.config.seed == 0:
            raise diverged()

    monkeypatch.setattr("trm_scaling.run.single.execute", execute)
    monkeypatch.setattr("trm_scaling.cli.run.describe", lambda record: "described")
    done = call(study, "--replicates", "2")
    assert seeds == [0, 1]
    assert "2 seeds one after another: a CPU is busy with one run" in done.stdout
    assert done.stdout.count("described") == 1
    assert "error: the loss is nan at step 7" in done.stderr
    assert done.exit_code == 65


def test_what_nobody_foresaw_has_an_exit_status_of_its_own(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def execute(run: Any, reporter: Any, hosts: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("trm_scaling.run.single.execute", execute)
    done = call(study)
    assert done.exit_code == 70
    assert "RuntimeError: a bug" in done.stderr


def test_a_user_s_error_goes_on_up(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def execute(run: Any, reporter: Any, hosts: Any) -> None:
        raise UserError("mend it")

    monkeypatch.setattr("trm_scaling.run.single.execute", execute)
    assert isinstance(call(study).exception, UserError)


class OneOfTwo(Hosts):
    """Takes note of what it would tell the other, instead of ending this process."""

    def __init__(self) -> None:
        super().__init__(2, 1)
        self.left: list[tuple[int, str]] = []

    def leave(self, status: int, why: str) -> None:
        self.left.append((status, why))


def test_the_other_processes_are_told_of_what_nobody_foresaw(capsys: pytest.CaptureFixture[str]) -> None:
    hosts = OneOfTwo()
    with pytest.raises(ZeroDivisionError), parting(hosts):
        raise ZeroDivisionError("a bug before training")
    assert hosts.left == [(70, "ZeroDivisionError: a bug before training")]
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("script", "verb"), [("run_experiment", "run"), ("run_experiment_batch", "batch")])
def test_a_script_is_its_verb(script: str, verb: str) -> None:
    command = [sys.executable, str(SCRIPTS / f"{script}.py"), "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"    trm {verb} " in done.stdout


@pytest.mark.parametrize("script", ["run_experiment", "run_experiment_batch"])
def test_a_script_in_a_python_without_the_package_says_how_to_install_it(script: str) -> None:
    command = [sys.executable, "-I", "-S", str(SCRIPTS / f"{script}.py"), "baseline"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: trm_scaling is not installed in {sys.executable}: run `make venv`")
