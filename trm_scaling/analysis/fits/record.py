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
    """Of one more run, its noise and the spread between forms included."""
    forms: Interval | None = None
    """What this law and every form that the runs do not speak against say together."""
    disagree: bool = False
    """Whether those forms say more than this law's own interval: then the form decides, not the runs."""


@dataclass(frozen=True)
class Choice:
    """The same law with another choice of the analyst."""

    label: str
    """What is different: `x = params_own`, `y = test_accuracy_unaveraged`."""
    exponent: Parameter


@dataclass(frozen=True)
class HeldOut:
    """One configuration that was predicted and never fitted."""

    label: str
    at: Mapping[str, float]
    predicted: float
    observed: float
    """Mean over its runs: arithmetic of accuracies, geometric of losses."""
    runs: int
    ln_ratio: float | None
    """ln(predicted / observed); None where one of them is 0."""
    interval: Interval | None
    """Of one run, at 95 %."""
    inside: bool | None


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
    choices: tuple[Choice, ...] = ()
    """The exponent under other choices of N, and with averaged or unaveraged weights."""
    caveats: tuple[str, ...] = ()
    """What limits the law whatever its numbers."""
    held_out: tuple[HeldOut, ...] = ()

    @property
    def exponent(self) -> Parameter | None:
        """Of size, or of the one x; None where the law has none."""
        return exponent(self.parameters)

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


def exponent(parameters: Iterable[Parameter]) -> Parameter | None:
    """Of size, or of the one x; None without such a law."""
    known = {parameter.name: parameter for parameter in parameters}
    return next((known[name] for name in ("c", "alpha", "beta") if name in known), None)


DISAGREE = 2.0
"""Forms disagree where together they span more than this many times the law's own interval."""
PLAUSIBLE = 7.0
"""AICc above the best form's up to which a form takes part in a prediction (Burnham & Anderson, 2002)."""


def union(
    own: Interval | None, others: Iterable[Interval | None], disagree: float
) -> tuple[Interval | None, bool]:
    """The interval of all forms together, and whether it is `disagree` or more wide and twice the law's own.

    Intervals on a scale where widths may be compared.
    """
    known = [each for each in (own, *others) if each is not None]
    if own is None or not known:
        return None, False
    low, high = min(each.ends[0] for each in known), max(each.ends[1] for each in known)
    wide = high - low
    method = f"{own.method}, of {len(known)} forms together" if len(known) > 1 else own.method
    apart = wide > DISAGREE * (own.ends[1] - own.ends[0]) and wide > disagree
    return Interval(low, high, method), bool(apart)


def plausible(own: float | None, rivals: Iterable["Rival"]) -> list["Rival"]:
    """The rival forms that the runs do not contradict. A constant, or one without an AICc, does not count."""
    known = [rival for rival in rivals if rival.aicc is not None and rival.law != "constant"]
    best = min(
        [each.aicc for each in known if each.aicc is not None] + ([] if own is None else [own]), default=0.0
    )
    return [each for each in known if each.aicc is not None and each.aicc <= best + PLAUSIBLE]


def judge(against: Iterable[str | None], doubts: Iterable[str | None], favour: str) -> Verdict:
    """The first reason that holds: against the law, else a doubt about it, else what speaks for it."""
    if reason := next(filter(None, against), None):
        return Verdict("not identified", reason)
    if reason := next(filter(None, doubts), None):
        return Verdict("weakly identified", reason)
    return Verdict("identified", favour)
