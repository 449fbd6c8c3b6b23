"""The page of the Python API and the notebook do what they say, in a new study and without a network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run.tiny import ROOT, make_study
from tests.whole.documents import blocks_of
from tests.whole.notebook import source_of

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
EXAMPLES = [block.body for block in blocks_of(ROOT / "docs" / "api.md") if block.language == "python"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a reader at a study of his own, which the page's and the notebook's runs share."""
    study = make_study(tmp_path_factory.mktemp("reader"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRM_")}
    return kept | {"TRM_STUDY": str(study.path), "PYTHONPATH": str(ROOT)}


def played(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def cells() -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


def test_the_notebook_was_kept_as_it_ran() -> None:
    assert [cell["execution_count"] for cell in cells()] == list(range(1, len(cells()) + 1))
    assert all(cell["outputs"] for cell in cells()[1:]), "python -m tests.whole.notebook docs/notebook.ipynb"
    shown = {kind for cell in cells() for output in cell["outputs"] for kind in output.get("data", {})}  # type: ignore[attr-defined]
    assert {"image/png", "image/svg+xml", "text/html"} <= shown
    assert not [cell for cell in cells() if str(Path.home()) in json.dumps(cell)]


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_the_examples_of_the_page_run(tmp_path: Path, environment: dict[str, str]) -> None:
    assert len(EXAMPLES) == 5
    said = played(["-c", "\n".join(EXAMPLES)], tmp_path, environment)
    assert "new puzzle new:33" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_the_notebook_runs(tmp_path: Path, environment: dict[str, str]) -> None:
    copy = tmp_path / NOTEBOOK.name
    written = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    for cell in written["cells"]:
        cell.pop("outputs", None)
    copy.write_text(json.dumps(written))
    played(["-m", "tests.whole.notebook", str(copy)], tmp_path, environment)
    ran = [cell for cell in json.loads(copy.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [source_of(cell) for cell in ran] == [source_of(cell) for cell in cells()]
    kinds = [sorted(kind for each in cell["outputs"] for kind in each.get("data", {})) for cell in ran]
    assert ["image/png"] in kinds, "the learning curve"
    assert ["image/svg+xml", "text/plain"] in kinds, "the puzzle"
    found = Path(environment["TRM_STUDY"]).glob("checkpoints/smoke/baseline/*/result.json")
    records = [json.loads(each.read_text()) for each in found]
    # The page's run is there too.
    assert [each["steps"] for each in records if each["config"]["eval_interval"] == 4] == [200]
