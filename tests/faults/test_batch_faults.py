"""Batches of real runs: shared, killed, poisoned, short of memory, cut off from their terminal.

Whatever happens, everything is finished in the end, nothing is trained twice, and the record tells.
"""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.faults.kill_and_resume import differences
from tests.run.tiny import TINY, TRM, environment, make_study, tiny_folder, trm
from trm_scaling.io.lease import holder
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.results.attempts import read_attempts
from trm_scaling.results.record import RunRecord, read_record
from trm_scaling.results.scan import scan_runs, standing

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

SEEDS = ("batch", "baseline", "--profile", "smoke", "--replicates", "4", *TINY)
"""Four tiny runs. One program serves all of them, so only the first compiles it."""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path)


def start(study: Study, arguments: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [TRM, *arguments],
        cwd=study.data_root,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def seeds_of(study: Study) -> list[RunFolder]:
    return [tiny_folder(study, f"seed={seed}") for seed in range(4)]


def endings(folder: RunFolder) -> list[str | None]:
    return [attempt.ending for attempt in read_attempts(folder.attempts)]


def await_(condition: Callable[[], object]) -> None:
    """Return once it is true; the test's timeout is the limit."""
    while not condition():
        time.sleep(0.01)


def has_trained(folder: RunFolder) -> bool:
    return folder.metrics.exists() and b'"train"' in folder.metrics.read_bytes()


def records(study: Study) -> list[RunRecord]:
    return [read_record(folder.result) for folder in seeds_of(study)]


def test_two_batches_at_once_share_the_work(study: Study) -> None:
    batches = [start(study, SEEDS) for _ in range(2)]
    said = [batch.communicate() for batch in batches]
    assert [batch.returncode for batch in batches] == [0, 0], said
    assert [endings(folder) for folder in seeds_of(study)] == [["finished"]] * 4
    assert {record.attempts for record in records(study)} == {1}
    assert len(scan_runs(study)) == 4
    # Each had a part in it.
    for out, _ in said:
        assert " running" in out


def test_a_batch_and_a_worker_that_are_killed_lose_nothing(study: Study, trained: Study) -> None:
    first, second, *later = seeds_of(study)
    batch = start(study, [*SEEDS, "--jobs", "2"])
    await_(lambda: has_trained(first) and holder(second.path))
    owners = [holder(folder.path) for folder in (first, second)]
    assert owners[0] is not None
    assert owners[1] is not None
    batch.kill()
    batch.communicate()
    os.kill(owners[0].owner.pid, signal.SIGKILL)
    assert owners[1].owner.lives, "a worker outlives its runner"
    await_(lambda: standing(first).state == "interrupted")

    again = trm(study.data_root, [*SEEDS, "--jobs", "2"])
    assert again.returncode == 0, again.stderr
    assert endings(first) == ["preempted", "finished"]
    assert [endings(folder) for folder in (second, *later)] == [["finished"]] * 3
    assert differences(tiny_folder(trained), first) == []
    (failure,) = read_record(first.result).failures
    assert failure.failure == "preempted"
    counts = [path.read_bytes() for path in sorted(study.checkpoints.rglob("attempts.jsonl"))]
    third = trm(study.data_root, SEEDS)
    assert third.returncode == 0
    assert [path.read_bytes() for path in sorted(study.checkpoints.rglob("attempts.jsonl"))] == counts


def test_one_poisoned_of_four(study: Study) -> None:
    (study.data_root / "poison").mkdir()
    (study.data_root / "poison" / "manifest.json").write_text('{"format": "poison"}')
    experiments = study.configs / "experiments"
    (experiments / "poisoned.yaml").write_text("# @package _global_\ndata:\n  path: poison\n")
    for name, steps in (("aaa", 8), ("zzz", 12)):
        (experiments / f"{name}.yaml").write_text(f"# @package _global_\narch:\n  halt_max_steps: {steps}\n")
    tiny = [text for text in TINY if not text.startswith("arch.halt_max_steps")]
    command = ["batch", "aaa", "poisoned", "zzz", "baseline", "--profile", "smoke", *tiny]

    stopped = trm(study.data_root, command)
    assert stopped.returncode == 1
    states = {run.names[0]: standing(run.folder).state for run in scan_runs(study)}
    assert states == {"aaa": "finished", "poisoned": "failed"}
    assert "failed: poisoned: " in stopped.stderr
    assert "manifest.json is no manifest of a dataset" in stopped.stderr
    assert "not run: zzz, baseline" in stopped.stderr

    went_on = trm(study.data_root, [*command, "--continue-on-failure"])
    assert went_on.returncode == 1
    assert "failed: poisoned: " in went_on.stderr
    states = {run.names[0]: standing(run.folder).state for run in scan_runs(study)}
    assert states == {"aaa": "finished", "poisoned": "failed", "zzz": "finished", "baseline": "finished"}
    assert {len(endings(run.folder)) for run in scan_runs(study)} == {1}


def test_ctrl_c_saves_and_the_same_command_goes_on(study: Study, trained: Study) -> None:
    first, second, *_ = seeds_of(study)
    batch = start(study, [*SEEDS, "--jobs", "2"])
    await_(lambda: has_trained(first) and has_trained(second))
    batch.send_signal(signal.SIGINT)
    _, said = batch.communicate()
    assert batch.returncode == 130
    for folder in (first, second):
        assert standing(folder).state in ("interrupted", "finished")
        assert folder.saved_step is not None
    assert "interrupted: " in said
    again = trm(study.data_root, [*SEEDS, "--jobs", "2"])
    assert again.returncode == 0, again.stderr
    assert differences(tiny_folder(trained), first) == []


def test_trm_stop_reaches_a_run_and_its_batch(study: Study) -> None:
    first, *_ = seeds_of(study)
    batch = start(study, SEEDS)
    await_(lambda: has_trained(first))
    asked = trm(study.data_root, ["stop", "--all"])
    assert "asked the batch runner process" in asked.stdout
    batch.communicate()
    assert batch.returncode == 75
    assert not any(holder(folder.path) for folder in seeds_of(study))


def test_a_batch_outlives_its_terminal(study: Study) -> None:
    terminal, its_end = pty.openpty()
    # Opening a terminal makes it the one that controls the session one leads.
    command = f'exec "$@" <{os.ttyname(its_end)} >{os.ttyname(its_end)} 2>&1'
    batch = subprocess.Popen(
        ["sh", "-c", command, "sh", TRM, *SEEDS, "--replicates", "2"],
        cwd=study.data_root,
        env={**environment(), "TERM": "xterm"},
        start_new_session=True,
    )
    drawn = b""
    while b"running" not in drawn:
        drawn += os.read(terminal, 4096)
    os.close(its_end)
    os.close(terminal)
    assert batch.wait() == 0
    assert [endings(folder) for folder in seeds_of(study)[:2]] == [["finished"]] * 2


@pytest.mark.slow
def test_short_memory_is_met_with_half_of_it(study: Study) -> None:
    """A worker that works through more than 8 puzzles at once has no memory, in this test."""
    patch = study.data_root / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'run' in sys.orig_argv:\n"
        "    from trm_scaling.train import train_and_evaluate\n"
        "    train_and_test = train_and_evaluate.train_and_test\n"
        "    def greedy(config, *rest):\n"
        "        if config.global_batch_size // config.micro_batches > 8:\n"
        "            raise MemoryError('no more')\n"
        "        return train_and_test(config, *rest)\n"
        "    train_and_evaluate.train_and_test = greedy\n"
    )
    command = ["batch", "baseline", "--profile", "smoke", *TINY]
    done = trm(study.data_root, command, {"PYTHONPATH": str(patch)})
    assert done.returncode == 0, done.stderr
    assert "baseline: out of memory; once more, 8 puzzles at once" in done.stdout
    record = read_record(tiny_folder(study).result)
    assert record.attempts == 2
    assert [each.failure for each in record.failures] == ["out_of_memory"]
    assert record.config["system"]["micro_batch_size"] == 8
    assert record.config["global_batch_size"] == 16


