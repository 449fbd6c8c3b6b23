"""A whole run: dataset, training, the test split. The caller records what was measured."""

import io
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from trm_scaling.config import RunConfig
from trm_scaling.config.traced_fields import are_one_trajectory
from trm_scaling.errors import UserError
from trm_scaling.evaluation.score import Evaluator, Outcomes
from trm_scaling.io.atomic import write_bytes
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.parallel.hosts import SINGLE_PROCESS, Hosts
from trm_scaling.tasks.build import ensure_dataset
from trm_scaling.tasks.dataset import Dataset
from trm_scaling.tasks.folder import Progress
from trm_scaling.train.clock import measure_all
from trm_scaling.train.interrupt import stop_on_signals
from trm_scaling.train.loop import Trained, train_together
from trm_scaling.train.run_context import RunReporter, TrainJob
from trm_scaling.train.state import state_digest, trajectory_digest
from trm_scaling.train.test_eval import outcome_arrays, score_test_split


@dataclass(frozen=True)
class RunSummary:
    """What was measured of a run that went to its end."""

    steps: int
    best_step: int
    evaluations: list[dict[str, Any]]
    """Of the test split: a row for each set of weights, decoder and number of supervision steps; the headline
    first."""
    seconds: dict[str, float]
    """By purpose: compile, train, evaluate, checkpoint."""
    other_load: float | None
    """Share of the machine's cores that other processes kept busy while it trained."""
    vocab_size: int
    seq_len: int
    num_puzzle_ids: int
    data_fingerprint: str
    test_fingerprint: str
    weights_sha256: str
    trajectory_sha256: str
    device_kind: str
    device_count: int
    runs_together: int
    """Runs that were trained as one program, this one included: the seconds are those of all of them."""
    one_trajectory: bool
    """Whether those runs were trained once, each keeping an average of its own."""
    peak_memory_bytes: int
    peak_memory_of: Literal["device", "process"]


def device_kinds() -> list[str]:
    """JAX's words for the devices of this process."""
    return [device.device_kind for device in jax.devices()]


def train_and_test(
    config: RunConfig,
    folder: RunFolder,
    data_root: Path,
    source: dict[str, Any],
    reporter: RunReporter,
    hosts: Hosts = SINGLE_PROCESS,
) -> RunSummary:
    """Train `config` in `folder` from where it stands, test it, and write what the test leaves behind.

    `source` (commit, uncommitted changes) goes into every checkpoint, with the configuration. Of several
    processes each measures, and the first one writes. Raises as `train_and_test_together`.
    """
    run = TrainJob(config, folder, source, reporter)
    finished = train_and_test_together([run], data_root, reporter.working, hosts)[0]
    assert finished is not None, "the failure of the last run is raised"
    return finished


def train_and_test_together(
    runs: Sequence[TrainJob], data_root: Path, working: Progress, hosts: Hosts = SINGLE_PROCESS
) -> list[RunSummary | None]:
    """The same for `runs` that are trained as one program; None for one that failed while others went on.

    Raises what `ensure_dataset` and `train_together` raise, and UserError for a dataset of another size
    than the configuration says, or another than the first process has.
    """
    config = runs[0].config
    dataset = _shared_dataset(config, data_root, working, hosts)
    _check_record(dataset, config)
    told = [replace(run, about=_about(run, dataset)) for run in runs]
    with stop_on_signals() as stop:
        trained = train_together(told, dataset, stop, hosts)

    def testing(phase: str, done: int, total: int) -> None:
        hosts.progress.made()
        working(phase, done, total)

    left = [(run, each) for run, each in zip(runs, trained, strict=True) if each is not None]
    evaluator = Evaluator(config, mesh=left[0][1].mesh)
    tested: list[tuple[Trained, list[dict[str, Any]]]] = []
    hosts.progress.starts()
    for run, each in left:
        run.reporter.note(f"testing on {len(dataset.test):,} puzzles")
        with measure_all([other.clock for _, other in left], "evaluate"):
            rows, outcomes, files = score_test_split(
                evaluator, dataset, run.config, each, testing, run.folder.path, hosts.is_first
            )
        tested.append((each, rows))
        hosts.progress.starts()
        if hosts.is_first:
            _write_outcomes(run.folder, outcomes, dataset)
            for name, content in files.items():
                write_bytes(run.folder.path / name, content)
    # Their clocks are read last, since runs that train together share the time of all tests.
    shared = are_one_trajectory([run.config for run in runs])
    finished = iter([_finished(*each, dataset, len(runs), shared) for each in tested])
    return [None if each is None else next(finished) for each in trained]


def _about(run: TrainJob, dataset: Dataset) -> dict[str, Any]:
    config = run.config.model_dump(mode="json")
    return {"config": config, "data_fingerprint": dataset.fingerprint, **run.about}


def _write_outcomes(folder: RunFolder, outcomes: Outcomes, dataset: Dataset) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **outcome_arrays(outcomes, dataset))  # type: ignore[arg-type]
    write_bytes(folder.test_outcomes, buffer.getvalue())


def _finished(
    trained: Trained,
    evaluations: list[dict[str, Any]],
    dataset: Dataset,
    runs_together: int,
    one_trajectory: bool,
) -> RunSummary:
    own = trained.mesh.local_devices
    peaks = [(device.memory_stats() or {}).get("peak_bytes_in_use") for device in own]
    on_device = max((peak for peak in peaks if peak), default=None)
    # ru_maxrss is in kilobytes on Linux, in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return RunSummary(
        steps=trained.schedule.total_steps,
        best_step=trained.best_step,
        evaluations=evaluations,
        seconds=trained.clock.spent(),
        other_load=trained.clock.other_load(),
        vocab_size=dataset.vocab_size,
        seq_len=dataset.seq_len,
        num_puzzle_ids=dataset.num_puzzle_ids,
        data_fingerprint=dataset.fingerprint,
        test_fingerprint=dataset.test_fingerprint,
        weights_sha256=state_digest(trained.state),
        trajectory_sha256=trajectory_digest(trained.state),
        device_kind=own[0].device_kind,
        device_count=trained.mesh.size,
        runs_together=runs_together,
        one_trajectory=one_trajectory,
        peak_memory_bytes=on_device or resident,
        peak_memory_of="device" if on_device else "process",
    )


def _shared_dataset(config: RunConfig, data_root: Path, working: Progress, hosts: Hosts) -> Dataset:
    """The dataset on every process. The first builds it; the others find it built, or build their own."""
    if hosts.is_first:
        dataset = ensure_dataset(config.data, data_root, working)
    fingerprint = hosts.broadcast("dataset", dataset.fingerprint if hosts.is_first else None)
    if not hosts.is_first:
        dataset = ensure_dataset(config.data, data_root, working)
        if dataset.fingerprint != fingerprint:
            raise UserError(
                f"{dataset.path} has fingerprint {dataset.fingerprint[:12]}, and process 0 has a dataset "
                f"with {fingerprint[:12]}: give all hosts the same one"
            )
    return dataset


def _check_record(dataset: Dataset, config: RunConfig) -> None:
    """Size and augmentations are science and stand in the record: a named folder must be what they say."""
    found = {"train_size": dataset.num_puzzles, "num_aug": dataset.num_aug}
    told = {name: getattr(config.data, name) for name in found}
    if config.data.path is not None and found != told:
        right = " ".join(f"data.{name}={value}" for name, value in found.items())
        raise UserError(
            f"{dataset.path} has {found['train_size']} training puzzles, each with {found['num_aug']} "
            f"augmentations, but data.train_size={told['train_size']} and data.num_aug={told['num_aug']}: "
            f"say {right}"
        )
