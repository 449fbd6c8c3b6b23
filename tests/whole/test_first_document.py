"""The page about the original README has every command of it, and names tests that exist."""

import ast
import re
from pathlib import Path

from tests.run.tiny import ROOT

PAGE = ROOT / "docs" / "first_document.md"
_NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its first two lines."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def commands_of(text: str) -> set[str]:
    """Of all shell blocks, each on one line, without comments."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = "\n".join(re.sub(r"\s*\\\n\s*", " ", block) for block in blocks).splitlines()
    return {line.strip() for line in lines if line.strip() and not line.strip().startswith("#")}


def test_every_command_of_the_document_is_a_row(shared: Path) -> None:
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted((shared / "seed").iterdir()))
    commands = commands_of(text)
    assert len(commands) > 12
    listed = {row[0].strip("`") for row in rows("Commands")}
    assert commands <= listed, commands - listed


def test_every_test_that_the_page_names_exists() -> None:
    named = _NAMED.findall(PAGE.read_text(encoding="utf-8"))
    assert len(named) > len(rows("Commands")) - 1
    for file, function in named:
        assert (ROOT / file).is_file(), file
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert not function or function in defined, f"{file}::{function}"


def test_every_row_says_what_is_true_now() -> None:
    assert all(len(row) == 3 and all(row) and _NAMED.search(row[2]) for row in rows("Commands"))
    assert all(len(row) == 2 and all(row) for row in rows("Claims"))
    assert len(rows("Claims")) >= 15


def test_the_files_of_its_project_structure_exist(shared: Path) -> None:
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted((shared / "seed").iterdir()))
    tree = text.split("## Project Structure")[1].split("```")[1]
    named = re.findall(r"(\w[\w./]*\.(?:md|txt|yaml|py))\s", tree)
    assert len(named) == 11
    kept = {file.name for file in (ROOT / "kellen").rglob("*") if file.is_file()}
    assert set(named) <= kept
    for folder, count in re.findall(r"(\w+)/ +# .*\((\d+) configs\)", tree):
        # The published recipe and a contributor's own families stand beside the original's.
        files = (ROOT / "kellen/configs" / folder).iterdir()
        own = [file for file in files if re.match(r"(exp(0\d|10)|contrib0[12]|trm_baseline)", file.name)]
        assert len(own) == int(count), folder
