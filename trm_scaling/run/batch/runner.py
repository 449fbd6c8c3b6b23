"""The loop of a batch: start workers, see them end, decide what comes next.

Everything it knows of a run lies in the run's folder, so a runner may die at any moment: its workers
go on, and the next runner finds the runs as they are.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from trm_scaling.errors import UserError
from trm_scaling.io.disk_errors import DiskRefused, is_disk_refusal
from trm_scaling.io.lease import RunInUse
from trm_scaling.io.mirror import REFRESH_SECONDS, refresh
from trm_scaling.io.study import Study
from trm_scaling.results.scan import Standing, standing
from trm_scaling.run.batch.exit_reason import End, give_up
from trm_scaling.run.batch.job import Job
from trm_scaling.run.batch.logs import link_logs
from trm_scaling.run.batch.retry import Retry, is_transient
from trm_scaling.run.batch.runner_registry import registered
from trm_scaling.run.batch.status import Tally, View
from trm_scaling.run.batch.worker import Slot, adopted, is_orphan, start_workers
from trm_scaling.run.failure import KernelKills
from trm_scaling.run.signals import StopRequests, stop_requests

Command = Callable[[Job], list[str]]
"""What a worker executes for a job."""

POLL_SECONDS = 0.2
ELSEWHERE_SECONDS = 2.0
"""Between two looks at the runs of other processes."""

RETRY_GRACE_SECONDS = 5.0
"""A run of another runner that failed for want of memory may be about to be tried again."""

MOST_STALLS = 3
"""Ends in a row, by a signal and without a new checkpoint, after which a run counts as failed."""


class BatchRunner:
    """Runs `jobs` on `slots`, until each is finished or there is a reason not to go on."""

    def __init__(
        self,
        study: Study,
        jobs: Sequence[Job],
        slots: Sequence[Slot],
        command: Command,
        view: View,
        *,
        continue_on_failure: bool = False,
        retry_failed: bool = False,
    ) -> None:
        self.jobs = list(jobs)
        self._unseen = list(jobs)
        self._study = study
        self._slots = list(slots)
        self._command = command
        self._view = view
        self._continue_on_failure = continue_on_failure
        self._retry_failed = retry_failed
        self._tally = Tally(len(self._slots))
        self._kills = KernelKills()
        self._has_failed = False
        self._disk_refused = False
        self._requests = StopRequests()
        self._looked_elsewhere = 0.0
        self._failed_elsewhere: dict[int, float] = {}

    def run(self) -> int:
        """To the end. Returns the exit status: 0 when every run is finished, 1 when one failed, 130
        after Ctrl-C; the same command goes on after 74, when the disk refused a run's files, and after
        75, when the batch or a run was asked to stop.

        Raises UserError when the disk refuses the runner's own files, or gives nothing but errors for
        minutes.
        """
        with registered(self._study) as stop_file, stop_requests(stop_file) as self._requests:
            retry = Retry(self._study.path, self._view.note)
            while True:
                try:
                    self._turn()
                except OSError as error:
                    retry.wait_after(error)
                    continue
                retry.succeeded()
                if self._is_over():
                    break
                time.sleep(POLL_SECONDS)
        return self._exit_status()

    def _turn(self) -> None:
        """One look at everything. Whatever an OSError leaves undone, the next turn does."""
        while self._unseen:
            self._begin_with(self._unseen[0])
            del self._unseen[0]
        self._heed()
        self._collect()
        self._look_elsewhere()
        self._launch()
        self._view.show(self._tally.board(self.jobs, self._is_stopping))

    @property
    def _is_stopping(self) -> bool:
        failed = self._has_failed and not self._continue_on_failure
        return bool(self._requests) or self._disk_refused or failed

    def _is_over(self) -> bool:
        phases = {job.phase for job in self.jobs}
        return "working" not in phases and (self._is_stopping or phases == {"ended"} or not phases)

    def _exit_status(self) -> int:
        outcomes = {job.outcome for job in self.jobs}
        if outcomes <= {"finished"}:
            return 0
        if self._requests:
            return self._requests.exit_status
        if self._disk_refused:
            return DiskRefused.exit_status
        return 1 if "failed" in outcomes else 75

    def _begin_with(self, job: Job) -> None:
        """What is to be done with a run as it stands when the batch begins."""
        now = _standing(job)
        if now.state == "failed" and not self._retry_failed:
            job.settle("failed", f"{_message(now)} (earlier; --retry failed tries again)")
        else:
            job.is_retry = now.state == "failed"
            self._place(job, now)

    def _place(self, job: Job, now: Standing) -> None:
        """Put a run that nobody here works on where it belongs."""
        if now.state == "finished":
            self._share(job)
            if job.folder.stdout.exists():
                link_logs(self._study, job.folder, job.names, job.seed, job.is_first_seed, replace=False)
            job.settle("finished")
        elif now.state == "running":
            job.phase = "elsewhere"
            self._adopt(job, now)
        elif now.state == "failed" and not job.is_retry:
            self._fail(job, _message(now))
        else:
            job.phase = "waiting"

    def _adopt(self, job: Job, now: Standing) -> None:
        """Go on with a worker whose runner died, if its place is free."""
        taken = {each.worker.slot for each in self.jobs if each.worker is not None}
        if now.lease is not None and not self._is_stopping and is_orphan(now.lease):
            worker = adopted(job.folder, now.lease, self._kills)
            if worker.slot < len(self._slots) and worker.slot not in taken:
                job.saved_step = job.folder.saved_step
                job.worker, job.phase = worker, "working"
                self._view.note(f"{job.name}: goes on in {now.lease.owner}, whose runner has ended")

    def _launch(self) -> None:
        """Fill the free places, in the order of the jobs."""
        for job in self.jobs:
            taken = {each.worker.slot for each in self.jobs if each.worker is not None}
            free = [slot for slot in self._slots if slot.number not in taken]
            if self._is_stopping or not free:
                return
            if self._may_start(job):
                self._start(self._with_companions(job), free[0])

    def _may_start(self, job: Job) -> bool:
        """Whether a run is still waiting, now that its turn has come."""
        if job.phase != "waiting":
            return False
        now = _standing(job)
        if now.state in ("finished", "running"):
            # Another runner was faster.
            self._place(job, now)
        elif now.state == "failed" and not job.is_retry:
            # Another runner's failure, and its retry perhaps.
            job.phase = "elsewhere"
        return job.phase == "waiting"

    def _with_companions(self, job: Job) -> list[Job]:
        """The run with those that its process shall train besides, as far as they wait: the others of its
        trajectory, or else the next seeds."""
        others = [each for each in self.jobs if each.is_trajectory_of(job) and self._may_start(each)]
        job.beside = tuple(each.name for each in others)
        if others:
            return [job, *others]
        group = [job]
        while found := [each for each in self.jobs if each.is_next_seed_of(group[-1])]:
            if not self._may_start(found[0]):
                break
            group.append(found[0])
        return group

    def _start(self, group: Sequence[Job], slot: Slot) -> None:
        """One process for all of `group`, in the place of the first."""
        try:
            for job in group:
                self._share(job)
                link_logs(self._study, job.folder, job.names, job.seed, job.is_first_seed)
                job.saved_step = job.folder.saved_step
                job.together = len(group)
            folders = [job.folder for job in group]
            workers = start_workers(folders, slot, self._command(group[0]), self._kills)
        except RunInUse:
            for job in group:
                job.phase = "elsewhere"
        except (UserError, OSError) as error:
            if is_transient(error):
                raise
            for job in group:
                end = self._stop_for_the_disk if is_disk_refusal(error) else self._fail
                end(job, f"cannot be started: {error}")
        else:
            for job, worker in zip(group, workers, strict=True):
                job.worker, job.phase = worker, "working"
                self._tally.started(job)

    def _share(self, job: Job) -> None:
        """Make the run's folder, and the links to it under its other names."""
        for name in job.names:
            job.folder = replace(job.run.path, name=name).claim()

    def _collect(self) -> None:
        for job in self.jobs:
            end = job.worker.ended() if job.worker is not None else None
            if end is not None:
                self._decide(job, end)
                # Only now: what could not be decided is asked again.
                job.worker = None

    def _decide(self, job: Job, end: End) -> None:
        """What an ended attempt means for its run."""
        match end.ending:
            case "finished":
                self._tally.finished(job)
                job.settle("finished")
            case "in_use":
                job.phase = "elsewhere"
            case "stopped":
                job.settle("stopped")
            case "preempted" | "lost_host":
                self._resume(job, end)
            case "disk":
                self._stop_for_the_disk(job, end.message)
            case "out_of_memory" if job.together > 1:
                job.may_join, job.may_share, job.is_retry = False, False, True
                self._again(job, f"out of memory with {job.together} runs together; once more by itself")
            case "out_of_memory" if not job.has_halved and self._halve(job):
                self._again(job, f"out of memory; once more, {job.micro_batch_size} puzzles at once")
            case _:
                self._fail(job, end.message)

    def _resume(self, job: Job, end: End) -> None:
        saved = job.folder.saved_step
        job.stalls = 0 if saved != job.saved_step else job.stalls + 1
        if self._requests or job.stalls < MOST_STALLS:
            self._again(job, f"{end.message}; to be resumed")
            return
        message = f"ended {MOST_STALLS} times in a row without a new checkpoint, last: {end.message}"
        give_up(job.folder, message)
        self._fail(job, message)

    def _halve(self, job: Job) -> bool:
        """Ask for slices half as large, if they can be halved. The batch and the result stay the same."""
        size = job.micro_batch_size or job.slice_size
        if size < 2:
            return False
        job.micro_batch_size = size // 2
        job.has_halved = job.is_retry = True
        return True

    def _again(self, job: Job, why: str) -> None:
        if self._requests:
            job.settle("interrupted")
        else:
            job.phase = "waiting"
            self._view.note(f"{job.name}: {why}")

    def _fail(self, job: Job, message: str) -> None:
        job.settle("failed", message)
        self._has_failed = True

    def _stop_for_the_disk(self, job: Job, message: str) -> None:
        """Begin no further run: they all write to the disk that refused this one."""
        job.settle("interrupted", message)
        if not self._disk_refused:
            self._disk_refused = True
            why = "no further run is begun, since all write to that disk"
            self._view.note(f"{job.name}: {message} ({why}; the same command goes on)")

    def _look_elsewhere(self) -> None:
        if time.monotonic() - self._looked_elsewhere < ELSEWHERE_SECONDS:
            return
        self._looked_elsewhere = time.monotonic()
        for number, job in enumerate(self.jobs):
            if job.phase != "elsewhere":
                continue
            now = _standing(job, REFRESH_SECONDS)
            if now.failure is not None and now.failure.failure == "out_of_memory":
                since = self._failed_elsewhere.setdefault(number, time.monotonic())
                if time.monotonic() - since < RETRY_GRACE_SECONDS:
                    continue
            self._failed_elsewhere.pop(number, None)
            if now.state == "stopped":
                job.settle("stopped")
            else:
                self._place(job, now)

    def _heed(self) -> None:
        """Pass requests to stop on to the workers."""
        asked = self._requests.news()
        working = [job for job in self.jobs if job.worker is not None]
        for job in working:
            assert job.worker is not None
            match asked:
                case "stop":
                    job.worker.terminate()
                case "end":
                    job.worker.kill()
        if asked is not None and working:
            done = "ended at once" if asked == "end" else "asked to save and end; Ctrl-C ends them at once"
            self._view.note(f"{', '.join(job.name for job in working)}: {done}")


def _standing(job: Job, older_than: float = 0.0) -> Standing:
    """How a run stands; in a bucket, as of at most `older_than` seconds ago."""
    refresh(job.folder.path, older_than)
    return standing(job.folder)


def _message(now: Standing) -> str:
    return now.failure.message if now.failure is not None else "no reason recorded"
