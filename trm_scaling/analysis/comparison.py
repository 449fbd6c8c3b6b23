"""Two configurations compared over their seeds, and on the same puzzles where both were asked them.

Shapes: a and b seeds on the two sides, s pairs of seeds, m puzzles.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import binomtest, permutation_test, rankdata
from scipy.stats import t as t_distribution

from trm_scaling.analysis.design import Claim, claim_each, pairs_needed, seeds_needed, seeds_to_detect
from trm_scaling.analysis.interval import TAILS, Interval
from trm_scaling.analysis.seeds import t_interval
from trm_scaling.errors import UserError

_MOST_PERMUTATIONS = 100_000


@dataclass(frozen=True)
class Comparison:
    """B against A, over seeds."""

    a: str
    b: str
    runs: tuple[int, int]
    difference: float
    """Mean accuracy of B less that of A."""
    interval: Interval | None
    """Over seeds (Welch's t); None where a side has one run."""
    p_value: float
    """Of the exact rank test, for itself alone."""
    claim: Claim
    """After the family's correction, if it was compared in one."""
    sd: float | None
    """Between seeds, pooled over both sides; None where neither has two runs."""
    seeds_to_detect: int | None
    """Seeds a side that would find a difference of this size in four cases of five, in the family it was
    compared in; None if unknown, or past ten thousand."""
    paired: bool = False
    """Whether the runs of a seed were compared with one another; `runs`, `sd` and the tests are then those of
    their differences."""
    pairing: str = ""
    """What was paired and why, as a sentence; empty where nothing is known of it."""


@dataclass(frozen=True)
class McNemar:
    """Two trained networks on the same puzzles. It says nothing of other seeds."""

    only_a: int
    """Puzzles that A alone solved."""
    only_b: int
    p_value: float
    """Exact."""


@dataclass(frozen=True)
class PairedComparison:
    """B against A on the same m puzzles."""

    over_seeds: Comparison
    networks: tuple[McNemar, ...]
    """Seed by seed, as far as both sides have one."""
    difference: float
    interval: Interval | None
    """Over seeds and puzzles: hierarchical bootstrap. None where a side has one run."""


def compare(
    a: str, b: str, accuracy_a: Float[np.ndarray, " a"], accuracy_b: Float[np.ndarray, " b"]
) -> Comparison:
    """Compare the accuracies of `b` with those of `a`, one value a seed.

    The p-value is that of the exact Mann-Whitney test, ties at mid-ranks.

    Raises UserError when a side has no runs.
    """
    runs = (accuracy_a.size, accuracy_b.size)
    if min(runs) == 0:
        raise UserError(f"{a if runs[0] == 0 else b} has no finished runs: there is nothing to compare")
    difference = float(accuracy_b.mean() - accuracy_a.mean())
    p_value = rank_test(accuracy_a, accuracy_b)
    sd = None
    if (freedom := sum(runs) - 2) > 0:
        squares = sum(float(((side - side.mean()) ** 2).sum()) for side in (accuracy_a, accuracy_b))
        sd = float(np.sqrt(squares / freedom))
    return Comparison(
        a=a,
        b=b,
        runs=runs,
        difference=difference,
        interval=_welch(accuracy_a, accuracy_b),
        p_value=p_value,
        claim=claim_each([p_value], [runs])[0],
        sd=sd,
        seeds_to_detect=_seeds_to_detect(difference, sd, 1),
    )


def compare_pairs(
    a: str, b: str, accuracy_a: Float[np.ndarray, " s"], accuracy_b: Float[np.ndarray, " s"]
) -> Comparison:
    """Compare `b` with `a` over pairs, each value with the one in its place: the runs of one trajectory.

    The interval is that of a t-test of the differences; the p-value that of the exact test that turns their
    signs. Raises UserError when there are no pairs.
    """
    if accuracy_a.size == 0:
        raise UserError(f"{a} and {b} have no pair of runs: there is nothing to compare")
    differences = np.asarray(accuracy_b - accuracy_a)
    count, difference = differences.size, float(differences.mean())
    p_value = sign_test(differences)
    sd = float(differences.std(ddof=1)) if count > 1 else None
    interval = t_interval(differences)
    return Comparison(
        a=a,
        b=b,
        runs=(count, count),
        difference=difference,
        interval=interval and replace(interval, method=f"t over the differences of {count} pairs"),
        p_value=p_value,
        claim=claim_each([p_value], [(count, count)], [True])[0],
        sd=sd,
        seeds_to_detect=_seeds_to_detect(difference, sd, 1, paired=True),
        paired=True,
    )


def correct_family(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The same comparisons with claims that allow for their number (Holm)."""
    claims = claim_each(
        [each.p_value for each in comparisons],
        [each.runs for each in comparisons],
        [each.paired for each in comparisons],
    )
    count = len(comparisons)
    return tuple(
        replace(
            each,
            claim=claim,
            seeds_to_detect=_seeds_to_detect(each.difference, each.sd, count, paired=each.paired),
        )
        for each, claim in zip(comparisons, claims, strict=True)
    )


def compare_paired(
    a: str,
    b: str,
    solved_a: Bool[np.ndarray, "a _"],
    solved_b: Bool[np.ndarray, "b _"],
    *,
    one_trajectory: bool = False,
) -> PairedComparison:
    """Compare outcomes on the same puzzles in the same order, a row a seed.

    With `one_trajectory` the rows of a seed are one training run, and the seeds are paired too: both sides
    then have the same ones, in the same order.

    Raises UserError when the two sides do not have the same number of puzzles.
    """
    if solved_a.shape[1] != solved_b.shape[1]:
        raise UserError(
            f"{a} has outcomes for {solved_a.shape[1]} puzzles and {b} for {solved_b.shape[1]}: "
            "paired comparison needs the same test puzzles"
        )
    over_seeds = (compare_pairs if one_trajectory else compare)(a, b, solved_a.mean(1), solved_b.mean(1))
    networks = tuple(mcnemar(one, other) for one, other in zip(solved_a, solved_b, strict=False))
    interval = None
    if min(over_seeds.runs) > 1:
        if one_trajectory:
            variance = paired_variance(solved_a, solved_b)
            parts = np.array([(solved_b.mean(1) - solved_a.mean(1)).var(ddof=1) / len(solved_a), 0.0])
        else:
            variance = hierarchical_variance(solved_a, solved_b)
            parts = _seed_variances(solved_a.mean(1), solved_b.mean(1))
        # Satterthwaite: puzzles are many, so what is uncertain about the variance is the seeds' part.
        freedom = variance**2 / max((parts**2 / (np.array(over_seeds.runs) - 1)).sum(), 1e-300)
        half = float(t_distribution.ppf(TAILS[1], freedom) * np.sqrt(variance))
        centre = over_seeds.difference
        interval = Interval(
            centre - half, centre + half, "hierarchical bootstrap over seeds and puzzles, with t"
        )
    return PairedComparison(over_seeds, networks, over_seeds.difference, interval)


def rank_test(accuracy_a: Float[np.ndarray, " a"], accuracy_b: Float[np.ndarray, " b"]) -> float:
    """Two-sided p-value of the Mann-Whitney test by permutation: exact below 100,000 of them."""
    ranks = rankdata(np.concatenate([accuracy_a, accuracy_b]))
    if np.ptp(ranks) == 0:
        return 1.0
    if accuracy_a.size == 1 or accuracy_b.size == 1:  # which permutation_test refuses
        single = ranks[0] if accuracy_a.size == 1 else ranks[-1]
        return float(min(1.0, 2 * min((ranks <= single).mean(), (ranks >= single).mean())))
    test = permutation_test(
        (ranks[: accuracy_a.size], ranks[accuracy_a.size :]),
        lambda first, second, axis: first.sum(axis),
        vectorized=True,
        n_resamples=_MOST_PERMUTATIONS,
        rng=np.random.default_rng(0),
    )
    return float(min(1.0, test.pvalue))


def sign_test(differences: Float[np.ndarray, " s"]) -> float:
    """Two-sided p-value of the permutation test that turns signs: exact below 100,000 of them."""
    if not differences.any() or differences.size == 1:
        return 1.0
    test = permutation_test(
        (differences,),
        lambda signed, axis: signed.sum(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_MOST_PERMUTATIONS,
        rng=np.random.default_rng(0),
    )
    return float(min(1.0, test.pvalue))


def mcnemar(solved_a: Bool[np.ndarray, " m"], solved_b: Bool[np.ndarray, " m"]) -> McNemar:
    """The exact test on the puzzles that only one of two networks solved (McNemar, 1947)."""
    only_a, only_b = int((solved_a & ~solved_b).sum()), int((solved_b & ~solved_a).sum())
    discordant = only_a + only_b
    p_value = float(binomtest(only_a, discordant).pvalue) if discordant else 1.0
    return McNemar(only_a, only_b, p_value)


def hierarchical_variance(solved_a: Bool[np.ndarray, "a m"], solved_b: Bool[np.ndarray, "b m"]) -> float:
    """Variance of the difference in accuracy when the seeds of both sides and the puzzles are drawn anew.

    Seeds and puzzles are crossed, so they are resampled independently (Owen, 2007). What infinitely many
    such draws vary by has a closed form: given the seeds, puzzles are m draws of a column of outcomes;
    given the puzzles, the seeds of a side are n draws of its accuracies. A resample of n seeds varies
    (n - 1) / n as much as n seeds do, which is put right. Both sides have two seeds or more.
    """
    puzzles = solved_a.shape[1]
    between_puzzles = (solved_b.mean(0) - solved_a.mean(0)).var() / puzzles
    between_seeds = 0.0
    for side in (solved_a, solved_b):
        n = len(side)
        rates = side.mean(1)
        # Resampled puzzles make the seeds differ a little more than they did.
        extra = ((rates * (1 - rates)).mean() - side.mean(0).var()) / puzzles
        between_seeds += rates.var(ddof=1) / n + extra / n
    return float(between_puzzles + between_seeds)


def paired_variance(solved_a: Bool[np.ndarray, "s m"], solved_b: Bool[np.ndarray, "s m"]) -> float:
    """`hierarchical_variance` of pairs of one trajectory: a draw of a seed takes both of its networks."""
    gained = solved_b.astype(float) - solved_a.astype(float)
    pairs, puzzles = gained.shape
    between_puzzles = gained.mean(0).var() / puzzles
    extra = (gained.var(1).mean() - gained.mean(0).var()) / puzzles
    return float(between_puzzles + (gained.mean(1).var(ddof=1) + extra) / pairs)


def _seeds_to_detect(
    difference: float, sd: float | None, comparisons: int, *, paired: bool = False
) -> int | None:
    """By power, and at least as many as the test needs to give such a p-value at all."""
    if sd is None or (by_power := seeds_to_detect(difference, sd, comparisons, paired=paired)) is None:
        return None
    return max(by_power, pairs_needed(comparisons) if paired else seeds_needed(comparisons))


def _seed_variances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of the two means."""
    return np.array([a.var(ddof=1) / a.size, b.var(ddof=1) / b.size])


def _welch(a: np.ndarray, b: np.ndarray) -> Interval | None:
    if min(a.size, b.size) < 2:
        return None
    parts, centre = _seed_variances(a, b), float(b.mean() - a.mean())
    freedom = parts.sum() ** 2 / max((parts**2 / np.array([a.size - 1, b.size - 1])).sum(), 1e-300)
    half = float(t_distribution.ppf(TAILS[1], max(freedom, 1.0)) * np.sqrt(parts.sum()))
    return Interval(centre - half, centre + half, "Welch's t over seeds")
