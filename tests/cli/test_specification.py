"""The specification in kellen/plans is what the catalogue and the planner's arithmetic make."""

import re
from pathlib import Path
from runpy import run_path

import pytest

from tests.run.tiny import ROOT
from trm_scaling.analysis.answers.plateau import WORTH
from trm_scaling.experiments import load_catalogue

KELLEN = ROOT / "kellen"
SCRIPT = run_path(str(KELLEN / "utils" / "generate_experiment_specs.py"))
FILE, WIDTH, main, specification = (SCRIPT[name] for name in ("FILE", "WIDTH", "main", "specification"))


@pytest.fixture(scope="module")
def text() -> str:
    return specification(KELLEN)


def test_the_committed_file_is_what_would_be_written(text: str) -> None:
    assert (KELLEN / FILE).read_text(encoding="utf-8") == text, "run generate_experiment_specs.py"


def test_every_experiment_has_a_section_with_values_and_cost(text: str) -> None:
    names = [name for family in load_catalogue(KELLEN).families for name in family.names]
    sections = dict(re.findall(r"^   (\w+)(?:   \(the baseline\))?\n((?:      .*\n)+)", text, re.MULTILINE))
    assert list(sections) == names
    for name, section in sections.items():
        for label in ("paper", "mapped", "network", "training", "memory", "cost"):
            assert re.search(rf"^      {label} ", section, re.MULTILINE), (name, label)
    contributions = sum(name.startswith("contrib") for name in names)
    assert f"{len(names) - contributions} of scaling and {contributions} of contributions" in text
    assert text.count("(the baseline)\n") >= 14
    assert max(map(len, text.splitlines())) <= WIDTH


def test_every_family_says_what_is_expected(text: str) -> None:
    assert "Nothing was said before" not in text
    families = len(load_catalogue(KELLEN).families)
    assert text.count("   expected   ") == text.count("   success    ") == families


def test_it_names_the_margin_that_the_analysis_uses() -> None:
    assert round(100 * WORTH) == 2, "the text says `two points`"


def test_check_refuses_a_file_that_differs_and_writing_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setitem(main.__globals__, "specification", lambda study: text)
    script = str(tmp_path / "utils" / "generate_experiment_specs.py")
    monkeypatch.setattr("sys.argv", [script, "--check"])
    with pytest.raises(SystemExit, match="is not what the catalogue makes"):
        main(script)
    assert not (tmp_path / FILE).exists()
    monkeypatch.setattr("sys.argv", [script])
    main(script)
    monkeypatch.setattr("sys.argv", [script, "--check"])
    main(script)
    assert (tmp_path / FILE).read_text() == text
