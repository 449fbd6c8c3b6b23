"""`trm launch slurm` on a real Slurm of this machine: an array, preemption, two nodes, and what is refused.

Skipped, with the reason, where Slurm or the extra [slurm] is not installed.
"""

import importlib.util
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.kill_and_resume import differences
from tests.run.launch.real_slurm import CannotStart, RealSlurm, real_slurm
from tests.run.tiny import TRM, environment, make_study, run_command, tiny_folder
from trm_scaling.io.jsonl import read_jsonl
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.results.attempts import read_attempts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

LONG = ("epochs=400", "eval_interval=20", "system.checkpoint_seconds=1")
"""800 steps, so that what happens to a job happens in the middle of them."""

POLL_SECONDS = 0.1


@pytest.fixture(scope="module")
def slurm() -> Iterator[RealSlurm]:
    if importlib.util.find_spec("submitit") is None:
        pytest.skip("no submitit: pip install -c requirements/constraints.txt -e '.[slurm]'")
    try:
        with real_slurm() as cluster:
            yield cluster
    except CannotStart as error:
        pytest.skip(f"no Slurm here: {error}")


def trm(slurm: RealSlurm, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `trm` in `folder`, where it finds the cluster."""
    return subprocess.run(
        [TRM, *arguments], cwd=folder, env=environment() | slurm.environment, capture_output=True, text=True
    )


def launch(slurm: RealSlurm, study: Study, *arguments: str) -> list[str]:
    """`trm launch slurm`. Returns the numbers of the jobs."""
    done = trm(slurm, study.data_root, "launch", "slurm", "--minutes", "30", *arguments)
    assert done.returncode == 0, done.stderr
    return [line.split()[0] for line in done.stdout.splitlines() if line[0].isdecimal()]


def launch_tiny(slurm: RealSlurm, study: Study, *options: str) -> str:
    (job,) = launch(slurm, study, *run_command(*LONG)[1:], *options)
    return job


def until(happened: Callable[[], bool], slurm: RealSlurm, study: Study) -> None:
    """Wait; what the jobs said is the message when the time is up."""
    give_up = time.monotonic() + 900
    while not happened():
        if time.monotonic() > give_up:
            logs = [f"{log}:\n{log.read_text()}" for log in sorted(study.job_logs.glob("*_log.*"))]
            pytest.fail("\n".join([slurm.ask("squeue"), *logs]))
        time.sleep(POLL_SECONDS)


def trains(folder: RunFolder, after: int) -> bool:
    lines = read_jsonl(folder.metrics).records if folder.metrics.exists() else []
    return bool(lines) and lines[-1]["step"] > after


def is_over(slurm: RealSlurm, job: str) -> bool:
    return not slurm.ask("squeue", "-h", "-n", "trm", "-o", "%F").split().count(job.split("_")[0])


def state_of(slurm: RealSlurm, job: str) -> str:
    return slurm.ask("scontrol", "show", "job", "-o", job).split("JobState=")[1].split()[0]


def make_way(slurm: RealSlurm) -> None:
    """A job that takes all nodes from those of lower rank."""
    slurm.ask("sbatch", "--partition=urgent", "--nodes=2", "--output=/dev/null", "--wrap=sleep 1")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run of `launch_tiny`, by itself and uninterrupted."""
    study = make_study(tmp_path_factory.mktemp("alone"))
    done = subprocess.run([TRM, *run_command(*LONG)], cwd=study.data_root, env=environment(), check=False)
    assert done.returncode == 0
    return tiny_folder(study, *LONG)


def endings(folder: RunFolder) -> list[str | None]:
    return [attempt.ending for attempt in read_attempts(folder.attempts)]


def test_a_pattern_is_an_array(slurm: RealSlurm, tmp_path: Path) -> None:
    study = make_study(tmp_path)
    jobs = launch(slurm, study, "--pattern", "exp02b", "--profile", "smoke")
    array = jobs[0].split("_")[0]
    assert jobs == [f"{array}_{index}" for index in range(5)]
    until(lambda: is_over(slurm, array), slurm, study)
    assert {state_of(slurm, job) for job in jobs} == {"COMPLETED"}
    runs = json.loads(trm(slurm, tmp_path, "status", "--json").stdout)
    assert [run["state"] for run in runs] == ["finished"] * 5
    assert {f"exp02b_{number:02}" for number in range(1, 6)} <= {
        name for run in runs for name in run["names"]
    }
    assert all("of 500 puzzles" in (study.job_logs / f"{job}_0_log.out").read_text() for job in jobs)


@pytest.mark.parametrize("partition", ["usual", "patient"])
def test_a_preempted_run_goes_on_and_ends_as_one_left_alone(
    slurm: RealSlurm, tmp_path: Path, alone: RunFolder, partition: str
) -> None:
    study = make_study(tmp_path)
    folder = tiny_folder(study, *LONG)
    job = launch_tiny(slurm, study, "--partition", partition)
    until(lambda: trains(folder, 20), slurm, study)
    make_way(slurm)
    until(lambda: is_over(slurm, job), slurm, study)
    assert state_of(slurm, job) == "COMPLETED"
    first, _ = read_attempts(folder.attempts)
    assert endings(folder) == ["preempted", "finished"]
    assert "the state is saved" in (first.message or "")
    assert "resuming after step" in (study.job_logs / f"{job}_0_log.out").read_text()
    assert differences(alone, folder) == []


def test_processes_of_two_nodes_are_one_run_and_a_lost_one_is_made_good(
    slurm: RealSlurm, tmp_path: Path
) -> None:
    study = make_study(tmp_path)
    overrides = (*LONG, "system.lost_host_seconds=5")
    folder = tiny_folder(study, *overrides)
    (job,) = launch(slurm, study, *run_command(*overrides)[1:], "--nodes", "2")
    until(lambda: trains(folder, 20), slurm, study)
    os.kill(_run_of_process(1, job), signal.SIGKILL)
    until(lambda: len(endings(folder)) == 2 and trains(folder, 60), slurm, study)
    make_way(slurm)
    until(lambda: is_over(slurm, job), slurm, study)
    assert state_of(slurm, job) == "COMPLETED"
    assert endings(folder) == ["lost_host", "preempted", "finished"]
    assert "process 1 of 2" in (study.job_logs / f"{job}_1_log.out").read_text()


def _run_of_process(index: int, job: str) -> int:
    """The `trm run` of one process of a job."""
    wanted = {f"SLURM_PROCID={index}".encode(), f"SLURM_JOB_ID={job}".encode()}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"run" in words[:4] and wanted <= set((folder / "environ").read_bytes().split(b"\0")):
                return int(folder.name)
        except OSError:
            continue
    raise AssertionError(f"process {index} of job {job} does not run")


def test_a_run_can_be_stopped_and_a_job_cancelled(slurm: RealSlurm, tmp_path: Path) -> None:
    study = make_study(tmp_path)
    folder = tiny_folder(study, *LONG)
    job = launch_tiny(slurm, study)
    until(lambda: trains(folder, 20), slurm, study)
    assert trm(slurm, tmp_path, "stop", "baseline").stdout.startswith("asked process")
    until(lambda: is_over(slurm, job), slurm, study)
    assert (state_of(slurm, job), endings(folder)) == ("COMPLETED", ["stopped"])

    job = launch_tiny(slurm, study)
    until(lambda: len(endings(folder)) == 2 and trains(folder, 60), slurm, study)
    slurm.ask("scancel", job)
    until(lambda: is_over(slurm, job), slurm, study)
    assert (state_of(slurm, job), endings(folder)) == ("CANCELLED", ["stopped", "preempted"])


def test_a_run_that_fails_fails_its_job(slurm: RealSlurm, tmp_path: Path) -> None:
    study = make_study(tmp_path)
    (job,) = launch(slurm, study, *run_command(*LONG, "lr=1e38")[1:], "--nodes", "2")
    until(lambda: is_over(slurm, job), slurm, study)
    assert state_of(slurm, job) == "FAILED"
    *before, last = endings(tiny_folder(study, *LONG, "lr=1e38"))
    assert last == "non_finite"
    # On a crowded machine they may fail to meet at first, which is a loss, and tried again.
    assert set(before) <= {"lost_host"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--partition", "nowhere"), "invalid partition specified: nowhere"),
        (("--gpus-per-node", "1"), "Invalid generic resource"),
        (("--constraint", "fast"), "Invalid feature specification"),
    ],
)
def test_what_slurm_refuses_is_said(
    slurm: RealSlurm, tmp_path: Path, asked: tuple[str, str], said: str
) -> None:
    study = make_study(tmp_path)
    done = trm(slurm, study.data_root, "launch", "slurm", "baseline", "--profile", "smoke", *asked)
    assert done.returncode == 2
    assert done.stderr.count(said) == 1
    assert "Nothing was queued" in done.stderr
