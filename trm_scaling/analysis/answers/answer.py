"""What is asked of a family of experiments, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from trm_scaling.analysis.answers.enough import Enough
from trm_scaling.analysis.comparison import Comparison
from trm_scaling.analysis.critical_batch import CriticalBatch
from trm_scaling.analysis.fits.record import Fit
from trm_scaling.analysis.frontier import Frontier
from trm_scaling.analysis.seeds import SeedSummary

Asks = Literal["scaling", "tradeoff", "batch", "choice"]
Certainty = Literal["answered", "tentative", "open"]


@dataclass(frozen=True)
class Question:
    """What a family is to find out."""

    title: str
    """In a few words: Model size."""
    asks: Asks
    axis: str
    """The column that the family varies; `experiment` where it varies no one number."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Experiment -> what it changes, for people."""
    reference: str | None = None
    """The experiment that the others are compared with; the first one where it has no runs."""
    measure: str = ""
    """The column that a choice is about beside accuracy: `halting_mean_steps`. Always said."""
    law: bool = True
    """Whether a law of accuracy over the axis is fitted."""

    def label(self, experiment: str) -> str:
        """`exp09b (optimizer adamw)`, or the name alone."""
        said = self.labels.get(experiment)
        return f"{experiment} ({said})" if said else experiment


@dataclass(frozen=True)
class Answer:
    """One sentence, how sure it is, and what it rests on."""

    sentence: str
    verdict: Certainty
    reason: str
    """Why not surer, or why so sure."""
    caveats: tuple[str, ...]
    excluded: tuple[str, ...]
    """Runs that were left out, each with the reason."""
    best: str | None = None
    """The experiment with the highest mean accuracy."""
    named: str | None = None
    """The experiment that the sentence names: the one that is enough, or the best."""
    probability: float | None = None
    """That it is; None where nothing is known of the scatter, or of one trajectory."""
    unaveraged: "Answer | None" = None
    """The same question asked of unaveraged weights, its sentence unhedged; None where they are not another
    thing."""
    seeds: tuple[SeedSummary, ...] = ()
    """Every configuration, in the order of the axis."""
    fit: Fit | None = None
    """Accuracy against the axis, where the family asks for a law."""
    enough: Enough | None = None
    """Where more stops paying, where the family has an order."""
    frontier: Frontier | None = None
    """Accuracy against what the family spends."""
    comparisons: tuple[Comparison, ...] = ()
    """Of the others with the reference, corrected for their number."""
    critical_batch: CriticalBatch | None = None
    """Fitted to `to_target`."""
    to_target: tuple[tuple[float, float], ...] = ()
    """Batch size and steps to the target, of every run."""

    @property
    def means(self) -> dict[str, float]:
        """Experiment -> mean accuracy."""
        return {each.configuration: each.mean for each in self.seeds}
