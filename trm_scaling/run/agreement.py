"""Whether two records of the same training steps agree: bit for bit, closely, not, or nobody can say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trm_scaling.config.traced_fields import TRACED_FIELDS
from trm_scaling.run.rerun import Lines

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

SLOTS = 2
"""Slots of a batch that rounding alone may let solve or halt otherwise, in counts and rates."""


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
class Agreement:
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


def agreement(recorded: Lines, here: Lines, dtype: str, batch_size: int) -> Agreement:
    """Compare the lines of `recorded` with those of `here`, pairing them by kind and step.

    `dtype` is the forward precision and `batch_size` the slots of a step: they decide what is close.
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
                    most = allowed + SLOTS / batch_size if _is_counted(metric) else allowed
                differences.append(Difference(place[1], metric, before, after, size, most))
    return Agreement(compared, tuple(differences), strictest)


def _by_place(lines: Lines) -> dict[tuple[str, int], dict[str, Any]]:
    return {(line["kind"], line["step"]): line for line in lines}


def _is_counted(metric: str) -> bool:
    """Made of yes and no for each slot, rather than of a sum of many numbers."""
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