# In `make e2e`, `tests/whole/test_seed_commands.py` runs another pattern twice.
@pytest.mark.slow
def test_the_seed_s_command_runs_a_pattern_once(study: Study, tmp_path: Path) -> None:
    """With links for the names that are another's configuration, and the logs that `tail -f` follows."""
    root = Path(__file__).resolve().parents[2]
    script = root / "kellen" / "experiments" / "run_experiment_batch.py"
    arguments = ["--pattern", "exp08", "--profile", "smoke", "--jobs", "2", "--study", str(study.path)]
    table = root / "kellen" / "utils" / "generate_experiment_configs.py"
    (study.path / "utils").mkdir()
    (study.path / "utils" / table.name).write_text(table.read_text())
    tiny = [text for text in TINY if not text.startswith("ema")]
    command = [sys.executable, str(script), *arguments, *tiny]
    for attempt in (1, 2):
        done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert {run.names for run in scan_runs(study)} == {
            *((name,) for name in ("exp08a", "exp08b", "exp08c", "exp08e")),
            ("baseline", "exp08d"),
        }
        assert {len(endings(run.folder)) for run in scan_runs(study)} == {1}, attempt
    log = study.batch_logs / "exp08d_stdout.log"
    assert log.resolve() == tiny_folder(study).stdout.resolve()
    assert "testing on 32 puzzles" in log.read_text()
    assert json.loads(tiny_folder(study).result.read_text())["name"] == "baseline"
