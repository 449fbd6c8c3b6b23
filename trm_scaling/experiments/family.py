"""A family of experiments: the baseline with one or a few named fields changed, value by value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Asks = Literal["scaling", "tradeoff", "batch", "choice"]
"""What the analysis is to find: a law and where it stops paying; the best of an equal product; the largest
batch that still learns as much from each puzzle; the best of a few."""

ARCH = "arch."
"""What begins the name of a field of the architecture, which is written to a file of its own."""


@dataclass(frozen=True)
class Family:
    """One entry of the table that the study's experiments are generated from."""

    key: str
    """What the names begin with: exp01."""

    title: str
    """In a few words: Model size."""

    goal: str
    """What the family is to find out, as one sentence."""

    names: tuple[str, ...]
    """One for each experiment."""

    values: Mapping[str, Sequence[Any]]
    """Dotted field of the configuration -> its value in each experiment, in the paper's profile."""

    asks: Asks = "choice"
    """How its runs are analysed."""

    axis: str = "experiment"
    """The column of the table of runs that its figures and fits have on the x axis."""

    expects: str = ""
    """The hypothesis, said before anything was run: what, and why."""

    base: str = "baseline"
    """The file in `configs/` that its experiments are changes of; another one has names of its own."""

    measure: str = ""
    """The column that a choice is about beside accuracy, if any: `halting_mean_steps`."""

    def __post_init__(self) -> None:
        for field, values in self.values.items():
            if len(values) != len(self.names):
                raise ValueError(
                    f"{self.key}: {len(values)} values of {field} for {len(self.names)} experiments "
                    f"({', '.join(self.names)}); give each one a value"
                )

    def of(self, name: str) -> dict[str, Any]:
        """Field -> value of the experiment `name`."""
        index = self.names.index(name)
        return {field: values[index] for field, values in self.values.items()}

    @property
    def has_arch(self) -> bool:
        """Whether its experiments have architecture files."""
        return any(field.startswith(ARCH) for field in self.values)


def lettered(prefix: str, count: int) -> tuple[str, ...]:
    """`exp01a`, `exp01b`, ..."""
    return tuple(f"{prefix}{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"[:count])


def numbered(prefix: str, count: int) -> tuple[str, ...]:
    """`exp02a_01`, `exp02a_02`, ..."""
    return tuple(f"{prefix}_{number:02}" for number in range(1, count + 1))
