"""From what a finished run measured to its record: rates, FLOPs and shares of peaks."""

from typing import TYPE_CHECKING

from trm_scaling.config import RunConfig, Schedule
from trm_scaling.config.identity import identity
from trm_scaling.counting import (
    count_parameters,
    count_puzzle_emb,
    inference_flops,
    peak_flops,
    training_flops,
)
from trm_scaling.io.jsonl import read_jsonl
from trm_scaling.io.provenance import Provenance
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.results.attempts import read_attempts
from trm_scaling.results.record import Evaluation, FailedAttempt, MetDamage, RunRecord

if TYPE_CHECKING:
    from trm_scaling.train.train_and_evaluate import RunSummary


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
        incidents=[
            MetDamage(message=met.message, time=met.time) for each in attempts for met in each.incidents
        ],
        commit=provenance.commit,
        uncommitted_changes=provenance.dirty,
    )
