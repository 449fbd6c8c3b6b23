"""Intervals over seeds keep their promise, and single runs say what they borrowed."""

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import t as t_distribution

from tests.analysis.studies import SIX_SIZES, accuracy_runs
from trm_scaling.analysis import summarise_seeds, t_interval, wilson
from trm_scaling.analysis.runs import AccuracyRuns, Configurations


@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_over_seeds_cover(seeds: int) -> None:
    rng, true = np.random.default_rng(0), 0.8
    studies = rng.binomial(2000, np.clip(rng.normal(true, 0.04, (4000, seeds)), 0, 1)) / 2000
    intervals = [t_interval(study) for study in studies]
    hits = [interval is not None and interval.contains(true) for interval in intervals]
    assert 0.93 <= np.mean(hits) <= 0.97


def test_borrowed_intervals_cover() -> None:
    """One configuration of six has a single run; seeds differ normally on the logit scale."""
    rng, true, hits = np.random.default_rng(0), 0.8, 0
    labels = np.array([0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    for _ in range(600):
        logits = np.log(true / (1 - true)) + rng.normal(0, 0.2, labels.size)
        total = np.full(labels.size, 20_000.0)
        accuracy = rng.binomial(20_000, 1 / (1 + np.exp(-logits))) / total
        first = summarise_seeds(
            AccuracyRuns(Configurations.of(labels), np.ones(labels.size), accuracy, total)
        )[0]
        assert first.basis == "pooled seed variance"
        assert first.interval is not None
        hits += first.interval.contains(true)
    assert 0.92 <= hits / 600 <= 0.98


def test_one_run_of_each_has_only_its_networks_interval() -> None:
    rng = np.random.default_rng(0)
    runs = accuracy_runs(np.full(6, 0.9), SIX_SIZES, rng, total=100)
    for summary in summarise_seeds(runs):
        assert summary.basis == "puzzles alone"
        assert summary.sd is None
        assert summary.interval == wilson(round(summary.mean * 100), 100)
    for summary in summarise_seeds(accuracy_runs(np.full(6, 0.9), SIX_SIZES, rng)):
        assert summary.interval is None
        assert summary.basis is None


def test_seeds_that_agree_to_the_last_puzzle_are_not_certain() -> None:
    """Three seeds that solve all of 32 puzzles do not differ, which is no interval of no width."""
    agreeing = AccuracyRuns(Configurations.of("aaa"), np.ones(3), np.ones(3), np.full(3, 32.0))
    (summary,) = summarise_seeds(agreeing)
    assert summary.interval == wilson(96, 96)
    labels, rates = Configurations.of("aaabbb"), np.array([1, 1, 1, 0.5, 0.6, 0.7])
    of_others = summarise_seeds(AccuracyRuns(labels, np.ones(6), rates, None))[0]
    assert (of_others.basis, of_others.interval) == (None, None), "no logit to borrow a variance for"
    agreeing_within = summarise_seeds(
        AccuracyRuns(labels, np.ones(6), np.where(rates == 1, 0.9, rates), None)
    )
    assert agreeing_within[0].interval is not None
    others, reached = logit([0.5, 0.6, 0.7]), logit(0.9)
    # Four degrees of freedom: the agreeing seeds are evidence of the scatter too.
    half = t_distribution.ppf(0.975, 4) * np.sqrt(((others - others.mean()) ** 2).sum() / 4 / 3)
    assert agreeing_within[0].interval.ends[0] == pytest.approx(expit(reached - half))


def test_a_table_of_means_has_one_kind_of_interval() -> None:
    """A configuration with one run among replicated ones makes all of them borrow."""
    labels, rates = Configurations.of("aaabbbc"), np.array([0.7, 0.8, 0.75, 0.5, 0.6, 0.7, 0.9])
    found = summarise_seeds(AccuracyRuns(labels, np.ones(7), rates, None))
    assert {each.basis for each in found} == {"pooled seed variance"}
    rest = summarise_seeds(AccuracyRuns(labels.take(np.arange(6)), np.ones(6), rates[:6], None))
    assert {each.basis for each in rest} == {"t over seeds"}


def test_wilson_at_the_edge() -> None:
    assert wilson(0, 10).ends == pytest.approx((0.0, 0.27753), abs=1e-5)
    assert wilson(10, 10).ends[1] == 1.0


def test_an_interval_stays_a_fraction() -> None:
    runs = accuracy_runs(np.array([0.99]), SIX_SIZES[:1], np.random.default_rng(0), seeds=2, sd=0.01)
    (summary,) = summarise_seeds(runs)
    assert summary.interval is not None
    assert summary.interval.ends[1] <= 1.0
    assert summary.basis == "t over seeds"
