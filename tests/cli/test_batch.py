"""`trm batch`, `status`, `logs` and `stop` as a user types them; the workers play parts."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.run.scripted import ROOT, command_of
from tests.run.tiny import TINY, make_study
from trm_scaling.cli.app import app
from trm_scaling.errors import UserError
from trm_scaling.experiments import load_catalogue
from trm_scaling.io.study import Study
from trm_scaling.run.planned import plan_run

SMOKE = ("--profile", "smoke")
WIDTHS = tuple(text for text in TINY if not text.startswith("arch.hidden_size"))
"""The tiny run's overrides, but for the width, so that the six of exp01 stay six."""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """An empty study with the catalogue, in which workers finish at once (`act` changes that)."""
    made = make_study(tmp_path)
    (made.path / "utils").mkdir()
    table = "generate_experiment_configs.py"
    (made.path / "utils" / table).write_text((ROOT / "kellen" / "utils" / table).read_text())
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("TRM_PROFILE", raising=False)
    monkeypatch.setattr("trm_scaling.run.batch.runner.POLL_SECONDS", 0.05)
    act(monkeypatch, "finish")
    return made


def act(monkeypatch: pytest.MonkeyPatch, acts: str, **by_name: str) -> None:
    """Let the next workers play this."""

    def command(*_: object) -> Callable[[Any], list[str]]:
        return lambda job: command_of({job.seed: by_name.get(job.name, acts)})(job)

    monkeypatch.setattr("trm_scaling.cli.batch.worker_command", command)


