"""The published study: complete, small enough to clone, and told on the front page as its report tells it."""

import re

from tests.run.tiny import ROOT
from trm_scaling.experiments import load_catalogue
from trm_scaling.results.csv_file import read_results

STUDY = ROOT / "kellen" / "analysis" / "laptop"
CATALOGUE = load_catalogue(ROOT / "kellen")
_ANSWER = re.compile(r"^\| `(?P<family>\w+)` .*\|$", re.MULTILINE)
_HEADER = re.compile(r"^\| family \|.*\|$", re.MULTILINE)


def answers_of(text: str) -> dict[str, str]:
    """The rows of a table of answers, by family."""
    table = _HEADER.split(text, 1)[1].split("\n\n", 1)[0]
    return {row["family"]: row[0] for row in _ANSWER.finditer(table)}


def test_every_experiment_has_its_runs() -> None:
    runs = read_results(STUDY / "report.csv")
    finished = runs[runs["state"] == "finished"]
    named = {name for names in finished["names"] for name in names.split(", ")}
    assert named == set(CATALOGUE.names)
    for name in CATALOGUE.families[0].names:
        of_name = finished["names"].map(lambda names, name=name: name in names.split(", "))
        assert set(finished[of_name]["seed"]) >= {0, 1, 2}, name
    assert set(finished["profile"]) == {"laptop"}
    assert not finished["uncommitted_changes"].any()


def test_the_front_page_gives_the_numbers_of_the_runs() -> None:
    """Lowest and highest mean of each family, by averaged weights, and the same two by unaveraged ones."""
    runs = read_results(STUDY / "report.csv")
    told = answers_of((ROOT / "kellen" / "README.md").read_text(encoding="utf-8"))
    assert set(told) == {family.key for family in CATALOGUE.families}
    for family in CATALOGUE.families:
        of = {n: runs[runs["names"].map(lambda names, n=n: n in names.split(", "))] for n in family.names}
        means = sorted((group["test_accuracy"].mean(), name) for name, group in of.items())
        ends = [means[0], means[-1]]
        cells = [cell.replace("\\", "") for cell in told[family.key].split(" | ")]
        for (mean, name), said in zip(ends, cells[2].split(" to "), strict=True):
            shown, value, _ = said.split(" ")
            group = runs[runs["experiment"] == "baseline"] if shown == "baseline" else of[shown]
            assert f"{100 * mean:.1f}" == value == f"{100 * group['test_accuracy'].mean():.1f}", name
        if family.key != "exp08":  # one trajectory: its arms share their unaveraged weights
            unaveraged = [100 * of[name]["test_accuracy_unaveraged"].mean() for _, name in ends]
            assert cells[3] == " to ".join(f"{value:.1f} %" for value in unaveraged)


def test_it_is_small_and_its_pictures_are_there() -> None:
    assert sum(file.stat().st_size for file in STUDY.rglob("*") if file.is_file()) < 15e6
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (STUDY / "report.md").read_text(encoding="utf-8"))
    assert len(pictures) > len(CATALOGUE.families)
    missing = [name for name in pictures if not (STUDY / name).is_file()]
    assert not missing
