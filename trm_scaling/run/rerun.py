"""The beginning of a finished run, trained again in a temporary place: what its metrics come to here."""

import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_scaling.config import RunConfig
from trm_scaling.config.compose import load
from trm_scaling.config.identity import differing_fields
from trm_scaling.errors import UserError
from trm_scaling.io.jsonl import read_jsonl
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.results.record import RunRecord, read_record

if TYPE_CHECKING:
    from trm_scaling.tasks.dataset import Dataset
    from trm_scaling.tasks.progress import Progress

Lines = list[dict[str, Any]]
"""Records of `metrics.jsonl`, in order."""

NEVER = 1e9
"""Seconds between checkpoints that nobody will read."""


@dataclass(frozen=True)
class Recorded:
    """The beginning of a finished run as its folder tells it."""

    config: RunConfig
    """As it was executed, steps a call included."""
    record: RunRecord
    lines: Lines
    """Up to the end of the device call in which step `until` was taken."""
    until: int
    """Training steps that the lines cover."""


@dataclass(frozen=True)
class Rerun:
    """The same steps, taken here."""

    lines: Lines
    device_kind: str
    device_count: int


class _SeenEnough(Exception):
    """Ends a training whose lines are all there."""


class _Watcher:
    """A reporter that ends the training after step `until`."""

    def __init__(self, until: int) -> None:
        self._until = until

    def started(self, step: int, total: int) -> None: ...
    def evaluated(self, step: int, summary: dict[str, Any]) -> None: ...
    def note(self, text: str) -> None: ...

    def progressed(self, step: int, metrics: dict[str, float], examples_per_s: float | None) -> None:
        if step >= self._until:
            raise _SeenEnough


def recorded_beginning(folder: RunFolder, steps: int) -> Recorded:
    """The first `steps` steps of the finished run in `folder`, to the end of a device call.

    Raises UserError when the run is not finished, when its files contradict one another, or when it has no
    record of its steps (imported weights have none).
    """
    if folder.imported.is_file():
        raise UserError(
            f"{folder.path} holds imported weights, which were not trained here: there is no record to "
            f"verify. `trm eval {folder.path}` tests them"
        )
    if not folder.finished:
        raise UserError(
            f"{folder.path} is not finished, and only a finished run has a record to verify: "
            "the command that trains it goes on with it"
        )
    record, config = read_record(folder.result), load(folder.config)
    if differing := differing_fields(config, RunConfig.model_validate(record.config)):
        raise UserError(
            f"{folder.config} is not the configuration of {folder.result.name} beside it: they differ in "
            f"{', '.join(differing)}. One of them was changed after the run; restore it from a copy"
        )
    lines = _measured(folder)
    ends = [line["step"] for line in lines if line["kind"] == "train"]
    if not ends:
        raise UserError(f"{folder.metrics} holds no training step, so there is nothing to compare with")
    until = next((end for end in ends if end >= steps), ends[-1])
    # A line stands for the steps of a call, and the first call is cut short by an evaluation at the most;
    # a run that was resumed with other calls says so only by where its lines end.
    config = _with_system(config, steps_per_call=_steps_per_call(config, ends))
    return Recorded(config, record, [line for line in lines if _is_before(line, until)], until)


def rerun(recorded: Recorded, data_root: Path, progress: "Progress") -> Rerun:
    """Train the same steps again on the devices that are here, and forget all but the metrics.

    As many devices share the batch as did in the run, or else as many of those here as divide it.

    Raises UserError when the data is not that of the run, or cannot be had.
    """
    import jax

    from trm_scaling.tasks.build import ensure_dataset
    from trm_scaling.train.interrupt import StopRequest
    from trm_scaling.train.loop import train

    dataset = ensure_dataset(recorded.config.data, data_root, progress)
    _refuse_other_data(dataset, recorded.record)
    devices = _devices(recorded, len(jax.devices()))
    shards = recorded.config.system.parameter_shards
    config = _with_system(
        recorded.config,
        devices=devices,
        parameter_shards=shards if devices % shards == 0 else 1,
        checkpoint_seconds=NEVER,
    )
    with tempfile.TemporaryDirectory(prefix="trm-verify-") as place:
        folder = RunFolder(Path(place))
        with suppress(_SeenEnough):
            train(config, dataset, folder, {}, _Watcher(recorded.until), StopRequest())
        lines = [line for line in _measured(folder) if _is_before(line, recorded.until)]
    return Rerun(lines, jax.devices()[0].device_kind, devices)


def _measured(folder: RunFolder) -> Lines:
    """The lines that hold numbers of a step; whatever else the record says is of no run but its own."""
    return [
        line
        for line in read_jsonl(folder.metrics).records
        if line.get("kind") in ("train", "eval") and isinstance(line.get("step"), int)
    ]


def _is_before(line: dict[str, Any], until: int) -> bool:
    """Of the steps that are compared; the evaluation after the last of them is not taken again."""
    step: int = line["step"]
    return step <= until if line["kind"] == "train" else step < until


def _steps_per_call(config: RunConfig, ends: list[int]) -> int:
    """As the configuration says, if the first line ends where such a call would; else as the line says."""
    from trm_scaling.config import Schedule

    expected = Schedule.of(config, config.data.train_size).next_stop(0, config.system.steps_per_call)
    return config.system.steps_per_call if ends[0] == expected else ends[0]


def _with_system(config: RunConfig, **changes: Any) -> RunConfig:
    return config.model_copy(update={"system": config.system.model_copy(update=changes)})


def _devices(recorded: Recorded, here: int) -> int:
    most = min(recorded.record.device_count, here)
    return next(count for count in range(most, 0, -1) if recorded.config.global_batch_size % count == 0)


def _refuse_other_data(dataset: "Dataset", record: RunRecord) -> None:
    if dataset.fingerprint != record.data_fingerprint:
        raise UserError(
            f"{dataset.path} has fingerprint {dataset.fingerprint[:12]}, and the run was trained on one with "
            f"{record.data_fingerprint[:12]}: put that dataset back to verify the run"
        )
