"""Seeds that a batch trains in one process: who shares it, and what becomes of each."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.run.scripted import command_of
from tests.run.test_batch import Watcher, attempts, endings, outcomes
from tests.run.tiny import TINY, make_study
from trm_scaling.cli.batch import worker_command
from trm_scaling.io.lease import holder
from trm_scaling.io.study import Study
from trm_scaling.run.batch.job import Job, plan_jobs
from trm_scaling.run.batch.runner import BatchRunner
from trm_scaling.run.batch.worker import Slot

pytestmark = pytest.mark.usefixtures("hurried_batches")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path)


def jobs_of(study: Study, names: Sequence[str] = ("baseline",), seeds: int = 3) -> list[Job]:
    planned = plan_jobs(study, names, "smoke", TINY, 0, seeds, lambda *_: None, lambda config: True)
    return planned[0]


def run(
    study: Study,
    jobs: list[Job],
    acts: str,
    view: Watcher | None = None,
    started: Callable[[Job], None] = lambda job: None,
) -> tuple[int, list[list[int]]]:
    """Exit status, and the seeds of each process that was started; each job is given to `started` first."""
    seeds: list[list[int]] = []

    def command(job: Job) -> list[str]:
        started(job)
        first = jobs.index(job)
        beside = [each for each in jobs if each.seed == job.seed and each.name in job.beside]
        group = [job, *beside] if job.beside else jobs[first : first + job.together]
        seeds.append([each.seed for each in group])
        (alone,) = [command_of({}, acts)(job)]
        folders = ":".join(str(each.folder.path) for each in group)
        return [folders if word == str(job.folder.path) else word for word in alone]

    return BatchRunner(study, jobs, [Slot(0)], command, view or Watcher()).run(), seeds


def test_seeds_share_a_process(study: Study) -> None:
    jobs = jobs_of(study)
    held: list[list[bool]] = []
    view = Watcher(lambda board: held.append([holder(row.folder.path) is not None for row in board.rows]))
    status, started = run(study, jobs, "finish:0.3", view)
    assert (status, started) == (0, [[0, 1, 2]])
    assert held[0] == [True] * 3, "each is its process's from the moment that it is started"
    assert [endings(job) for job in jobs] == [["finished"]] * 3
    assert "trained as one program with" in jobs[1].folder.stdout.read_text()
    assert [holder(job.folder.path) for job in jobs] == [None] * 3


def test_finished_seeds_are_left_alone_and_gaps_are_not_bridged(study: Study) -> None:
    first = jobs_of(study, seeds=4)
    run(study, first[1:2], "finish")
    before = first[1].folder.result.stat().st_mtime_ns
    jobs = jobs_of(study, seeds=4)
    status, started = run(study, jobs, "finish")
    assert (status, started) == (0, [[0], [2, 3]])
    assert jobs[1].folder.result.stat().st_mtime_ns == before
    assert len(attempts(jobs[1])) == 1


def test_what_memory_is_too_small_for_together_goes_on_alone(study: Study) -> None:
    view = Watcher()
    jobs = jobs_of(study, seeds=2)
    status, started = run(study, jobs, "out_of_memory,finish", view)
    assert (status, started) == (0, [[0, 1], [0], [1]])
    assert [endings(job) for job in jobs] == [["out_of_memory", "finished"]] * 2
    assert "baseline: out of memory with 2 runs together; once more by itself" in view.notes


def test_a_group_that_was_killed_is_resumed_as_one(study: Study) -> None:
    jobs = jobs_of(study, seeds=2)
    status, started = run(study, jobs, "preempted,finish")
    assert (status, started) == (0, [[0, 1], [0, 1]])
    assert outcomes(jobs) == ["finished", "finished"]


def test_a_failure_is_its_own(study: Study) -> None:
    jobs = jobs_of(study, seeds=2)
    # The second seed finishes, the first one's loss is no number.
    (jobs[1].folder.path / "acts").parent.mkdir(parents=True)
    (jobs[1].folder.path / "acts").write_text("finish")
    status, started = run(study, jobs, "non_finite")
    assert (status, started) == (1, [[0, 1]])
    assert outcomes(jobs) == ["failed", "finished"]
    assert jobs[0].message == "the loss is nan at step 7"


def test_the_seeds_of_a_name_follow_one_another_when_they_go_together(study: Study) -> None:
    jobs = jobs_of(study, ("exp01a", "exp10a"), seeds=2)
    assert [(job.name, job.seed) for job in jobs] == [
        *(("exp01a", 0), ("exp01a", 1), ("exp10a", 0), ("exp10a", 1))
    ]


def test_a_worker_is_told_how_many_seeds_to_train(study: Study) -> None:
    job = jobs_of(study)[0]
    assert "--replicates" not in worker_command(study, "smoke", TINY, no_wandb=True)(job)
    job.together = 3
    words = worker_command(study, "smoke", TINY, no_wandb=True)(job)
    at = words.index("--replicates")
    assert words[at : at + 3] == ["--replicates", "3", "--together"]
    assert words[words.index("--seed") + 1] == "0"
