"""One attempt at a run in this process: what is written down before it, and what becomes of it."""

import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from trm_scaling.config import RunConfig, Schedule
from trm_scaling.config.compose import dump, load
from trm_scaling.config.identity import differing_fields, identity
from trm_scaling.cost import (
    count_parameters,
    count_puzzle_emb,
    inference_flops,
    peak_flops,
    training_flops,
)
from trm_scaling.errors import Damage, UserError
from trm_scaling.io.atomic import write_json, write_text
from trm_scaling.io.jsonl import read_jsonl
from trm_scaling.io.lease import stop_requested
from trm_scaling.io.mirror import share
from trm_scaling.io.provenance import Provenance, collect_provenance
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.secrets import masked_text
from trm_scaling.results.attempts import (
    FailureClass,
    begin_attempt,
    end_attempt,
    note_incident,
    read_attempts,
)
from trm_scaling.results.record import Evaluation, FailedAttempt, RunRecord
from trm_scaling.results.run_names import as_known
from trm_scaling.run.failure import failure_class
from trm_scaling.run.planned import Run
from trm_scaling.tracking.wandb_mirror import start_mirror

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
        share(self.folder.path)
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
            # The disk refuses failure.json too; the error itself is raised anyway.
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


@contextmanager
def damage_kept(keep: Callable[[str], None]) -> Iterator[None]:
    """For the block, `keep` the message of every `Damage` that is warned of."""
    show = warnings.showwarning

    def keep_and_show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, Damage):
            # A disk that takes no line of the record: the warning is shown, and training will meet it.
            with suppress(UserError, OSError):
                keep(str(message))
        show(message, category, filename, lineno, file, line)

    warnings.showwarning = keep_and_show
    try:
        yield
    finally:
        warnings.showwarning = show


def assemble(
    config: RunConfig, folder: RunFolder, provenance: Provenance, finished: "RunSummary"
) -> RunRecord:
    """The record of a run whose metrics lie in `folder`."""
    arch, vocab, cells = config.arch, finished.vocab_size, finished.seq_len
    puzzle_steps = finished.steps * config.global_batch_size
    spent = float(training_flops(config, Schedule.of(config, config.data.train_size), vocab, cells))
    seconds = {"compile": 0.0, "train": 0.0, "evaluate": 0.0, "checkpoint": 0.0, **finished.seconds}
    one_peak = peak_flops(finished.device_kind)
    peak = one_peak * finished.device_count if one_peak else None
    train_s = seconds["train"]
    trainings = 1 if finished.one_trajectory else finished.runs_together
    curve = [line for line in read_jsonl(folder.metrics).records if line.get("kind") == "eval"]
    attempts = read_attempts(folder.attempts)
    known = next((each.known for each in attempts if each.known), None) or {}
    return RunRecord(
        name=config.name,
        names=known.get("names"),
        family=known.get("family"),
        overrides=known.get("overrides"),
        identity=identity(config),
        profile=config.profile,
        seed=config.seed,
        config=config.model_dump(mode="json"),
        parameters=count_parameters(arch, vocab, cells),
        puzzle_emb_parameters=count_puzzle_emb(arch, finished.num_puzzle_ids),
        training_flops=spent,
        inference_flops=float(inference_flops(arch, vocab, cells, arch.halt_max_steps)),
        steps=finished.steps,
        puzzle_steps=puzzle_steps,
        examples_per_s=puzzle_steps / train_s if train_s else None,
        # What the device reached, and it works on all runs of the program at once, or on one for all.
        mfu=spent * trainings / train_s / peak if peak and train_s else None,
        peak_flops=peak,
        peak_memory_bytes=finished.peak_memory_bytes,
        peak_memory_of=finished.peak_memory_of,
        compile_s=seconds["compile"],
        train_s=train_s,
        other_load=finished.other_load,
        eval_s=seconds["evaluate"],
        checkpoint_s=seconds["checkpoint"],
        device_kind=finished.device_kind,
        device_count=finished.device_count,
        runs_together=finished.runs_together,
        one_trajectory=finished.one_trajectory,
        best_step=finished.best_step,
        evaluations=[Evaluation(**row) for row in finished.evaluations],
        learning_curve=curve,
        data_fingerprint=finished.data_fingerprint,
        test_fingerprint=finished.test_fingerprint,
        weights_sha256=finished.weights_sha256,
        trajectory_sha256=finished.trajectory_sha256,
        attempts=len(attempts),
        failures=[
            FailedAttempt(failure=each.failure, message=each.message or "", time=each.ended or each.began)
            for each in attempts
            if each.failure is not None
        ],
        incidents=[met for each in attempts for met in each.incidents],
        commit=provenance.commit,
        uncommitted_changes=provenance.dirty,
    )
