"""How sure an answer may be called, and what every answer must admit."""

from trm_scaling.analysis.answers.answer import Certainty
from trm_scaling.analysis.runs import AccuracyRuns

SURE, LIKELY = 0.9, 0.6
"""Probabilities from which "this much is enough" is called answered, and tentative."""


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
