"""What a design can show at all: the smallest p-value it can reach, and the seeds that it would take.

A rank test of three seeds against three cannot give less than 0.10, whatever the numbers are. A
difference from such a design is not "not significant": it could not have been.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Literal

import numpy as np
from scipy.stats import nct
from scipy.stats import t as t_distribution

ALPHA = 0.05
POWER = 0.8
Word = Literal["significant", "no difference shown", "too few seeds"]
_MOST_SEEDS = 10_000


def smallest_p(runs_a: int, runs_b: int) -> float:
    """The least two-sided p-value of an exact Mann-Whitney test; 1 where it cannot be made."""
    if min(runs_a, runs_b) < 1:
        return 1.0
    return min(1.0, 2 / comb(runs_a + runs_b, runs_a))


def smallest_p_of_pairs(pairs: int) -> float:
    """The least two-sided p-value of an exact test that turns the signs of paired differences."""
    return min(1.0, 2.0 ** (1 - pairs))


def pairs_needed(comparisons: int = 1) -> int:
    """Pairs with which such a test can reach 0.05, by Holm in a family of `comparisons`."""
    return next(n for n in range(1, _MOST_SEEDS) if smallest_p_of_pairs(n) <= ALPHA / comparisons)


def seeds_needed(comparisons: int = 1) -> int:
    """Seeds a side with which a Mann-Whitney test can reach 0.05, by Holm in a family of `comparisons`."""
    return next(n for n in range(1, _MOST_SEEDS) if smallest_p(n, n) <= ALPHA / comparisons)


def seeds_to_detect(
    difference: float, sd: float, comparisons: int = 1, *, paired: bool = False
) -> int | None:
    """Seeds for each side with which a t-test finds `difference` with probability `POWER`.

    `sd` is that between seeds, or of the differences where runs are `paired`; the test is one of a family
    of `comparisons`, at the strictest level of Holm's rule. None where no number below ten thousand would do.
    """
    if difference == 0:
        return None
    if sd == 0:
        return 2
    effect, level = abs(difference) / sd, ALPHA / comparisons

    def finds(seeds: int) -> bool:
        freedom = seeds - 1 if paired else 2 * seeds - 2
        shift = effect * np.sqrt(seeds if paired else seeds / 2)
        return bool(nct.sf(t_distribution.ppf(1 - level / 2, freedom), freedom, shift) >= POWER)

    least = 2 + bisect_left(range(2, _MOST_SEEDS), True, key=finds)
    return least if least < _MOST_SEEDS else None


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """p-values adjusted for their number (Holm, 1979), in the order given."""
    p = np.asarray(p_values, dtype=float)
    order = p.argsort()
    stepped = np.maximum.accumulate(p[order] * (p.size - np.arange(p.size)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return tuple(adjusted.tolist())


@dataclass(frozen=True)
class Claim:
    """What may be said of a difference."""

    word: Word
    p_value: float
    """Adjusted for the family."""
    smallest_p: float
    """That the designs of the family could have given, adjusted likewise."""
    sentence: str


def claim_each(
    p_values: Sequence[float], runs: Sequence[tuple[int, int]], paired: Sequence[bool] | None = None
) -> tuple[Claim, ...]:
    """What may be said of each comparison in a family, given its p-value for itself alone and its runs.

    `paired` says of each whether its runs are pairs (none are, by default).
    A comparison has too few seeds where Holm's rule leaves it above 0.05 even if every p-value of the
    family is the smallest that its own design can give.
    """
    count = len(p_values)
    family = f" in a family of {count}" if count > 1 else ""
    in_pairs = paired or [False] * count
    reachable = holm(
        [
            smallest_p_of_pairs(each[0]) if of_pairs else smallest_p(*each)
            for each, of_pairs in zip(runs, in_pairs, strict=True)
        ]
    )
    claims = []
    for p, least, (a, b), of_pairs in zip(holm(p_values), reachable, runs, in_pairs, strict=True):
        word: Word = (
            "too few seeds" if least > ALPHA else "significant" if p <= ALPHA else "no difference shown"
        )
        match word:
            case "too few seeds":
                design = (
                    f"{a} {'pair' if a == 1 else 'pairs'} of runs" if of_pairs else f"{a} against {b} runs"
                )
                enough = f"{pairs_needed(count)} pairs" if of_pairs else f"{seeds_needed(count)} seeds each"
                sentence = (
                    f"{design}{family} cannot give p below {least:.2g}, so this design cannot "
                    f"show a difference at {ALPHA}; {enough} could."
                )
            case "significant":
                sentence = f"The difference is significant{family} (p = {p:.2g})."
            case "no difference shown":
                sentence = f"No difference is shown{family} (p = {p:.2g})."
        claims.append(Claim(word, p, least, sentence))
    return tuple(claims)
