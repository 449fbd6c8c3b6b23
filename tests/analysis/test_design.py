"""What a design can reach, by arithmetic."""

import numpy as np
import pytest
from scipy.stats import ttest_ind

from trm_scaling.analysis import holm, seeds_needed, seeds_to_detect, smallest_p
from trm_scaling.analysis.design import claim_each


def test_three_against_three_cannot_reach_five_percent() -> None:
    assert smallest_p(3, 3) == pytest.approx(0.10)
    assert seeds_needed() == 4
    (said,) = claim_each([0.01], [(3, 3)])
    assert said.word == "too few seeds"
    assert "significant" not in said.sentence
    assert "4 seeds each" in said.sentence


def test_a_family_needs_more() -> None:
    assert claim_each([0.03], [(4, 4)])[0].word == "significant"
    assert {each.word for each in claim_each([0.03] * 5, [(4, 4)] * 5)} == {"too few seeds"}
    assert seeds_needed(comparisons=5) == 5
    assert claim_each([0.2], [(4, 4)])[0].word == "no difference shown"
    assert claim_each([], []) == ()


def test_one_run_can_show_nothing() -> None:
    assert smallest_p(1, 1) == 1.0
    assert smallest_p(0, 3) == 1.0


def test_holms_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.6, 0.7]) == (1.0, 1.0)
    assert holm([]) == ()


def test_seeds_to_detect_have_the_power() -> None:
    seeds = seeds_to_detect(0.05, 0.04)
    assert seeds is not None
    rng = np.random.default_rng(0)

    def power(n: int) -> float:
        first, second = rng.normal(0, 0.04, (4000, n)), rng.normal(0.05, 0.04, (4000, n))
        return float((ttest_ind(first, second, axis=1).pvalue < 0.05).mean())

    assert power(seeds) > 0.78
    assert power(seeds - 1) < 0.82
    assert seeds_to_detect(0.0, 0.04) is None
    assert seeds_to_detect(1e-6, 0.04) is None
    assert seeds_to_detect(0.05, 0.0) == 2
    in_family = seeds_to_detect(0.05, 0.04, comparisons=10)
    assert in_family is not None
    assert in_family > seeds
