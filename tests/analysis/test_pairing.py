"""What pairs: one trajectory and nothing else; and what the published study gives when it is asked so."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trm_scaling.analysis import compare, compare_paired, compare_pairs, compare_runs, pairing_of, unaveraged
from trm_scaling.analysis.answers import Question, filter_runs
from trm_scaling.analysis.answers.choice import best_choice
from trm_scaling.analysis.design import pairs_needed, seeds_to_detect, smallest_p_of_pairs
from trm_scaling.errors import UserError
from trm_scaling.experiments import load_catalogue
from trm_scaling.results.csv_file import read_results
from trm_scaling.results.table import family_rows

KELLEN = Path(__file__).resolve().parents[2] / "kellen"
FAMILIES = {family.key: family for family in load_catalogue(KELLEN).families}


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    return read_results(KELLEN / "analysis" / "laptop" / "report.csv")


def rows(table: pd.DataFrame, name: str) -> pd.DataFrame:
    return table[table["experiment"] == name]


def test_exp08s_arms_are_compared_within_their_one_seed(published: pd.DataFrame) -> None:
    """Against the mean of three other seeds, exp08c would have gained 10.0 points; in pairs it is 7.3."""
    arms = family_rows(published, FAMILIES["exp08"])
    gains = {
        name: compare_runs("exp08d", name, rows(arms, "exp08d"), rows(arms, name))
        for name in ("exp08a", "exp08b", "exp08c", "exp08e")
    }
    assert {name: round(100 * each.difference, 1) for name, each in gains.items()} == {
        **{"exp08a": 5.6, "exp08b": 7.0, "exp08c": 7.3, "exp08e": -34.8}
    }
    for each in gains.values():
        assert (each.paired, each.runs, each.interval, each.p_value) == (True, (1, 1), None, 1.0)
        assert each.claim.word == "too few seeds"
        assert "6 pairs could" in each.claim.sentence
    sentence = best_choice(
        filter_runs(arms), Question("", "choice", "experiment", reference="exp08d"), None
    ).sentence
    assert sentence.startswith("exp08c solves most: 96.7 %. Then exp08b: 96.4 %")
    assert "One trajectory, no interval" in sentence


def test_exp06s_large_batches_learnt_what_their_averages_had_not_caught_up_with(
    published: pd.DataFrame,
) -> None:
    batches = family_rows(published, FAMILIES["exp06"]).set_index("experiment")
    current = unaveraged(batches)
    assert batches.loc["exp06_e", "test_accuracy"] == 0.0
    assert current["exp06_e"] == 0.498
    assert current["exp06_f"] == 0.04


def test_a_run_without_an_average_is_its_own_unaveraged_one(published: pd.DataFrame) -> None:
    arms = family_rows(published, FAMILIES["exp08"])
    arms = arms[arms["seed"] == 0].set_index("experiment")
    assert unaveraged(arms).to_dict() == dict.fromkeys(arms.index, 0.950)
    assert unaveraged(pd.DataFrame({"test_accuracy": [0.5]})).isna().all()


def test_other_training_puzzles_leave_the_test_puzzles_shared(published: pd.DataFrame) -> None:
    sizes = family_rows(published, FAMILIES["exp04a"])
    found = pairing_of(rows(sizes, "exp04a_100"), rows(sizes, "exp04a_5000"))
    assert (found.shared, found.seeds) == ("seed", (0,))
    assert sizes["data_fingerprint"].nunique() > 1
    other = rows(sizes, "exp04a_5000").assign(givens=20)
    assert pairing_of(rows(sizes, "exp04a_100"), other).shared == "nothing"


def test_what_a_record_says_of_itself_comes_before_what_its_configuration_suggests(
    published: pd.DataFrame,
) -> None:
    arms = family_rows(published, FAMILIES["exp08"])
    a, b = rows(arms, "exp08a"), rows(arms, "exp08b")
    same = {"trajectory_sha256": "1", "test_fingerprint": "t"}
    assert pairing_of(a.assign(**same), b.assign(**same)).shared == "trajectory"
    apart = b.assign(trajectory_sha256="2", test_fingerprint="t")
    assert pairing_of(a.assign(**same), apart).shared == "seed"
    elsewhere = apart.assign(test_fingerprint="u", data_fingerprint="d")
    assert pairing_of(a.assign(**same), elsewhere).shared == "nothing"
    assert (other := pairing_of(a, b.assign(seed=7))).seeds == ()
    assert other.shared == "test puzzles"
    assert pairing_of(a, b.assign(lr=1.0)).shared == "seed"


def test_pairs_give_their_scatter_and_not_that_of_the_seeds() -> None:
    generator = np.random.default_rng(0)
    seeds = generator.normal(0.8, 0.05, 8)
    gain = 0.02 + generator.normal(0, 0.004, 8)
    pairs, apart = compare_pairs("a", "b", seeds, seeds + gain), compare("a", "b", seeds, seeds + gain)
    assert pairs.difference == pytest.approx(apart.difference) == pytest.approx(gain.mean())
    assert pairs.interval is not None
    assert pairs.interval.low is not None
    assert pairs.interval.low > 0
    assert pairs.p_value == pytest.approx(2 / 2**8)
    assert pairs.claim.word == "significant"
    assert apart.claim.word == "no difference shown"
    assert pairs.sd == pytest.approx(gain.std(ddof=1))
    with pytest.raises(UserError, match="no pair"):
        compare_pairs("a", "b", np.array([]), np.array([]))


def test_the_interval_of_pairs_covers_what_it_promises() -> None:
    """Seeds differ in what they solve, and in what the other average gains them."""
    generator, true, covered, trials = np.random.default_rng(1), 0.1, 0, 300
    for _ in range(trials):
        gained = generator.random((6, 400)) < generator.normal(true, 0.03, (6, 1))
        level = generator.normal(0, 2, (6, 1)) + generator.normal(0, 1.5, (1, 400))
        solved = (level + generator.logistic(size=(6, 400)) > 0) & ~gained
        found = compare_paired("a", "b", solved, solved | gained, one_trajectory=True)
        assert found.interval is not None
        low, high = found.interval.ends
        covered += low <= true <= high
    assert 0.9 <= covered / trials <= 0.99


def test_how_many_pairs_a_test_takes() -> None:
    assert [smallest_p_of_pairs(pairs) for pairs in (1, 3, 6)] == [1.0, 0.25, 0.03125]
    assert (pairs_needed(), pairs_needed(4)) == (6, 8)
    apart, paired = seeds_to_detect(0.02, 0.02), seeds_to_detect(0.02, 0.02, paired=True)
    assert apart is not None
    assert paired is not None
    assert paired < apart
