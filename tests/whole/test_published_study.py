"""The published study: complete, small enough to clone, and told on the front page as its report tells it."""

import re

import pandas as pd
import pytest

from tests.run.tiny import ROOT
from trm_scaling.analysis import at_common_seeds
from trm_scaling.analysis.answers import seed_variance
from trm_scaling.experiments import load_catalogue
from trm_scaling.report.build import prepared
from trm_scaling.report.coverage import study_seeds
from trm_scaling.report.family import Studied, section, study_family
from trm_scaling.report.front import factors, frontiers, speed_of_learning
from trm_scaling.report.page import Table
from trm_scaling.results.counted import each_once
from trm_scaling.results.csv_file import read_results

STUDY = ROOT / "kellen" / "analysis" / "laptop"
CATALOGUE = load_catalogue(ROOT / "kellen")
_ANSWER = re.compile(r"^\| `(?P<family>\w+)` .*\|$", re.MULTILINE)
_HEADER = re.compile(r"^\| family \|.*\|$", re.MULTILINE)


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    table = read_results(STUDY / "report.csv")
    return prepared(table)


@pytest.fixture(scope="module")
def everything(runs: pd.DataFrame) -> dict[str, Studied]:
    """The fourteen families that have runs."""
    variance = seed_variance(each_once(runs))
    found = {
        family.key: study_family(family, runs, study_seeds(runs), variance) for family in CATALOGUE.families
    }
    return {key: each for key, each in found.items() if each.answer is not None}


def table_of(studied: Studied, title: str) -> Table:
    shown = section(studied, "laptop")
    (table,) = next(block for block in shown.blocks if block.title == title).tables
    return table


def answers_of(text: str) -> dict[str, str]:
    """The rows of a table of answers, by family."""
    table = _HEADER.split(text, 1)[1].split("\n\n", 1)[0]
    return {row["family"]: row[0] for row in _ANSWER.finditer(table)}


def test_every_experiment_has_its_runs(runs: pd.DataFrame) -> None:
    finished = runs[runs["state"] == "finished"]
    named = {name for names in finished["names"] for name in names.split(", ")}
    # Families and experiments that came later have no published runs.
    assert len(finished) == 66
    assert named <= set(CATALOGUE.names)
    assert {name for name in CATALOGUE.names if name.startswith("exp0")} - named == set()
    for name in CATALOGUE.families[0].names:
        of_name = finished["names"].map(lambda names, name=name: name in names.split(", "))
        assert set(finished[of_name]["seed"]) >= {0, 1, 2}, name
    assert set(finished["profile"]) == {"laptop"}
    assert not finished["uncommitted_changes"].any()


def test_the_front_page_gives_the_answers_of_the_report() -> None:
    told = answers_of((ROOT / "kellen" / "README.md").read_text(encoding="utf-8"))
    assert len(told) == 14
    assert told == answers_of((STUDY / "report.md").read_text(encoding="utf-8"))


def test_the_law_of_model_size_is_at_most_weakly_identified_and_says_why(
    everything: dict[str, Studied],
) -> None:
    found = everything["exp01"].answer
    assert found is not None
    assert found.fit is not None
    assert found.fit.verdict.word in ("weakly identified", "not identified")
    assert "the asymptote is not determined" in found.fit.verdict.reason
    assert any("not where it ends" in each for each in found.caveats)


def test_large_batches_learned_what_their_average_does_not_show(everything: dict[str, Studied]) -> None:
    shown = section(everything["exp06"], "laptop")
    assert "exp06_e, 0.0 % averaged, 49.8 % unaveraged" in shown.numbers
    table = table_of(everything["exp06"], "Configurations")
    at = [column.label for column in table.columns].index("unaveraged")
    told = {row[0]: table.columns[at].text(row[at]) for row in table.rows}
    assert (told["exp06_e"], told["exp06_f"]) == ("49.8 %", "4.0 %")
    intervals = [column.label for column in table.columns].index("95 % interval")
    of = {row[0]: row[intervals] for row in table.rows}
    assert of["exp06_e"] is None, "no interval is borrowed at 0"
    assert of["exp06_d"] is not None


def test_the_batches_are_about_the_average_that_they_kept(everything: dict[str, Studied]) -> None:
    found = everything["exp06"].answer
    assert found is not None
    (caveat,) = [each for each in found.caveats if "about that average" in each]
    assert "28 % at batch 256" in caveat
    assert "54 % at batch 512" in caveat
    assert found.verdict == "open"
    assert "learn as much" not in found.sentence