def call(study: Study, *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of `trm` in this process.

    Without what it says of progress, which depends on how long composing takes.
    """
    done = CliRunner().invoke(app, arguments, env={"TRM_STUDY": str(study.path), "COLUMNS": "100"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    errors = [line for line in done.stderr.splitlines(keepends=True) if not line.startswith("composing:")]
    return done.exit_code, done.stdout, "".join(errors)


def rows(study: Study, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(call(study, "status", "--json", *arguments)[1])
    return found


def test_a_pattern_is_run_once(study: Study) -> None:
    before = sorted(study.data_root.rglob("*"))
    status, said, _ = call(study, "batch", "--pattern", "exp01", *SMOKE, *WIDTHS, "--dry-run")
    assert status == 0
    assert sum("seed 0: new; train" in line for line in said.splitlines()) == 6
    assert sorted(study.data_root.rglob("*")) == before

    status, said, errors = call(study, "batch", "--pattern", "exp01", *SMOKE, *WIDTHS, "--jobs", "2")
    assert (status, errors) == (0, "")
    assert said.count(" finished\n") == 6
    assert {tuple(row["names"]) for row in rows(study)} == {
        *((f"exp01{letter}",) for letter in "abdef"),
        ("baseline", "exp01c"),
    }
    assert {row["state"] for row in rows(study)} == {"finished"}

    act(pytest.MonkeyPatch(), "other")
    status, said, _ = call(study, "batch", "--pattern", "exp01", *SMOKE, *WIDTHS)
    assert status == 0
    assert len(said.splitlines()) == 1
    assert "6 runs: 6 finished" in said
    _, said, _ = call(study, "batch", "--pattern", "exp01", *SMOKE, *WIDTHS, "--dry-run")
    assert sum("seed 0: finished; skip" in line for line in said.splitlines()) == 6


def test_failures_are_named_with_their_last_lines(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    act(monkeypatch, "finish", exp01b="configuration")
    names = ("exp01a", "exp01b", "exp01d", "exp01e")
    status, _, errors = call(study, "batch", *names, *SMOKE, *WIDTHS)
    assert status == 1
    first, *lines, last = errors.splitlines()
    assert first == "failed: exp01b: the dataset is poisoned"
    assert lines[0] == "    error: the dataset is poisoned"
    assert lines[1].startswith("    more in ")
    assert lines[2] == "not run: exp01d, exp01e"
    assert last == "the same command goes on where this one ended"
    status, said, _ = call(study, "batch", *names, *SMOKE, *WIDTHS, "--dry-run")
    assert "exp01b, seed 0: failed; leave (--retry failed)" in said
    status, _, errors = call(study, "batch", *names, *SMOKE, *WIDTHS, "--continue-on-failure")
    assert status == 1
    assert "failed: exp01b: the dataset is poisoned (earlier; --retry failed tries again)" in errors
    assert "not run" not in errors
    act(monkeypatch, "finish")
    status, _, errors = call(study, "batch", *names, *SMOKE, *WIDTHS, "--retry", "failed")
    assert (status, errors) == (0, "")


def test_a_full_disk_is_told_and_the_same_command_goes_on(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    act(monkeypatch, "disk,finish")
    command = ("batch", "exp01a", "exp01b", "exp01c", *SMOKE, *WIDTHS, "--continue-on-failure")
    status, _, errors = call(study, *command)
    assert status == 74
    assert errors == (
        "refused by the disk, which all runs share: exp01a: no space left on the disk\n"
        "interrupted: exp01a\n"
        "not run: exp01b, exp01c\n"
        "the same command goes on where this one ended\n"
    )
    act(monkeypatch, "finish")
    assert call(study, *command)[0] == 0


def test_seeds_are_replicates_of_all_names(study: Study) -> None:
    arguments = ("exp01a", "exp01b", *SMOKE, *WIDTHS, "--seed", "3", "--replicates", "2", "--dry-run")
    _, said, _ = call(study, "batch", *arguments)
    planned = [line.split(":")[0] for line in said.splitlines()[::2]]
    assert planned == ["exp01a, seed 3", "exp01b, seed 3", "exp01a, seed 4", "exp01b, seed 4"]
    _, said, _ = call(study, "batch", *arguments, "--together")
    planned = [line.split(":")[0] for line in said.splitlines()[::2]]
    assert planned == ["exp01a, seed 3", "exp01a, seed 4", "exp01b, seed 3", "exp01b, seed 4"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to run: name experiments, or give --pattern"),
        (["exp01z"], "no experiment 'exp01z'"),
        (["--pattern", "exp99"], "no experiment matches 'exp99'"),
        (["exp01a", "arch.hiden_size=3"], "exp01a: override 'arch.hiden_size=3': unknown key"),
        (["exp01a", "exp06_a", "optimizer=adam"], "exp06_a: exp06_a under profile smoke: optimizer=adam"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is(
    study: Study, arguments: list[str], message: str
) -> None:
    before = sorted(study.data_root.rglob("*"))
    with pytest.raises(UserError) as refusal:
        call(study, "batch", *arguments, *SMOKE)
    assert message in str(refusal.value)
    assert sorted(study.data_root.rglob("*")) == before


def test_a_name_that_does_not_compose_is_passed_over_when_told_to_go_on(study: Study) -> None:
    (study.configs / "experiments" / "mine.yaml").write_text("# @package _global_\nbeta2: much\n")
    with pytest.raises(UserError, match="mine: mine under profile smoke: beta2='much'"):
        call(study, "batch", "mine", "exp01a", *SMOKE, *WIDTHS)
    status, said, errors = call(study, "batch", "mine", "exp01a", *SMOKE, *WIDTHS, "--continue-on-failure")
    assert status == 1
    assert "exp01a finished" in said
    assert "error: mine: mine under profile smoke" in errors


def test_the_list_is_the_catalogue_with_states(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    _, said, _ = call(study, "batch", "--list")
    listed = [line.split() for line in said.splitlines() if line.startswith("  ")]
    names = load_catalogue(study.path).names
    assert [words[0] for words in listed] == list(names)
    assert {words[1] for words in listed} == {"new"}
    assert "Model size: " in said
    assert len(re.findall(r"^BESIDE the study's \d+", said, re.MULTILINE)) == 1
    call(study, "batch", "exp01a", "exp01c", *SMOKE)
    act(monkeypatch, "other")
    call(study, "batch", "exp01b", *SMOKE)
    _, said, _ = call(study, "batch", "--list")
    lines = {line.split()[0]: line for line in said.splitlines() if line.startswith("  ")}
    assert lines["exp01a"].split()[1:] == ["finished", "hidden_size", "256,", "num_heads", "4"]
    assert lines["exp01b"].split()[1] == "failed"
    # Names that share the baseline's run stand as it does, whether they asked for it or not.
    for name in ("baseline", "exp01c", "exp02a_03"):
        assert lines[name].split()[1] == "finished"
    assert lines["exp01c"].endswith("= baseline")
    distinct = sum(load_catalogue(study.path).alias_of(name, "smoke") is None for name in names)
    counts = f"smoke: {distinct} configurations: {distinct - 3} new, 2 finished, 1 failed"
    assert said.splitlines()[-1].startswith(counts)
    said = call(study, "batch", "--list", "--profile", "laptop")[1]
    assert len(re.findall(r"^  \S+ +new\b", said, re.MULTILINE)) == len(names)
    _, said, _ = call(study, "batch", "--list", "--pattern", "exp01")
    assert [line.split()[0] for line in said.splitlines() if line.startswith("  ")] == [
        f"exp01{letter}" for letter in "abcdef"
    ]
    assert said.splitlines()[-1] == "smoke: 6 configurations: 3 new, 2 finished, 1 failed"


def test_listing_imports_nothing_heavy(study: Study) -> None:
    program = (
        "import sys\n"
        "sys.argv = ['trm', 'batch', '--list']\n"
        "from trm_scaling.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print([name for name in ('jax', 'numpy') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--study", str(study.path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_status_shows_what_was_begun(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no runs yet" in call(study, "status")[1]
    act(monkeypatch, "finish", exp01b="non_finite")
    call(study, "batch", "exp01a", "exp01b", *SMOKE, *WIDTHS)
    _, said, _ = call(study, "status")
    assert "exp01b failed: the loss is nan at step 7" in said
    assert said.splitlines()[-1] == "2 runs: 1 finished, 1 failed"
    (row,) = rows(study, "--pattern", "exp01b")
    assert (row["state"], row["message"]) == ("failed", "the loss is nan at step 7")
    assert rows(study, "--profile", "laptop") == []
    assert len(rows(study, "--pattern", "exp01b", "--pattern", "*01a")) == 2


def test_logs_are_those_of_the_newest_attempt_by_any_name(study: Study) -> None:
    call(study, "batch", "exp01c", *SMOKE, *WIDTHS)
    _, said, _ = call(study, "logs", "exp01c")
    assert said.splitlines()[1] == "attempt 1 plays finish"
    assert call(study, "logs", "baseline", "--follow")[1] == said
    folder = rows(study)[0]["folder"]
    assert call(study, "logs", folder)[1] == said
    assert call(study, "logs", folder, "--stderr")[1].startswith("== ")
    for name, options, message in (
        ("exp01b", (), "no run of 'exp01b' in"),
        ("exp01c", ("--profile", "laptop"), "no run of 'exp01c' under profile laptop"),
    ):
        with pytest.raises(UserError, match=message):
            call(study, "logs", name, *options)


def test_a_run_that_never_came_to_a_step_has_no_log(study: Study) -> None:
    folder = plan_run(study, "exp01a", "smoke").path.claim()
    with pytest.raises(UserError, match="did not come to its first step"):
        call(study, "logs", "exp01a")
    assert folder.path.is_dir()


@pytest.fixture
def running(study: Study) -> Iterator[subprocess.Popen[str]]:
    """Somebody works on exp01a."""
    (study.data_root / "elsewhere").mkdir()
    folder = plan_run(study, "exp01a", "smoke").path.claim()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.run.scripted", str(folder.path), "hang"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "plays" in process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("what", ["exp01a", "--all"])
def test_stop_asks_a_run_to_end(study: Study, running: subprocess.Popen[str], what: str) -> None:
    assert rows(study)[0]["state"] == "running"
    _, said, _ = call(study, "stop", what)
    assert said.startswith(f"asked process {running.pid} on ")
    running.communicate()
    assert running.returncode == 75
    assert rows(study)[0]["state"] == "stopped"
    assert call(study, "stop", what)[1] == "nothing is running\n"


def test_logs_follow_a_run_to_its_end(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import sys\n"
        "from trm_scaling.cli import main\n"
        "sys.argv = ['trm', 'logs', 'exp01a', '--follow']\n"
        "main()\n"
    )
    folder = plan_run(study, "exp01a", "smoke").path.claim()
    with folder.stdout.open("w") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.run.scripted", str(folder.path), "hang"], stdout=log
        )
        try:
            follower = subprocess.Popen(
                [sys.executable, "-c", program, "--study", str(study.path)],
                stdout=subprocess.PIPE,
                text=True,
                env={"TRM_STUDY": str(study.path)},
            )
            assert follower.stdout is not None
            assert follower.stdout.readline() == "attempt 1 plays hang\n"
            assert follower.poll() is None
        finally:
            log.write("the last word\n")
            log.flush()
            worker.kill()
            worker.wait()
    rest, _ = follower.communicate()
    assert (follower.returncode, rest) == (0, "the last word\n")


def test_stop_wants_to_know_what(study: Study) -> None:
    for arguments in ((), ("exp01a", "--all")):
        with pytest.raises(UserError, match="name the run to stop, or say --all"):
            call(study, "stop", *arguments)
    with pytest.raises(UserError, match="no run of 'exp01a'"):
        call(study, "stop", "exp01a")
