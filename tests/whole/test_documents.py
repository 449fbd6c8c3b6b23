"""Every code block of the README and the study's guides that needs no TPU, account or network is run.

The documents share one clone and its runs, one after another, but no datasets.
"""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.run.tiny import ROOT
from tests.whole.documents import RUN, Need, blocks_of, clone, play
from tests.whole.hub import write_hub

DOCUMENTS = ("kellen/SETUP_GUIDE.md", "kellen/README.md", "README.md")
"""The one that promises most to a reader of it alone comes first, into a clone in which nothing has run."""

LEFT_OUT: dict[str, dict[Need, int]] = {
    "README.md": {"network": 1},
    "kellen/README.md": {"hours": 1},
    "kellen/SETUP_GUIDE.md": {"network": 2, "person": 1, "gpu": 1, "slurm": 1, "tpu": 1, "account": 2},
}
"""Blocks of each document that nobody runs here, by what they need. A new one is entered knowingly."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clone(tmp_path_factory.mktemp("reader"))


@pytest.fixture(scope="module")
def environment(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a reader's new shell: nothing chosen, nothing activated, and a hub that is a folder."""
    hub = tmp_path_factory.mktemp("hub")
    write_hub(hub / "hub" / "datasets--sapientinc--sudoku-extreme")
    own = {"PYTHONPATH": str(folder), "HF_HOME": str(hub), "HF_HUB_OFFLINE": "1"}
    return {name: value for name, value in os.environ.items() if not name.startswith("TRM_")} | own


@pytest.mark.parametrize("document", DOCUMENTS)
def test_only_marked_blocks_are_left_out(document: str) -> None:
    blocks = list(blocks_of(ROOT / document))
    assert Counter(block.needs for block in blocks if block.needs) == LEFT_OUT[document]
    assert any(block.language in RUN and block.needs is None for block in blocks)


@pytest.mark.e2e
@pytest.mark.timeout(900)
@pytest.mark.parametrize("document", DOCUMENTS)
def test_its_blocks_run(document: str, folder: Path, environment: dict[str, str]) -> None:
    play(folder / document, folder, environment)
    if document == "README.md":
        assert (folder / "thinking.gif").read_bytes().startswith(b"GIF89a")
        assert (folder / "kellen" / "analysis" / "plots" / "model_scaling.png").is_file()
    assert (folder / "kellen" / "analysis" / "reports" / "report.html").is_file()
    shutil.rmtree(folder / "kellen" / "analysis" / "reports")
    # The next document makes the datasets that it uses itself.
    shutil.rmtree(folder / "data", ignore_errors=True)
