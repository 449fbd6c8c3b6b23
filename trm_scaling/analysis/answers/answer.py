"""What is asked of a family of experiments, what comes of it, and how that may be said."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from trm_scaling.analysis.answers.plateau import Enough
from trm_scaling.analysis.comparison import Comparison
from trm_scaling.analysis.critical_batch import CriticalBatch
from trm_scaling.analysis.fits.record import Fit
from trm_scaling.analysis.frontier import Frontier
from trm_scaling.analysis.interval import Interval
from trm_scaling.analysis.runs import AccuracyRuns
from trm_scaling.analysis.seeds import SeedSummary

Asks = Literal["scaling", "tradeoff", "batch", "choice"]
Certainty = Literal["answered", "tentative", "open"]
SURE, LIKELY = 0.9, 0.6
"""Probabilities from which "this much is enough" is called answered, and tentative."""
_UNITS: Mapping[str, str] = {
    "params": "parameters",
    "train_size": "training puzzles",
    "num_aug": "augmentations a puzzle",
    "halt_max_steps": "supervision steps",
    "L_cycles": "L cycles",
    "H_cycles": "H cycles",
    "L_layers": "layers",
    "global_batch_size": "puzzles a batch",
}


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


def certainty(probability: float | None) -> Certainty:
    """The word for an answer that holds in this share of the draws; None: without replicates."""
    if probability is None or probability < LIKELY:
        return "open"
    return "answered" if probability >= SURE else "tentative"


def hedged(word: Certainty, sentence: str, where: str = "On the means") -> str:
    """`sentence`, said no more firmly than it is known; `where`: `At seed 0`."""
    match word:
        case "answered":
            return sentence
        case "tentative":
            return f"Tentative: {sentence[:1].lower()}{sentence[1:]}"
        case "open":
            return f"Open. {where}, {sentence[:1].lower()}{sentence[1:]}"


def reason(probability: float | None, what: str) -> str:
    """Why an answer is called what `certainty` calls it."""
    if probability is None:
        return "None of these was run with two seeds, so their order may be that of seeds alone."
    return f"P = {probability:.2f} that {what}."


def of_the_seeds(runs: AccuracyRuns) -> tuple[str, ...]:
    """Caveats about the number of replicates."""
    members = runs.configurations.members
    counts = {name: rows.size for name, rows in zip(runs.configurations.names, members, strict=True)}
    single = [name for name, count in counts.items() if count == 1]
    if len(single) == len(counts):
        return ("Every configuration was run once: differences may be those between seeds.",)
    if single:
        return (f"Run once only: {', '.join(single)}.",)
    return ()


def quantity(column: str, value: float) -> str:
    """`5.03M parameters`, `16 supervision steps`."""
    return f"{count(value)} {_UNITS.get(column, column)}"


def count(value: float) -> str:
    """`11M`, `12,288`; three digits of what is not whole."""
    for size, letter in ((1e9, "B"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    whole = value == round(value)
    return f"{value:,.0f}" if whole else f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def accuracy(summary: SeedSummary) -> str:
    """`86.2 % [84.1, 88.0]`."""
    return f"{100 * summary.mean:.1f} %{span(summary.interval)}"


def span(interval: Interval | None) -> str:
    """` [84.1, 88.0]` of an interval of fractions, in per cent; nothing without both ends."""
    if interval is None or interval.low is None or interval.high is None:
        return ""
    return f" [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def points(difference: float, interval: Interval | None) -> str:
    """`+3.1 points [0.5, 5.7]`."""
    # Adding zero takes the sign from a zero.
    return f"{round(100 * difference, 1) + 0.0:+.1f} points{span(interval)}"


def probability(value: float) -> str:
    """`P = 0.68`, of a share of draws: never quite 0 or 1."""
    return "P > 0.99" if value > 0.99 else "P < 0.01" if value < 0.01 else f"P = {value:.2f}"
