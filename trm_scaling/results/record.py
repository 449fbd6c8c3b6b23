"""`result.json`: what a finished run was and what came of it, typed and versioned."""

from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from trm_scaling.errors import UserError
from trm_scaling.results.attempts import FailureClass, Incident
from trm_scaling.results.evaluations import ScoredWeights, headline, scored_weights

VERSION: Literal[3] = 3
"""Version 1 says nothing of names, family and overrides. Versions 1 and 2 have `test` and `averages` where
version 3 has `evaluations`."""

READABLE = (1, 2, 3)

Read = TypeVar("Read")


class FrozenModel(BaseModel):
    """A typed part of a JSON file: unknown fields are refused, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Evaluation(FrozenModel):
    """One row of the test split's table: a set of weights, a decoder, a number of supervision steps."""

    at: Literal["best", "last"]
    """The checkpoint: best on validation, or the last step."""
    ema_rate: float | None
    """Of the moving average, as the configuration says it; None: the current weights."""
    step: int
    """Training steps that made the weights."""
    decoder: str
    """Which of the answers counts (`trm_scaling.evaluation.decode`)."""
    steps: int
    """Supervision steps that it could take."""
    samples: int = 1
    """Answers that it could take, each of so many steps."""
    noise: float = 0.0
    """Standard deviation of what the samples after the first have added to their states."""
    band: str | None = None
    """Of difficulty; None: all puzzles."""
    split: Literal["test", "train"] = Field("test", validation_alias=AliasChoices("split", "asked"))
    """Which puzzles; `train`: some that were trained on, as a check of memorisation. Older records call it
    `asked`."""
    attempts: int | None = None
    """Answers to each puzzle, of which one has to be right: the K of pass@K. None: one, of the decoder."""
    tasks: int | None = None
    """Where several puzzles make a task: how many tasks."""
    task_rate: float | None = None
    """Mean over those tasks of the share of their puzzles that were solved: ARC's pass@K."""
    solved: int
    puzzles: int
    exact_rate: float
    interval_95: list[float]
    """Wilson's, of `exact_rate`."""
    verified: int | None = None
    """Right by the rules, whatever the label says; None where a task's labels are the only right answers."""
    verified_rate: float | None = None
    verified_interval_95: list[float] | None = None
    cells_right: int | None = None
    cells: int | None = None
    cell_rate: float | None = None
    loss: float | None = None
    """Mean cross-entropy over the labelled cells, in nats."""
    mean_steps: float | None = None
    """Supervision steps spent, where the decoder decides on them."""
    steps_histogram: list[int] | None = None
    """Puzzles answered after 1, 2, ... steps."""


class TestScores(FrozenModel):
    """In versions 1 and 2: one set of weights on the test split."""

    __test__ = False  # not a test class, whatever its name makes pytest think

    at: Literal["best", "last"]
    averaged: bool
    step: int
    summary: dict[str, Any]


class AverageScores(FrozenModel):
    """In versions 1 and 2: a further average of the run (`ema_rates`) on the test split."""

    ema_rate: float
    at: Literal["best", "last"]
    step: int
    summary: dict[str, Any]


class FailedAttempt(FrozenModel):
    """An attempt that ended early, on the way to a finished run."""

    failure: FailureClass
    """What kind of thing ended it."""
    message: str
    """In whose words it ended."""
    time: str
    """When; UTC, ISO 8601."""


