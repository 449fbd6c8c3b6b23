"""The published study: complete, small enough to clone, and told on the front page as its report tells it."""

import re

import pandas as pd
import pytest

from tests.run.tiny import ROOT
from trm_scaling.analysis import unaveraged
from trm_scaling.experiments import load_catalogue
from trm_scaling.report.coverage import study_seeds
from trm_scaling.report.family import Studied, section, study_family
from trm_scaling.results.csv_file import read_results

STUDY = ROOT / "kellen" / "analysis" / "laptop"
CATALOGUE = load_catalogue(ROOT / "kellen")
_ANSWER = re.compile(r"^\| `(?P<family>\w+)` .*\|$", re.MULTILINE)
_HEADER = re.compile(r"^\| family \|.*\|$", re.MULTILINE)


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    table = read_results(STUDY / "report.csv")
    return table.assign(test_accuracy_unaveraged=unaveraged(table))


def studied(runs: pd.DataFrame, key: str) -> Studied:
    family = next(family for family in CATALOGUE.families if family.key == key)
    return study_family(family, runs, study_seeds(runs), None)


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


def test_the_law_of_model_size_is_at_most_weakly_identified_and_says_why(runs: pd.DataFrame) -> None:
    found = studied(runs, "exp01").answer
    assert found is not None
    assert found.fit is not None
    assert found.fit.verdict.word in ("weakly identified", "not identified")
    assert len(found.fit.verdict.reason) > 20
    assert any("not where it ends" in each for each in found.caveats)


def test_large_batches_learned_what_their_average_does_not_show(runs: pd.DataFrame) -> None:
    shown = section(studied(runs, "exp06"), "laptop")
    assert "exp06_e, 0.0 % averaged, 49.8 % unaveraged" in shown.numbers
    (table,) = next(block for block in shown.blocks if block.title == "Configurations").tables
    at = [column.label for column in table.columns].index("unaveraged")
    told = {row[0]: table.columns[at].text(row[at]) for row in table.rows}
    assert (told["exp06_e"], told["exp06_f"]) == ("49.8 %", "4.0 %")


def test_averages_of_one_trajectory_are_compared_in_pairs(runs: pd.DataFrame) -> None:
    found = studied(runs, "exp08").answer
    assert found is not None
    pair = next(each for each in found.comparisons if each.b == "exp08c")
    assert (pair.paired, round(100 * pair.difference, 1)) == (True, 7.3)
    assert "+7.3 points" in (STUDY / "report.md").read_text(encoding="utf-8")


def test_it_is_small_and_its_pictures_are_there() -> None:
    files = [file for file in STUDY.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 3e6
    assert len({file.name for file in files}) == len(files), "no figure twice"
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (STUDY / "report.md").read_text(encoding="utf-8"))
    assert len(pictures) > 14
    missing = [name for name in pictures if not (STUDY / name).is_file()]
    assert not missing
