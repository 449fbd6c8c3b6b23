"""The protocol of a preregistered law: what is run, fitted and predicted, and when it has succeeded."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from trm_scaling.analysis import LossLaw, OnsetLaw
from trm_scaling.config.fields import Frozen
from trm_scaling.config.study_yaml import read_yaml
from trm_scaling.errors import UserError

FILE = "protocol.yaml"
FormName = Literal["power", "power_floor", "onset", "onset_of_power", "compute"]
Outcome = Literal["val_cell_error", "val_cell_error_unaveraged"]
Size = Literal["params", "params_without_mixing", "params_of_blocks"]


def law_of(form: FormName) -> LossLaw | OnsetLaw:
    """The law that a protocol calls `form`: L against N parameters and D samples."""
    match form:
        case "power":
            return LossLaw(data=True, floor=False)
        case "power_floor":
            return LossLaw(data=True)
        case "onset":
            return OnsetLaw()
        case "onset_of_power":
            return OnsetLaw(slope=True)
        case "compute":
            return LossLaw(compute=True, floor=False)


class Block(Frozen):
    """Experiments that are run with equally many seeds."""

    experiments: tuple[str, ...] = Field(min_length=1)
    """Names in the study's catalogue."""

    seeds: int = Field(1, ge=1)
    """Seeds 0 to this, less one."""

    beyond: float = Field(0.0, ge=0)
    """Only evaluations after more samples than this are fitted or predicted; 0: all of them."""


class Success(Frozen):
    """What must hold for the held-out points, named before they exist."""

    median_ln_error: float = Field(0.15, gt=0)
    """Largest median of |ln(predicted / observed)|."""

    coverage: tuple[float, float] = (0.8, 1.0)
    """Share of the points that lie in the interval of one run at 95 %: from, to."""

    exponent_factor: float = Field(2.0, gt=1)
    """Largest ratio between the ends of an exponent's 95 % interval."""


class RecursionStages(Frozen):
    """A second question: what outer and inner cycles are worth, predicted for a wider network."""

    fitted: str
    """The stage that varies cycles; the runs of the law's own fitted stage of the same sizes join it."""

    held_out: str
    """The stage that begins once the predictions from it are committed."""


class Change(Frozen):
    """An experiment that differs from one of the fitted stage in one thing."""

    experiment: str
    of: str
    what: str
    """The thing, for the report."""


class Protocol(Frozen):
    """`protocol.yaml` of a folder such as `kellen/law`."""

    title: str
    """Of the report."""

    profile: str
    """Of every run."""

    stages: dict[str, tuple[Block, ...]]
    """What is run, in this order."""

    fitted: str
    """The stage that is fitted: every evaluation is a point, and the points of a run are one cluster."""

    held_out: str
    """The stage that is predicted, and begins after the predictions are committed."""

    outcome: Outcome = "val_cell_error"
    """L: the share of wrong cells of the validation puzzles, by averaged or current weights."""

    size: Size = "params"
    """N."""

    primary: FormName = "power"
    """The form that the verdict is about."""

    rivals: tuple[FormName, ...] = ("power_floor", "onset", "compute")
    """Forms that are predicted with beside it."""

    success: Success = Success()

    recursion: RecursionStages | None = None

    changes: tuple[Change, ...] = ()
    """What is compared, and predicted by nothing."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        more = (self.recursion.fitted, self.recursion.held_out) if self.recursion else ()
        for name in (self.fitted, self.held_out, *more):
            if name not in self.stages:
                raise ValueError(f"no stage is called {name!r}; there are {', '.join(self.stages)}")
        for change in self.changes:
            if self.stage_of(change.experiment) is None or self.stage_of(change.of) != self.fitted:
                raise ValueError(
                    f"changes: {change.experiment} must be run by a stage, and {change.of} by {self.fitted}"
                )
        both = set(self.experiments(self.fitted)) & set(self.experiments(self.held_out))
        if both:
            raise ValueError(f"{', '.join(sorted(both))} cannot be both fitted and held out")
        return self

    @property
    def forms(self) -> tuple[FormName, ...]:
        """The primary one first."""
        return (self.primary, *(form for form in self.rivals if form != self.primary))

    def experiments(self, stage: str) -> tuple[str, ...]:
        """Names of a stage, in order. Raises UserError for a stage that there is not."""
        return tuple(name for block in self.blocks(stage) for name in block.experiments)

    def blocks(self, stage: str) -> tuple[Block, ...]:
        """The parts of a stage. Raises UserError for a stage that there is not."""
        if stage not in self.stages:
            raise UserError(f"the protocol has no stage {stage!r}; it has {', '.join(self.stages)}")
        return self.stages[stage]

    def stage_of(self, experiment: str) -> str | None:
        """The first stage that runs `experiment`."""
        return next((stage for stage in self.stages if experiment in self.experiments(stage)), None)


def read_protocol(folder: Path) -> Protocol:
    """Read `folder`/protocol.yaml. Raises UserError if the file is missing or its protocol is impossible."""
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"{folder} holds no {FILE}: name the folder of a preregistered law, as kellen/law")
    try:
        return Protocol(**read_yaml(path))
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'protocol'}: {e['msg']}" for e in error.errors())
        raise UserError(f"{path}: {said}") from None