class RunRecord(FrozenModel):
    """Written once, atomically, last. Its presence means that the run is finished."""

    version: Literal[1, 2, 3] = VERSION
    """Of this schema, when the record was written."""
    status: Literal["finished"] = "finished"
    """A run that failed or was stopped has no record, but `failure.json` or a checkpoint."""
    name: str
    """The catalogue name it lies under; others may share it (`trm batch --list` shows them)."""
    names: list[str] | None = None
    """All names of its configuration when it began, `name` first; None in version 1."""
    family: str | None = None
    """The family of `name`, or `name` itself where there is none; None in version 1."""
    overrides: dict[str, Any] | None = None
    """Fields of science in which it differed from `name` as it was written; None in version 1."""
    identity: str
    """Hash of the fields that are science, seed aside."""
    profile: str
    """The budget it was mapped to."""
    seed: int
    """Seed of initialisation, sampling and exploration."""
    config: dict[str, Any]
    """Every configuration value."""
    parameters: int
    """Trained numbers without puzzle embeddings."""
    puzzle_emb_parameters: int
    """Numbers in the puzzle-embedding table."""
    training_flops: float
    """Analytic matrix-product FLOPs of the whole training."""
    inference_flops: float
    """Analytic FLOPs to answer one puzzle with `halt_max_steps` supervision steps."""
    steps: int
    """Training steps."""
    puzzle_steps: int
    """Training steps x global batch."""
    examples_per_s: float | None
    """Samples a second over all training time after compilation; None when a run was too short."""
    mfu: float | None
    """Share of the device's nominal peak that training reached, all runs together; None where no peak is
    published (CPU)."""
    peak_flops: float | None
    """The nominal peak used, FLOP/s over all devices."""
    peak_memory_bytes: int
    """Most memory in use, of what `peak_memory_of` says."""
    peak_memory_of: Literal["device", "process"]
    """A device's own count, or the process's resident set where the device keeps none (CPU)."""
    compile_s: float
    """Seconds compiling the training call, resumes included."""
    train_s: float
    """Seconds in training calls."""
    other_load: float | None = None
    """Share of the machine's cores that other processes kept busy while it trained; None where the system
    does not say, and in records older than this. Where it is not small, times say little."""
    eval_s: float
    """Seconds in evaluations."""
    checkpoint_s: float
    """Seconds the loop waited for checkpoints."""
    device_kind: str
    """JAX's word for the device."""
    device_count: int
    """Devices used."""
    runs_together: int
    """Runs that the last attempt trained as one program, this one included: they shared its seconds."""
    one_trajectory: bool = False
    """Whether those runs differed in the average alone and were trained once."""
    best_step: int
    """Step of the checkpoint that did best on validation."""
    evaluations: list[Evaluation] = []
    """The test split: the headline's rows first. Empty in versions 1 and 2."""
    test: list[TestScores] | None = None
    """In versions 1 and 2: best and last, with the moving average (if there is one) and without."""
    averages: list[AverageScores] | None = None
    """In versions 1 and 2: the further averages, at best and at last."""
    learning_curve: list[dict[str, Any]]
    """The evaluation records of `metrics.jsonl`, in order."""
    data_fingerprint: str
    """Of the dataset's content."""
    test_fingerprint: str | None = None
    """Of the test puzzles alone; None in records older than this."""
    weights_sha256: str
    """Of every parameter, average and buffer after the last step."""
    trajectory_sha256: str | None = None
    """The same without the averages, which training does not read: runs that have it alike are one
    trajectory. None in records older than this."""
    attempts: int
    """Starts that it took, this one included; each resumes from the newest checkpoint."""
    failures: list[FailedAttempt]
    """Of the attempts before the last one, those that were not stopped by request."""
    incidents: list[Incident] = []
    """Damaged checkpoints that were set aside, a dataset that was built again."""
    commit: str | None
    """Source commit; None outside a checkout."""
    uncommitted_changes: bool | None
    """Whether the source differed from the commit; the diff lies in the run folder."""

    @model_validator(mode="after")
    def _as_its_version_has_it(self) -> Self:
        if (self.version == VERSION) == (self.test is not None):
            raise ValueError("versions 1 and 2 have `test`, version 3 has `evaluations`")
        return self

    def as_written(self) -> dict[str, Any]:
        """What `result.json` holds: nothing that only older versions have."""
        return self.model_dump(mode="json", exclude={"test", "averages"} if self.test is None else None)

    def tested(self) -> list[ScoredWeights]:
        """Every set of weights that was tested; the headline first."""
        return scored_weights(self.model_dump())

    def headline(self) -> ScoredWeights:
        """What a table quotes: the best checkpoint, with the moving average where there is one."""
        return headline(self.model_dump())


_RECORD = TypeAdapter(RunRecord)


def read_record(path: Path) -> RunRecord:
    """The record at `path`. Raises UserError when it is unreadable or of another version."""
    wrong = f"is not a run record of version {VERSION}"
    return read_typed(path, _RECORD, wrong, "run the same command again to write it anew")


def read_typed(path: Path, kind: TypeAdapter[Read], wrong: str, remedy: str) -> Read:
    """The JSON file at `path` as `kind`. Raises UserError when it is unreadable or something else: then it
    says that the file is `wrong`, in which field, and what to do after moving it away (`remedy`).
    """
    try:
        return kind.validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UserError(f"{path} {wrong}: {field}: {first['msg']}; move it away and {remedy}") from None
