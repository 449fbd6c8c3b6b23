"""The law of one experiment from two columns, as one asks for it in a notebook."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from trm_scaling.analysis.fits.accuracy import fit_accuracy
from trm_scaling.analysis.fits.forms import accuracy_at
from trm_scaling.analysis.fits.record import Fit, Identification
from trm_scaling.analysis.interval import Interval
from trm_scaling.analysis.runs import AccuracyRuns
from trm_scaling.errors import UserError

_LAW: Final = "saturating_power"


@dataclass(frozen=True)
class ScalingLaw(Mapping[str, float]):
    """accuracy = a - b N^-c. Also a mapping of its three parameters: `law["c"]`, `dict(law)`."""

    a: float
    """Accuracy of a network without limit."""
    b: float
    """In the unit of size to the power c."""
    c: float
    formula: str
    """With its numbers."""
    intervals: Mapping[str, Interval | None]
    """At 95 %, by parameter."""
    verdict: Identification
    """Whether the runs say what the parameters are: quote no exponent that is `not identified`."""
    reason: str
    left_out: int
    """Pairs without a size or an accuracy."""
    fit: Fit
    """Everything else: rivals, extrapolation, condition."""

    def __getitem__(self, parameter: str) -> float:
        return self.fit.values[parameter]

    def __iter__(self) -> Iterator[str]:
        return iter(self.fit.values)

    def __len__(self) -> int:
        return len(self.fit.values)

    def __call__(self, sizes: ArrayLike) -> np.ndarray:
        """The law's accuracy at `sizes`."""
        return accuracy_at(_LAW, self, np.asarray(sizes, dtype=float))

    def __str__(self) -> str:
        return f"{self.formula} ({self.verdict}: {self.reason})"


def compute_scaling_law(sizes: ArrayLike, accuracies: ArrayLike) -> ScalingLaw:
    """Fit a - b N^-c to one accuracy (a fraction) a run; runs of one size are its seeds.

    Sizes may be counts, millions or anything else positive: the exponent does not depend on the unit.

    Raises UserError for columns of unequal length, percentages, sizes that are not positive, and fewer
    than four runs or three sizes.
    """
    size, accuracy = (np.asarray(column, dtype=float).ravel() for column in (sizes, accuracies))
    if size.size != accuracy.size:
        raise UserError(f"{size.size} sizes and {accuracy.size} accuracies: give one of each for every run")
    there = np.isfinite(size) & np.isfinite(accuracy)
    columns = {"size": size[there], "accuracy": accuracy[there]}
    runs = AccuracyRuns.of(columns, "size", configuration="size", seed=None, accuracy="accuracy")
    fit = fit_accuracy(runs, _LAW)
    a, b, c = (fit.values[name] for name in "abc")
    return ScalingLaw(
        a=a,
        b=b,
        c=c,
        formula=f"accuracy = {a:.3f} - {b:.3g} N^-{c:.3g}",
        intervals={parameter.name: parameter.interval for parameter in fit.parameters},
        verdict=fit.verdict.word,
        reason=fit.verdict.reason,
        left_out=int((~there).sum()),
        fit=fit,
    )
