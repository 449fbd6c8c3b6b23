"""One experiment, from its name to `result.json`."""

import os
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trm_scaling.config import RunConfig
from trm_scaling.config.compose import compose, dump, load
from trm_scaling.config.identity import identity, science
from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_json, write_text
from trm_scaling.io.provenance import collect_provenance
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.results.record import RunRecord, read_record
from trm_scaling.run.record import assemble

if TYPE_CHECKING:
    from trm_scaling.train.whole import RunReporter


@dataclass(frozen=True)
class Run:
    """A composed experiment and the study it belongs to."""

    study: Study
    config: RunConfig

    @property
    def folder(self) -> RunFolder:
        """`checkpoints/<profile>/<name>/<identity8>-s<seed>/`."""
        config = self.config
        return self.study.run_folder(config.profile, config.name, identity(config), config.seed)


def plan_run(study: Study, name: str, profile: str, overrides: Sequence[str] = ()) -> Run:
    """Compose experiment `name`. Raises UserError as `compose` does."""
    return Run(study, compose(study.configs, name, profile, overrides))


def default_profile() -> str:
    """`$TRM_PROFILE`, else `paper` where there is an accelerator and `laptop` where there is none."""
    if named := os.environ.get("TRM_PROFILE"):
        return named
    import jax

    return "laptop" if jax.default_backend() == "cpu" else "paper"


def execute(run: Run, reporter: "RunReporter") -> RunRecord:
    """Train and test `run`, from where it stands; a finished one is only read.

    Raises UserError (the run is in use, its folder holds another configuration, its dataset cannot
    be had, its loss diverged, the disk is full); what ended the run is written to `failure.json`.
    """
    folder = run.folder
    if not folder.finished:
        with folder.lock():
            # Whoever held the lock until now may have finished it.
            if not folder.finished:
                return _train(run, folder, reporter)
    _refuse_another(folder, run.config)
    reporter.note(f"{folder.path} is finished already; nothing to train")
    return read_record(folder.result)


def _train(run: Run, folder: RunFolder, reporter: "RunReporter") -> RunRecord:
    _claim(folder, run.config)
    try:
        return _to_the_end(run, folder, reporter)
    except BaseException as error:
        # A process boundary: whatever ended the run belongs into its record, then goes on up.
        _record_failure(folder, error)
        raise


def _to_the_end(run: Run, folder: RunFolder, reporter: "RunReporter") -> RunRecord:
    from trm_scaling.train.whole import device_kinds, train_and_test

    provenance = collect_provenance(device_kinds())
    folder.record_provenance(provenance)
    source = {
        "commit": provenance.commit,
        "uncommitted_changes": provenance.dirty,
        "uncommitted_diff": provenance.diff,
    }
    finished = train_and_test(run.config, folder, run.study.data_root, source, reporter)
    record = assemble(run.config, folder, provenance, finished)
    # The commit point: from here on the run is finished.
    write_json(folder.result, record.model_dump(mode="json"))
    folder.failure.unlink(missing_ok=True)
    return record


def _claim(folder: RunFolder, config: RunConfig) -> None:
    """Write the configuration before anything else."""
    _refuse_another(folder, config)
    write_text(folder.config, dump(config))


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


def _record_failure(folder: RunFolder, error: BaseException) -> None:
    text = "".join(traceback.format_exception(error))
    try:
        write_json(folder.failure, {"error": type(error).__name__, "message": str(error), "traceback": text})
    except (UserError, OSError):
        # The disk that failed the run fails its epitaph too; the error itself still goes up.
        return


def find_run(study: Study, name: str, profile: str) -> RunFolder:
    """The run of experiment `name` under `profile`: the one without overrides, else the newest.

    Runs without a checkpoint count only where there is no other: an attempt that failed at once
    must not hide the run before it.

    Raises UserError when there is none, with the command that makes one.
    """
    folders = study.run_folders(profile, name)
    if name in study.experiments:
        # The experiment as it is written, rather than the newest variant of it, if it was run.
        written = plan_run(study, name, profile).folder
        if written.has_checkpoint:
            return written
    if not folders:
        raise UserError(
            f"no run of {name!r} under profile {profile} in {study.checkpoints}: train it with "
            f"`trm run {name} --profile {profile}`, or name a run folder"
        )
    return next((folder for folder in reversed(folders) if folder.has_checkpoint), folders[-1])
