"""One attempt at a run in this process: what is written down before it, and what becomes of it."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trm_scaling.config import RunConfig
from trm_scaling.config.compose import dump, load
from trm_scaling.config.identity import differing_fields
from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_json, write_text
from trm_scaling.io.lease import stop_requested
from trm_scaling.io.provenance import Provenance, collect_provenance
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.secrets import masked_text
from trm_scaling.results.attempts import FailureClass, begin_attempt, end_attempt, note_incident
from trm_scaling.results.plain import as_known
from trm_scaling.results.record import RunRecord
from trm_scaling.run.failure import failure_class
from trm_scaling.run.planned import Run
from trm_scaling.run.record import assemble
from trm_scaling.tracking.wandb_start import start_mirror

if TYPE_CHECKING:
    from trm_scaling.train.train_and_evaluate import RunSummary


@dataclass(frozen=True)
class RunAttempt:
    """An attempt under way. Of the process that holds the run's folder."""

    run: Run
    folder: RunFolder
    number: int
    """From 1, over all attempts at the run."""

    def commit(self, provenance: Provenance, finished: "RunSummary") -> RunRecord:
        """Write the run's record: from here on the run is finished."""
        record = assemble(self.run.config, self.folder, provenance, finished)
        write_json(self.folder.result, record.as_written())
        return record

    def finished(self) -> None:
        """The attempt ended well."""
        end_attempt(self.folder.attempts, self.number, "finished", "")

    def met(self, damage: str) -> None:
        """Write down damage that the attempt met and goes on without."""
        note_incident(self.folder.attempts, self.number, masked_text(damage))

    def failed(self, failure: FailureClass, error: BaseException) -> None:
        """Write down what ended the attempt, without the secrets that its words may hold."""
        message = masked_text(str(error)) or type(error).__name__
        text = masked_text("".join(traceback.format_exception(error)))
        note = {"failure": failure, "error": type(error).__name__, "message": message, "traceback": text}
        stopped = failure == "preempted" and stop_requested(self.folder.path)
        try:
            write_json(self.folder.failure, note)
            end_attempt(self.folder.attempts, self.number, "stopped" if stopped else failure, message)
        except (UserError, OSError):
            # The disk that failed the run fails its epitaph too; the error itself still goes up.
            return


def origin() -> tuple[Provenance, dict[str, Any]]:
    """What runs are made with in this process, and the part of it that goes into checkpoints."""
    from trm_scaling.train.train_and_evaluate import device_kinds

    found = collect_provenance(device_kinds())
    source = {
        "commit": found.commit,
        "uncommitted_changes": found.dirty,
        "uncommitted_diff": found.diff,
        "untracked_files": dict(found.untracked or {}),
    }
    return found, source


@contextmanager
def attempted(run: Run, folder: RunFolder) -> Iterator[RunAttempt]:
    """Begin an attempt at `run` in `folder`, which this process holds, with a mirror for the block.

    Raises UserError when the folder holds another configuration.
    """
    config = run.config
    refuse_another(folder, config)
    write_text(folder.config, dump(config))
    # Whatever may refuse comes before the attempt begins: from then on its end has to be written down.
    known = as_known(run.study, config)
    number = begin_attempt(folder.attempts, config.global_batch_size // config.micro_batches, known)
    folder.failure.unlink(missing_ok=True)
    attempt = RunAttempt(run, folder, number)
    try:
        mirror = start_mirror(folder.path, known["family"])
    except BaseException as error:
        attempt.failed(failure_class(error), error)
        raise
    with mirror or nullcontext():
        yield attempt


def refuse_another(folder: RunFolder, config: RunConfig) -> None:
    """Raise UserError when `folder` holds a run of another configuration, edited or misplaced."""
    if folder.config.exists() and (differing := differing_fields(load(folder.config), config)):
        raise UserError(
            f"{folder.path} holds a run of another configuration (it differs in {', '.join(differing)}); "
            "move the folder away, or run with the configuration it holds"
        )
