"""One run, to its `result.json`."""

from dataclasses import replace
from typing import TYPE_CHECKING

from trm_scaling.cost.batch_fitting import choose_micro_batch, shortage
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.parallel.hosts import SINGLE_PROCESS, Hosts
from trm_scaling.results.attempts import FailureClass
from trm_scaling.results.record import RunRecord, read_record
from trm_scaling.run.attempt import RunAttempt, attempted, damage_kept, origin, refuse_another
from trm_scaling.run.local_device import this_device
from trm_scaling.run.multihost import Verdict, explained, lead
from trm_scaling.run.planned import Run
from trm_scaling.run.signals import ended_politely

if TYPE_CHECKING:
    from trm_scaling.train.run_context import RunReporter


def execute(run: Run, reporter: "RunReporter", hosts: Hosts = SINGLE_PROCESS) -> RunRecord:
    """Train and test `run`, from where it stands; a finished one is only read.

    Of several processes the first one calls this, and the others `follow`.

    Raises UserError (the run is in use, its folder holds another configuration, its dataset cannot
    be had, its loss diverged, memory or the disk is full), with the exit status of its class; what
    ended the run is written to `failure.json` and `attempts.jsonl`.
    """
    verdict = Verdict(hosts)
    with hosts.watched(run.config.system, verdict):
        return _execute(run, reporter, hosts, verdict)


def _execute(run: Run, reporter: "RunReporter", hosts: Hosts, verdict: Verdict) -> RunRecord:
    run, folder = claimed(run)
    if not folder.finished:
        with folder.lock():
            # Whoever held the lock until now may have finished it.
            if not folder.finished:
                return _train(run, folder, reporter, hosts, verdict)
    refuse_another(folder, run.config)
    lead(hosts, None, run.config)
    reporter.note(f"{folder.path} is finished already; nothing to train")
    return read_record(folder.result)


def claimed(run: Run) -> tuple[Run, RunFolder]:
    """The run under the name it lies under, whoever asked for it, and its folder, which is made."""
    folder = run.path.claim()
    config = run.config.model_copy(update={"name": folder.path.parent.name})
    return replace(run, config=config), folder


def _train(run: Run, folder: RunFolder, reporter: "RunReporter", hosts: Hosts, verdict: Verdict) -> RunRecord:
    config, _ = choose_micro_batch(run.study, run.config, this_device())
    if config != run.config:
        size = config.system.micro_batch_size
        reporter.note(f"the whole batch needs more memory than there is: {size:,} puzzles at a time")
    if short := shortage(config, this_device()):
        reporter.note(f"warning: {short}")
    with attempted(replace(run, config=config), folder) as attempt:
        verdict.write_down = attempt.failed
        return _recorded(attempt, reporter, hosts)


def _recorded(attempt: RunAttempt, reporter: "RunReporter", hosts: Hosts) -> RunRecord:
    """Train to the record; whatever ends it earlier is written down and raised again."""
    from trm_scaling.train.train_and_evaluate import train_and_test

    run, folder = attempt.run, attempt.folder

    def failed(failure: FailureClass, error: BaseException) -> None:
        if not folder.finished:
            attempt.failed(failure, error)

    with explained(run.config, hosts, failed), ended_politely(), damage_kept(attempt.met):
        lead(hosts, folder, run.config)
        provenance, source = origin()
        folder.record_provenance(provenance)
        finished = train_and_test(run.config, folder, run.study.data_root, source, reporter, hosts)
        record = attempt.commit(provenance, finished)
    attempt.finished()
    return record
