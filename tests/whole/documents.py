"""Documents whose code blocks are run: Markdown as blocks, and a session that plays them from top to bottom.

A block that needs what a test does not have is marked by a comment in the line before it, such as
`<!-- needs: tpu -->`; one that is a whole file, by `<!-- file: PATH -->`.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from tests.run.tiny import ROOT

Need = Literal["network", "account", "tpu", "gpu", "slurm", "person", "hours"]
"""`person`: somebody to end it, since it goes on until Ctrl-C."""

Language = Literal["bash", "python", "diff", "yaml", "text", "bibtex"]
RUN = ("bash", "python", "diff")
"""The others are there to be read."""

_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<language>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """One fenced block of a document."""

    language: Language
    body: str
    line: int
    """Of its fence, from 1."""
    needs: Need | None = None
    file: str | None = None
    """It is the text of this file."""


def blocks_of(document: Path) -> Iterator[Block]:
    """In their order. A language or a mark that nobody knows fails."""
    text = document.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("language")) + 1
        assert found["language"] in get_args(Language), f"{document.name}:{line}: {found['language']!r}"
        kind, _, what = (found["mark"] or "").partition(": ")
        assert kind in ("", "needs", "file"), f"{document.name}:{line}: {found['mark']!r}"
        assert kind != "needs" or what in get_args(Need), f"{document.name}:{line}: {what!r}"
        yield Block(
            language=found["language"],  # type: ignore[arg-type]
            body=found["body"],
            line=line,
            needs=what if kind == "needs" else None,  # type: ignore[arg-type]
            file=what if kind == "file" else None,
        )


def clone(folder: Path) -> Path:
    """The repository's files in `folder`, committed, with this environment as its `.venv`."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in set(names.split("\0")) - {""}:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for command in (("init", "-q"), ("add", "-A"), (*author, "commit", "-qm", "all")):
        subprocess.run(["git", *command], cwd=folder, check=True)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def script_of(blocks: Sequence[Block]) -> str:
    """One shell session that runs the blocks that can be run, and says before each where it stands."""
    parts = ["set -e"]
    for number, block in enumerate(blocks):
        if block.needs is not None or (block.language not in RUN and block.file is None):
            continue
        end = f"END_OF_BLOCK_{number}"
        match block.language:
            case _ if block.file is not None:
                command = f"cat > {block.file}"
            case "python":
                command = "python -"
            case "diff":
                command = "git apply"
            case _:
                command = ""
        body = f"{command} <<'{end}'\n{block.body}{end}\n" if command else block.body
        parts.append(f"echo '@@ line {block.line}' | tee /dev/stderr\n{body}")
    return "\n".join(parts)


def play(document: Path, folder: Path, environment: Mapping[str, str]) -> str:
    """Run a document in the clone `folder` and return what it printed. Fails at the first block that does."""
    script = script_of(list(blocks_of(document)))
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert done.returncode == 0, f"{document.name}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout
