"""What a batch does when a run ends in each of the ways in which one can."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.run.scripted import KERNEL_KILLS, ROOT, command_of
from tests.run.tiny import TINY, make_study
from trm_scaling.io.lease import holder, request_stop
from trm_scaling.io.study import Study
from trm_scaling.results.attempts import Attempt, read_attempts
from trm_scaling.results.scan import standing
from trm_scaling.run.batch.job import Job, plan_jobs
from trm_scaling.run.batch.runner import BatchRunner
from trm_scaling.run.batch.runner_registry import runners
from trm_scaling.run.batch.status import Board
from trm_scaling.run.batch.worker import Slot


@dataclass
class Watcher:
    """A view that remembers what it was told, and calls `at` with every board."""

    at: Callable[[Board], None] = lambda board: None
    notes: list[str] = field(default_factory=list)

    def show(self, board: Board) -> None:
        self.at(board)

    def note(self, text: str) -> None:
        self.notes.append(text)


pytestmark = pytest.mark.usefixtures("hurried_batches")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hurried_batches: None) -> Study:
    """An empty study, with a counter of the kernel's kills beside it."""
    made = make_study(tmp_path)
    counter = made.path / KERNEL_KILLS
    counter.write_text("oom_kill 0\n")
    monkeypatch.setattr("trm_scaling.run.failure._counters", lambda: [counter])
    return made


def jobs_of(study: Study, seeds: int = 1, first: int = 0) -> list[Job]:
    """The tiny run, with so many seeds."""
    overrides = [*TINY, "global_batch_size=16", "system.micro_batch_size=16"]
    jobs, refused = plan_jobs(study, ["baseline"], "smoke", overrides, first, seeds, lambda *_: None)
    assert not refused
    return jobs


def batch(
    study: Study,
    scripts: dict[int, str],
    seeds: int | None = None,
    places: int = 1,
    view: Watcher | None = None,
    **options: Any,
) -> tuple[int, list[Job]]:
    """Run a batch of scripted workers; its exit status and its jobs."""
    jobs = jobs_of(study, seeds or len(scripts))
    slots = [Slot(number) for number in range(places)]
    runner = BatchRunner(study, jobs, slots, command_of(scripts), view or Watcher(), **options)
    return runner.run(), jobs


def attempts(job: Job) -> list[Attempt]:
    return read_attempts(job.folder.attempts)


def outcomes(jobs: Sequence[Job]) -> list[str | None]:
    return [job.outcome for job in jobs]


def endings(job: Job) -> list[str | None]:
    return [attempt.ending for attempt in attempts(job)]


def once(label: str, act: Callable[[Board], None]) -> Callable[[Board], None]:
    """Call `act` with the first board on which a run has said that it plays, and has `label`."""
    done: list[bool] = []

    def look(board: Board) -> None:
        rows = [row for row in board.rows if row.label == label]
        if not done and rows and all("plays" in row.folder.stdout.read_text() for row in rows):
            done.append(True)
            act(board)

    return look


def test_a_second_time_nothing_is_run(study: Study) -> None:
    status, jobs = batch(study, {0: "finish", 1: "finish"}, places=2)
    assert (status, outcomes(jobs)) == (0, ["finished", "finished"])
    status, jobs = batch(study, {0: "other", 1: "other"}, places=2)
    assert (status, outcomes(jobs)) == (0, ["finished", "finished"])
    assert [endings(job) for job in jobs] == [["finished"], ["finished"]]
    assert runners(study) == []


def test_it_stops_at_the_first_failure_and_lets_finish_what_runs(study: Study) -> None:
    status, jobs = batch(study, {0: "finish:1", 1: "configuration", 2: "finish"}, places=2)
    assert (status, outcomes(jobs)) == (1, ["finished", "failed", None])
    assert jobs[1].message == "the dataset is poisoned"
    assert not jobs[2].folder.path.exists()

    # A failure of before is no reason to stop, and is not repeated unless asked.
    status, jobs = batch(study, {0: "finish", 1: "finish", 2: "finish"})
    assert (status, outcomes(jobs)) == (1, ["finished", "failed", "finished"])
    assert jobs[1].message == "the dataset is poisoned (earlier; --retry failed tries again)"
    status, jobs = batch(study, {0: "finish", 1: "finish", 2: "finish"}, retry_failed=True)
    assert (status, outcomes(jobs)) == (0, ["finished"] * 3)
    assert endings(jobs[1]) == ["configuration", "finished"]
    assert standing(jobs[1].folder).state == "finished"


def test_it_goes_on_when_told_to(study: Study) -> None:
    scripts = {0: "non_finite", 1: "finish", 2: "other", 3: "finish"}
    status, jobs = batch(study, scripts, continue_on_failure=True)
    assert (status, outcomes(jobs)) == (1, ["failed", "finished", "failed", "finished"])
    assert jobs[0].message == "the loss is nan at step 7"
    assert json.loads(jobs[0].folder.failure.read_text())["traceback"] == "mine"
    assert [len(attempts(job)) for job in jobs] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("script", "outcome", "ends", "said"),
    [
        ("configuration", "failed", ["configuration"], "the dataset is poisoned"),
        ("non_finite", "failed", ["non_finite"], "the loss is nan at step 7"),
        ("other", "failed", ["other"], "nobody foresaw this"),
        ("abort:bad luck", "failed", ["other"], "ended by SIGABRT: bad luck"),
        ("lie", "failed", ["finished"], "wrote no result here"),
        ("broken_install", "failed", [], "ModuleNotFoundError: no module"),
        ("in_use,finish", "finished", ["finished"], ""),
        ("out_of_memory,finish", "finished", ["out_of_memory", "finished"], ""),
        ("out_of_memory", "failed", ["out_of_memory"] * 2, "RESOURCE_EXHAUSTED: 1 GB wanted"),
        ("abort:RESOURCE_EXHAUSTED,finish", "finished", ["out_of_memory", "finished"], ""),
        ("die_of_memory,finish", "finished", ["out_of_memory", "finished"], ""),
        ("die,preempted,finish", "finished", ["preempted", "preempted", "finished"], ""),
        ("die", "failed", ["preempted"] * 3, "ended 3 times in a row without a new checkpoint"),
        ("preempted", "failed", ["preempted"] * 3, "ended 3 times in a row without a new checkpoint"),
        ("lost_host,finish", "finished", ["lost_host", "finished"], ""),
        ("lost_host", "failed", ["lost_host"] * 3, "in a row without a new checkpoint, last: process 1 has"),
        ("die,die,save_and_die,die,die,finish", "finished", [*["preempted"] * 5, "finished"], ""),
    ],
)
def test_each_class_of_ending_has_its_remedy(
    study: Study, script: str, outcome: str, ends: list[str], said: str
) -> None:
    status, (job,) = batch(study, {0: script})
    assert (job.outcome, endings(job)) == (outcome, ends)
    assert said in job.message
    assert status == (0 if outcome == "finished" else 1)
    assert standing(job.folder).state == outcome
    if outcome == "failed":
        assert said in json.loads(job.folder.failure.read_text())["message"]


def test_short_memory_halves_what_is_worked_through_at_once_and_the_run_remembers(study: Study) -> None:
    view = Watcher()
    status, (job,) = batch(study, {0: "out_of_memory,die"}, view=view)
    assert [attempt.micro_batch_size for attempt in attempts(job)] == [16, 8, 8, 8]
    assert job.smaller == ["system.micro_batch_size=8", "system.eval_batch_size=16"]
    assert "once more, 8 puzzles at once" in view.notes[0]
    assert status == 1
    # Another batch resumes it with what it had come to.
    status, (job,) = batch(study, {0: "finish"}, retry_failed=True)
    assert [attempt.micro_batch_size for attempt in attempts(job)] == [16, 8, 8, 8, 8]


def test_ctrl_c_lets_the_workers_save_and_starts_nothing(study: Study) -> None:
    view = Watcher(at=once("running", lambda _: signal.raise_signal(signal.SIGINT)))
    status, jobs = batch(study, {0: "hang", 1: "hang", 2: "finish"}, places=2, view=view)
    assert (status, outcomes(jobs)) == (130, ["interrupted", "interrupted", None])
    assert [endings(job) for job in jobs[:2]] == [["preempted"], ["preempted"]]
    assert standing(jobs[0].folder).state == "interrupted"
    assert "asked to save and end" in view.notes[-1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    status, jobs = batch(study, {0: "hang,finish", 1: "hang,finish", 2: "finish"}, places=2)
    assert (status, outcomes(jobs)) == (0, ["finished"] * 3)


def test_a_second_ctrl_c_ends_the_workers_at_once(study: Study) -> None:
    asked: list[float] = []

    def ask(board: Board) -> None:
        if "deaf now" in board.rows[0].folder.stdout.read_text() and len(asked) < 2:
            asked.append(board.seconds)
            signal.raise_signal(signal.SIGINT)

    def look(board: Board) -> None:
        if board.rows[0].folder.stdout.exists():
            ask(board)

    status, (job,) = batch(study, {0: "deaf"}, view=Watcher(at=look))
    assert (status, job.outcome, endings(job)) == (130, "interrupted", ["preempted"])
    assert holder(job.folder.path) is None


@pytest.mark.parametrize("by", ["SIGTERM", "file"])
def test_the_system_and_trm_stop_end_a_batch_as_one_ctrl_c_does(study: Study, by: str) -> None:
    def ask(board: Board) -> None:
        if by == "SIGTERM":
            signal.raise_signal(signal.SIGTERM)
        else:
            (runner,) = runners(study)
            runner.request_stop()

    status, jobs = batch(study, {0: "hang", 1: "finish"}, view=Watcher(at=once("running", ask)))
    assert (status, outcomes(jobs)) == (75, ["interrupted", None])
    assert runners(study) == []
    assert list(study.batches.iterdir()) == []


def test_the_closing_of_the_terminal_ends_nothing(study: Study) -> None:
    view = Watcher(at=once("running", lambda _: signal.raise_signal(signal.SIGHUP)))
    status, jobs = batch(study, {0: "finish:0.5", 1: "finish"}, view=view)
    assert (status, outcomes(jobs)) == (0, ["finished", "finished"])


def test_a_run_that_somebody_stopped_is_not_resumed_until_the_next_batch(study: Study) -> None:
    def stop(board: Board) -> None:
        request_stop(board.rows[0].folder.path)

    status, jobs = batch(study, {0: "hang", 1: "finish"}, view=Watcher(at=once("running", stop)))
    assert (status, outcomes(jobs)) == (75, ["stopped", "finished"])
    assert standing(jobs[0].folder).state == "stopped"
    assert endings(jobs[0]) == ["stopped"]
    status, jobs = batch(study, {0: "hang,finish", 1: "finish"})
    assert (status, outcomes(jobs)) == (0, ["finished", "finished"])
    assert not (jobs[0].folder.path / "stop").exists()


@pytest.fixture
def elsewhere(study: Study) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a worker that no batch knows, on the first tiny run; it has the run when this returns."""
    started: list[subprocess.Popen[str]] = []

    def start(acts: str) -> subprocess.Popen[str]:
        (job,) = jobs_of(study)
        job.folder = job.run.path.claim()
        process = subprocess.Popen(
            [*command_of({0: acts})(job)], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        assert process.stdout is not None
        assert "plays" in process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_run_at_work_elsewhere_is_left_alone_and_waited_for(study: Study, elsewhere: Any) -> None:
    elsewhere("finish:1")
    seen: set[str] = set()
    view = Watcher(at=lambda board: seen.add(board.rows[0].label))
    status, jobs = batch(study, {0: "other", 1: "finish"}, view=view)
    assert (status, outcomes(jobs)) == (0, ["finished", "finished"])
    assert [len(attempts(job)) for job in jobs] == [1, 1]
    assert "elsewhere" in seen


def test_a_run_whose_owner_dies_is_taken_over(study: Study, elsewhere: Any) -> None:
    process = elsewhere("hang")
    view = Watcher(at=lambda board: process.kill() if board.rows[1].label == "finished" else None)
    status, jobs = batch(study, {0: "finish", 1: "finish"}, view=view)
    assert (status, outcomes(jobs)) == (0, ["finished", "finished"])
    assert endings(jobs[0]) == ["preempted", "finished"]


def test_a_worker_whose_runner_died_keeps_its_place(study: Study) -> None:
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from tests.run.scripted import command_of\n"
        "from tests.run.test_batch import jobs_of\n"
        "from trm_scaling.io.study import Study\n"
        "from trm_scaling.run.batch.worker import Slot\n"
        "from trm_scaling.run.batch.worker import start_workers\n"
        "from trm_scaling.run.failure import KernelKills\n"
        "(job,) = jobs_of(Study(Path(sys.argv[1])))\n"
        "job.folder = job.run.path.claim()\n"
        "start_workers([job.folder], Slot(0), command_of({0: 'finish:2'})(job), KernelKills())\n"
        "os._exit(1)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(study.path)], cwd=ROOT, check=False)
    together: set[int] = set()
    view = Watcher(at=lambda board: together.add(sum(row.label == "running" for row in board.rows)))
    status, jobs = batch(study, {0: "other", 1: "finish"}, view=view)
    assert (status, outcomes(jobs)) == (0, ["finished", "finished"])
    assert "whose runner has ended" in view.notes[0]
    assert endings(jobs[0]) == ["finished"]
    assert max(together) == 1


def test_two_runners_share_the_work(study: Study) -> None:
    planned = [jobs_of(study, 6) for _ in range(2)]
    runners_ = [
        BatchRunner(study, jobs, [Slot(0)], command_of({}, default="finish:0.3"), Watcher())
        for jobs in planned
    ]
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda run=each.run: statuses.append(run())) for each in runners_]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [0, 0]
    for jobs in planned:
        assert outcomes(jobs) == ["finished"] * 6
        assert [endings(job) for job in jobs] == [["finished"]] * 6


def test_a_failure_of_another_runner_is_not_tried_again(study: Study) -> None:
    scripts = {0: "finish:0.5", 1: "other", 2: "finish"}
    jobs = jobs_of(study, 3)

    def let_another_run(board: Board) -> None:
        rest = jobs_of(study, 3)[1:]
        other = BatchRunner(study, rest, [Slot(0)], command_of(scripts), Watcher(), continue_on_failure=True)
        assert other.run() == 1
        assert outcomes(rest) == ["failed", "finished"]

    view = Watcher(at=once("running", let_another_run))
    runner = BatchRunner(study, jobs, [Slot(0)], command_of(scripts), view, continue_on_failure=True)
    assert runner.run() == 1
    assert outcomes(jobs) == ["finished", "failed", "finished"]
    assert [endings(job) for job in jobs] == [["finished"], ["other"], ["finished"]]


def test_the_logs_of_every_name_lead_to_the_run(study: Study) -> None:
    overrides = [*TINY, "arch.hidden_size=32"]
    names = ["exp02a_03", "baseline", "exp09a"]
    jobs, _ = plan_jobs(study, names, "smoke", overrides, None, 2, lambda *_: None)
    assert [(job.names, job.seed) for job in jobs] == [(names, 0), (names, 1)]
    assert BatchRunner(study, jobs, [Slot(0)], command_of({}), Watcher()).run() == 0
    first, second = (job.folder for job in jobs)
    assert first.path.parent.name == "baseline"
    for name in ("exp02a_03", "exp09a"):
        shared = study.run_folder("smoke", name, jobs[0].run.path.identity, 0).path
        assert shared.is_symlink()
        assert shared.resolve() == first.path
    links = {path.name: path.resolve() for path in study.batch_logs.iterdir()}
    assert links == {
        f"{name}{seed}_{log.stem}.log": log
        for name in names
        for seed, folder in (("", first), ("-s1", second))
        for log in (folder.stdout, folder.stderr)
    }
    assert not any(path.readlink().is_absolute() for path in study.batch_logs.iterdir())
    assert first.stdout.read_text().splitlines()[1] == "attempt 1 plays finish"


def test_a_program_that_cannot_be_started_is_one_failure(study: Study) -> None:
    (job,) = jobs_of(study)
    runner = BatchRunner(study, [job], [Slot(0)], lambda job: ["/no/such/program"], Watcher())
    assert (runner.run(), job.outcome) == (1, "failed")
    assert "cannot be started: [Errno 2] No such file or directory" in job.message


def test_a_name_that_makes_no_run_is_refused_alone(study: Study) -> None:
    (study.configs / "experiments" / "broken.yaml").write_text("# @package _global_\nbeta2: much\n")
    jobs, refused = plan_jobs(study, ["broken", "baseline"], "smoke", TINY, None, 1, lambda *_: None)
    assert [job.name for job in jobs] == ["baseline"]
    assert [each.name for each in refused] == ["broken"]
    assert "beta2='much'" in refused[0].reason


def test_the_time_left_is_told_from_what_was_finished(study: Study) -> None:
    left: list[float | None] = []
    view = Watcher(at=lambda board: left.append(board.seconds_left))
    batch(study, {0: "finish:0.3", 1: "finish:0.3", 2: "finish:0.3"}, view=view)
    assert left[0] is None
    assert any(seconds for seconds in left if seconds is not None)
    assert left[-1] == 0
