"""`trm plan` as a person sees it."""

import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.run.tiny import ROOT, make_study
from trm_scaling.cli.app import app
from trm_scaling.cli.plan_page import page
from trm_scaling.config.identity import identity
from trm_scaling.cost.devices import TARGETS
from trm_scaling.cost.plan import PRIORITIZED, Named
from trm_scaling.experiments.catalogue import load_catalogue
from trm_scaling.io.study import Study
from trm_scaling.run.preview import plan_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = make_study(tmp_path_factory.mktemp("study"))
    table = study.path / "utils" / "generate_experiment_configs.py"
    table.parent.mkdir()
    table.write_bytes((ROOT / "kellen" / "utils" / table.name).read_bytes())
    return study


@pytest.fixture(scope="module")
def named(study: Study) -> Named:
    catalogue = load_catalogue(study.path)
    return catalogue.composed(catalogue.study_names, "paper", lambda *_: None)


def shown(
    study: Study, named: Named, *, by_family: bool, width: int, beside_first: bool = True, least: bool = True
) -> list[str]:
    from rich.console import Console

    pod = TARGETS["v4-64"]
    runs = plan_study(study, named, pod, ())
    pods = ("v4-32", "v4-16", "v4-8")
    small = {name: plan_study(study, named, TARGETS[name], ()) for name in pods} if least else None  # type: ignore[index]
    console = Console(width=width, highlight=False, color_system=None, file=io.StringIO())
    for part in page(
        load_catalogue(study.path), runs, pod, 4, by_family, width, smaller=small, beside_first=beside_first
    ):
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def line_of(lines: list[str], label: str) -> str:
    return next(line for line in lines if line.strip().startswith(label))


@pytest.mark.parametrize("by_family", [True, False])
@pytest.mark.parametrize("width", [80, 120])
def test_the_page_fits_and_cuts_nothing_off(study: Study, named: Named, width: int, by_family: bool) -> None:
    lines = shown(study, named, by_family=by_family, width=width)
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)


def test_a_family_has_a_line_and_the_baseline_is_counted_once(study: Study, named: Named) -> None:
    lines = shown(study, named, by_family=True, width=120)
    catalogue = load_catalogue(study.path)
    families = catalogue.families
    different = len({identity(config) for *_, config in named})
    assert lines[0] == f"{different} runs under paper, each on v4-64 (32 x TPU v4)"
    assert line_of(lines, "baseline").split()[:2] == ["baseline", "1"]
    assert "Model size" in line_of(lines, "exp01")
    assert " 2, 3 " in line_of(lines, "exp06")
    runs = sum(int(line_of(lines, family.key).split(family.title)[1].split()[0]) for family in families)
    assert runs == different - 1


def test_the_first_estimate_stands_beside(study: Study, named: Named) -> None:
    lines = shown(study, named, by_family=True, width=120)
    assert line_of(lines, "core experiments").endswith("2,460 h")
    assert line_of(lines, "contributions").endswith("860 h")
    assert line_of(lines, "all ").endswith("139 d, 35 d four at a time")
    assert line_of(lines, "recommended subset").endswith("15 d four at a time")
    assert "first estimate: under 100 GB" in line_of(lines, "network")
    assert "a v4-8: all fit" in line_of(lines, "at least")
    smaller = [line.split(":")[0].split()[-1] for line in lines if line.strip().startswith("smaller")]
    assert smaller == ["v4-32", "v4-16"]
    without = shown(study, named, by_family=True, width=120, beside_first=False)
    assert not any("first estimate:" in line for line in without)


def test_the_recommended_subset_stands_beside_its_own_estimate(study: Study, named: Named) -> None:
    catalogue = load_catalogue(study.path)
    subset = [each for each in named if catalogue.group_of(each[0]) in PRIORITIZED]
    lines = shown(study, subset, by_family=True, width=120, least=False)
    assert line_of(lines, "all ").endswith("15 d four at a time")
    assert not any("2,460 h" in line or "100 GB" in line for line in lines)


def test_a_price_that_was_given_is_nobody_elses(study: Study, tmp_path: Path) -> None:
    said = trm("--pattern", "exp01", "--usd", "1.5", "--study", str(study.path)).output
    assert "$1.50 a chip and hour, as given" in said
    assert "as of" not in said


def test_every_number_says_where_it_comes_from(study: Study, named: Named) -> None:
    text = "\n".join(shown(study, named, by_family=True, width=120))
    for mark, said in {
        "¹": "assumed: 25 % of 275 TFLOP/s in bfloat16",
        "²": "estimated to",
        "³": "$3.22 a chip and hour",
        "⁴": "checkpoints, records, puzzles, software",
    }.items():
        assert text.count(mark) >= 2
        assert said in next(line for line in text.splitlines() if line.startswith(f" {mark} "))


def trm(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["plan", *arguments])


def test_the_verb(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    where = ["--study", str(study.path)]
    few = trm("--pattern", "exp01", "--target", "h200", "--usd", "2", *where)
    assert few.exit_code == 0, few.output
    assert "6 runs under paper, each on h200" in few.output
    assert "exp01f" in few.output
    assert "$2.00 a chip and hour" in few.output
    subset = json.loads(trm("--prioritized", "--pattern", "exp0[67]*", "--json", *where).stdout)
    assert {name for run in subset["runs"] for name in run["names"]} == {f"exp06_{each}" for each in "abcdef"}
    assert subset["total"]["runs"] == 6
    assert subset["runs"][-1]["micro_batches"] > 1


def test_what_cannot_be_planned_is_refused(study: Study) -> None:
    where = ["--study", str(study.path)]
    assert "none of them is of the recommended subset" in str(
        trm("--prioritized", "--pattern", "exp07", *where).exception
    )
    assert "it can for --target h200, v4-64, v4-32, v4-16 or v4-8" in str(
        trm("--compile", "--target", "h100", "--pattern", "exp07", *where).exception
    )
