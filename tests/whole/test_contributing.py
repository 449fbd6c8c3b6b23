"""The page for contributors does what it says: each addition is made in a copy, and works there."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.run.tiny import ROOT
from tests.whole.documents import Block, blocks_of, clone, play

PAGE = ROOT / "docs" / "contributing.md"
MOST_LINES = 64

SSH = '#!/bin/sh\nshift\nexec sh -c "$*"\n'
"""In place of ssh: the other machine is this one."""


def additions() -> dict[str, list[Block]]:
    """The page's blocks of code, by the heading that they stand under."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    headings = [(number, line[3:]) for number, line in enumerate(lines, start=1) if line.startswith("## ")]
    found: dict[str, list[Block]] = {heading: [] for _, heading in headings}
    for block in blocks_of(PAGE):
        heading = [name for number, name in headings if number < block.line][-1]
        found[heading].append(block)
    return found


@pytest.mark.parametrize(
    "heading", ["An experiment", "An optimizer", "Puzzles", "A task", "A decoder", "A launcher"]
)
def test_an_addition_is_short(heading: str) -> None:
    code = [block for block in additions()[heading] if block.language == "diff" or block.file]
    written = [
        line
        for block in code
        for line in block.body.splitlines()
        if block.file or (line.startswith("+") and not line.startswith("+++"))
    ]
    assert 0 < len(written) < MOST_LINES


def test_its_changes_fit_the_code_as_it_is() -> None:
    diffs = [block for block in blocks_of(PAGE) if block.language == "diff"]
    assert len(diffs) == 5
    for block in diffs:
        # Forwards; or backwards, where a contributor has followed the page.
        checks = [["git", "apply", *way, "--check", "-"] for way in ([], ["--reverse"])]
        done = [
            subprocess.run(each, cwd=ROOT, input=block.body, capture_output=True, text=True)
            for each in checks
        ]
        assert any(each.returncode == 0 for each in done), f"line {block.line}: {done[0].stderr}"


@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_what_the_page_adds_works(tmp_path: Path) -> None:
    folder, tools = clone(tmp_path), tmp_path / "tools"
    tools.mkdir()
    (tools / "ssh").write_text(SSH)
    (tools / "ssh").chmod(0o755)
    path = os.pathsep.join([str(tools), str(folder / ".venv" / "bin"), os.environ["PATH"]])
    said = play(PAGE, folder, os.environ | {"PATH": path, "PYTHONPATH": str(folder)})

    report = (folder / "kellen" / "analysis" / "reports" / "report.html").read_text(encoding="utf-8")
    assert "Weight decay" in report
    assert "exp11a" in report
    assert "baseline[optimizer=nadamw]" in said
    assert "100.00% exact (200 of 200 puzzles" in said, "copying is learnt"
    assert re.search(r"^ +repeated +\d+\.\d+%", said, re.MULTILINE), "the decoder is scored"
    runs = folder / "kellen" / "checkpoints" / "smoke"
    # nadamw, Latin squares, symmetric ones; and exp11b, which is the baseline: it has its weight decay.
    assert len(list((runs / "baseline").glob("*/result.json"))) == 4
    assert len(list((runs / "exp01a").glob("*/result.json"))) == 1, "by the launcher"
