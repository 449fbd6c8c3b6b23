"""Two configurations compared."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, ttest_ind

from trm_scaling.analysis import compare, compare_paired, correct_family
from trm_scaling.analysis.comparison import hierarchical_variance, mcnemar, rank_test
from trm_scaling.errors import UserError

LOW, HIGH = np.array([0.70, 0.72, 0.71, 0.69]), np.array([0.80, 0.78, 0.81, 0.79])


def test_the_rank_test_is_exact() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        a, b = rng.normal(0, 1, 4), rng.normal(1, 1, 5)
        assert rank_test(a, b) == pytest.approx(mannwhitneyu(a, b, method="exact").pvalue)
    assert rank_test(LOW[:3], HIGH[:3]) == pytest.approx(0.10)


def test_ties_do_not_make_a_p_value_that_the_design_cannot_reach() -> None:
    assert rank_test(np.array([0.5, 0.5, 0.5]), np.array([0.7, 0.7, 0.7])) == pytest.approx(0.10)
    assert rank_test(LOW, LOW) == 1.0


def test_four_clear_seeds_are_significant_and_three_are_out_of_reach() -> None:
    four, three = compare("a", "b", LOW, HIGH), compare("a", "b", LOW[:3], HIGH[:3])
    assert four.claim.word == "significant"
    assert three.claim.word == "too few seeds"
    assert four.difference == pytest.approx(0.09)
    assert four.interval is not None
    expected = ttest_ind(HIGH, LOW, equal_var=False).confidence_interval()
    assert four.interval.ends == pytest.approx((expected.low, expected.high))
    assert three.seeds_to_detect == 4  # two have the power, but no rank test of two reaches 0.05


@pytest.mark.parametrize("others", [1, 2, 5])
def test_one_run_is_ranked_among_the_others(others: int) -> None:
    """A configuration with one seed stands beside one with several in every study that is under way."""
    single, several = np.array([0.9]), np.linspace(0.5, 0.6, others)
    for a, b in ((single, several), (several, single)):
        found = compare("a", "b", a, b)
        assert found.p_value == pytest.approx(min(1.0, 2 / (others + 1)))
        assert found.claim.word == "too few seeds"
        assert found.interval is None
    assert rank_test(single, np.array([0.8, 0.95])) == 1.0


def test_a_family_is_corrected() -> None:
    family = correct_family([compare("a", "b", LOW, HIGH)] * 3)
    assert [each.claim.word for each in family] == ["too few seeds"] * 3
    assert all("family of 3" in each.claim.sentence for each in family)
    assert [each.seeds_to_detect for each in family] == [5] * 3


def test_a_small_design_may_stand_beside_a_large_one() -> None:
    """Holm asks the least of the p-values that come last: four seeds suffice where ten went before."""
    rng = np.random.default_rng(0)
    large = compare("a", "b", rng.normal(0.5, 0.01, 10), rng.normal(0.7, 0.01, 10))
    words = [each.claim.word for each in correct_family([compare("a", "c", LOW, HIGH), large])]
    assert words == ["significant", "significant"]


def test_single_runs_are_compared_without_a_claim() -> None:
    found = compare("a", "b", LOW[:1], HIGH[:1])
    assert found.claim.word == "too few seeds"
    assert found.interval is None
    assert found.seeds_to_detect is None
    with pytest.raises(UserError, match="b has no finished runs"):
        compare("a", "b", LOW, np.zeros(0))


def test_mcnemar_counts_the_puzzles_that_one_alone_solved() -> None:
    a, b = np.array([1, 1, 0, 0, 0, 0, 0], dtype=bool), np.array([1, 0, 1, 1, 1, 1, 1], dtype=bool)
    found = mcnemar(a, b)
    assert (found.only_a, found.only_b) == (1, 5)
    assert found.p_value == pytest.approx(14 / 64)  # two-sided binomial(6, 1/2)
    assert mcnemar(a, a).p_value == 1.0


def outcomes(rng: np.random.Generator, hardness: np.ndarray, skill: np.ndarray) -> np.ndarray:
    """(seeds, puzzles): solved where skill and luck exceed the puzzle's hardness."""
    return np.asarray(skill[:, None] + rng.logistic(0, 1, (skill.size, hardness.size)) > hardness)


def test_intervals_over_seeds_and_puzzles_cover() -> None:
    """The truth is the difference over all seeds and all puzzles."""
    rng, hits, widths = np.random.default_rng(0), 0, []
    world = rng.normal(0, 2, 200_000)
    luck = rng.normal(0, 0.3, 200_000)
    rates = [1 / (1 + np.exp(world - (mean + luck))) for mean in (0.0, 0.5)]
    truth = float(rates[1].mean() - rates[0].mean())
    for _ in range(150):
        hardness = rng.normal(0, 2, 300)
        a, b = (outcomes(rng, hardness, rng.normal(mean, 0.3, 4)) for mean in (0.0, 0.5))
        interval = compare_paired("a", "b", a, b).interval
        assert interval is not None
        hits += interval.contains(truth)
        widths.append(interval.ends[1] - interval.ends[0])
    assert 0.91 <= hits / 150 <= 1.0
    assert np.median(widths) < 0.25


def test_the_variance_is_that_of_drawing_seeds_and_puzzles_anew() -> None:
    """By drawing them: what the closed form stands for."""
    rng = np.random.default_rng(0)
    hardness = rng.normal(0, 2, 40)
    a, b = (outcomes(rng, hardness, rng.normal(mean, 0.5, n)) for mean, n in ((0.0, 3), (1.0, 5)))
    drawn = []
    for _ in range(20_000):
        puzzles = rng.integers(40, size=40)
        first, second = (side[rng.integers(len(side), size=len(side))][:, puzzles] for side in (a, b))
        drawn.append(second.mean() - first.mean())
    lost = sum(side.mean(1).var(ddof=1) / len(side) ** 2 for side in (a, b))
    assert hierarchical_variance(a, b) == pytest.approx(np.var(drawn) + lost, rel=0.03)


def test_puzzles_add_to_what_seeds_leave_open() -> None:
    rng = np.random.default_rng(0)
    hardness = rng.normal(0, 2, 60)
    a, b = (outcomes(rng, hardness, np.full(5, mean)) for mean in (0.0, 1.0))
    found = compare_paired("a", "b", a, b)
    assert found.interval is not None
    assert found.over_seeds.interval is not None
    assert len(found.networks) == 5
    seeds = a.mean(1).var(ddof=1) / 5 + b.mean(1).var(ddof=1) / 5
    assert hierarchical_variance(a, b) > seeds
    with pytest.raises(UserError, match="same test puzzles"):
        compare_paired("a", "b", a, b[:, :50])
