"""What a fit returns: typed, frozen, and enough to check it by."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from trm_scaling.analysis.interval import Interval

Identification = Literal["identified", "weakly identified", "not identified"]


@dataclass(frozen=True)
class Parameter:
    """One number of a law, in the units of the data."""

    name: str
    value: float
    interval: Interval | None
    """At 95 %; None where nothing could be said."""


@dataclass(frozen=True)
class Prediction:
    """The law at one place."""

    at: Mapping[str, float]
    """The inputs by name: x, or params, data, recursions."""
    value: float
    law: Interval | None
    """Of the law itself, the mean over seeds."""
    run: Interval | None
    """Of one more run, its noise included."""


@dataclass(frozen=True)
class Extrapolation:
    """The law, fitted without the largest configurations, asked for them."""

    held_out: int
    """Configurations: the largest, or the largest tenth when there are twenty or more."""
    error: float
    """Mean of predicted less observed: of accuracies, or of logarithms of losses (so a share of the loss)."""
    absolute_error: float
    """Mean size of the error."""


@dataclass(frozen=True)
class Rival:
    """Another law on the same runs."""

    law: str
    formula: str
    parameter_count: int
    aicc: float | None
    """None when the runs are too few for its parameters."""
    delta_aicc: float | None
    """Its AICc less that of the law in question: below 2, the data prefer neither."""
    extrapolation: Extrapolation | None
    predictions: tuple[float, ...]
    """Where the law in question was asked too: their spread is what the choice of form is worth."""


@dataclass(frozen=True)
class Verdict:
    """Whether the data say what the parameters are."""

    word: Identification
    reason: str
    """One sentence."""


@dataclass(frozen=True)
class Fit:
    """A law fitted to runs."""

    law: str
    formula: str
    likelihood: str
    parameters: tuple[Parameter, ...]
    objective: float
    """What was minimised, at its least."""
    runs: int
    configurations: int
    replicates: str
    """What counted as one observation, and why."""
    starts: int
    agreeing: int
    """Starts that ended at the least objective."""
    condition: float
    """Condition number of the Jacobian."""
    aicc: float | None
    rivals: tuple[Rival, ...]
    extrapolation: Extrapolation | None
    predictions: tuple[Prediction, ...]
    verdict: Verdict

    def parameter(self, name: str) -> Parameter:
        """The parameter called `name`. Raises KeyError when the law has none."""
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise KeyError(f"{self.law} has no parameter {name!r}, only {[p.name for p in self.parameters]}")

    @property
    def values(self) -> dict[str, float]:
        """The parameters' values by name."""
        return {parameter.name: parameter.value for parameter in self.parameters}


def judge(against: Iterable[str | None], doubts: Iterable[str | None], favour: str) -> Verdict:
    """The first reason that holds: against the law, else a doubt about it, else what speaks for it."""
    if reason := next(filter(None, against), None):
        return Verdict("not identified", reason)
    if reason := next(filter(None, doubts), None):
        return Verdict("weakly identified", reason)
    return Verdict("identified", favour)