def test_one_seed_is_compared_with_the_same_seed(everything: dict[str, Studied]) -> None:
    """Seed 0 is the luckiest of the baseline's three, and all that 48 configurations have."""
    for key, studied in everything.items():
        seeds = {0, 1, 2} if key == "exp01" else {0}
        assert set(studied.compared["seed"]) == seeds, key
        assert studied.answer is not None
        assert {each.runs for each in studied.answer.seeds} == {len(seeds)}
    gains: dict[str, tuple[float, float]] = {}
    for key in ("exp09", "exp10", "contrib01", "contrib02"):
        found = everything[key].answer
        assert found is not None
        assert found.unaveraged is not None
        of = {each.b: each for each in found.comparisons}
        others = {each.b: each for each in found.unaveraged.comparisons}
        gains |= {
            name: (round(100 * of[name].difference, 1), round(100 * others[name].difference, 1))
            for name in of
        }
        assert {each.pairing for each in of.values()} == {"Compared at seed 0, on the same test puzzles."}
        assert {each.claim.word for each in of.values()} == {"too few seeds"}
    assert gains["exp10c"] == (6.7, -2.4)
    assert gains["exp09b"] == (0.9, -1.9)
    assert gains["contrib01_curriculum"] == (-1.4, -2.0)
    assert gains["contrib02_adaptive"] == (-1.1, -0.1)


def test_no_configuration_beats_the_baseline_unaveraged_at_seed_0(runs: pd.DataFrame) -> None:
    once = at_common_seeds(each_once(runs))
    assert set(once["seed"]) == {0}
    assert len(once) == 54
    assert once["test_accuracy_unaveraged"].max() == 0.95
    assert once.set_index("experiment").loc["baseline", "test_accuracy_unaveraged"] == 0.95


def test_no_answer_stands_on_one_seed_or_on_averaged_weights_alone(everything: dict[str, Studied]) -> None:
    assert len(everything) == 14
    for key, studied in everything.items():
        assert studied.answer is not None
        assert studied.answer.verdict == "open", key
        assert (studied.answer.unaveraged is None) == (key == "exp08"), key
    size = everything["exp01"].answer
    assert size is not None
    assert size.unaveraged is not None
    assert (size.named, size.unaveraged.named) == ("exp01f", "exp01d")
    assert size.unaveraged.probability == pytest.approx(0.42, abs=0.02)
    assert "Unaveraged: exp01d, 92.9 %, P = 0.4" in size.sentence


def test_nothing_is_said_of_time_memory_or_halting_that_was_not_measured(
    everything: dict[str, Studied], runs: pd.DataFrame
) -> None:
    told = " ".join(each.answer.sentence for each in everything.values() if each.answer)
    assert "training FLOPs" in told
    for words in ("samples per second", "peak memory", "halting rule"):
        assert words not in told
    assert runs[["device_hours", "throughput"]].isna().all().all()
    table = table_of(everything["contrib02"], "Configurations")
    assert not {"device-hours", "samples/s", "halts after"} & {column.label for column in table.columns}


def test_a_run_that_solved_no_validation_puzzle_has_no_best_evaluation(runs: pd.DataFrame) -> None:
    assert "in 62 of 62 runs" in speed_of_learning(runs)
    assert "4 more solved no validation puzzle" in speed_of_learning(runs)


def test_every_table_of_accuracy_has_both_weights(everything: dict[str, Studied], runs: pd.DataFrame) -> None:
    variance = seed_variance(each_once(runs))
    tables = [*frontiers(runs, variance).tables, *factors(runs, list(everything.values())).tables]
    tables += [table_of(everything[key], "Comparisons") for key in ("exp03", "exp07", "exp09", "exp10")]
    tables += [table_of(each, "Configurations") for each in everything.values()]
    for table in tables:
        labels = " ".join(column.label for column in table.columns)
        assert "unaveraged" in labels, table.caption
    matters = tables[3]
    assert {"p"}.isdisjoint(column.label for column in matters.columns)
    assert "Seed" in {row[0] for row in matters.rows}


def test_averages_of_one_trajectory_are_compared_in_pairs(everything: dict[str, Studied]) -> None:
    found = everything["exp08"].answer
    assert found is not None
    pair = next(each for each in found.comparisons if each.b == "exp08c")
    assert (pair.paired, round(100 * pair.difference, 1)) == (True, 7.3)
    assert found.probability is None
    assert {each.interval for each in found.seeds} == {None}
    assert "\\+7.3" in (STUDY / "report.md").read_text(encoding="utf-8")


def test_it_is_small_and_its_pictures_are_there() -> None:
    files = [file for file in STUDY.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 3e6
    assert len({file.name for file in files}) == len(files), "no figure twice"
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (STUDY / "report.md").read_text(encoding="utf-8"))
    assert len(pictures) > 14
    missing = [name for name in pictures if not (STUDY / name).is_file()]
    assert not missing
