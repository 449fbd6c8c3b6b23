"""The first steps of a finished run, trained again and compared with its record and its environment."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trm_scaling.config import RunConfig
from trm_scaling.config.compose import load
from trm_scaling.config.identity import differing_fields
from trm_scaling.config.traced_fields import TRACED_FIELDS
from trm_scaling.errors import UserError
from trm_scaling.io.jsonl import read_jsonl
from trm_scaling.io.provenance import Provenance
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.results.record import RunRecord, read_record

if TYPE_CHECKING:
    from trm_scaling.tasks.dataset import Dataset
    from trm_scaling.tasks.folder import Progress

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
class Replay:
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
            f"{folder.path} holds imported weights, which were not trained here: there is no record. "
            f"`trm eval {folder.path}` tests them"
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


def replay(recorded: Recorded, data_root: Path, progress: "Progress") -> Replay:
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
    return Replay(lines, jax.devices()[0].device_kind, devices)


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


Verdict = Literal["equal", "close", "differs", "undecided"]

TIMES = ("time", "time/examples_per_s")
"""What no two runs share."""

ROUNDING = {"float32": 1e-5, "bfloat16": 2e-3, "float16": 5e-4}
"""Largest relative difference of a first step's metrics between correct programs, by forward precision.
Measured between programs that round otherwise (`system.remat`, `system.micro_batch_size`), with room."""

GROWTH = 10 ** (1 / 4)
"""How much larger it may be after each further step: float32 TRM is chaotic (docs/determinism.md)."""

MOST = 0.1
"""Above this nothing is close, however late the step."""

SCHEDULED = {f"train/{field.rpartition('.')[2]}" for field in TRACED_FIELDS}
"""Metrics named after a number that the program is given: functions of the step alone, which no training
has a part in."""

COUNTED_ROWS = 2
"""Rows of a batch that rounding alone may let solve or halt otherwise, in counts and rates."""


@dataclass(frozen=True)
class Difference:
    """One metric of one line that is not what was recorded."""

    step: int
    metric: str
    recorded: Any
    here: Any
    size: float
    """Relative to the larger of the two (of rates: absolute); infinite where one of them is missing."""
    allowed: float
    """The largest that counts as close."""

    def __str__(self) -> str:
        return f"{self.metric} at step {self.step}: recorded {self.recorded}, here {self.here}"


@dataclass(frozen=True)
class Comparison:
    """What came of comparing."""

    compared: int
    """Numbers that were compared."""
    differences: tuple[Difference, ...]
    strictest: float
    """What rounding alone makes of the earliest line, relative: 0.1 is as much as other experiments make."""

    @property
    def verdict(self) -> Verdict:
        """One word for all of it."""
        if not self.differences:
            return "equal"
        if any(each.size > each.allowed for each in self.differences):
            return "differs"
        return "close" if self.strictest < MOST else "undecided"

    @property
    def worst(self) -> Difference:
        """The difference that is largest beside what is allowed. There must be one."""
        return max(self.differences, key=lambda each: each.size / each.allowed)

    @property
    def first_far(self) -> Difference:
        """The earliest difference that is more than close. There must be one."""
        return next(each for each in self.differences if each.size > each.allowed)


def compare_lines(recorded: Lines, here: Lines, dtype: str, batch_size: int) -> Comparison:
    """Compare the lines of `recorded` with those of `here`, pairing them by kind and step.

    `dtype` is the forward precision and `batch_size` the rows of a step: they decide what is close.
    """
    there, now = _by_place(recorded), _by_place(here)
    compared, differences, strictest = 0, [], MOST
    for place in sorted(there.keys() | now.keys(), key=lambda place: (place[1], place[0])):
        one, other = there.get(place, {}), now.get(place, {})
        allowed = min(MOST, ROUNDING[dtype] * GROWTH ** place[1])
        strictest = min(strictest, allowed)
        for metric in sorted({*one, *other} - {"step", "kind", *TIMES}):
            before, after = one.get(metric), other.get(metric)
            compared += len(before) if isinstance(before, list) else 1
            if before != after:
                size = _size(metric, before, after)
                if metric in SCHEDULED:
                    most = ROUNDING["float32"]
                else:
                    most = allowed + COUNTED_ROWS / batch_size if _is_counted(metric) else allowed
                differences.append(Difference(place[1], metric, before, after, size, most))
    return Comparison(compared, tuple(differences), strictest)


def _by_place(lines: Lines) -> dict[tuple[str, int], dict[str, Any]]:
    return {(line["kind"], line["step"]): line for line in lines}


def _is_counted(metric: str) -> bool:
    """Made of yes and no for each row, rather than of a sum of many numbers."""
    return metric.endswith(("_rate", "_histogram", "_steps", "solved")) or metric.startswith("eval/")


def _size(metric: str, before: Any, after: Any) -> float:
    one, other = (value if isinstance(value, list) else [value] for value in (before, after))
    if len(one) != len(other) or not all(_is_number(value) for value in (*one, *other)):
        return float("inf")
    apart = sum(abs(a - b) for a, b in zip(one, other, strict=True))
    if metric.endswith("_rate"):
        return float(apart)
    return float(apart / max(_total(one), _total(other)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _total(values: Sequence[float]) -> float:
    return sum(abs(value) for value in values)


COMPUTING = ("jax", "jaxlib", "numpy", "optax", "libtpu")
"""Packages that what is computed goes through."""


def differing_environment(
    folder: RunFolder, recorded: Recorded, here: Replay, provenance: Provenance
) -> list[str]:
    """What the run's record says of its making that is not so here, in words; empty when all is the same.

    `provenance` describes this process. It is held against the first start of the run, which took the first
    steps.
    """
    record = recorded.record
    found = [
        _changed("device", record.device_kind, here.device_kind),
        _changed("devices that share the batch", record.device_count, here.device_count),
        *_of_first_start(_first_start(folder), asdict(provenance)),
    ]
    return [each for each in found if each is not None]


def _of_first_start(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str | None]:
    if before is None:
        return ["nothing is recorded of versions and code (provenance.json is missing or damaged)"]
    packages = before.get("packages")
    versions = packages if isinstance(packages, dict) else {}
    return [
        *(_changed(name, versions.get(name), now["packages"].get(name)) for name in COMPUTING),
        _changed("Python", before.get("python"), now["python"]),
        _changed("system", before.get("os"), now["os"]),
        _changed("code", _code(before), _code(now)),
        _changed("JAX and XLA settings", _settings(before), _settings(now)),
    ]


def _changed(what: str, before: object, now: object) -> str | None:
    return None if before == now else f"{what}: {_said(before)} then, {_said(now)} now"


def _said(value: object) -> str:
    return "unknown" if value is None else str(value)


def _code(provenance: Mapping[str, Any]) -> str | None:
    commit = provenance.get("commit")
    if not isinstance(commit, str):
        return None
    return f"commit {commit[:12]}" + (" with uncommitted changes" if provenance.get("dirty") else "")


def _settings(provenance: Mapping[str, Any]) -> str | None:
    """The variables that may change what is compiled, on one line."""
    environment = provenance.get("environment")
    if not isinstance(environment, dict):
        return None
    kept = (
        f"{name}={value}" for name, value in environment.items() if name in ("XLA_FLAGS", "JAX_ENABLE_X64")
    )
    return " ".join(kept) or "none"


def _first_start(folder: RunFolder) -> Mapping[str, Any] | None:
    try:
        entries = json.loads(folder.provenance.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    first = entries[0] if isinstance(entries, list) and entries else None
    return first if isinstance(first, dict) else None
