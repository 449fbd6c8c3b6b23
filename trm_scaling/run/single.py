"""One run, to its `result.json`."""

import traceback
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from trm_scaling.config import RunConfig
from trm_scaling.config.compose import dump, load
from trm_scaling.config.identity import science
from trm_scaling.errors import UserError
from trm_scaling.experiments import load_catalogue
from trm_scaling.io.atomic import write_json, write_text
from trm_scaling.io.lease import stop_requested
from trm_scaling.io.provenance import collect_provenance
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.parallel.hosts import ALONE, Hosts
from trm_scaling.results.attempts import FailureClass, begin_attempt, end_attempt, note_incident
from trm_scaling.results.record import RunRecord, read_record
from trm_scaling.run.failure import EXIT_STATUS, OutOfMemory, failure_class
from trm_scaling.run.fitted import fitted
from trm_scaling.run.here import this_device
from trm_scaling.run.incidents import damage_kept
from trm_scaling.run.planned import Run
from trm_scaling.run.polite import ended_politely
from trm_scaling.run.record import assemble
from trm_scaling.run.together import Verdict, lead
from trm_scaling.tracking.wandb_start import start_mirror

if TYPE_CHECKING:
    from trm_scaling.train.whole import RunReporter


def execute(run: Run, reporter: "RunReporter", hosts: Hosts = ALONE) -> RunRecord:
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
    folder = run.place.claim()
    # The run is called by the name it lies under, whoever asked for it.
    config = run.config.model_copy(update={"name": folder.path.parent.name})
    if not folder.finished:
        with folder.lock():
            # Whoever held the lock until now may have finished it.
            if not folder.finished:
                return _train(replace(run, config=config), folder, reporter, hosts, verdict)
    _refuse_another(folder, config)
    lead(hosts, None, config)
    reporter.note(f"{folder.path} is finished already; nothing to train")
    return read_record(folder.result)


def _train(run: Run, folder: RunFolder, reporter: "RunReporter", hosts: Hosts, verdict: Verdict) -> RunRecord:
    config = fitted(run.config, this_device())
    if config != run.config:
        size = config.system.micro_batch_size
        reporter.note(f"the whole batch needs more memory than there is: {size:,} puzzles at a time")
        run = replace(run, config=config)
    _refuse_another(folder, config)
    write_text(folder.config, dump(config))
    attempt = begin_attempt(folder.attempts, config.global_batch_size // config.micro_batches)
    folder.failure.unlink(missing_ok=True)
    group = load_catalogue(run.study.path).group_of(config.name)
    verdict.write_down = partial(_record_failure, folder, attempt)
    with start_mirror(folder.path, group) or nullcontext():
        return _recorded(run, folder, attempt, reporter, hosts)


def _recorded(run: Run, folder: RunFolder, attempt: int, reporter: "RunReporter", hosts: Hosts) -> RunRecord:
    """Train to the record; whatever ends it earlier is written down, and goes on up."""
    try:
        with ended_politely(), damage_kept(partial(note_incident, folder.attempts, attempt)):
            lead(hosts, folder, run.config)
            record = _to_the_end(run, folder, reporter, hosts)
    except BaseException as error:
        # A process boundary: whatever ended the run belongs into its record, then goes on up.
        failure = failure_class(error)
        if failure == "other":
            hosts.await_verdict()
        if not folder.finished:
            _record_failure(folder, attempt, failure, error)
        if isinstance(error, UserError):
            error.exit_status = EXIT_STATUS[failure]
        elif failure == "out_of_memory":
            raise OutOfMemory(_memory_advice(run.config, error)) from error
        raise
    end_attempt(folder.attempts, attempt, "finished", "")
    return record


def _to_the_end(run: Run, folder: RunFolder, reporter: "RunReporter", hosts: Hosts) -> RunRecord:
    from trm_scaling.train.whole import device_kinds, train_and_test

    provenance = collect_provenance(device_kinds())
    folder.record_provenance(provenance)
    source = {
        "commit": provenance.commit,
        "uncommitted_changes": provenance.dirty,
        "uncommitted_diff": provenance.diff,
    }
    finished = train_and_test(run.config, folder, run.study.data_root, source, reporter, hosts)
    record = assemble(run.config, folder, provenance, finished)
    # The commit point: from here on the run is finished.
    write_json(folder.result, record.model_dump(mode="json"))
    return record


def _refuse_another(folder: RunFolder, config: RunConfig) -> None:
    """Raise UserError when `folder` holds a run of another configuration, edited or misplaced."""
    if folder.config.exists():
        found, wanted = science(load(folder.config)), science(config)
        if found != wanted:
            differing = sorted(key for key in wanted if found.get(key) != wanted[key])
            raise UserError(
                f"{folder.path} holds a run of another configuration (it differs in {', '.join(differing)}); "
                "move the folder away, or run with the configuration it holds"
            )


def _record_failure(folder: RunFolder, attempt: int, failure: FailureClass, error: BaseException) -> None:
    message = str(error) or type(error).__name__
    text = "".join(traceback.format_exception(error))
    note = {"failure": failure, "error": type(error).__name__, "message": message, "traceback": text}
    stopped = failure == "preempted" and stop_requested(folder.path)
    try:
        write_json(folder.failure, note)
        end_attempt(folder.attempts, attempt, "stopped" if stopped else failure, message)
    except (UserError, OSError):
        # The disk that failed the run fails its epitaph too; the error itself still goes up.
        return


def _memory_advice(config: RunConfig, error: BaseException) -> str:
    size = config.global_batch_size // config.micro_batches
    said = str(error).strip().splitlines()
    reason = said[0] if said else type(error).__name__
    halve = f"system.micro_batch_size={size // 2} or " if size > 1 else ""
    return (
        f"out of memory with {size} puzzles at once ({reason}); run it with {halve}system.remat=true, "
        "which takes longer and computes the same"
    )
